/* The pace of appends and batches: when the stream bytes that have come are to be sent to the log
 * nodes, and when gathered requests are to be sent to the engine.
 *
 * An append costs much the same however many commands it carries: three messages, three disks, and
 * a dozen wake-ups. Sent as soon as they come, the effects of a busy engine would travel by twos
 * and threes and the machine would spend itself on messages. So:
 *
 *   - an idle engine: at once; nothing more will come until somebody is answered;
 *   - a busy one: what comes while an append is under way goes together, and so does what comes
 *     within about the time that a commit takes, since waiting that long at most doubles it.
 *
 * Writes for the engine gather for half of that time while an append is under way: their effects
 * could not travel before it is committed anyway. Reads never wait, and take the writes with them.
 *
 * Pure. */
#ifndef PROXY_ENGINE_PACE_H
#define PROXY_ENGINE_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
    uint64_t commit_ns;   /* how long a commit takes, a running mean */
    uint64_t hold_max_ns; /* never held longer */
    uint64_t pending_ns;  /* when the first byte came that was not sent; 0: all was sent */
    uint64_t sent_ns;     /* when the last append that is not committed was sent; 0: none */
    uint64_t sent_end;    /* offset behind it */
    uint64_t gathered_ns; /* since when a batch of writes is held; 0: none is */
};

void pace_init(struct pace *p, uint64_t hold_max_ns);

/* The stream was appended to. */
void pace_appended(struct pace *p, uint64_t now_ns);

/* Whether what is pending is to be sent now. engine_idle: Redis has nothing to do for us. */
bool pace_due(const struct pace *p, uint64_t now_ns, bool engine_idle);

/* It was, up to end. */
void pace_sent(struct pace *p, uint64_t now_ns, uint64_t end);

/* The log committed up to offset. */
void pace_committed(struct pace *p, uint64_t now_ns, uint64_t offset);

/* Whether the gathered batch is to be sent to the engine now; urgent: it holds more than writes. */
bool pace_batch_due(struct pace *p, uint64_t now_ns, bool urgent);
void pace_batch_sent(struct pace *p);

/* When one of them becomes due without anything else happening; UINT64_MAX: nothing waits. */
uint64_t pace_next_ns(const struct pace *p);

#endif
