# Unit tests: one program for each module, named after it. TESTS run in parallel (make -j check).
UNIT_LDADD = $(PROXY_LIBS) $(CHECK_LIBS)
UNIT_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
EXTRA_DIST += tests/lib/fake_storage.c tests/lib/fake_storage.h

check_PROGRAMS += test_record
TESTS += test_record
test_record_SOURCES = tests/unit/test_record.c tests/lib/unit.h
test_record_CFLAGS = $(UNIT_CFLAGS)
test_record_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_config
TESTS += test_config
test_config_SOURCES = tests/unit/test_config.c tests/lib/unit.h
test_config_CFLAGS = $(UNIT_CFLAGS)
test_config_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_options
TESTS += test_options
test_options_SOURCES = tests/unit/test_options.c tests/lib/unit.h
test_options_CFLAGS = $(UNIT_CFLAGS)
test_options_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_resp
TESTS += test_resp
test_resp_SOURCES = tests/unit/test_resp.c tests/lib/unit.h
test_resp_CFLAGS = $(UNIT_CFLAGS)
test_resp_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_tracker
TESTS += test_tracker
test_tracker_SOURCES = tests/unit/test_tracker.c tests/lib/unit.h
test_tracker_CFLAGS = $(UNIT_CFLAGS)
test_tracker_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_client_config
TESTS += test_client_config
test_client_config_SOURCES = tests/unit/test_client_config.c tests/lib/unit.h
test_client_config_CFLAGS = $(UNIT_CFLAGS)
test_client_config_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_slowlog
TESTS += test_slowlog
test_slowlog_SOURCES = tests/unit/test_slowlog.c tests/lib/unit.h
test_slowlog_CFLAGS = $(UNIT_CFLAGS)
test_slowlog_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_tally
TESTS += test_tally
test_tally_SOURCES = tests/unit/test_tally.c tests/lib/unit.h
test_tally_CFLAGS = $(UNIT_CFLAGS)
test_tally_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_waits
TESTS += test_waits
test_waits_SOURCES = tests/unit/test_waits.c tests/lib/unit.h
test_waits_CFLAGS = $(UNIT_CFLAGS)
test_waits_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_buf
TESTS += test_buf
test_buf_SOURCES = tests/unit/test_buf.c tests/lib/unit.h
test_buf_CFLAGS = $(UNIT_CFLAGS)
test_buf_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_glob
TESTS += test_glob
test_glob_SOURCES = tests/unit/test_glob.c tests/lib/unit.h
test_glob_CFLAGS = $(UNIT_CFLAGS)
test_glob_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_sentinel
TESTS += test_sentinel
test_sentinel_SOURCES = tests/unit/test_sentinel.c tests/lib/unit.h
test_sentinel_CFLAGS = $(UNIT_CFLAGS)
test_sentinel_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_ctl_text
TESTS += test_ctl_text
test_ctl_text_SOURCES = tests/unit/test_ctl_text.c tests/lib/unit.h
test_ctl_text_CFLAGS = $(UNIT_CFLAGS)
test_ctl_text_LDADD = libctl.a $(UNIT_LDADD)

check_PROGRAMS += test_chain
TESTS += test_chain
test_chain_SOURCES = tests/unit/test_chain.c tests/lib/unit.h
test_chain_CFLAGS = $(UNIT_CFLAGS)
test_chain_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_err
TESTS += test_err
test_err_SOURCES = tests/unit/test_err.c tests/lib/unit.h
test_err_CFLAGS = $(UNIT_CFLAGS)
test_err_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_histogram
TESTS += test_histogram
test_histogram_SOURCES = tests/unit/test_histogram.c tests/lib/unit.h
test_histogram_CFLAGS = $(UNIT_CFLAGS)
test_histogram_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_le
TESTS += test_le
test_le_SOURCES = tests/unit/test_le.c tests/lib/unit.h
test_le_CFLAGS = $(UNIT_CFLAGS)
test_le_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_log
TESTS += test_log
test_log_SOURCES = tests/unit/test_log.c tests/lib/unit.h
test_log_CFLAGS = $(UNIT_CFLAGS)
test_log_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_random
TESTS += test_random
test_random_SOURCES = tests/unit/test_random.c tests/lib/unit.h
test_random_CFLAGS = $(UNIT_CFLAGS)
test_random_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_psync
TESTS += test_psync
test_psync_SOURCES = tests/unit/test_psync.c tests/lib/unit.h
test_psync_CFLAGS = $(UNIT_CFLAGS)
test_psync_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_transport
TESTS += test_transport
test_transport_SOURCES = tests/unit/test_transport.c tests/lib/unit.h
test_transport_CFLAGS = $(UNIT_CFLAGS)
test_transport_LDADD = $(TRANSPORT_LIBS) $(CHECK_LIBS)

