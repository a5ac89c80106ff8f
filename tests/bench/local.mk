# make bench: side by side with Redis (QUICK=1: a short run).
EXTRA_PROGRAMS += bench_load bench_side_by_side
bench_load_SOURCES = tests/bench/load.c
bench_load_LDADD = $(COMMON_LIBS)

bench_side_by_side_SOURCES = tests/bench/bench.c
bench_side_by_side_LDADD = $(SYSTEM_LDADD)
CLEANFILES += $(EXTRA_PROGRAMS)

.PHONY: bench
bench: $(bin_PROGRAMS) bench_load bench_side_by_side
	./bench_side_by_side
