# System tests: real redis-server, proxy and log nodes (tests/lib/cluster.h).
check_LIBRARIES += libsystem.a
libsystem_a_SOURCES = \
	tests/lib/cluster.c tests/lib/cluster.h tests/lib/cluster_state.h \
	tests/lib/cluster_look.c \
	tests/lib/cluster_process.c \
	tests/lib/duel.c tests/lib/duel.h \
	tests/lib/relay.c tests/lib/relay.h \
	tests/lib/standstill.c tests/lib/standstill.h \
	tests/lib/system.h \
	tests/lib/wire.c tests/lib/wire.h \
	tests/sim/kv.c tests/sim/kv.h \
	tests/sim/linear.c tests/sim/linear.h \
	tests/system/load.c tests/system/load.h
SYSTEM_LDADD = libsystem.a $(PROXY_LIBS) $(HIREDIS_LIBS) $(CHECK_LIBS)

SYSTEM_TESTS = \
	test_any_proxy \
	test_as_plain \
	test_bad_input \
	test_basic \
	test_big \
	test_clients \
	test_crowd \
	test_durability \
	test_engines \
	test_failover \
	test_faults \
	test_full_disk \
	test_import \
	test_links \
	test_membership \
	test_messages \
	test_partition \
	test_past \
	test_rebuild \
	test_repair \
	test_roles \
	test_replay \
	test_restore \
	test_returned \
	test_sentinel_port \
	test_snapshot \
	test_stream \
	test_sync \
	test_trim \
	test_users \
	test_withhold
SYSTEM_SHELL_TESTS = tests/system/test_ctl.sh tests/system/test_dev_cluster.sh \
	tests/system/test_s3.sh
EXTRA_DIST += $(SYSTEM_SHELL_TESTS) tests/lib/checks.sh tests/lib/ports.sh \
	tests/lib/s3_server.py \
	tests/system/big.h tests/system/commands.h tests/system/ctl_run.h
check_PROGRAMS += $(SYSTEM_TESTS)
TESTS += $(SYSTEM_TESTS) $(SYSTEM_SHELL_TESTS)

