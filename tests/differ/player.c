#include "tests/differ/player.h"

#include "common/mem.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static void queue_add(struct player_queue *q, size_t step)
{
    if (q->head + q->count == q->cap) {
        memmove(q->steps, q->steps + q->head, q->count * sizeof *q->steps);
        q->head = 0;
        if (q->count * 2 >= q->cap) {
            q->cap = q->cap > 0 ? q->cap * 2 : 64;
            q->steps = mem_realloc(q->steps, q->cap * sizeof *q->steps);
        }
    }
    q->steps[q->head + q->count++] = step;
}

static void queue_drop(struct player_queue *q)
{
    MUST(q->count > 0);
    q->head++;
    q->count--;
}

/* ---- connections ---- */

static void take_reply(struct wire *w, struct buf *reply)
{
    enum { TIMEOUT_MS = 20000 };
    int rc = wire_reply(w, reply, TIMEOUT_MS);
    ck_assert_msg(rc == ERR_OK, "a new connection: %s", err_text(rc));
}

void player_open(struct player *pl, const struct play_stage *stage, int resp)
{
    struct buf reply = BUF_INIT;

    *pl = (struct player){.open = true, .acks = -1};
    for (int side = 0; side < PLAY_SIDES; side++) {
        struct wire *w = &pl->wires[side];
        play_connect(stage, (enum play_side)side, w);
        wire_queue(w, "HELLO", resp == 3 ? "3" : "2");
        wire_queue(w, "CLIENT", "ID");
        wire_flush(w);
    }
    for (int side = 0; side < PLAY_SIDES; side++) {
        take_reply(&pl->wires[side], &reply);
        take_reply(&pl->wires[side], &reply);
        pl->ids[side] = strtoll((const char *)buf_head(&reply) + 1, NULL, 10);
    }
    buf_release(&reply);
}

void player_close(struct player *pl)
{
    if (!pl->open) {
        return;
    }
    for (int side = 0; side < PLAY_SIDES; side++) {
        wire_close(&pl->wires[side]);
    }
    buf_release(&pl->early);
    free(pl->owed.steps);
    free(pl->queued.steps);
    *pl = (struct player){0};
}

/* ---- what is sent ---- */

static bool subscribes(const struct step *s, enum player_topics *topics, bool *begins)
{
    static const struct {
        const char *name;
        enum player_topics topics;
        bool begins;
    } commands[] = {
        {"subscribe", PLAYER_CHANNELS, true},  {"unsubscribe", PLAYER_CHANNELS, false},
        {"psubscribe", PLAYER_PATTERNS, true}, {"punsubscribe", PLAYER_PATTERNS, false},
        {"ssubscribe", PLAYER_SHARDS, true},   {"sunsubscribe", PLAYER_SHARDS, false},
    };
    for (size_t i = 0; s->kind != STEP_RAW && i < sizeof commands / sizeof *commands; i++) {
        if (step_is(s, 0, commands[i].name)) {
            *topics = commands[i].topics;
            *begins = commands[i].begins;
            return true;
        }
    }
    return false;
}

static bool is_subscribed(const struct player *pl)
{
    return pl->sends_subscribe || pl->subscribed[0] + pl->subscribed[1] + pl->subscribed[2] > 0;
}

static void follow_multi(struct player *pl, const struct step *s)
{
    if (step_is(s, 0, "multi") && s->count == 1) {
        pl->sends_multi = true;
    } else if (s->count == 1 &&
               (step_is(s, 0, "exec") || step_is(s, 0, "discard") || step_is(s, 0, "reset"))) {
        pl->sends_multi = false;
    }
}

bool player_sends(struct player *pl, const struct program *p, size_t index)
{
    const struct step *s = &p->steps[index];
    bool skipped = pl->reply_skip || pl->reply_off;

    unsigned when =
        (pl->sends_multi ? RULES_MULTI : 0u) | (is_subscribed(pl) ? RULES_SUBSCRIBER : 0u);

    if (!rules_may_send(s, when)) {
        return false;
    }
    if (s->kind == STEP_RAW) {
        return true; /* answered or not: it is alone */
    }
    if (step_is(s, 0, "client") && step_is(s, 1, "reply") && s->count == 3) {
        if (is_subscribed(pl)) {
            return false;
        }
        if (step_is(s, 2, "off")) {
            pl->reply_off = true;
            return true;
        }
        if (step_is(s, 2, "skip")) {
            pl->reply_skip = !pl->reply_off;
            return true;
        }
        if (step_is(s, 2, "on")) {
            pl->reply_off = pl->reply_skip = skipped = false;
        }
    }
    enum player_topics topics;
    bool begins;
    pl->sends_subscribe |= subscribes(s, &topics, &begins) && begins;
    pl->reply_skip = false;
    follow_multi(pl, s);
    if (!skipped) {
        queue_add(&pl->owed, index);
    }
    return true;
}

