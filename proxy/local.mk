# The pure core of the proxy, linked by the program, the tests and the fuzzers.
noinst_LIBRARIES += libproxy.a
libproxy_a_SOURCES = \
	proxy/clients/bigs.c proxy/clients/bigs.h \
	proxy/clients/client_buffers.c proxy/clients/client_buffers.h \
	proxy/clients/client_config.c proxy/clients/client_config.h \
	proxy/clients/credentials.c proxy/clients/credentials.h \
	proxy/clients/readers.c proxy/clients/readers.h \
	proxy/clients/slowlog.c proxy/clients/slowlog.h \
	proxy/clients/tally.c proxy/clients/tally.h \
	proxy/clients/topics.c proxy/clients/topics.h \
	proxy/clients/tracker.c proxy/clients/tracker.h \
	proxy/clients/waits.c proxy/clients/waits.h \
	proxy/engine/effects.c proxy/engine/effects.h \
	proxy/engine/outlet.c proxy/engine/outlet.h \
	proxy/engine/pace.c proxy/engine/pace.h \
	proxy/follow/lag.c proxy/follow/lag.h \
	proxy/follow/lineage.c proxy/follow/lineage.h \
	proxy/forward/leader.c proxy/forward/leader.h \
	proxy/forward/replinfo.c proxy/forward/replinfo.h \
	proxy/forward/route.c proxy/forward/route.h \
	proxy/node/marks.c proxy/node/marks.h \
	proxy/node/outlook.c proxy/node/outlook.h \
	proxy/node/role.c proxy/node/role.h \
	proxy/node/will.c proxy/node/will.h \
	proxy/protocol/command.c proxy/protocol/command.h \
	proxy/protocol/command_keys.c \
	proxy/protocol/command_parse.c \
	proxy/protocol/command_spec.h \
	proxy/protocol/glob.c proxy/protocol/glob.h \
	proxy/protocol/psync.c proxy/protocol/psync.h \
	proxy/protocol/psync_master.c \
	proxy/protocol/psync_replica.c \
	proxy/protocol/resp.c proxy/protocol/resp.h \
	proxy/protocol/resp_put.c \
	proxy/protocol/resp_reply.c \
	proxy/sentinel/sentinel.c proxy/sentinel/sentinel.h \
	proxy/sentinel/sentinel_commands.c \
	proxy/sentinel/sentinel_impl.h \
	proxy/sentinel/sentinel_pubsub.c \
	proxy/sentinel/sentinel_session.c \
	proxy/sentinel/sentinel_tell.c \
	proxy/snapshot/choice.c proxy/snapshot/choice.h \
	proxy/snapshot/freshness.c proxy/snapshot/freshness.h \
	proxy/snapshot/hurry.c proxy/snapshot/hurry.h \
	proxy/snapshot/rate.c proxy/snapshot/rate.h \
	proxy/snapshot/storing.c proxy/snapshot/storing.h
PROXY_LIBS = libproxy.a $(LOG_LIBS)

# The parts that touch the world through libevent.
noinst_LIBRARIES += libproxyio.a
libproxyio_a_SOURCES = \
	proxy/clients/acl.c proxy/clients/acl.h \
	proxy/clients/acl_rights.c \
	proxy/clients/client.c proxy/clients/client.h \
	proxy/clients/client_ids.c \
	proxy/clients/client_impl.h \
	proxy/clients/client_limits.c \
	proxy/clients/client_read.c \
	proxy/clients/client_reply.c \
	proxy/clients/monitor.c proxy/clients/monitor.h \
	proxy/clients/pubsub.c proxy/clients/pubsub.h \
	proxy/clients/pubsub_commands.c \
	proxy/clients/pubsub_link.h \
	proxy/clients/request.c proxy/clients/request.h \
	proxy/clients/router.c proxy/clients/router.h \
	proxy/clients/router_alone.c \
	proxy/clients/router_debug.c \
	proxy/clients/router_impl.h \
	proxy/clients/router_own.c \
	proxy/clients/router_pause.c \
	proxy/clients/router_special.c \
	proxy/clients/session.c proxy/clients/session.h \
	proxy/clients/session_client.c \
	proxy/clients/session_config.c \
	proxy/clients/session_impl.h \
	proxy/clients/session_list.c \
	proxy/clients/session_slowlog.c \
	proxy/clients/session_wait.c \
	proxy/clients/transaction.c proxy/clients/transaction.h \
	proxy/clients/transaction_local.c proxy/clients/transaction_local.h \
	proxy/clients/transaction_session.c proxy/clients/transaction_session.h \
	proxy/engine/adopt.c proxy/engine/adopt.h \
	proxy/engine/capture.c proxy/engine/capture.h \
	proxy/engine/control.c proxy/engine/control.h \
	proxy/engine/engine.c proxy/engine/engine.h \
	proxy/engine/engine_gather.c \
	proxy/engine/engine_impl.h \
	proxy/engine/engine_setup.c \
	proxy/engine/private.c proxy/engine/private.h \
	proxy/follow/feed.c proxy/follow/feed.h \
	proxy/follow/follow.c proxy/follow/follow.h \
	proxy/forward/forward.c proxy/forward/forward.h \
	proxy/forward/outbox.c proxy/forward/outbox.h \
	proxy/forward/uplink.c proxy/forward/uplink.h \
	proxy/node/client_settings.c proxy/node/client_settings.h \
	proxy/node/settings.c proxy/node/settings.h \
	proxy/sentinel/sentinel_port.c proxy/sentinel/sentinel_port.h \
	proxy/snapshot/snapper.c proxy/snapshot/snapper.h
