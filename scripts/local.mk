EXTRA_DIST += \
	scripts/dev-cluster
