# System tests: real redis-server, proxy and log nodes (tests/lib/cluster.h).
check_LIBRARIES += libsystem.a
libsystem_a_SOURCES = \
	tests/lib/cluster.c tests/lib/cluster.h \
	tests/lib/system.h \
	tests/lib/wire.c tests/lib/wire.h
libsystem_a_CFLAGS = $(UNIT_CFLAGS)
SYSTEM_LDADD = libsystem.a $(COMMON_LIBS) $(HIREDIS_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_basic
test_basic_SOURCES = tests/system/test_basic.c tests/system/commands.c tests/system/commands.h
test_basic_CFLAGS = $(UNIT_CFLAGS)
test_basic_LDADD = $(SYSTEM_LDADD)