if ENABLE_FUZZERS
noinst_PROGRAMS += fuzz_resp
fuzz_resp_SOURCES = tests/fuzz/fuzz_resp.c tests/fuzz/fuzz.h
fuzz_resp_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_resp_LDADD = $(PROXY_LIBS)
endif

check_PROGRAMS += test_reader
TESTS += test_reader
test_reader_SOURCES = tests/unit/test_reader.c tests/lib/script_net.h tests/lib/unit.h
test_reader_CFLAGS = $(UNIT_CFLAGS)
test_reader_LDADD = $(LOG_LIBS) $(CHECK_LIBS)

# What redis-server 7.0.15 answers to COMMAND.
EXTRA_DIST += tests/data/command-7.0.15.resp
check_PROGRAMS += test_command
TESTS += test_command
test_command_SOURCES = tests/unit/test_command.c tests/lib/unit.h
test_command_CFLAGS = $(UNIT_CFLAGS) -DTESTS_DATA_DIR='"$(abs_top_srcdir)/tests/data"'
test_command_LDADD = $(UNIT_LDADD)

if ENABLE_FUZZERS
noinst_PROGRAMS += fuzz_command
fuzz_command_SOURCES = tests/fuzz/fuzz_command.c
fuzz_command_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_command_LDADD = $(PROXY_LIBS)
endif

check_PROGRAMS += test_effects
TESTS += test_effects
test_effects_SOURCES = tests/unit/test_effects.c tests/lib/commands.h tests/lib/unit.h
test_effects_CFLAGS = $(UNIT_CFLAGS) -DTESTS_DATA_DIR='"$(abs_top_srcdir)/tests/data"'
test_effects_LDADD = $(UNIT_LDADD)

if ENABLE_FUZZERS
noinst_PROGRAMS += fuzz_effects
fuzz_effects_SOURCES = tests/fuzz/fuzz_effects.c tests/fuzz/fuzz.h tests/lib/commands.h
fuzz_effects_CFLAGS = $(AM_CFLAGS) -DTESTS_DATA_DIR='"$(abs_top_srcdir)/tests/data"'
fuzz_effects_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_effects_LDADD = $(PROXY_LIBS)
endif

check_PROGRAMS += test_psync_redis
TESTS += test_psync_redis
test_psync_redis_SOURCES = tests/system/test_psync_redis.c tests/lib/unit.h \
	tests/lib/redis_server.c tests/lib/redis_server.h tests/lib/cluster.c tests/lib/cluster.h \
	tests/lib/relay.c tests/lib/relay.h
