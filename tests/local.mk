# Unit tests: one program for each module, named after it. TESTS run in parallel (make -j check).
UNIT_TESTS = \
	test_acceptor \
	test_acceptor_append \
	test_acceptor_conf \
	test_acceptor_rot \
	test_acceptor_snaps \
	test_acceptor_trim \
	test_acl \
	test_adopt \
	test_bar_text \
	test_base64 \
	test_buf \
	test_catalogue \
	test_chain \
	test_changes \
	test_choice \
	test_client \
	test_client_buffers \
	test_client_config \
	test_client_ends \
	test_client_settings \
	test_command \
	test_config \
	test_control \
	test_crc32c \
	test_credentials \
	test_ctl_text \
	test_effects \
	test_engine \
	test_err \
	test_file \
	test_fetch \
	test_follow \
	test_forward \
	test_forward_link \
	test_forward_replica \
	test_freshness \
	test_glob \
	test_held \
	test_hex \
	test_histogram \
	test_history \
	test_hurry \
	test_le \
	test_leader \
	test_lineage \
	test_log \
	test_log_conf \
	test_lookout \
	test_manifest \
	test_md5 \
	test_marks \
	test_meta \
	test_moment \
	test_monitor \
	test_net \
	test_node_dir \
	test_options \
	test_outbox \
	test_outlet \
	test_outlook \
	test_pace \
	test_pack_pace \
	test_packer \
	test_private \
	test_proposer \
	test_proposer_append \
	test_proposer_conf \
	test_proposer_mend \
	test_proposer_trim \
	test_psync \
	test_psync_redis \
	test_pubsub \
	test_random \
	test_rate \
	test_rdb_head \
	test_reader \
	test_readers \
	test_record \
	test_replinfo \
	test_request \
	test_resp \
	test_retention \
	test_role \
	test_room \
	test_roster \
	test_route \
	test_router \
	test_router_alone \
	test_scrub \
	test_seek \
	test_segment \
	test_sentinel \
	test_server \
	test_session \
	test_settings \
	test_sha256 \
	test_slots \
	test_slowlog \
	test_snap_download \
	test_snapship \
	test_store \
	test_store_crash \
	test_store_mend \
	test_store_mend_cut \
	test_store_pack \
	test_store_pack_rot \
	test_storing \
	test_tally \
	test_target_mark \
	test_topics \
	test_tracker \
	test_transaction \
	test_transport \
	test_transport_strangers \
	test_vectors \
	test_waits \
	test_will \
	test_window \
	test_wire
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)

# What all tests share. Headers stand here, and in no program's sources.
EXTRA_DIST += tests/lsan.suppressions \
	tests/data/command-7.0.15.resp \
	tests/lib/acceptor_case.h \
	tests/lib/client_case.h \
	tests/lib/commands.h \
	tests/lib/fake_disk.h \
	tests/lib/fake_storage.h \
	tests/lib/mend_case.h \
	tests/lib/proposer_case.h \
	tests/lib/redis_server.h \
	tests/lib/script_net.h \
	tests/lib/snapship_case.h \
	tests/lib/sockets.h \
	tests/lib/store_case.h \
	tests/lib/transport_case.h \
	tests/lib/unit.h
KNOWS_DATA_DIR = -DTESTS_DATA_DIR='"$(abs_top_srcdir)/tests/data"'
AM_TESTS_ENVIRONMENT = \
	LSAN_OPTIONS=suppressions=$(abs_top_srcdir)/tests/lsan.suppressions:print_suppressions=0; \
	export LSAN_OPTIONS;

# Pure modules: what a program is linked with that names no libraries of its own.
UNIT_LDADD = $(PROXY_LIBS) $(CHECK_LIBS)
LDADD = $(UNIT_LDADD)

