/* Whether what a Redis holds is a prefix of the log, judged by what it says of itself (replid and
 * offset) and by the log's history (docs/ARCHITECTURE.md, "A Redis says itself where it is").
 *
 * Each replid of the history was made up at random by the Redis of the leader that began that term,
 * so whoever bears it has either been that Redis or has been fed by somebody who announced it. We
 * announce it only to a Redis that is then fed along a history that has it; so the bytes of a Redis
 * that bears the replid of term T are those of T's log as far as that log reaches, whichever term
 * they are of. Beyond the place where the next term began it may hold what never was committed.
 *
 * Pure. */
#ifndef PROXY_FOLLOW_LINEAGE_H
#define PROXY_FOLLOW_LINEAGE_H

#include "logsvc/history.h"
#include "logsvc/wire.h"

enum lineage_verdict {
    LINEAGE_RESUME,  /* it holds the log up to its offset: go on behind that */
    LINEAGE_WAIT,    /* it does if the log gets that far: not known yet */
    LINEAGE_FOREIGN, /* its replid is not in the history */
    LINEAGE_AHEAD,   /* it holds bytes that are not in the log */
};

/* limit: the log is sure up to here (committed, or the donor's end); final: it ends there, as a
 * donor's log does, and nothing is waited for. */
enum lineage_verdict lineage_judge(const struct history *h, uint64_t limit, bool final,
                                   const struct replid *replid, uint64_t offset);

/* The entry whose replid is announced to a Redis that is to be fed up to limit; NULL: the history
 * does not reach there. */
const struct history_entry *lineage_label(const struct history *h, uint64_t limit);

/* Whether the history has a term with that replid. */
bool lineage_knows(const struct history *h, const struct replid *replid);

/* Where the term with that replid ends; UINT64_MAX: it is the last one, or not in the history. */
uint64_t lineage_end(const struct history *h, const struct replid *replid);

/* The version of a Redis, as "7.0.15", in one number (WIRE_ENGINE); 0: it is none. */
uint32_t lineage_engine(const char *version);

/* What INFO replication says. */
struct lineage_redis {
    bool master;
    struct replid replid, before; /* before: zeros if there was none */
    uint64_t before_end;          /* as `before` its stream is known up to here */
    uint64_t offset;
};
/* false: it is not what Redis says. */
bool lineage_parse(const char *info, struct lineage_redis *out);

/* Whether a master that says this of itself can go on behind offset of replid's history. */
bool lineage_may_resume(const struct lineage_redis *redis, const struct replid *replid,
                        uint64_t offset);

bool lineage_same(const struct replid *a, const struct replid *b);

#endif
