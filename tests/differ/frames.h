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

/* Errors are always compared word for word, and types always, if not said otherwise. */
enum frames_rule {
    FRAMES_EXACT,
    FRAMES_TIMES,         /* but for moments, and what is left of times to live (frames.c) */
    FRAMES_UNORDERED,     /* at every depth */
    FRAMES_PAIRS,         /* a flat array of pairs in any order */
    FRAMES_SCAN,          /* cursor and elements, in any order, if the cursor is 0 on both */
    FRAMES_SCAN_PAIRS,    /* the same with pairs */
    FRAMES_PENDING,       /* XPENDING: idle times differ */
    FRAMES_IDLE,          /* fields named idle or inactive differ, and moments */
    FRAMES_ACK,           /* of a subscription, but for its name */
    FRAMES_IDS,           /* integers are of the same client, or of none */
    FRAMES_HELLO,         /* the field "id" is of the same client */
    FRAMES_HELLO_ROLE,    /* the same, and the field "role" is any */
    FRAMES_CLIENTS,       /* CLIENT LIST and INFO (listings.h) */
    FRAMES_CLIENTS_LATER, /* the same, of a moment later */
    FRAMES_INFO,          /* INFO (listings.h) */
    FRAMES_LOG,           /* ACL LOG (listings.h) */
    FRAMES_DUMP,          /* what DUMP says of hash tables and streams is of the same length */
    FRAMES_NOT_LESS,      /* an integer that is not less, and not over 16 */
    FRAMES_NOT_MORE,      /* an integer that is not more */
    FRAMES_SOME,          /* an integer that is not more, and 0 only where that is 0 */
    FRAMES_LENGTH,        /* strings of the same length */
    FRAMES_SHAPE,         /* types, and numbers of elements */
    FRAMES_COUNT,         /* the outermost type and its number of elements */
    FRAMES_TYPE,          /* the outermost type */
    FRAMES_ERROR,         /* both are errors with the same first word */
};

/* A client's ids at both servers. */
struct frames_id {
    long long ids[2];
};

struct frames_element {
    enum frames_rule rule;
    bool rights; /* or one of the two is told that it has no right to this */
};

/* How two replies are compared. */
struct frames_how {
    enum frames_rule rule;
    struct frames_element *elements; /* of the elements, if they are that many, or NULL */
    size_t count;
    const struct frames_id *ids; /* of all clients */
    size_t id_count;
};

bool frames_equal(const char *a, size_t a_len, const char *b, size_t b_len,
                  const struct frames_how *how);

/* Whether these are ids of the same client, or both of one that is not there. */
bool frames_same_id(const struct frames_how *how, long long a, long long b);

/* Whether the frame is an array or push whose first element is this word. */
bool frames_begins(const char *frame, size_t len, const char *word);

/* Whether it is a message of a channel, pattern or shard channel. */
bool frames_is_message(const char *frame, size_t len);

/* The integer at the end of the frame (that of a subscription), or -1. */
long long frames_last_integer(const char *frame, size_t len);

#endif