test_acceptor_SOURCES = tests/unit/test_acceptor.c tests/lib/fake_storage.c
test_acceptor_append_SOURCES = tests/unit/test_acceptor_append.c tests/lib/fake_storage.c
test_acceptor_conf_SOURCES = tests/unit/test_acceptor_conf.c tests/lib/fake_storage.c
test_acceptor_rot_SOURCES = tests/unit/test_acceptor_rot.c tests/lib/fake_storage.c
test_acceptor_snaps_SOURCES = tests/unit/test_acceptor_snaps.c tests/lib/fake_storage.c
test_acceptor_trim_SOURCES = tests/unit/test_acceptor_trim.c tests/lib/fake_storage.c
test_base64_SOURCES = tests/unit/test_base64.c
test_buf_SOURCES = tests/unit/test_buf.c
test_catalogue_SOURCES = tests/unit/test_catalogue.c
test_chain_SOURCES = tests/unit/test_chain.c
test_choice_SOURCES = tests/unit/test_choice.c
test_client_buffers_SOURCES = tests/unit/test_client_buffers.c
test_client_config_SOURCES = tests/unit/test_client_config.c
test_config_SOURCES = tests/unit/test_config.c
test_crc32c_SOURCES = tests/unit/test_crc32c.c
test_credentials_SOURCES = tests/unit/test_credentials.c
test_err_SOURCES = tests/unit/test_err.c
test_fetch_SOURCES = tests/unit/test_fetch.c
test_freshness_SOURCES = tests/unit/test_freshness.c
test_glob_SOURCES = tests/unit/test_glob.c
test_file_SOURCES = tests/unit/test_file.c
test_hex_SOURCES = tests/unit/test_hex.c
test_histogram_SOURCES = tests/unit/test_histogram.c
test_history_SOURCES = tests/unit/test_history.c
test_hurry_SOURCES = tests/unit/test_hurry.c
test_le_SOURCES = tests/unit/test_le.c
test_log_SOURCES = tests/unit/test_log.c
test_log_conf_SOURCES = tests/unit/test_log_conf.c
test_lookout_SOURCES = tests/unit/test_lookout.c
test_marks_SOURCES = tests/unit/test_marks.c
test_meta_SOURCES = tests/unit/test_meta.c
test_options_SOURCES = tests/unit/test_options.c
test_outlet_SOURCES = tests/unit/test_outlet.c
test_outlook_SOURCES = tests/unit/test_outlook.c
test_pace_SOURCES = tests/unit/test_pace.c
test_pack_pace_SOURCES = tests/unit/test_pack_pace.c
test_packer_SOURCES = tests/unit/test_packer.c
test_proposer_SOURCES = tests/unit/test_proposer.c
test_proposer_append_SOURCES = tests/unit/test_proposer_append.c
test_proposer_conf_SOURCES = tests/unit/test_proposer_conf.c tests/lib/fake_storage.c
test_proposer_mend_SOURCES = tests/unit/test_proposer_mend.c
test_proposer_trim_SOURCES = tests/unit/test_proposer_trim.c tests/lib/fake_storage.c
test_psync_SOURCES = tests/unit/test_psync.c
test_random_SOURCES = tests/unit/test_random.c
test_reader_SOURCES = tests/unit/test_reader.c
test_readers_SOURCES = tests/unit/test_readers.c
test_rate_SOURCES = tests/unit/test_rate.c
test_record_SOURCES = tests/unit/test_record.c
test_replinfo_SOURCES = tests/unit/test_replinfo.c
test_resp_SOURCES = tests/unit/test_resp.c
test_retention_SOURCES = tests/unit/test_retention.c
test_role_SOURCES = tests/unit/test_role.c
test_roster_SOURCES = tests/unit/test_roster.c
test_scrub_SOURCES = tests/unit/test_scrub.c
test_segment_SOURCES = tests/unit/test_segment.c tests/lib/fake_disk.c
test_sentinel_SOURCES = tests/unit/test_sentinel.c
test_slots_SOURCES = tests/unit/test_slots.c tests/lib/fake_disk.c
test_slowlog_SOURCES = tests/unit/test_slowlog.c
test_snap_download_SOURCES = tests/unit/test_snap_download.c
test_snapship_SOURCES = tests/unit/test_snapship.c
test_storing_SOURCES = tests/unit/test_storing.c
test_store_SOURCES = tests/unit/test_store.c tests/lib/fake_disk.c
test_store_crash_SOURCES = tests/unit/test_store_crash.c tests/lib/fake_disk.c
test_store_mend_SOURCES = tests/unit/test_store_mend.c tests/lib/fake_disk.c
test_store_mend_cut_SOURCES = tests/unit/test_store_mend_cut.c tests/lib/fake_disk.c
test_store_pack_SOURCES = tests/unit/test_store_pack.c tests/lib/fake_disk.c
test_store_pack_rot_SOURCES = tests/unit/test_store_pack_rot.c tests/lib/fake_disk.c
test_tally_SOURCES = tests/unit/test_tally.c
test_topics_SOURCES = tests/unit/test_topics.c
test_tracker_SOURCES = tests/unit/test_tracker.c
test_waits_SOURCES = tests/unit/test_waits.c
test_will_SOURCES = tests/unit/test_will.c
test_window_SOURCES = tests/unit/test_window.c
test_wire_SOURCES = tests/unit/test_wire.c

