noinst_LIBRARIES += liblog.a
liblog_a_SOURCES = \
	logsvc/record.c logsvc/record.h \
	logsvc/storage.h \
	logsvc/term.h
LOG_LIBS = liblog.a $(COMMON_LIBS)
