/* See reader.h. The pieces and whom they are asked of are fetch.c's business; here their records
 * are checked and handed out. Two offsets move:
 *
 *   from ───── handed out ─────▶ offset ── checked, waits for room ──▶ checked ── pieces ──▶ to
 *
 * `checked` is the end of the last record that was found good; the chain checksum belongs to it.
 * The head piece holds that record at its front until offset reaches checked. A record may begin
 * before `checked` (pieces are cut by offset, records are not; nodes may have cut the stream into
 * records differently): its bytes up to there are skipped, the rest continues the chain. */
#include "logsvc/client/reader.h"

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/mem.h"
#include "logsvc/client/fetch.h"

#include <stdlib.h>
#include <string.h>

/* What is asked for beyond what was estimated: a part of it, and of the largest answer. */
enum { READER_SPARE_PART = 16, READER_SPARE_MIN_PART = 32 };

struct reader {
    struct reader_config config;
    struct reader_events events;
    void *ctx;

    enum reader_state state;
    struct reader_range range;
    struct history history; /* what range.history points to */
    struct fetch fetch;
    uint32_t nodes; /* those that count */
    uint32_t up;    /* links */

    uint64_t offset;
    uint64_t checked;
    bool chain_known;
    uint32_t chain_crc;
    uint64_t piece_bytes; /* how much of the log an answer holds, as learned */
    size_t room;
    bool delivering;
    unsigned run; /* counts starts and stops, which may come from within events.data */
    uint64_t last_progress_ns;
    unsigned switches;

    /* Since the last progress. */
    bool missing[READER_NODES_MAX]; /* its log begins later */
    bool rotten[READER_NODES_MAX];
};

/* The size of an answer that has so much of the log, with some to spare: a node reads as much from
 * its disk. Records are not cut where pieces are, and the answers before tell only roughly how much
 * of the log fits in one. */
static uint32_t reader_answer_bytes(const struct reader *r, uint64_t size)
{
    uint64_t max = r->config.read_max_bytes;

    if (size >= r->piece_bytes) {
        return r->config.read_max_bytes;
    }
    uint64_t bytes = (uint64_t)((double)size / (double)r->piece_bytes * (double)max);
    bytes += bytes / READER_SPARE_PART + max / READER_SPARE_MIN_PART + 1;
    return (uint32_t)(bytes < max ? bytes : max);
}

static bool reader_ask(void *ctx, unsigned node, const struct fetch_slot *slot)
{
    struct reader *r = ctx;
    struct wire_msg msg = {.type = WIRE_READ,
                           .channel = WIRE_READER,
                           .log_id = r->config.log_id,
                           .term = r->range.term,
                           .session = r->config.session,
                           .seq = slot->seq};

    memcpy(msg.cluster_id, r->config.cluster_id, sizeof msg.cluster_id);
    msg.read.from = slot->from;
    msg.read.max_bytes = reader_answer_bytes(r, slot->end - slot->from);
    return r->events.send(r->ctx, node, &msg);
}

struct reader *reader_create(const struct reader_config *config, const struct reader_events *events,
                             void *ctx)
{
    struct reader *r = mem_calloc(1, sizeof *r);
    struct fetch_config fetch = {.node_count = READER_NODES_MAX,
                                 .inflight_max = config->inflight_max,
                                 .ahead_max = config->ahead_max > 0 ? config->ahead_max
                                                                    : config->inflight_max,
                                 .timeout_ns = config->timeout_ms * CLOCK_NS_PER_MS,
                                 .ask = reader_ask,
                                 .ctx = r};

    MUST(config->read_max_bytes > 0 && config->timeout_ms > 0 && config->retry_ms > 0);
    r->config = *config;
    r->events = *events;
    r->ctx = ctx;
    MUST(config->node_count >= 1 && config->node_count <= READER_NODES_MAX);
    r->nodes = (1u << config->node_count) - 1;
    fetch_init(&r->fetch, &fetch);
    return r;
}

void reader_destroy(struct reader *r)
{
    fetch_fini(&r->fetch);
    free(r);
}

static void reader_end(struct reader *r, enum reader_state state, int err)
{
    fetch_stop(&r->fetch);
    r->state = state;
    if (state == READER_DONE) {
        r->events.done(r->ctx);
    } else {
        r->events.failed(r->ctx, err);
    }
}

