noinst_LIBRARIES += libcommon.a
libcommon_a_SOURCES = \
	common/buf.c common/buf.h \
	common/clock.c common/clock.h \
	common/crc32c.c common/crc32c.h \
	common/err.c common/err.h \
	common/le.h \
	common/log.c common/log.h \
	common/mem.c common/mem.h
COMMON_LIBS = libcommon.a $(ISAL_LIBS) $(XXHASH_LIBS) $(CJSON_LIBS)
