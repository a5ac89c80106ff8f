EXTRA_DIST += \
	scripts/bench-bound \
	scripts/bench-big \
	scripts/bench-snapshot \
	scripts/build \
	scripts/check \
	scripts/cppcheck.suppressions \
	scripts/dev-cluster \
	scripts/fuzz \
	scripts/install-deps \
	scripts/lint \
	scripts/model \
	scripts/mutants \
	scripts/quickstart \
	scripts/redis-suite

# make fuzz SECONDS=n: each fuzz target for n seconds, in a build of their own.
SECONDS = 60
.PHONY: fuzz
fuzz:
	$(top_srcdir)/scripts/fuzz --seconds $(SECONDS) --build $(abs_builddir)/build-fuzz