static void reader_progressed(struct reader *r, uint64_t now_ns)
{
    r->last_progress_ns = now_ns;
    memset(r->missing, 0, sizeof r->missing);
    memset(r->rotten, 0, sizeof r->rotten);
}

static void reader_avoid(struct reader *r, uint64_t now_ns, unsigned node, uint32_t span_ms)
{
    r->switches++;
    fetch_avoid(&r->fetch, node, now_ns, span_ms * CLOCK_NS_PER_MS);
}

/* Whether no node is left that could have what comes next; then the reading has ended. */
static bool reader_given_up(struct reader *r)
{
    unsigned missing = 0, useless = 0, rotten = 0;

    unsigned count = (unsigned)__builtin_popcount(r->nodes);

    for (unsigned i = 0; i < READER_NODES_MAX; i++) {
        bool counts = (r->nodes >> i & 1) != 0;
        missing += counts && r->missing[i];
        rotten += counts && r->rotten[i];
        useless += counts && (r->missing[i] || r->rotten[i]);
    }
    if (missing > count / 2) {
        reader_end(r, READER_FAILED, ERR_NOT_FOUND);
        return true;
    }
    if (useless == count && rotten > 0) {
        reader_end(r, READER_FAILED, ERR_CORRUPT);
        return true;
    }
    return false;
}

/* Whether the record belongs to the log that this history tells of. What is older than the oldest
 * entry can't be told by its term; the chain of the records behind it covers its bytes too. */
static bool reader_term_fits(const struct history *h, const struct record *rec)
{
    uint64_t end;
    const struct history_entry *e = history_stretch(h, rec->begin, &end);

    if (e == NULL) {
        return h->count > 0 && rec->term.n < h->entries[0].term.n &&
               record_end(rec) <= h->entries[0].begin;
    }
    return e->term.n == rec->term.n && record_end(rec) <= end;
}

enum verdict { RECORD_GOOD, RECORD_SKIP, RECORD_ROTTEN, RECORD_FOREIGN };

/* Judges the record that begins at or before `checked`; GOOD moves the chain to its end. */
static enum verdict reader_check(struct reader *r, const struct record *rec, const uint8_t *payload)
{
    if (rec->begin > r->checked) {
        return RECORD_ROTTEN; /* bytes are left out */
    }
    if (record_end(rec) <= r->checked) {
        return RECORD_SKIP; /* an idle marker, or known from the piece before */
    }
    if (r->range.history != NULL && !reader_term_fits(&r->history, rec)) {
        return RECORD_FOREIGN;
    }
    if (!record_payload_ok(rec, payload)) {
        return RECORD_ROTTEN;
    }
    if (r->chain_known) {
        size_t known = (size_t)(r->checked - rec->begin);
        uint32_t chain = crc32c_extend(r->chain_crc, payload + known, rec->len_bytes - known);
        if (chain != rec->chain_crc) {
            return RECORD_ROTTEN;
        }
    }
    r->chain_known = true;
    r->chain_crc = rec->chain_crc;
    r->checked = record_end(rec);
    return RECORD_GOOD;
}

/* Hands out of the record at the front of the head piece what there is room for. */
static void reader_hand_out(struct reader *r, uint64_t now_ns, const struct record *rec,
                            const uint8_t *payload)
{
    uint64_t end = r->checked < r->range.to ? r->checked : r->range.to;
    uint64_t left = end - r->offset;
    size_t n = left < r->room ? (size_t)left : r->room;
    uint64_t offset = r->offset;

    r->offset += n;
    r->room -= n;
    reader_progressed(r, now_ns);
    if (r->events.record != NULL) {
        r->events.record(r->ctx, rec);
    }
    r->events.data(r->ctx, offset, payload + (offset - rec->begin), n);
}

/* The head piece turned out bad: somebody else shall send it. */
static bool reader_head_bad(struct reader *r, uint64_t now_ns, enum verdict verdict)
{
    struct fetch_slot *head = fetch_head(&r->fetch);
    unsigned node = head->node;

    fetch_again(head, r->checked);
    if (verdict == RECORD_FOREIGN) {
        reader_avoid(r, now_ns, node, r->config.retry_ms); /* it will be put right by Elected */
        return false;
    }
    r->rotten[node] = true;
    reader_avoid(r, now_ns, node, r->config.timeout_ms);
    return reader_given_up(r);
}

