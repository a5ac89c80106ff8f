# The pure core of the proxy, linked by the program, the tests and the fuzzers.
noinst_LIBRARIES += libproxy.a
libproxy_a_SOURCES = \
	proxy/resp.c proxy/resp.h \
	proxy/resp_put.c \
	proxy/resp_reply.c
libproxy_a_SOURCES += proxy/tracker.c proxy/tracker.h
PROXY_LIBS = libproxy.a $(LOG_LIBS)
