# The pure core of the proxy, linked by the program, the tests and the fuzzers.
noinst_LIBRARIES += libproxy.a
libproxy_a_SOURCES = \
	proxy/resp.c proxy/resp.h \
	proxy/resp_put.c \
	proxy/resp_reply.c
libproxy_a_SOURCES += proxy/effects.c proxy/effects.h
libproxy_a_SOURCES += proxy/leader.c proxy/leader.h
libproxy_a_SOURCES += proxy/lag.c proxy/lag.h proxy/lineage.c proxy/lineage.h
libproxy_a_SOURCES += proxy/pace.c proxy/pace.h
libproxy_a_SOURCES += proxy/replinfo.c proxy/replinfo.h
libproxy_a_SOURCES += proxy/role.c proxy/role.h
libproxy_a_SOURCES += proxy/glob.c proxy/glob.h
libproxy_a_SOURCES += \
	proxy/sentinel.c proxy/sentinel.h \
	proxy/sentinel_commands.c \
	proxy/sentinel_impl.h \
	proxy/sentinel_pubsub.c \
	proxy/sentinel_session.c \
	proxy/sentinel_tell.c
libproxy_a_SOURCES += proxy/route.c proxy/route.h
libproxy_a_SOURCES += proxy/topics.c proxy/topics.h
libproxy_a_SOURCES += proxy/tracker.c proxy/tracker.h
libproxy_a_SOURCES += \
	proxy/command.c proxy/command.h \
	proxy/command_keys.c \
	proxy/command_parse.c \
	proxy/command_spec.h
libproxy_a_SOURCES += proxy/psync.c proxy/psync.h proxy/psync_master.c proxy/psync_replica.c
PROXY_LIBS = libproxy.a $(LOG_LIBS)

# The parts that touch the world through libevent.
noinst_LIBRARIES += libproxyio.a
libproxyio_a_SOURCES =
libproxyio_a_SOURCES += proxy/capture.c proxy/capture.h
libproxyio_a_SOURCES += proxy/feed.c proxy/feed.h
PROXY_IO_LIBS = libproxyio.a $(PROXY_LIBS) $(HIREDIS_LIBS) $(EVENT_LIBS)
libproxyio_a_SOURCES += proxy/control.c proxy/control.h proxy/net.c proxy/net.h
libproxyio_a_SOURCES += proxy/sentinel_port.c proxy/sentinel_port.h
libproxyio_a_SOURCES += proxy/engine.c proxy/engine.h proxy/request.c proxy/request.h
libproxyio_a_SOURCES += \
	proxy/acl.c proxy/acl.h \
	proxy/adopt.c proxy/adopt.h \
	proxy/client.c proxy/client.h \
	proxy/private.c proxy/private.h \
	proxy/forward.c proxy/forward.h \
	proxy/outbox.c proxy/outbox.h \
	proxy/pubsub.c proxy/pubsub.h \
	proxy/pubsub_commands.c proxy/pubsub_link.h \
	proxy/follow.c proxy/follow.h \
	proxy/router.c proxy/router.h \
	proxy/session.c proxy/session.h \
	proxy/session_client.c \
	proxy/monitor.c proxy/monitor.h \
	proxy/settings.c proxy/settings.h \
	proxy/transaction.c proxy/transaction.h \
	proxy/uplink.c proxy/uplink.h

# The program.
bin_PROGRAMS += holdfast-proxy
holdfast_proxy_SOURCES = \
	proxy/admin.c \
	proxy/info.c \
	proxy/main.c \
	proxy/proxy.c proxy/proxy.h \
	proxy/proxy_busy.c \
	proxy/proxy_clients.c \
	proxy/proxy_forward.c \
	proxy/proxy_found.c \
	proxy/proxy_log.c \
	proxy/proxy_peers.c \
	proxy/proxy_private.c \
	proxy/proxy_redis.c \
	proxy/proxy_role.c \
	proxy/proxy_sentinel.c \
	proxy/proxy_ship.c
holdfast_proxy_LDADD = $(PROXY_IO_LIBS) $(TRANSPORT_LIBS)

# The program that asks and commands proxies. Its texts are tested on their own.
noinst_LIBRARIES += libctl.a
libctl_a_SOURCES = proxy/ctl/ctl_text.c proxy/ctl/ctl_text.h
bin_PROGRAMS += holdfast-ctl
holdfast_ctl_SOURCES = \
	proxy/ctl/ctl.h \
	proxy/ctl/ctl_failover.c \
	proxy/ctl/ctl_link.c proxy/ctl/ctl_link.h \
	proxy/ctl/ctl_log.c \
	proxy/ctl/ctl_status.c \
	proxy/ctl/main.c
holdfast_ctl_LDADD = libctl.a libproxyio.a $(COMMON_LIBS) $(HIREDIS_LIBS)