/* Works on the record at the front of the head piece, if it has one. Whether to go on. */
static bool reader_head_record(struct reader *r, uint64_t now_ns, struct fetch_slot *head)
{
    struct record rec;
    const uint8_t *payload;
    size_t whole;

    if (wire_record(buf_head(&head->data), head->data.len, &rec, &payload, &whole) != ERR_OK) {
        reader_head_bad(r, now_ns, RECORD_ROTTEN);
        return false;
    }
    if (r->offset == r->checked) {
        enum verdict verdict = reader_check(r, &rec, payload);
        if (verdict == RECORD_SKIP) {
            buf_consume(&head->data, whole);
            return true;
        }
        if (verdict != RECORD_GOOD) {
            reader_head_bad(r, now_ns, verdict);
            return false;
        }
    }
    if (r->room == 0) {
        return false;
    }
    unsigned run = r->run;
    reader_hand_out(r, now_ns, &rec, payload);
    if (r->run == run && r->offset == r->checked) {
        buf_consume(&head->data, whole);
    }
    return true;
}

/* Hands out what is there, in order, as far as there is room; then asks for more. */
static void reader_go_on(struct reader *r, uint64_t now_ns)
{
    if (r->delivering || r->state != READER_READING) {
        return; /* called from within events.data */
    }
    r->delivering = true;
    bool on = true;
    while (on && r->state == READER_READING && r->offset < r->range.to) {
        struct fetch_slot *head = fetch_head(&r->fetch);
        if (head == NULL) {
            break;
        }
        if (head->state == FETCH_HERE && head->data.len > 0) {
            on = reader_head_record(r, now_ns, head);
        } else if (r->checked >= head->end) {
            fetch_pop(&r->fetch); /* the piece before went that far, or this one is used up */
        } else if (head->state == FETCH_HERE) {
            if (head->from == r->checked) {
                reader_avoid(r, now_ns, head->node, r->config.retry_ms); /* no byte of it */
            }
            fetch_again(head, r->checked); /* the answer was shorter than the piece */
        } else {
            if (head->state == FETCH_WANTED && head->from < r->checked) {
                head->from = r->checked; /* the piece before went a part of the way */
            }
            on = false;
        }
    }
    r->delivering = false;
    if (r->state != READER_READING) {
        return;
    }
    if (r->offset == r->range.to) {
        reader_end(r, READER_DONE, ERR_OK);
        return;
    }
    fetch_pump(&r->fetch, now_ns, r->piece_bytes);
}

void reader_start(struct reader *r, uint64_t now_ns, const struct reader_range *range)
{
    MUST(range->from <= range->to && range->to != UINT64_MAX);
    r->run++;
    r->range = *range;
    if (range->history != NULL) {
        r->history = *range->history;
        r->range.history = &r->history;
    }
    r->state = READER_READING;
    r->offset = r->checked = range->from;
    r->chain_known = range->chain_known;
    r->chain_crc = range->chain_crc;
    r->piece_bytes = r->config.read_max_bytes;
    r->room = 0;
    r->switches = 0;
    reader_progressed(r, now_ns);
    fetch_start(&r->fetch, range->from, range->to, range->node);
    reader_go_on(r, now_ns);
}

void reader_stop(struct reader *r)
{
    r->run++;
    fetch_stop(&r->fetch);
    r->state = READER_IDLE;
}

void reader_extend(struct reader *r, uint64_t now_ns, uint64_t to)
{
    MUST(to != UINT64_MAX);
    if ((r->state != READER_READING && r->state != READER_DONE) || to <= r->range.to) {
        return;
    }
    if (r->state == READER_DONE && r->offset < r->checked) {
        r->checked = r->offset; /* the last record went beyond `to`, and is not here any more */
        r->chain_known = false;
    }
    r->range.to = to;
    r->state = READER_READING;
    fetch_extend(&r->fetch, to);
    reader_go_on(r, now_ns);
}

void reader_room(struct reader *r, uint64_t now_ns, size_t bytes)
{
    r->room = bytes;
    reader_go_on(r, now_ns);
}

