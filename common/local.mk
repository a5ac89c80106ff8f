noinst_LIBRARIES += libcommon.a
libcommon_a_SOURCES = \
	common/base64.c common/base64.h \
	common/buf.c common/buf.h \
	common/chain.c common/chain.h \
	common/clock.c common/clock.h \
	common/config.c common/config_print.c common/config.h \
	common/crc32c.c common/crc32c.h \
	common/err.c common/err.h \
	common/file.c common/file.h \
	common/hex.c common/hex.h \
	common/histogram.c common/histogram.h \
	common/le.h \
	common/log.c common/log.h \
	common/mem.c common/mem.h \
	common/net.c common/net.h \
	common/options.c common/options.h \
	common/random.c common/random.h
COMMON_LIBS = libcommon.a $(ISAL_LIBS) $(XXHASH_LIBS) $(CJSON_LIBS)
