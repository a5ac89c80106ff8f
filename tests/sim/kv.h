/* A small Redis: keys s0, s1, … hold strings, c0, c1, … counters; the keys pad… are not looked at.
 * It executes commands, says what the replication stream says of them, and applies such a stream.
 *
 * A state of one key is a number, kv_state: 0 for no key, a counter's value, or a string's length
 * and checksum. So a GET's answer is the state itself. */
#ifndef TESTS_SIM_KV_H
#define TESTS_SIM_KV_H

#include "common/buf.h"

#include <stdbool.h>

enum { KV_KEYS_MAX = 96, KV_TEXT_MAX = 760 };

enum kv_command {
    KV_GET,
    KV_SET,
    KV_SETNX,
    KV_APPEND,
    KV_DEL,
    KV_INCR,
    KV_SET_TWO,   /* MULTI, SET key, SET key2, EXEC */
    KV_SET_LARGE, /* the same with much padding in between, so that it takes several records */
};

struct kv_op {
    enum kv_command command;
    unsigned key, key2;
    uint64_t token; /* what is written, as 8 letters */
};

struct kv_value {
    uint64_t effect; /* stream offset behind the last change, deletion included */
    uint64_t number;
    bool is_set;
    uint16_t len;
    char text[KV_TEXT_MAX];
};

struct kv {
    unsigned used;  /* keys from here on were never written */
    uint64_t birth; /* what it held when the log was begun; 0: nothing */
    struct kv_value values[KV_KEYS_MAX];
    bool multi;
};

/* Even keys are strings, odd ones counters. */
static inline bool kv_is_counter(unsigned key)
{
    return key % 2 == 1;
}
void kv_key_name(unsigned key, char out[16]);

void kv_clear(struct kv *kv);
uint64_t kv_state(const struct kv *kv, unsigned key);
/* Whether both hold the same. */
bool kv_equal(const struct kv *a, const struct kv *b);
void kv_copy(struct kv *to, const struct kv *from);

/* Executes it. Appends its effects to stream, whose end is at offset before. Returns the answer:
 * GET: the state; APPEND: the length; SETNX, DEL: 1 or 0; INCR: the value; else 0. */
uint64_t kv_execute(struct kv *kv, const struct kv_op *op, struct buf *stream, uint64_t offset);

/* Applies whole units of a stream; false: that is no such stream, or it ends inside a unit. */
bool kv_apply(struct kv *kv, const uint8_t *bytes, size_t size);

/* What an operation on a state does: the answer and the next state. For KV_SET_TWO: key alone. */
uint64_t kv_step(enum kv_command command, bool counter, uint64_t token, uint64_t state,
                 uint64_t *next);

#endif
