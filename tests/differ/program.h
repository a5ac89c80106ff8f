/* A program of the differential tester: what several clients send, one after the other.
 *
 * Steps of one client that follow each other are sent as one pipeline; the next client's begin when
 * all that can be answered is answered. Nothing here knows of sockets. */
#ifndef TESTS_DIFFER_PROGRAM_H
#define TESTS_DIFFER_PROGRAM_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { PROGRAM_CLIENTS = 5 };

enum step_kind {
    STEP_COMMAND, /* an array of bulk strings */
    STEP_INLINE,  /* its words on a line */
    STEP_RAW,     /* its first word's bytes as they are */
    STEP_LEAVE,   /* the client closes its connection */
    STEP_END,     /* it closes its half, right behind what it sent last */
};

struct word {
    char *bytes;
    size_t len;
    int client; /* not negative: that client's id at the server that it is sent to */
};

struct step {
    enum step_kind kind;
    int client;
    bool glued;  /* makes sense only behind the step before it */
    bool alone;  /* begins a pipeline of its own */
    bool ends;   /* blocks for a moment at most: its answer is waited for */
    bool behind; /* is sent with what blocks in front of it, and runs when that is over */
    size_t count;
    struct word *words;
};

struct program {
    uint64_t seed;
    int resp; /* what clients begin with: 2 or 3 */
    struct step *steps;
    size_t count, cap;
};

void program_init(struct program *p, uint64_t seed, int resp);
void program_fini(struct program *p);

/* Whether this client says HOLDFAST SYNC OFF when it comes, which makes no difference to be seen
 * while nothing fails. */
bool program_is_asynchronous(const struct program *p, int client);

/* A new last step; valid until the next one is added. */
struct step *program_add(struct program *p, enum step_kind kind, int client);

/* Adds a word to a step; the bytes are copied. */
void step_word(struct step *s, const void *bytes, size_t len);
void step_str(struct step *s, const char *text);
void step_number(struct step *s, long long number);
void step_client_id(struct step *s, int client);

/* Takes the word out, or puts other bytes in its place. */
void step_drop_word(struct step *s, size_t index);
void step_set_word(struct step *s, size_t index, const void *bytes, size_t len);

/* Deep copies of the steps for which keep is true (NULL: of all). */
void program_copy(struct program *to, const struct program *from, const bool *keep);

/* Whether the step's word is this, whatever the case of its letters. */
bool step_is(const struct step *s, size_t index, const char *text);

/* The bytes to send; ids: of the clients, at that server. */
void step_encode(const struct step *s, const long long ids[PROGRAM_CLIENTS], struct buf *out);

/* A line as for redis-cli, with the client's letter: "A> SET k \"a b\"". */
void step_print(const struct step *s, FILE *out);

/* Bytes as redis-cli quotes them; at most max of them. */
void program_print_bytes(const void *bytes, size_t len, size_t max, FILE *out);

#endif
