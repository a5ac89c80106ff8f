/* Terms and offsets of the log. Two notions of term exist, and mixing them up has lost data in
 * systems like this one (a term where the term of the last record was meant), so they are two
 * types.
 *
 * An offset is a plain uint64_t: the position in Redis' replication stream. A log that ends at
 * offset N holds the bytes up to and including stream byte N; the next append begins at N. */
#ifndef LOGSVC_TERM_H
#define LOGSVC_TERM_H

#include <stdbool.h>
#include <stdint.h>

/* The number of an election: what a proposer campaigns with and an acceptor promises. 0: none yet.
 */
struct term {
    uint64_t n;
};

/* Terms rise by one. Who tells of one that is further away than all elections of a century is
 * broken or lies, and is not followed: the numbers above would be used up, and with them the log.
 * Who knows of no term yet believes more. */
#define TERM_JUMP_MAX  ((uint64_t)1 << 32)
#define TERM_FIRST_MAX ((uint64_t)1 << 62)

static inline bool term_is_near(struct term known, struct term told)
{
    if (known.n == 0) {
        return told.n <= TERM_FIRST_MAX;
    }
    return told.n <= known.n || told.n - known.n <= TERM_JUMP_MAX;
}

/* The election in which a stretch of log was begun: what history entries and records carry. */
struct log_term {
    uint64_t n;
};

/* Where a replica's data is, as far as elections compare it: log term first, then offset. */
struct log_position {
    struct log_term term;
    uint64_t offset;
};

/* The stretch of log that the winner of an election begins. */
static inline struct log_term log_term_of(struct term won)
{
    return (struct log_term){won.n};
}

static inline int log_position_compare(struct log_position a, struct log_position b)
{
    if (a.term.n != b.term.n) {
        return a.term.n < b.term.n ? -1 : 1;
    }
    return a.offset < b.offset ? -1 : a.offset > b.offset;
}

/* A Redis replication id: 40 hexadecimal digits, no terminating NUL. */
struct replid {
    char hex[40];
};

#endif
