/* A raw RESP connection for tests: what is sent and what comes back are bytes, so that replies can
 * be compared with those of a plain Redis byte for byte, RESP3 and protocol errors included
 * (hiredis shows neither). Finds the end of a reply by its own means, not with proxy/protocol/resp,
 * which is what is being tested. */
#ifndef TESTS_LIB_WIRE_H
#define TESTS_LIB_WIRE_H

#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>
#include <sys/types.h>

/* What takes longer does not come: a bound for what hangs, which says nothing of how fast anything
 * is. Machines are busy, and disks more so. */
enum { WIRE_PATIENCE_MS = 60000 };

struct wire {
    int fd;          /* -1: closed */
    struct buf in;   /* received, not yet taken */
    struct buf out;  /* given to wire_queue, not yet sent */
    size_t received; /* bytes in all */
    bool ended;      /* the peer closed, or the connection broke */
};

/* Connects to 127.0.0.1; fails the test if it can't. */
void wire_open(struct wire *w, int port);
/* The same without failing: ERR_OK or ERR_IO. */
int wire_try_open(struct wire *w, int port) MUST_CHECK;
void wire_close(struct wire *w);

/* Sends all of it, waiting for room; ERR_OK, or ERR_CLOSED when the peer has gone. */
int wire_send(struct wire *w, const void *bytes, size_t len);
int wire_send_str(struct wire *w, const char *s);

/* Sends a command as an array of bulk strings; the arguments end with NULL. */
int wire_sendv(struct wire *w, const char *const argv[]);
#define wire_command(w, ...) wire_sendv(w, (const char *const[]){__VA_ARGS__, NULL})

/* Appends a command to the bytes that wire_flush sends. */
void wire_queuev(struct wire *w, const char *const argv[]);
#define wire_queue(w, ...) wire_queuev(w, (const char *const[]){__VA_ARGS__, NULL})

/* Sends what it can without waiting. */
void wire_flush(struct wire *w);

/* Reads what is there without waiting; sets ended. */
void wire_fill(struct wire *w);

/* Takes the next whole reply from what was read: its length in bytes, 0 if it is not all there. The
 * reply is at *reply until the next call. */
size_t wire_take(struct wire *w, const char **reply);

/* Waits for the next whole reply and puts it, ended by '\0' (that doesn't count), into reply, whose
 * old content is dropped. ERR_OK, ERR_TIMEOUT, ERR_CLOSED. */
int wire_reply(struct wire *w, struct buf *reply, int timeout_ms) MUST_CHECK;

/* wire_reply that fails the test unless the reply is exactly this; or begins with this. */
void wire_expect(struct wire *w, const char *reply);
void wire_expect_begin(struct wire *w, const char *begin);

/* A command, and exactly this reply to it. */
#define wire_asks(w, reply, ...)                                                                   \
    do {                                                                                           \
        wire_command(w, __VA_ARGS__);                                                              \
        wire_expect(w, reply);                                                                     \
    } while (0)

/* Whether who connects and asks this is answered with what begins so. */
bool wire_is_told(int port, const char *begin, const char *const argv[]) MUST_CHECK;

/* Waits until the peer closes; drops what it still says. False after timeout_ms. */
bool wire_wait_closed(struct wire *w, int timeout_ms) MUST_CHECK;

/* Nothing arrives for that long (the one wait that is for time). */
bool wire_silent(struct wire *w, int ms) MUST_CHECK;

/* The length of the first reply in bytes, 0 if it is not complete, -1 if it is not RESP. */
ssize_t wire_reply_length(const char *bytes, size_t len);

#endif
