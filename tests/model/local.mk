# Models of the log protocol, for spin; not part of make check. See docs/testing.md.
EXTRA_DIST += \
	tests/model/elections.pml \
	tests/model/leases.pml \
	tests/model/membership.pml

# make model: all of them, exhaustively. make model MUTANT=name: that a broken rule is found; all:
# each of them. make model MODEL=elections: one of them. make model LONG=1: also the longest run.
MODEL =
MUTANT =
LONG =
.PHONY: model
model:
	$(top_srcdir)/scripts/model --build $(abs_builddir)/build-model \
	  $(if $(LONG),--long) $(if $(MUTANT),--mutant $(MUTANT)) $(MODEL)
