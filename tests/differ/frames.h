/* Replies of two servers, compared by what must be equal in them. */
#ifndef TESTS_DIFFER_FRAMES_H
#define TESTS_DIFFER_FRAMES_H

#include <stdbool.h>
#include <stddef.h>

/* A value in a reply, as a view of its bytes. Null is a type of its own ('_'), with what it was in
 * `bytes` (RESP2 has two). */
struct frame {
    char type;
    const char *bytes;
    size_t len;
    struct frame *children;
    size_t count;
};

/* The bytes are a whole reply, and stay while the frame is used. */
void frames_parse(struct frame *f, const char *bytes, size_t len);
void frames_release(struct frame *f);

/* From strict to lax. Errors are always compared word for word, and types always. */
enum frames_rule {
    FRAMES_EXACT,      /* but for times (frames.c) */
    FRAMES_UNORDERED,  /* at every depth */
    FRAMES_PAIRS,      /* a flat array of pairs in any order */
    FRAMES_SCAN,       /* cursor and elements, in any order, if the cursor is 0 on both */
    FRAMES_SCAN_PAIRS, /* the same with pairs */
    FRAMES_PENDING,    /* XPENDING: idle times differ */
    FRAMES_IDLE,       /* fields named idle or inactive differ */
    FRAMES_ACK,        /* of a subscription, but for its name */
    FRAMES_IDS,        /* clients' ids: both, or none */
    FRAMES_CLIENTS,    /* CLIENT LIST and INFO: what does not tell of memory, sockets and times */
    FRAMES_SHAPE,      /* types, and numbers of elements */
    FRAMES_TYPE,       /* the outermost type */
    FRAMES_ANY,
};

/* The name of connections that FRAMES_CLIENTS leaves out. */
#define FRAMES_CONTROL "control"

/* rules: of the elements, if there are any (an EXEC's reply), else NULL. */
bool frames_equal(const char *a, size_t a_len, const char *b, size_t b_len, enum frames_rule rule,
                  const enum frames_rule *rules, size_t count);

/* Whether the frame is an array or push whose first element is this word. */
bool frames_begins(const char *frame, size_t len, const char *word);

/* Whether it is a message of a channel, pattern or shard channel. */
bool frames_is_message(const char *frame, size_t len);

/* The integer at the end of the frame (that of a subscription), or -1. */
long long frames_last_integer(const char *frame, size_t len);

#endif
