# Models of the log protocol, for spin; not part of make check. See docs/testing.md.
EXTRA_DIST += \
	tests/model/elections.pml \
	tests/model/leases.pml

# make model: all of them, exhaustively. make model MUTANT=name: that a broken rule is found; all:
# each of them. make model MODEL=elections: one of them.
MODEL =
MUTANT =
.PHONY: model
model:
	$(top_srcdir)/scripts/model --build $(abs_builddir)/build-model \
	  $(if $(MUTANT),--mutant $(MUTANT)) $(MODEL)
