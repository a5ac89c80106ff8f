noinst_LIBRARIES += liblog.a
liblog_a_SOURCES = \
	logsvc/history.c logsvc/history.h \
	logsvc/record.c logsvc/record.h \
	logsvc/storage.h \
	logsvc/term.h \
	logsvc/wire.c logsvc/wire.h
LOG_LIBS = liblog.a $(COMMON_LIBS)
