# The simulator; docs/testing.md. It is worth its optimisation whatever the rest is built with.
SIM_CFLAGS = $(AM_CFLAGS) -O2 $(KNOWS_DATA_DIR)
check_LIBRARIES += libsim.a
libsim_a_SOURCES = \
	tests/lib/commands.h \
	tests/lib/fake_disk.c tests/lib/fake_disk.h \
	tests/sim/clients.c tests/sim/clients.h \
	tests/sim/events.c tests/sim/events.h \
	tests/sim/faults.c tests/sim/faults.h \
	tests/sim/faults_disk.c tests/sim/faults_impl.h \
	tests/sim/kv.c tests/sim/kv.h \
	tests/sim/linear.c tests/sim/linear.h \
	tests/sim/network.c tests/sim/network.h \
	tests/sim/node.c tests/sim/node.h \
	tests/sim/pair.c tests/sim/pair.h \
	tests/sim/pair_bring.c tests/sim/pair_impl.h \
	tests/sim/pair_snaps.c tests/sim/pair_snaps.h \
	tests/sim/redis.c tests/sim/redis.h \
	tests/sim/shadow.c tests/sim/shadow.h \
	tests/sim/shadow_snaps.c tests/sim/shadow_snaps.h \
	tests/sim/sim.h \
	tests/sim/snapper.c tests/sim/snapper.h \
	tests/sim/snaps.c tests/sim/snaps.h \
	tests/sim/truth.c tests/sim/truth.h \
	tests/sim/world.c tests/sim/world.h
libsim_a_CFLAGS = $(SIM_CFLAGS)

EXTRA_PROGRAMS += simulate
simulate_SOURCES = tests/sim/main.c
simulate_CFLAGS = $(SIM_CFLAGS)
simulate_LDADD = libsim.a $(PROXY_LIBS)
CLEANFILES += simulate

UNIT_TESTS += test_linear test_sim
test_linear_SOURCES = tests/unit/test_linear.c
test_linear_LDADD = libsim.a $(UNIT_LDADD)
test_sim_SOURCES = tests/unit/test_sim.c
test_sim_LDADD = libsim.a $(UNIT_LDADD)

# make sim SEEDS=n: that many seeds on all cores, from FIRST on. make sim SEED=s: one, with a trace.
SEEDS = 1000
FIRST = 1
SEED =
.PHONY: sim mutants
sim: simulate
	./simulate $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --first $(FIRST))

# make mutants: each broken rule of logsvc/mutant.h must be noticed. MUTANT=name: that one.
mutants:
	$(top_srcdir)/scripts/mutants --build $(abs_builddir)/build-mutants $(MUTANT)