PROXY_IO_LIBS = libproxyio.a $(PROXY_LIBS) $(HIREDIS_LIBS) $(EVENT_LIBS)

# Snapshots off the box: what works with the log nodes and a redis-server of its own.
noinst_LIBRARIES += libsnapshot.a
libsnapshot_a_SOURCES = \
	proxy/snapshot/extract.c proxy/snapshot/extract.h \
	proxy/snapshot/leg.c proxy/snapshot/leg.h \
	proxy/snapshot/lognodes.c proxy/snapshot/lognodes.h \
	proxy/snapshot/priority.c proxy/snapshot/priority.h \
	proxy/snapshot/put.c proxy/snapshot/put.h \
	proxy/snapshot/replay.c proxy/snapshot/replay.h \
	proxy/snapshot/room.c proxy/snapshot/room.h \
	proxy/snapshot/run.c proxy/snapshot/run.h \
	proxy/snapshot/sandbox.c proxy/snapshot/sandbox.h
SNAPSHOT_LIBS = libsnapshot.a $(PROXY_IO_LIBS) $(TRANSPORT_LIBS)
bin_PROGRAMS += holdfast-snapshot
holdfast_snapshot_SOURCES = proxy/snapshot/main.c
holdfast_snapshot_LDADD = $(SNAPSHOT_LIBS)

# The program.
bin_PROGRAMS += holdfast-proxy
holdfast_proxy_SOURCES = \
	proxy/node/admin.c \
	proxy/node/info.c \
	proxy/node/main.c \
	proxy/node/proxy.c proxy/node/proxy.h \
	proxy/node/proxy_borrow.c \
	proxy/node/proxy_busy.c \
	proxy/node/proxy_clients.c \
	proxy/node/proxy_forward.c \
	proxy/node/proxy_log.c \
	proxy/node/proxy_memory.c \
	proxy/node/proxy_monitor.c \
	proxy/node/proxy_peers.c \
	proxy/node/proxy_private.c \
	proxy/node/proxy_readers.c \
	proxy/node/proxy_redis.c \
	proxy/node/proxy_redis_settings.c \
	proxy/node/proxy_retain.c \
	proxy/node/proxy_role.c \
	proxy/node/proxy_sentinel.c \
	proxy/node/proxy_ship.c \
	proxy/node/proxy_slowlog.c \
	proxy/node/proxy_snapshot.c \
	proxy/node/watchdog.c proxy/node/watchdog.h
holdfast_proxy_LDADD = $(PROXY_IO_LIBS) $(TRANSPORT_LIBS)

# The program that asks and commands proxies. Its texts are tested on their own.
noinst_LIBRARIES += libctl.a
libctl_a_SOURCES = \
	proxy/ctl/bar_text.c proxy/ctl/bar_text.h \
	proxy/ctl/change_text.c proxy/ctl/change_text.h \
	proxy/ctl/changes.c proxy/ctl/changes.h \
	proxy/ctl/ctl_text.c proxy/ctl/ctl_text.h \
	proxy/ctl/held.c proxy/ctl/held.h \
	proxy/ctl/manifest.c proxy/ctl/manifest.h \
	proxy/ctl/md5.c proxy/ctl/md5.h \
	proxy/ctl/moment.c proxy/ctl/moment.h \
	proxy/ctl/rdb_head.c proxy/ctl/rdb_head.h \
	proxy/ctl/seek.c proxy/ctl/seek.h \
	proxy/ctl/sha256.c proxy/ctl/sha256.h \
	proxy/ctl/target_mark.c proxy/ctl/target_mark.h
bin_PROGRAMS += holdfast-ctl
holdfast_ctl_SOURCES = \
	proxy/ctl/archive.c proxy/ctl/archive.h \
	proxy/ctl/archive_store.c proxy/ctl/archive_store.h \
	proxy/ctl/ctl.h \
	proxy/ctl/ctl_bar.c proxy/ctl/ctl_bar.h \
	proxy/ctl/ctl_bring.c proxy/ctl/ctl_bring.h \
	proxy/ctl/ctl_export.c \
	proxy/ctl/ctl_failover.c \
	proxy/ctl/ctl_found.c proxy/ctl/ctl_found.h \
	proxy/ctl/ctl_import.c \
	proxy/ctl/ctl_into.c proxy/ctl/ctl_into.h \
	proxy/ctl/ctl_link.c proxy/ctl/ctl_link.h \
	proxy/ctl/ctl_log.c \
	proxy/ctl/ctl_nodes.c proxy/ctl/ctl_nodes.h \
	proxy/ctl/ctl_place.c proxy/ctl/ctl_place.h \
	proxy/ctl/ctl_restore.c \
	proxy/ctl/ctl_snapshot.c \
	proxy/ctl/ctl_status.c \
	proxy/ctl/ctl_stop.c proxy/ctl/ctl_stop.h \
	proxy/ctl/ctl_tail.c \
	proxy/ctl/ctl_target.c proxy/ctl/ctl_target.h \
	proxy/ctl/main.c
holdfast_ctl_LDADD = libctl.a $(SNAPSHOT_LIBS)
if WITH_S3
holdfast_ctl_SOURCES += proxy/ctl/s3.c proxy/ctl/s3.h
holdfast_ctl_CFLAGS = $(AM_CFLAGS) $(CURL_CFLAGS)
holdfast_ctl_LDADD += $(CURL_LIBS)
else
holdfast_ctl_SOURCES += proxy/ctl/s3_none.c proxy/ctl/s3.h
endif
