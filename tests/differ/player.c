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

void player_open(struct player *pl, const struct stage *stage, int resp)
{
    struct buf reply = BUF_INIT;

    *pl = (struct player){.open = true, .acks = -1};
    for (int side = 0; side < STAGE_SIDES; side++) {
        struct wire *w = &pl->wires[side];
        stage_connect(stage, (enum stage_side)side, w);
        wire_queue(w, "HELLO", resp == 3 ? "3" : "2");
        wire_queue(w, "CLIENT", "ID");
        wire_flush(w);
    }
    for (int side = 0; side < STAGE_SIDES; side++) {
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
    for (int side = 0; side < STAGE_SIDES; side++) {
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

/* What was read before a TRACKING OFF is forgotten with the link, but by Redis remembered. */
static bool tracks_again(struct player *pl, const struct step *s)
{
    bool tracking = step_is(s, 0, "client") && step_is(s, 1, "tracking");

    if (pl->tracks && ((tracking && step_is(s, 2, "off")) || step_is(s, 0, "reset"))) {
        pl->tracked = true;
    }
    pl->tracks |= tracking && step_is(s, 2, "on");
    return pl->tracked && tracking && step_is(s, 2, "on");
}

bool player_sends(struct player *pl, const struct program *p, size_t index)
{
    const struct step *s = &p->steps[index];
    bool skipped = pl->reply_skip || pl->reply_off;

    unsigned when =
        (pl->sends_multi ? RULES_MULTI : 0u) | (is_subscribed(pl) ? RULES_SUBSCRIBER : 0u);

    if (!rules_may_send(s, when) || (s->kind != STEP_RAW && tracks_again(pl, s))) {
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

/* What an EXEC's reply is compared by. */
static enum frames_rule *rules_of_exec(const struct player *pl, const struct stage *stage,
                                       const struct program *p)
{
    enum frames_rule *rules = mem_calloc(pl->queued.count + 1, sizeof *rules);
    bool other_user = false;

    for (size_t i = 0; i < pl->queued.count; i++) {
        size_t inner = pl->queued.steps[pl->queued.head + i];
        const struct step *s = inner != SIZE_MAX ? &p->steps[inner] : NULL;
        rules[i] = s == NULL ? FRAMES_EXACT : rules_compare(&stage->table, s, true);
        other_user |= s != NULL && (step_is(s, 0, "auth") || step_is(s, 0, "hello"));
        if (other_user && s != NULL && rules_is_about_clients(s)) {
            rules[i] = FRAMES_ANY;
        }
    }
    return rules;
}

/* The same of a script that calls several. */
static enum frames_rule *rules_of_calls(const struct stage *stage, const struct step *s,
                                        size_t *count)
{
    struct step calls[RULES_CALLS_MAX];

    *count = rules_script_calls(s, calls, RULES_CALLS_MAX);
    enum frames_rule *rules = *count > 0 ? mem_calloc(*count, sizeof *rules) : NULL;
    for (size_t i = 0; i < *count; i++) {
        rules[i] = rules_compare(&stage->table, &calls[i], true);
    }
    return rules;
}

/* Counts what was answered: each command for itself. */
static void tally(const struct stage *stage, const struct step *s, const struct frame *answer)
{
    struct step calls[RULES_CALLS_MAX];
    size_t inner = rules_script_words(s), many = rules_script_calls(s, calls, RULES_CALLS_MAX);

    tally_answer(stage->tally, s, answer);
    if (many == 0 && inner > 0) {
        calls[0] = *s;
        calls[0].words += inner;
        calls[0].count -= inner;
        tally_answer(stage->tally, &calls[0], answer);
    }
    for (size_t i = 0; i < many && answer->type == '*' && answer->count == many; i++) {
        tally_answer(stage->tally, &calls[i], &answer->children[i]);
    }
}

static void tally_frame(const struct player *pl, const struct stage *stage, const struct program *p,
                        const struct step *s, const char *bytes, size_t len)
{
    struct frame f;

    if (stage->tally == NULL || s->kind == STEP_RAW) {
        return;
    }
    frames_parse(&f, bytes, len);
    tally(stage, s, &f);
    bool exec = step_is(s, 0, "exec") && f.type == '*' && f.count == pl->queued.count;
    for (size_t i = 0; exec && i < f.count; i++) {
        size_t inner = pl->queued.steps[pl->queued.head + i];
        if (inner != SIZE_MAX) {
            tally(stage, &p->steps[inner], &f.children[i]);
        }
    }
    frames_release(&f);
}

size_t player_takes(struct player *pl, const struct stage *stage, const struct program *p,
                    const char *frame, size_t len, enum frames_rule *rule, enum frames_rule **rules,
                    size_t *count)
{
    *rule = FRAMES_EXACT;
    *rules = NULL;
    if (frames_begins(frame, len, "tracking-redir-broken")) {
        *rule = FRAMES_IDS;
    }
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
    tally_frame(pl, stage, p, s, frame, len);
    if (step_is(s, 0, "exec") && s->kind != STEP_RAW) {
        *rules = rules_of_exec(pl, stage, p);
        *count = pl->queued.count;
        pl->queued.head = pl->queued.count = 0;
    } else if (!is_queued(frame, len)) {
        *rules = rules_of_calls(stage, s, count);
    }
    return index;
}