/* ---- what comes back ---- */

static bool is_message(const struct player *pl, const char *frame, size_t len)
{
    return *frame == '>' || (is_subscribed(pl) && (frames_begins(frame, len, "message") ||
                                                   frames_begins(frame, len, "pmessage") ||
                                                   frames_begins(frame, len, "smessage")));
}

static bool is_ack(const char *frame, size_t len)
{
    static const char *const words[] = {"subscribe",   "psubscribe",   "ssubscribe",
                                        "unsubscribe", "punsubscribe", "sunsubscribe"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (frames_begins(frame, len, words[i])) {
            return true;
        }
    }
    return false;
}

/* A subscription's answer; false: the frame is none. Those to all channels end in the order of a
 * hash table, patterns as they began. */
static bool takes_ack(struct player *pl, const struct program *p, const char *frame, size_t len,
                      enum frames_rule *rule)
{
    enum player_topics topics;
    bool begins;

    if (pl->owed.count == 0 || !is_ack(frame, len)) {
        return false;
    }
    const struct step *s = &p->steps[pl->owed.steps[pl->owed.head]];
    if (!subscribes(s, &topics, &begins)) {
        return false;
    }
    *rule = s->count > 1 || topics == PLAYER_PATTERNS ? FRAMES_EXACT : FRAMES_ACK;
    if (pl->acks < 0) {
        long long all = pl->subscribed[topics] > 0 ? pl->subscribed[topics] : 1;
        pl->acks = s->count > 1 ? (long long)s->count - 1 : all;
    }
    long long total = frames_last_integer(frame, len);
    long long other = topics == PLAYER_CHANNELS   ? pl->subscribed[PLAYER_PATTERNS]
                      : topics == PLAYER_PATTERNS ? pl->subscribed[PLAYER_CHANNELS]
                                                  : 0;
    pl->subscribed[topics] = total - other;
    if (--pl->acks == 0) {
        pl->acks = -1;
        queue_drop(&pl->owed);
    }
    return true;
}

static bool is_queued(const char *frame, size_t len)
{
    return len == 9 && memcmp(frame, "+QUEUED\r\n", 9) == 0;
}

static void follow_frame(struct player *pl, const struct step *s, size_t index, const char *frame,
                         size_t len)
{
    bool ok = *frame != '-';

    if (is_queued(frame, len)) {
        queue_add(&pl->queued, index);
    } else if (ok && (step_is(s, 0, "multi") || step_is(s, 0, "discard"))) {
        pl->queued.count = 0;
    } else if (ok && step_is(s, 0, "reset")) {
        pl->queued.count = 0;
        memset(pl->subscribed, 0, sizeof pl->subscribed);
    }
}

size_t player_takes(struct player *pl, const struct play_stage *stage, const struct program *p,
                    const char *frame, size_t len, enum frames_rule *rule, enum frames_rule **rules,
                    size_t *count)
{
    *rule = FRAMES_EXACT;
    *rules = NULL;
    if (takes_ack(pl, p, frame, len, rule) || is_message(pl, frame, len)) {
        return SIZE_MAX;
    }
    if (pl->owed.count == 0) { /* bytes of a client, or our own CLIENT REPLY ON */
        if (is_queued(frame, len)) {
            queue_add(&pl->queued, SIZE_MAX);
        }
        return SIZE_MAX;
    }
    size_t index = pl->owed.steps[pl->owed.head];
    const struct step *s = &p->steps[index];
    queue_drop(&pl->owed);
    *rule = rules_compare(&stage->table, s, false);
    follow_frame(pl, s, index, frame, len);
    if (step_is(s, 0, "exec") && s->kind != STEP_RAW) {
        *count = pl->queued.count;
        *rules = mem_calloc(*count + 1, sizeof **rules);
        for (size_t i = 0; i < *count; i++) {
            size_t inner = pl->queued.steps[pl->queued.head + i];
            (*rules)[i] = inner == SIZE_MAX ? FRAMES_EXACT
                                            : rules_compare(&stage->table, &p->steps[inner], true);
        }
        pl->queued.head = pl->queued.count = 0;
    }
    return index;
}