/* An answer with records (or none: the node is not that far yet). */
static void reader_got(struct reader *r, uint64_t now_ns, struct fetch_slot *slot,
                       const struct wire_msg *msg)
{
    if (msg->data_size == 0 || msg->read_reply.from != slot->from) {
        fetch_again(slot, slot->from);
        reader_avoid(r, now_ns, slot->node, r->config.retry_ms);
        return;
    }
    fetch_put(&r->fetch, slot, msg->data, msg->data_size);

    /* How much of the log such an answer holds: the size of the pieces to come. */
    struct record rec = {0};
    const uint8_t *payload;
    size_t at = 0, whole;
    while (at < msg->data_size &&
           wire_record(msg->data + at, msg->data_size - at, &rec, &payload, &whole) == ERR_OK) {
        at += whole;
    }
    if (at > r->config.read_max_bytes / 2 && record_end(&rec) > slot->from) {
        uint64_t held = record_end(&rec) - slot->from;
        r->piece_bytes = held - held / READER_SPARE_PART; /* the next may hold a little less */
    }
}

/* Whether the reading has ended by it. */
static bool reader_refused(struct reader *r, uint64_t now_ns, struct fetch_slot *slot,
                           const struct wire_msg *msg)
{
    unsigned node = slot->node;
    uint32_t span_ms = r->config.timeout_ms;

    fetch_again(slot, slot->from);
    if (msg->refused.code == WIRE_REFUSED_TERM && r->range.term.n != 0) {
        if (msg->term.n > r->range.term.n) {
            reader_end(r, READER_FAILED, ERR_STALE);
            return true;
        }
        span_ms = r->config.retry_ms; /* it has not promised this term yet */
    } else if (msg->refused.code == WIRE_REFUSED_NOT_FOUND) {
        r->missing[node] = slot == fetch_head(&r->fetch);
    } else if (msg->refused.code == WIRE_REFUSED_CORRUPT) {
        r->rotten[node] = slot == fetch_head(&r->fetch);
    }
    reader_avoid(r, now_ns, node, span_ms);
    return reader_given_up(r);
}

void reader_receive(struct reader *r, uint64_t now_ns, unsigned node, const struct wire_msg *msg)
{
    if (r->state != READER_READING || node >= READER_NODES_MAX || msg->channel != WIRE_READER ||
        msg->session != r->config.session || msg->log_id != r->config.log_id ||
        memcmp(msg->cluster_id, r->config.cluster_id, sizeof msg->cluster_id) != 0) {
        return;
    }
    struct fetch_slot *slot = fetch_find(&r->fetch, now_ns, node, msg->seq);
    if (slot == NULL) {
        return;
    }
    if (msg->type == WIRE_READ_REPLY) {
        reader_got(r, now_ns, slot, msg);
    } else if (msg->type == WIRE_REFUSED && reader_refused(r, now_ns, slot, msg)) {
        return;
    }
    reader_go_on(r, now_ns);
}

void reader_link_up(struct reader *r, uint64_t now_ns, unsigned node, bool up)
{
    r->up = up ? r->up | 1u << node : r->up & ~(1u << node);
    fetch_link(&r->fetch, node, up && (r->nodes >> node & 1) != 0);
    reader_go_on(r, now_ns);
}

void reader_nodes(struct reader *r, uint64_t now_ns, uint32_t set)
{
    uint32_t changed = set ^ r->nodes;

    r->nodes = set;
    for (unsigned i = 0; i < READER_NODES_MAX; i++) {
        if ((changed >> i & 1) != 0) {
            r->missing[i] = r->rotten[i] = false;
            fetch_link(&r->fetch, i, (r->up & set & 1u << i) != 0);
        }
    }
    if (changed != 0) {
        reader_go_on(r, now_ns);
    }
}

void reader_link_ready(struct reader *r, uint64_t now_ns, unsigned node)
{
    (void)node;
    reader_go_on(r, now_ns);
}

void reader_tick(struct reader *r, uint64_t now_ns)
{
    if (r->state == READER_READING) {
        r->switches += fetch_tick(&r->fetch, now_ns);
        reader_go_on(r, now_ns);
    }
}

uint64_t reader_next_tick_ns(const struct reader *r)
{
    return r->state == READER_READING ? fetch_next_tick_ns(&r->fetch) : UINT64_MAX;
}

void reader_progress(const struct reader *r, struct reader_progress *out)
{
    *out = (struct reader_progress){.state = r->state,
                                    .from = r->range.from,
                                    .to = r->range.to,
                                    .offset = r->offset,
                                    .last_progress_ns = r->last_progress_ns,
                                    .node = r->fetch.node,
                                    .switches = r->switches,
                                    .chain_crc = r->chain_crc};
}