test_psync_redis_CFLAGS = $(UNIT_CFLAGS)
test_psync_redis_LDADD = $(PROXY_IO_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_segment
TESTS += test_segment
test_segment_SOURCES = tests/unit/test_segment.c tests/lib/fake_disk.c tests/lib/fake_disk.h \
	tests/lib/unit.h
test_segment_CFLAGS = $(UNIT_CFLAGS)
test_segment_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_slots
TESTS += test_slots
test_slots_SOURCES = tests/unit/test_slots.c tests/lib/fake_disk.c tests/lib/fake_disk.h \
	tests/lib/unit.h
test_slots_CFLAGS = $(UNIT_CFLAGS)
test_slots_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_store
TESTS += test_store
test_store_SOURCES = tests/unit/test_store.c tests/lib/fake_disk.c tests/lib/fake_disk.h \
	tests/lib/unit.h
test_store_CFLAGS = $(UNIT_CFLAGS)
test_store_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_store_mend
TESTS += test_store_mend
test_store_mend_SOURCES = tests/unit/test_store_mend.c tests/lib/fake_disk.c tests/lib/fake_disk.h \
	tests/lib/unit.h
test_store_mend_CFLAGS = $(UNIT_CFLAGS)
test_store_mend_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_scrub
TESTS += test_scrub
test_scrub_SOURCES = tests/unit/test_scrub.c tests/lib/unit.h
test_scrub_CFLAGS = $(UNIT_CFLAGS)
test_scrub_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_snapship
TESTS += test_snapship
test_snapship_SOURCES = tests/unit/test_snapship.c tests/lib/script_net.h tests/lib/unit.h
test_snapship_CFLAGS = $(UNIT_CFLAGS)
test_snapship_LDADD = $(LOG_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_server
TESTS += test_server
test_server_SOURCES = tests/unit/test_server.c tests/lib/unit.h
test_server_CFLAGS = $(UNIT_CFLAGS)
test_server_LDADD = $(LOGSVC_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_will
TESTS += test_will
test_will_SOURCES = tests/unit/test_will.c tests/lib/unit.h
test_will_CFLAGS = $(UNIT_CFLAGS)
test_will_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_role
TESTS += test_role
test_role_SOURCES = tests/unit/test_role.c tests/lib/unit.h
test_role_CFLAGS = $(UNIT_CFLAGS)
test_role_LDADD = $(UNIT_LDADD)
if ENABLE_FUZZERS
noinst_PROGRAMS += fuzz_segment
fuzz_segment_SOURCES = tests/fuzz/fuzz_segment.c tests/lib/fake_disk.c tests/lib/fake_disk.h
fuzz_segment_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_segment_LDADD = $(LOG_LIBS)
endif

check_PROGRAMS += test_lineage
TESTS += test_lineage
test_lineage_SOURCES = tests/unit/test_lineage.c tests/lib/unit.h
test_lineage_CFLAGS = $(UNIT_CFLAGS)
test_lineage_LDADD = $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_lookout
TESTS += test_lookout
test_lookout_SOURCES = tests/unit/test_lookout.c tests/lib/unit.h
test_lookout_CFLAGS = $(UNIT_CFLAGS)
test_lookout_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_leader
TESTS += test_leader
test_leader_SOURCES = tests/unit/test_leader.c tests/lib/unit.h
test_leader_CFLAGS = $(UNIT_CFLAGS)
test_leader_LDADD = $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_pace
TESTS += test_pace
test_pace_SOURCES = tests/unit/test_pace.c tests/lib/unit.h
test_pace_CFLAGS = $(UNIT_CFLAGS)
test_pace_LDADD = $(UNIT_LDADD)
check_PROGRAMS += test_history
TESTS += test_history
test_history_SOURCES = tests/unit/test_history.c tests/lib/unit.h
test_history_CFLAGS = $(UNIT_CFLAGS)
test_history_LDADD = $(LOG_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_log_conf
TESTS += test_log_conf
test_log_conf_SOURCES = tests/unit/test_log_conf.c tests/lib/unit.h
test_log_conf_CFLAGS = $(UNIT_CFLAGS)
test_log_conf_LDADD = $(LOG_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_window
TESTS += test_window
test_window_SOURCES = tests/unit/test_window.c tests/lib/unit.h
test_window_CFLAGS = $(UNIT_CFLAGS)
test_window_LDADD = $(LOG_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_wire
TESTS += test_wire
test_wire_SOURCES = tests/unit/test_wire.c tests/lib/unit.h
test_wire_CFLAGS = $(UNIT_CFLAGS)
test_wire_LDADD = $(LOG_LIBS) $(CHECK_LIBS)

# The documents' test vectors.
check_PROGRAMS += test_vectors
TESTS += test_vectors
test_vectors_SOURCES = tests/unit/test_vectors.c tests/lib/fake_disk.c tests/lib/fake_disk.h \
	tests/lib/unit.h
test_vectors_CFLAGS = $(UNIT_CFLAGS) -DDOCS_DIR='"$(abs_top_srcdir)/docs"'
test_vectors_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_acceptor
TESTS += test_acceptor
test_acceptor_SOURCES = tests/unit/test_acceptor.c tests/lib/acceptor_case.h tests/lib/unit.h \
	tests/lib/fake_storage.c tests/lib/fake_storage.h
test_acceptor_CFLAGS = $(UNIT_CFLAGS)
test_acceptor_LDADD = $(LOG_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_acceptor_append
TESTS += test_acceptor_append
test_acceptor_append_SOURCES = tests/unit/test_acceptor_append.c tests/lib/acceptor_case.h tests/lib/unit.h \
	tests/lib/fake_storage.c tests/lib/fake_storage.h
test_acceptor_append_CFLAGS = $(UNIT_CFLAGS)
test_acceptor_append_LDADD = $(LOG_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_acceptor_rot
TESTS += test_acceptor_rot
test_acceptor_rot_SOURCES = tests/unit/test_acceptor_rot.c tests/lib/acceptor_case.h tests/lib/unit.h \
	tests/lib/fake_storage.c tests/lib/fake_storage.h
test_acceptor_rot_CFLAGS = $(UNIT_CFLAGS)
test_acceptor_rot_LDADD = $(LOG_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_acceptor_trim
TESTS += test_acceptor_trim
test_acceptor_trim_SOURCES = tests/unit/test_acceptor_trim.c tests/lib/acceptor_case.h tests/lib/unit.h \
	tests/lib/fake_storage.c tests/lib/fake_storage.h
test_acceptor_trim_CFLAGS = $(UNIT_CFLAGS)
test_acceptor_trim_LDADD = $(LOG_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_retention
TESTS += test_retention
test_retention_SOURCES = tests/unit/test_retention.c tests/lib/unit.h
test_retention_CFLAGS = $(UNIT_CFLAGS)
test_retention_LDADD = $(LOG_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_catalogue
TESTS += test_catalogue
test_catalogue_SOURCES = tests/unit/test_catalogue.c tests/lib/unit.h
test_catalogue_CFLAGS = $(UNIT_CFLAGS)
test_catalogue_LDADD = $(LOG_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_proposer_trim
TESTS += test_proposer_trim
test_proposer_trim_SOURCES = \
	tests/unit/test_proposer_trim.c \
	tests/lib/fake_storage.c tests/lib/fake_storage.h tests/lib/unit.h
test_proposer_trim_CFLAGS = $(UNIT_CFLAGS)
test_proposer_trim_LDADD = $(LOG_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_proposer
TESTS += test_proposer
test_proposer_SOURCES = tests/unit/test_proposer.c tests/lib/unit.h
test_proposer_CFLAGS = $(UNIT_CFLAGS)
test_proposer_LDADD = $(LOG_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_acceptor_conf
TESTS += test_acceptor_conf
test_acceptor_conf_SOURCES = \
	tests/unit/test_acceptor_conf.c \
	tests/lib/fake_storage.c tests/lib/fake_storage.h tests/lib/unit.h
test_acceptor_conf_CFLAGS = $(UNIT_CFLAGS)
test_acceptor_conf_LDADD = $(LOG_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_proposer_conf
TESTS += test_proposer_conf
test_proposer_conf_SOURCES = \
	tests/unit/test_proposer_conf.c \
	tests/lib/fake_storage.c tests/lib/fake_storage.h tests/lib/unit.h
test_proposer_conf_CFLAGS = $(UNIT_CFLAGS)
test_proposer_conf_LDADD = $(LOG_LIBS) $(CHECK_LIBS)

# The proxy's parts that touch the world.
PROXY_UNIT_LDADD = $(PROXY_IO_LIBS) $(CHECK_LIBS)

check_PROGRAMS += test_client
TESTS += test_client
test_client_SOURCES = tests/unit/test_client.c tests/lib/sockets.h tests/lib/unit.h
test_client_CFLAGS = $(UNIT_CFLAGS)
test_client_LDADD = $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_engine
TESTS += test_engine
test_engine_SOURCES = tests/unit/test_engine.c tests/lib/sockets.h tests/lib/unit.h
test_engine_CFLAGS = $(UNIT_CFLAGS)
test_engine_LDADD = $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_outbox
TESTS += test_outbox
test_outbox_SOURCES = tests/unit/test_outbox.c tests/lib/unit.h
test_outbox_CFLAGS = $(UNIT_CFLAGS)
test_outbox_LDADD = $(PROXY_UNIT_LDADD)

# What router, session and transaction are tested in.
check_LIBRARIES += librouterworld.a
librouterworld_a_SOURCES = tests/lib/router_world.c tests/lib/router_world.h tests/lib/commands.h \
	tests/lib/sockets.h
librouterworld_a_CFLAGS = $(UNIT_CFLAGS) -DTESTS_DATA_DIR='"$(abs_top_srcdir)/tests/data"'

check_PROGRAMS += test_topics
TESTS += test_topics
test_topics_SOURCES = tests/unit/test_topics.c tests/lib/unit.h
test_topics_CFLAGS = $(UNIT_CFLAGS)
test_topics_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_pubsub
TESTS += test_pubsub
test_pubsub_SOURCES = tests/unit/test_pubsub.c tests/lib/unit.h
test_pubsub_CFLAGS = $(UNIT_CFLAGS)
test_pubsub_LDADD = librouterworld.a $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_acl
TESTS += test_acl
test_acl_SOURCES = tests/unit/test_acl.c tests/lib/unit.h
test_acl_CFLAGS = $(UNIT_CFLAGS)
test_acl_LDADD = librouterworld.a $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_monitor
TESTS += test_monitor
test_monitor_SOURCES = tests/unit/test_monitor.c tests/lib/unit.h
test_monitor_CFLAGS = $(UNIT_CFLAGS)
test_monitor_LDADD = librouterworld.a $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_private
TESTS += test_private
test_private_SOURCES = tests/unit/test_private.c tests/lib/unit.h
test_private_CFLAGS = $(UNIT_CFLAGS)
test_private_LDADD = librouterworld.a $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_router
TESTS += test_router
test_router_SOURCES = tests/unit/test_router.c tests/lib/unit.h
test_router_CFLAGS = $(UNIT_CFLAGS)
test_router_LDADD = librouterworld.a $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_router_alone
TESTS += test_router_alone
test_router_alone_SOURCES = tests/unit/test_router_alone.c tests/lib/unit.h
test_router_alone_CFLAGS = $(UNIT_CFLAGS)
test_router_alone_LDADD = librouterworld.a $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_forward
TESTS += test_forward
test_forward_SOURCES = tests/unit/test_forward.c tests/lib/unit.h
test_forward_CFLAGS = $(UNIT_CFLAGS)
test_forward_LDADD = librouterworld.a $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_freshness
TESTS += test_freshness
test_freshness_SOURCES = tests/unit/test_freshness.c tests/lib/unit.h
test_freshness_CFLAGS = $(UNIT_CFLAGS)
test_freshness_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_room
TESTS += test_room
test_room_SOURCES = tests/unit/test_room.c tests/lib/unit.h
test_room_CFLAGS = $(UNIT_CFLAGS)
test_room_LDADD = libsnapshot.a $(CHECK_LIBS)

check_PROGRAMS += test_route
TESTS += test_route
test_route_SOURCES = tests/unit/test_route.c tests/lib/commands.h tests/lib/unit.h
test_route_CFLAGS = $(UNIT_CFLAGS) -DTESTS_DATA_DIR='"$(abs_top_srcdir)/tests/data"'
test_route_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_replinfo
TESTS += test_replinfo
test_replinfo_SOURCES = tests/unit/test_replinfo.c tests/lib/unit.h
test_replinfo_CFLAGS = $(UNIT_CFLAGS)
test_replinfo_LDADD = $(UNIT_LDADD)

check_PROGRAMS += test_session
TESTS += test_session
test_session_SOURCES = tests/unit/test_session.c tests/lib/unit.h
test_session_CFLAGS = $(UNIT_CFLAGS)
test_session_LDADD = librouterworld.a $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_transaction
TESTS += test_transaction
test_transaction_SOURCES = tests/unit/test_transaction.c tests/lib/unit.h
test_transaction_CFLAGS = $(UNIT_CFLAGS)
test_transaction_LDADD = librouterworld.a $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_adopt
TESTS += test_adopt
test_adopt_SOURCES = tests/unit/test_adopt.c tests/lib/unit.h
test_adopt_CFLAGS = $(UNIT_CFLAGS)
test_adopt_LDADD = $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_follow
TESTS += test_follow
test_follow_SOURCES = tests/unit/test_follow.c tests/lib/unit.h
test_follow_CFLAGS = $(UNIT_CFLAGS)
test_follow_LDADD = $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_request
TESTS += test_request
test_request_SOURCES = tests/unit/test_request.c tests/lib/unit.h
test_request_CFLAGS = $(UNIT_CFLAGS)
test_request_LDADD = $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_settings
TESTS += test_settings
test_settings_SOURCES = tests/unit/test_settings.c tests/lib/unit.h
test_settings_CFLAGS = $(UNIT_CFLAGS)
test_settings_LDADD = $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_net
TESTS += test_net
test_net_SOURCES = tests/unit/test_net.c tests/lib/sockets.h tests/lib/unit.h
test_net_CFLAGS = $(UNIT_CFLAGS)
test_net_LDADD = $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_control
TESTS += test_control
test_control_SOURCES = tests/unit/test_control.c tests/lib/sockets.h tests/lib/unit.h
test_control_CFLAGS = $(UNIT_CFLAGS)
test_control_LDADD = $(PROXY_UNIT_LDADD)

check_PROGRAMS += test_crc32c
TESTS += test_crc32c
test_crc32c_SOURCES = tests/unit/test_crc32c.c tests/lib/unit.h
test_crc32c_CFLAGS = $(UNIT_CFLAGS)
test_crc32c_LDADD = $(UNIT_LDADD)
if ENABLE_FUZZERS
noinst_PROGRAMS += fuzz_wire
fuzz_wire_SOURCES = tests/fuzz/fuzz_wire.c tests/fuzz/fuzz.h \
	tests/lib/fake_storage.c tests/lib/fake_storage.h
fuzz_wire_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_wire_LDADD = $(LOG_LIBS)
endif

check_PROGRAMS += test_changes test_moment test_rdb_head test_seek
TESTS += test_changes test_moment test_rdb_head test_seek
test_changes_SOURCES = tests/unit/test_changes.c tests/lib/commands.h tests/lib/unit.h
test_changes_CFLAGS = $(UNIT_CFLAGS) -DTESTS_DATA_DIR='"$(abs_top_srcdir)/tests/data"'
test_changes_LDADD = libctl.a $(UNIT_LDADD)
test_moment_SOURCES = tests/unit/test_moment.c tests/lib/unit.h
test_moment_CFLAGS = $(UNIT_CFLAGS)
test_moment_LDADD = libctl.a $(UNIT_LDADD)
test_rdb_head_SOURCES = tests/unit/test_rdb_head.c tests/lib/unit.h
test_rdb_head_CFLAGS = $(UNIT_CFLAGS)
test_rdb_head_LDADD = libctl.a $(UNIT_LDADD)
test_seek_SOURCES = tests/unit/test_seek.c tests/lib/unit.h
test_seek_CFLAGS = $(UNIT_CFLAGS)
test_seek_LDADD = libctl.a $(UNIT_LDADD)

check_PROGRAMS += test_manifest
TESTS += test_manifest
test_manifest_SOURCES = tests/unit/test_manifest.c tests/lib/unit.h
test_manifest_CFLAGS = $(UNIT_CFLAGS)
test_manifest_LDADD = libctl.a $(UNIT_LDADD)

check_PROGRAMS += test_bar_text test_held test_target_mark
TESTS += test_bar_text test_held test_target_mark
test_target_mark_SOURCES = tests/unit/test_target_mark.c tests/lib/unit.h
test_target_mark_CFLAGS = $(UNIT_CFLAGS)
test_target_mark_LDADD = libctl.a $(UNIT_LDADD)
test_bar_text_SOURCES = tests/unit/test_bar_text.c tests/lib/unit.h
test_bar_text_CFLAGS = $(UNIT_CFLAGS)
test_bar_text_LDADD = libctl.a $(UNIT_LDADD)
check_PROGRAMS += test_sha256
TESTS += test_sha256
test_sha256_SOURCES = tests/unit/test_sha256.c tests/lib/unit.h
test_sha256_CFLAGS = $(UNIT_CFLAGS)
test_sha256_LDADD = libctl.a $(UNIT_LDADD)
test_held_SOURCES = tests/unit/test_held.c tests/lib/unit.h
test_held_CFLAGS = $(UNIT_CFLAGS)
test_held_LDADD = libctl.a $(UNIT_LDADD)

if ENABLE_FUZZERS
noinst_PROGRAMS += fuzz_past
fuzz_past_SOURCES = tests/fuzz/fuzz_past.c tests/fuzz/fuzz.h
fuzz_past_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_past_LDADD = libctl.a $(PROXY_LIBS)
endif