test_any_proxy_SOURCES = tests/system/test_any_proxy.c tests/system/commands.c
test_any_proxy_LDADD = $(SYSTEM_LDADD)
test_as_plain_SOURCES = tests/system/test_as_plain.c
test_as_plain_LDADD = $(SYSTEM_LDADD)
test_bad_input_SOURCES = tests/system/test_bad_input.c
test_bad_input_LDADD = $(SYSTEM_LDADD)
test_basic_SOURCES = tests/system/test_basic.c tests/system/commands.c
test_basic_LDADD = $(SYSTEM_LDADD)
test_big_SOURCES = tests/system/test_big.c tests/system/big.c
test_big_LDADD = $(SYSTEM_LDADD)
test_clients_SOURCES = tests/system/test_clients.c
test_clients_LDADD = $(SYSTEM_LDADD)
test_crowd_SOURCES = tests/system/test_crowd.c tests/system/big.c
test_crowd_LDADD = $(SYSTEM_LDADD)
test_durability_SOURCES = tests/system/test_durability.c
test_durability_LDADD = $(SYSTEM_LDADD)
test_engines_SOURCES = tests/system/test_engines.c
test_engines_LDADD = libsystem.a liblogsvc.a $(PROXY_LIBS) $(HIREDIS_LIBS) $(CHECK_LIBS)
test_failover_SOURCES = tests/system/test_failover.c
test_failover_LDADD = $(SYSTEM_LDADD)
test_faults_SOURCES = tests/system/test_faults.c
test_faults_LDADD = $(SYSTEM_LDADD)
test_full_disk_SOURCES = tests/system/test_full_disk.c
test_full_disk_LDADD = $(SYSTEM_LDADD)
test_import_SOURCES = tests/system/test_import.c
test_import_LDADD = libctl.a $(SYSTEM_LDADD)
test_links_SOURCES = tests/system/test_links.c
test_links_LDADD = $(SYSTEM_LDADD)
test_membership_SOURCES = tests/system/test_membership.c
test_membership_LDADD = $(SYSTEM_LDADD)
test_messages_SOURCES = tests/system/test_messages.c
test_messages_LDADD = $(SYSTEM_LDADD)
test_partition_SOURCES = tests/system/test_partition.c
test_partition_LDADD = $(SYSTEM_LDADD)
test_past_SOURCES = tests/system/test_past.c
test_past_LDADD = $(SYSTEM_LDADD)
test_rebuild_SOURCES = tests/system/test_rebuild.c
test_rebuild_LDADD = $(SYSTEM_LDADD)
test_repair_SOURCES = tests/system/test_repair.c
test_repair_LDADD = libsystem.a $(LOG_LIBS) $(HIREDIS_LIBS) $(CHECK_LIBS)
test_replay_SOURCES = tests/system/test_replay.c
test_replay_LDADD = libsystem.a $(SNAPSHOT_LIBS) $(HIREDIS_LIBS) $(CHECK_LIBS)
test_restore_SOURCES = tests/system/test_restore.c
test_restore_LDADD = $(SYSTEM_LDADD)
test_returned_SOURCES = tests/system/test_returned.c tests/system/big.c
test_returned_LDADD = $(SYSTEM_LDADD)
test_roles_SOURCES = tests/system/test_roles.c
test_roles_LDADD = $(SYSTEM_LDADD)
test_sentinel_port_SOURCES = tests/system/test_sentinel_port.c
test_sentinel_port_LDADD = $(SYSTEM_LDADD)
test_snapshot_SOURCES = tests/system/test_snapshot.c
test_snapshot_LDADD = $(SYSTEM_LDADD)
test_stream_SOURCES = tests/system/test_stream.c tests/system/commands.c
test_stream_LDADD = $(SYSTEM_LDADD)
test_sync_SOURCES = tests/system/test_sync.c
test_sync_LDADD = $(SYSTEM_LDADD)
test_trim_SOURCES = tests/system/test_trim.c
test_trim_LDADD = $(SYSTEM_LDADD)
test_users_SOURCES = tests/system/test_users.c
test_users_LDADD = $(SYSTEM_LDADD)
test_withhold_SOURCES = tests/system/test_withhold.c
test_withhold_LDADD = $(SYSTEM_LDADD)

# A machine that stalls (tests/lib/stall.c): system tests on one. STALLS: how; STALL_TESTS: which.
EXTRA_PROGRAMS += stall.so
stall_so_SOURCES = tests/lib/stall.c
stall_so_CFLAGS = $(AM_CFLAGS) -fPIC
stall_so_LDFLAGS = -shared
stall_so_LDADD =
STALLS = disk=20000,5000 turn=31000,5000 seed=1
STALL_TESTS = $(SYSTEM_TESTS)
.PHONY: check-stalls
check-stalls: stall.so
	$(MAKE) $(AM_MAKEFLAGS) check TESTS="$(STALL_TESTS)" \
	    TESTS_ENVIRONMENT="LD_PRELOAD=$(abs_builddir)/stall.so HOLDFAST_STALL='$(STALLS)'"

# Other people's clients: tests/clients/run, which scripts/check calls.
EXTRA_DIST += \
	tests/clients/client_bullmq.js \
	tests/clients/client_ioredis.js \
	tests/clients/client_node_redis.js \
	tests/clients/client_redis_py.py \
	tests/clients/common.js \
	tests/clients/package-lock.json \
	tests/clients/package.json \
	tests/clients/run
# Other people's object stores: tests/stores/run, which scripts/check calls.
EXTRA_DIST += \
	tests/stores/look.py \
	tests/stores/package-lock.json \
	tests/stores/package.json \
	tests/stores/run \
	tests/stores/swift_server.py
check_PROGRAMS += client_hiredis
client_hiredis_SOURCES = tests/clients/client_hiredis.c
client_hiredis_LDADD = $(COMMON_LIBS) $(HIREDIS_LIBS)

# All tests but these: for a build in which whole clusters would be slow (sanitizers).
.PHONY: check-unit
check-unit:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS="`for test in $(TESTS); do \
	    case ' $(SYSTEM_TESTS) $(SYSTEM_SHELL_TESTS) ' in *\ $$test\ *) ;; *) echo $$test ;; esac; done | tr '\n' ' '`"