# With COMMAND as redis-server 7.0.15 answers it, or the documents with their test vectors.
test_changes_SOURCES = tests/unit/test_changes.c
test_changes_CFLAGS = $(AM_CFLAGS) $(KNOWS_DATA_DIR)
test_changes_LDADD = libctl.a $(UNIT_LDADD)
test_command_SOURCES = tests/unit/test_command.c
test_command_CFLAGS = $(AM_CFLAGS) $(KNOWS_DATA_DIR)
test_effects_SOURCES = tests/unit/test_effects.c
test_effects_CFLAGS = $(AM_CFLAGS) $(KNOWS_DATA_DIR)
test_route_SOURCES = tests/unit/test_route.c
test_route_CFLAGS = $(AM_CFLAGS) $(KNOWS_DATA_DIR)
test_vectors_SOURCES = tests/unit/test_vectors.c tests/lib/fake_disk.c
test_vectors_CFLAGS = $(AM_CFLAGS) -DDOCS_DIR='"$(abs_top_srcdir)/docs"'

# The parts of holdfast-ctl.
test_bar_text_SOURCES = tests/unit/test_bar_text.c
test_bar_text_LDADD = libctl.a $(UNIT_LDADD)
test_ctl_text_SOURCES = tests/unit/test_ctl_text.c
test_ctl_text_LDADD = libctl.a $(UNIT_LDADD)
test_held_SOURCES = tests/unit/test_held.c
test_held_LDADD = libctl.a $(UNIT_LDADD)
test_manifest_SOURCES = tests/unit/test_manifest.c
test_manifest_LDADD = libctl.a $(UNIT_LDADD)
test_md5_SOURCES = tests/unit/test_md5.c
test_md5_LDADD = libctl.a $(UNIT_LDADD)
test_moment_SOURCES = tests/unit/test_moment.c
test_moment_LDADD = libctl.a $(UNIT_LDADD)
test_rdb_head_SOURCES = tests/unit/test_rdb_head.c
test_rdb_head_LDADD = libctl.a $(UNIT_LDADD)
test_seek_SOURCES = tests/unit/test_seek.c
test_seek_LDADD = libctl.a $(UNIT_LDADD)
test_sha256_SOURCES = tests/unit/test_sha256.c
test_sha256_LDADD = libctl.a $(UNIT_LDADD)
test_target_mark_SOURCES = tests/unit/test_target_mark.c
test_target_mark_LDADD = libctl.a $(UNIT_LDADD)

# The proxy's parts that touch the world.
PROXY_UNIT_LDADD = $(PROXY_IO_LIBS) $(CHECK_LIBS)
test_adopt_SOURCES = tests/unit/test_adopt.c
test_adopt_LDADD = $(PROXY_UNIT_LDADD)
test_client_SOURCES = tests/unit/test_client.c
test_client_LDADD = $(PROXY_UNIT_LDADD)
test_client_ends_SOURCES = tests/unit/test_client_ends.c
test_client_ends_LDADD = $(PROXY_UNIT_LDADD)
test_control_SOURCES = tests/unit/test_control.c
test_control_LDADD = $(PROXY_UNIT_LDADD)
test_engine_SOURCES = tests/unit/test_engine.c
test_engine_LDADD = $(PROXY_UNIT_LDADD)
test_follow_SOURCES = tests/unit/test_follow.c
test_follow_LDADD = $(PROXY_UNIT_LDADD)
test_client_settings_SOURCES = tests/unit/test_client_settings.c
test_client_settings_LDADD = $(PROXY_UNIT_LDADD)
test_leader_SOURCES = tests/unit/test_leader.c
test_leader_LDADD = $(PROXY_UNIT_LDADD)
test_lineage_SOURCES = tests/unit/test_lineage.c
test_lineage_LDADD = $(PROXY_UNIT_LDADD)
test_net_SOURCES = tests/unit/test_net.c
test_net_LDADD = $(PROXY_UNIT_LDADD)
test_outbox_SOURCES = tests/unit/test_outbox.c
test_outbox_LDADD = $(PROXY_UNIT_LDADD)
test_request_SOURCES = tests/unit/test_request.c
test_request_LDADD = $(PROXY_UNIT_LDADD)
test_settings_SOURCES = tests/unit/test_settings.c
test_settings_LDADD = $(PROXY_UNIT_LDADD)

