# Sample configurations: every key with its default. They are examples, so installing overwrites
# nobody's own.
examplesdir = $(docdir)/examples
dist_examples_DATA = conf/logsvc.json conf/proxy.json

TESTS += tests/unit/test_conf.sh
dist_check_SCRIPTS = tests/unit/test_conf.sh
