# The differential tester; docs/testing.md.
DIFFER_CFLAGS = $(AM_CFLAGS) -O2 -DDOCS_DIR='"$(abs_top_srcdir)/docs"'
check_LIBRARIES += libdiffer.a
libdiffer_a_SOURCES = \
	tests/differ/arguments.c tests/differ/arguments.h \
	tests/differ/compare.c tests/differ/compare.h \
	tests/differ/differ.c tests/differ/differ.h \
	tests/differ/difference.c tests/differ/difference.h \
	tests/differ/examples.c tests/differ/examples.h \
	tests/differ/frames.c tests/differ/frames.h \
	tests/differ/generate.c tests/differ/generate.h \
	tests/differ/listings.c tests/differ/listings.h \
	tests/differ/messages.c tests/differ/messages.h \
	tests/differ/play.c tests/differ/play.h \
	tests/differ/player.c tests/differ/player.h \
	tests/differ/program.c tests/differ/program.h \
	tests/differ/rules.c tests/differ/rules.h \
	tests/differ/scenes.c tests/differ/scenes.h \
	tests/differ/scenes_blocked.c tests/differ/scenes_calls.c tests/differ/scenes_care.c \
	tests/differ/scenes_clients.c tests/differ/scenes_data.c tests/differ/scenes_forms.c \
	tests/differ/scenes_states.c tests/differ/scenes_told.c tests/differ/scenes_users.c \
	tests/differ/shrink.c tests/differ/shrink.h \
	tests/differ/stage.c tests/differ/stage.h \
	tests/differ/table.c tests/differ/table.h \
	tests/differ/tally.c tests/differ/tally.h \
	tests/differ/values.c tests/differ/values.h
libdiffer_a_CFLAGS = $(DIFFER_CFLAGS)

EXTRA_PROGRAMS += differential
differential_SOURCES = tests/differ/main.c
differential_CFLAGS = $(DIFFER_CFLAGS)
differential_LDADD = libdiffer.a $(SYSTEM_LDADD)

SYSTEM_TESTS += test_differ
test_differ_SOURCES = tests/system/test_differ.c
test_differ_CFLAGS = $(DIFFER_CFLAGS)
test_differ_LDADD = libdiffer.a $(SYSTEM_LDADD)

# make differ COMMANDS=n [SEED=s] [RESP=2|3] [THROUGH=follower|replica]; without a number: 100,000,
# RESP2 and RESP3 in turn, through a proxy that leads.
COMMANDS = 100000
RESP = 0
THROUGH = leader
.PHONY: differ
differ: differential $(bin_PROGRAMS)
	./differential --commands $(COMMANDS) --resp $(RESP) --through $(THROUGH) \
		$(if $(SEED),--seed $(SEED))