# Router, session, transaction: in a world of their own.
check_LIBRARIES += librouterworld.a
librouterworld_a_SOURCES = tests/lib/router_world.c tests/lib/router_world.h
librouterworld_a_CFLAGS = $(AM_CFLAGS) $(KNOWS_DATA_DIR)
WORLD_LDADD = librouterworld.a $(PROXY_UNIT_LDADD)
test_acl_SOURCES = tests/unit/test_acl.c
test_acl_LDADD = $(WORLD_LDADD)
test_forward_SOURCES = tests/unit/test_forward.c
test_forward_LDADD = $(WORLD_LDADD)
test_forward_link_SOURCES = tests/unit/test_forward_link.c
test_forward_link_LDADD = $(WORLD_LDADD)
test_forward_replica_SOURCES = tests/unit/test_forward_replica.c
test_forward_replica_LDADD = $(WORLD_LDADD)
test_monitor_SOURCES = tests/unit/test_monitor.c
test_monitor_LDADD = $(WORLD_LDADD)
test_private_SOURCES = tests/unit/test_private.c
test_private_LDADD = $(WORLD_LDADD)
test_pubsub_SOURCES = tests/unit/test_pubsub.c
test_pubsub_LDADD = $(WORLD_LDADD)
test_router_SOURCES = tests/unit/test_router.c
test_router_LDADD = $(WORLD_LDADD)
test_router_alone_SOURCES = tests/unit/test_router_alone.c
test_router_alone_LDADD = $(WORLD_LDADD)
test_session_SOURCES = tests/unit/test_session.c
test_session_LDADD = $(WORLD_LDADD)
test_transaction_SOURCES = tests/unit/test_transaction.c
test_transaction_LDADD = $(WORLD_LDADD)

# The rest.
test_room_SOURCES = tests/unit/test_room.c
test_room_LDADD = libsnapshot.a $(CHECK_LIBS)
test_node_dir_SOURCES = tests/unit/test_node_dir.c tests/lib/fake_disk.c
test_node_dir_LDADD = $(LOGSVC_LIBS) $(CHECK_LIBS)
test_server_SOURCES = tests/unit/test_server.c
test_server_LDADD = $(LOGSVC_LIBS) $(CHECK_LIBS)
test_transport_SOURCES = tests/unit/test_transport.c
test_transport_LDADD = $(TRANSPORT_LIBS) $(CHECK_LIBS)
test_transport_strangers_SOURCES = tests/unit/test_transport_strangers.c
test_transport_strangers_LDADD = $(TRANSPORT_LIBS) $(CHECK_LIBS)
test_psync_redis_SOURCES = tests/system/test_psync_redis.c tests/lib/redis_server.c \
	tests/lib/cluster.c tests/lib/cluster.h tests/lib/cluster_state.h \
	tests/lib/cluster_look.c tests/lib/cluster_process.c \
	tests/lib/relay.c tests/lib/relay.h
test_psync_redis_LDADD = $(PROXY_UNIT_LDADD)

if ENABLE_FUZZERS
noinst_PROGRAMS += fuzz_command fuzz_effects fuzz_past fuzz_resp fuzz_segment fuzz_wire
FUZZER = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_command_SOURCES = tests/fuzz/fuzz_command.c
fuzz_command_LDFLAGS = $(FUZZER)
fuzz_command_LDADD = $(PROXY_LIBS)
fuzz_effects_SOURCES = tests/fuzz/fuzz_effects.c tests/fuzz/fuzz.h
fuzz_effects_CFLAGS = $(AM_CFLAGS) $(KNOWS_DATA_DIR)
fuzz_effects_LDFLAGS = $(FUZZER)
fuzz_effects_LDADD = $(PROXY_LIBS)
fuzz_past_SOURCES = tests/fuzz/fuzz_past.c tests/fuzz/fuzz.h
fuzz_past_LDFLAGS = $(FUZZER)
fuzz_past_LDADD = libctl.a $(PROXY_LIBS)
fuzz_resp_SOURCES = tests/fuzz/fuzz_resp.c tests/fuzz/fuzz.h
fuzz_resp_LDFLAGS = $(FUZZER)
fuzz_resp_LDADD = $(PROXY_LIBS)
fuzz_segment_SOURCES = tests/fuzz/fuzz_segment.c tests/fuzz/fuzz.h tests/lib/fake_disk.c
fuzz_segment_LDFLAGS = $(FUZZER)
fuzz_segment_LDADD = $(LOG_LIBS)
fuzz_wire_SOURCES = tests/fuzz/fuzz_wire.c tests/fuzz/fuzz.h tests/lib/fake_storage.c
fuzz_wire_LDFLAGS = $(FUZZER)
fuzz_wire_LDADD = $(LOG_LIBS)
endif
