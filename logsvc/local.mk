noinst_LIBRARIES += liblog.a
liblog_a_SOURCES = \
	logsvc/acceptor.c logsvc/acceptor.h logsvc/acceptor_conf.c logsvc/acceptor_elected.c \
	logsvc/acceptor_mend.c logsvc/acceptor_serve.c logsvc/acceptor_state.h \
	logsvc/acceptor_snaps.c logsvc/acceptor_trim.c logsvc/acceptor_watch.c \
	logsvc/client/proposer.c logsvc/client/proposer.h logsvc/client/proposer_answers.c \
	logsvc/client/proposer_change.c logsvc/client/proposer_conf.c \
	logsvc/client/proposer_vote.c logsvc/client/proposer_feed.c logsvc/client/proposer_mend.c \
	logsvc/client/proposer_trim.c \
	logsvc/client/proposer_state.h \
	logsvc/client/window.c logsvc/client/window.h \
	logsvc/conf.c logsvc/conf.h \
	logsvc/disk.c logsvc/disk.h \
	logsvc/disk_posix.c \
	logsvc/history.c logsvc/history.h \
	logsvc/lease.h \
	logsvc/meta.c logsvc/meta.h \
	logsvc/mutant.h \
	logsvc/pack.c logsvc/pack.h \
	logsvc/pack_pace.c logsvc/pack_pace.h \
	logsvc/packer.c logsvc/packer.h \
	logsvc/record.c logsvc/record.h \
	logsvc/roster.c logsvc/roster.h \
	logsvc/segment.c logsvc/segment.h \
	logsvc/segment_writer.c logsvc/segment_writer.h \
	logsvc/slots.c logsvc/slots.h \
	logsvc/snapfile.c logsvc/snapfile.h \
	logsvc/snapfile_impl.h \
	logsvc/snapfile_receive.c \
	logsvc/snapinfo.c logsvc/snapinfo.h \
	logsvc/spare.c logsvc/spare.h \
	logsvc/storage.h \
	logsvc/scrub.c logsvc/scrub.h \
	logsvc/store.c logsvc/store.h \
	logsvc/store_check.c \
	logsvc/store_cut.c \
	logsvc/store_impl.h \
	logsvc/store_mend.c \
	logsvc/store_open.c \
	logsvc/store_pack.c \
	logsvc/store_recover.c \
	logsvc/store_segment.c \
	logsvc/store_trim.c \
	logsvc/survey.c logsvc/survey.h \
	logsvc/term.h \
	logsvc/wire.c logsvc/wire.h \
	logsvc/wire_body.c \
	logsvc/wire_impl.h
liblog_a_SOURCES += \
	logsvc/client/catalogue.c logsvc/client/catalogue.h \
	logsvc/client/fetch.c logsvc/client/fetch.h \
	logsvc/client/reader.c logsvc/client/reader.h \
	logsvc/client/retention.c logsvc/client/retention.h \
	logsvc/client/snap_download.c logsvc/client/snap_download.h \
	logsvc/client/snap_line.h \
	logsvc/client/lookout.c logsvc/client/lookout.h \
	logsvc/client/snap_upload.c logsvc/client/snap_upload.h \
	logsvc/client/snapship.c logsvc/client/snapship.h
LOG_LIBS = liblog.a $(COMMON_LIBS)

# The network between proxies and log nodes; only what uses it links nng.
noinst_LIBRARIES += libtransport.a
libtransport_a_SOURCES = \
	logsvc/client/transport.c logsvc/client/transport.h \
	logsvc/framed.c logsvc/framed.h \
	logsvc/transport_nng.c logsvc/transport_nng.h \
	logsvc/transport_server.c logsvc/transport_server.h
TRANSPORT_LIBS = libtransport.a $(COMMON_LIBS) $(NNG_LIBS)

# The log node.
noinst_LIBRARIES += liblogsvc.a
liblogsvc_a_SOURCES = \
	logsvc/node_dir.c logsvc/node_dir.h \
	logsvc/server.c logsvc/server.h
LOGSVC_LIBS = liblogsvc.a libtransport.a $(LOG_LIBS) $(NNG_LIBS)

bin_PROGRAMS += holdfast-logsvc
holdfast_logsvc_SOURCES = logsvc/main.c
holdfast_logsvc_LDADD = $(LOGSVC_LIBS)
EXTRA_DIST += conf/logsvc.json docs/log-format.md docs/log-protocol.md
