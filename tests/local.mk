# Unit tests: one program for each module, named after it. TESTS run in parallel (make -j check).
UNIT_LDADD = $(PROXY_LIBS) $(CHECK_LIBS)
UNIT_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)

check_PROGRAMS += test_record
TESTS += test_record
test_record_SOURCES = tests/unit/test_record.c tests/lib/unit.h
test_record_CFLAGS = $(UNIT_CFLAGS)
test_record_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_config
TESTS += test_config
test_config_SOURCES = tests/unit/test_config.c tests/lib/unit.h
test_config_CFLAGS = $(UNIT_CFLAGS)
test_config_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_options
TESTS += test_options
test_options_SOURCES = tests/unit/test_options.c tests/lib/unit.h
test_options_CFLAGS = $(UNIT_CFLAGS)
test_options_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_resp
TESTS += test_resp
test_resp_SOURCES = tests/unit/test_resp.c tests/lib/unit.h
test_resp_CFLAGS = $(UNIT_CFLAGS)
test_resp_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_tracker
TESTS += test_tracker
test_tracker_SOURCES = tests/unit/test_tracker.c tests/lib/unit.h
test_tracker_CFLAGS = $(UNIT_CFLAGS)
test_tracker_LDADD = $(UNIT_LDADD)
