#include "tests/differ/player.h"

#include "common/mem.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static void queue_add(struct player_queue *q, size_t step)
{
    if (q->head + q->count == q->cap) {
        if (q->count > 0) {
            memmove(q->steps, q->steps + q->head, q->count * sizeof *q->steps);
        }
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

void player_open(struct player *pl, const struct stage *stage, int resp, bool asynchronous)
{
    struct buf reply = BUF_INIT;

    *pl = (struct player){.open = true, .acks = -1, .tells = -1, .pushes = resp == 3};
    for (int side = 0; side < STAGE_SIDES; side++) {
        struct wire *w = &pl->wires[side];
        stage_connect(stage, (enum stage_side)side, w);
        if (side == STAGE_PROXY && asynchronous) {
            wire_queue(w, "HOLDFAST", "SYNC", "OFF");
        }
        wire_queue(w, "HELLO", resp == 3 ? "3" : "2");
        wire_queue(w, "CLIENT", "ID");
        if (side == STAGE_PROXY && stage->through == STAGE_REPLICA) {
            wire_queue(w, "READONLY");
        }
        wire_flush(w);
    }
    for (int side = 0; side < STAGE_SIDES; side++) {
        if (side == STAGE_PROXY && asynchronous) {
            take_reply(&pl->wires[side], &reply);
        }
        take_reply(&pl->wires[side], &reply);
        take_reply(&pl->wires[side], &reply);
        pl->ids[side] = strtoll((const char *)buf_head(&reply) + 1, NULL, 10);
        if (side == STAGE_PROXY && stage->through == STAGE_REPLICA) {
            take_reply(&pl->wires[side], &reply);
        }
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
    buf_release(&pl->read);
    free(pl->owed.steps);
    free(pl->queued.steps);
    *pl = (struct player){0};
}

/* ---- what is sent ---- */

static unsigned where(const struct stage *stage)
{
    static const unsigned flags[] = {
        [STAGE_LEADER] = 0,
        [STAGE_FOLLOWER] = RULES_FOLLOWER,
        [STAGE_REPLICA] = RULES_FOLLOWER | RULES_REPLICA,
    };
    return flags[stage->through];
}

static const struct subscription {
    const char *name;
    enum player_topics topics;
    bool begins;
} subscriptions[] = {
    {"subscribe", PLAYER_CHANNELS, true},  {"unsubscribe", PLAYER_CHANNELS, false},
    {"psubscribe", PLAYER_PATTERNS, true}, {"punsubscribe", PLAYER_PATTERNS, false},
    {"ssubscribe", PLAYER_SHARDS, true},   {"sunsubscribe", PLAYER_SHARDS, false},
};

/* NULL: it is none. */
static const struct subscription *subscription_of(const struct step *s)
{
    for (size_t i = 0; s->kind != STEP_RAW && i < sizeof subscriptions / sizeof *subscriptions;
         i++) {
        if (step_is(s, 0, subscriptions[i].name)) {
            return &subscriptions[i];
        }
    }
    return NULL;
}

bool player_is_subscription(const struct step *s)
{
    return subscription_of(s) != NULL;
}

bool player_is_acknowledgement(const char *frame, size_t len)
{
    for (size_t i = 0; i < sizeof subscriptions / sizeof *subscriptions; i++) {
        if (frames_begins(frame, len, subscriptions[i].name)) {
            return true;
        }
    }
    return false;
}

bool player_is_subscribed(const struct player *pl)
{
    return pl->sends_subscribe || pl->queues_subscribe ||
           pl->subscribed[0] + pl->subscribed[1] + pl->subscribed[2] > 0;
}

static void follow_multi(struct player *pl, const struct step *s)
{
    if (step_is(s, 0, "multi") && s->count == 1) {
        pl->sends_multi = true;
    } else if (s->count == 1 &&
               (step_is(s, 0, "exec") || step_is(s, 0, "discard") || step_is(s, 0, "reset"))) {
        pl->sends_multi = pl->queues_subscribe = false;
    }
}

static bool begins_tracking(const struct step *s)
{
    return step_is(s, 0, "client") && step_is(s, 1, "tracking") && step_is(s, 2, "on");
}

static bool ends_tracking(const struct step *s)
{
    return (step_is(s, 0, "client") && step_is(s, 1, "tracking") && step_is(s, 2, "off")) ||
           step_is(s, 0, "reset");
}

static bool begins_broadcast(const struct step *s)
{
    bool broadcast = false;

    for (size_t i = 3; begins_tracking(s) && i < s->count; i++) {
        broadcast |= step_is(s, i, "bcast");
    }
    return broadcast;
}

/* As far as sent: what may come from now on. */
static void note_sent(struct player *pl, const struct step *s, bool skipped)
{
    pl->may_broadcast = (pl->may_broadcast && !ends_tracking(s)) || begins_broadcast(s);
    pl->tracked |= ends_tracking(s) && pl->tracks;
    pl->tracks |= begins_tracking(s);
    if (skipped && (begins_tracking(s) || ends_tracking(s))) {
        pl->tracks_all = pl->broadcasts = false;
        buf_clear(&pl->read);
    }
    pl->pushes |= step_is(s, 0, "hello") && step_is(s, 1, "3");
}

bool player_sends(struct player *pl, const struct stage *stage, const struct program *p,
                  size_t index)
{
    const struct step *s = &p->steps[index];
    if (step_is(s, 0, "reset") && s->count == 1) {
        pl->reply_off = false; /* its own answer is heard */
    }
    bool skipped = pl->reply_skip || pl->reply_off;

    unsigned when = (pl->sends_multi ? RULES_MULTI : 0u) |
                    (player_is_subscribed(pl) ? RULES_SUBSCRIBER : 0u) | where(stage);

    if (!rules_may_send(s, when)) {
        return false;
    }
    if (s->kind == STEP_RAW) {
        return true; /* answered or not: it is alone */
    }
    if (step_is(s, 0, "client") && step_is(s, 1, "reply") && s->count == 3) {
        if (player_is_subscribed(pl)) {
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
    const struct subscription *subscription = subscription_of(s);
    pl->sends_subscribe |= subscription != NULL && subscription->begins;
    pl->queues_subscribe |= subscription != NULL && subscription->begins && pl->sends_multi;
    pl->reply_skip = false;
    follow_multi(pl, s);
    note_sent(pl, s, skipped);
    if (!skipped) {
        queue_add(&pl->owed, index);
    }
    return true;
}

/* ---- what comes back ---- */

static bool is_message(const struct player *pl, const char *frame, size_t len)
{
    return *frame == '>' || (player_is_subscribed(pl) && (frames_begins(frame, len, "message") ||
                                                          frames_begins(frame, len, "pmessage") ||
                                                          frames_begins(frame, len, "smessage")));
}

/* Channels and patterns are counted together. */
static void note_subscribed(struct player *pl, enum player_topics topics, long long total)
{
    long long other = topics == PLAYER_CHANNELS   ? pl->subscribed[PLAYER_PATTERNS]
                      : topics == PLAYER_PATTERNS ? pl->subscribed[PLAYER_CHANNELS]
                                                  : 0;
    pl->subscribed[topics] = total - other;
}

/* A subscription's answer; false: the frame is none. Those to all channels end in the order of a
 * hash table, patterns as they began. */
static bool takes_ack(struct player *pl, const struct program *p, const char *frame, size_t len,
                      enum frames_rule *rule)
{
    if (pl->owed.count == 0 || !player_is_acknowledgement(frame, len)) {
        return false;
    }
    const struct step *s = &p->steps[pl->owed.steps[pl->owed.head]];
    const struct subscription *subscription = subscription_of(s);
    if (subscription == NULL) {
        return false;
    }
    enum player_topics topics = subscription->topics;
    *rule = s->count > 1 || topics == PLAYER_PATTERNS ? FRAMES_EXACT : FRAMES_ACK;
    if (pl->acks < 0) {
        long long all = pl->subscribed[topics] > 0 ? pl->subscribed[topics] : 1;
        pl->acks = s->count > 1 ? (long long)s->count - 1 : all;
    }
    note_subscribed(pl, topics, frames_last_integer(frame, len));
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
    if (ok && step_is(s, 0, "hello") && pl->owed.count == 0) {
        pl->pushes = *frame == '%';
    }
}

/* Notes what was read while all of that is tracked. */
static void note_read(struct player *pl, const struct stage *stage, const struct step *s)
{
    const char *second = s->count > 1 && s->words[1].bytes != NULL ? s->words[1].bytes : "";
    const struct command *c = s->kind != STEP_RAW && s->count > 0 && s->words[0].bytes != NULL
                                  ? table_find(&stage->table, s->words[0].bytes, second)
                                  : NULL;

    size_t inner = rules_script_words(s);
    if (inner > 0) { /* what the script calls, if it does */
        struct step view = *s;
        view.words += inner;
        view.count -= inner;
        note_read(pl, stage, &view);
        return;
    }
    for (size_t i = 1; c != NULL && c->reads && !rules_runs_scripts(s) && i < s->count; i++) {
        buf_append(&pl->read, &s->words[i].len, sizeof s->words[i].len);
        buf_append(&pl->read, s->words[i].bytes, s->words[i].len);
    }
}

/* The same of what was answered. In an EXEC it is not known which tracking began. */
static void follow_reads(struct player *pl, const struct stage *stage, const struct program *p,
                         const struct step *s, const char *frame, size_t len)
{
    if (*frame == '-' || is_queued(frame, len)) {
        return;
    }
    if (begins_tracking(s) || ends_tracking(s)) {
        pl->tracks_all = begins_tracking(s) && s->count == 3;
        pl->broadcasts = begins_broadcast(s);
        buf_clear(&pl->read);
    } else if (pl->tracks_all) {
        note_read(pl, stage, s);
    }
    for (size_t i = 0; *frame == '*' && step_is(s, 0, "exec") && i < pl->queued.count; i++) {
        size_t inner = pl->queued.steps[pl->queued.head + i];
        const struct step *one = inner != SIZE_MAX ? &p->steps[inner] : s;
        if (begins_tracking(one) || ends_tracking(one)) {
            pl->tracks_all = pl->broadcasts = false;
            buf_clear(&pl->read);
        } else if (pl->tracks_all) {
            note_read(pl, stage, one);
        }
    }
}

/* Subscriptions that began and ended in an EXEC. */
static void follow_exec(struct player *pl, const struct program *p, const char *frame, size_t len)
{
    struct frame f;

    frames_parse(&f, frame, len);
    for (size_t i = 0; f.type == '*' && f.count == pl->queued.count && i < f.count; i++) {
        size_t inner = pl->queued.steps[pl->queued.head + i];
        const struct subscription *subscription =
            inner != SIZE_MAX ? subscription_of(&p->steps[inner]) : NULL;
        const struct frame *said = &f.children[i];
        if (subscription != NULL && said->count == 3) {
            note_subscribed(pl, subscription->topics, strtoll(said->children[2].bytes, NULL, 10));
        }
    }
    frames_release(&f);
}

bool player_has_read(const struct player *pl, const char *key, size_t len)
{
    const uint8_t *bytes = buf_head(&pl->read);
    size_t one;

    for (size_t at = 0; at < pl->read.len; at += sizeof one + one) {
        memcpy(&one, bytes + at, sizeof one);
        if (one == len && memcmp(bytes + at + sizeof one, key, len) == 0) {
            return true;
        }
    }
    return false;
}

/* What an EXEC's reply is compared by. */
static void compare_exec(const struct player *pl, const struct stage *stage,
                         const struct program *p, struct frames_how *how)
{
    bool other_user = false;

    how->count = pl->queued.count;
    how->elements = mem_calloc(how->count + 1, sizeof *how->elements);
    for (size_t i = 0; i < how->count; i++) {
        size_t inner = pl->queued.steps[pl->queued.head + i];
        const struct step *s = inner != SIZE_MAX ? &p->steps[inner] : NULL;
        if (s == NULL) {
            continue;
        }
        other_user |= step_is(s, 0, "auth") || (step_is(s, 0, "hello") && s->count > 2);
        how->elements[i] =
            (struct frames_element){rules_compare(&stage->table, s, RULES_MULTI | where(stage)),
                                    other_user && rules_is_about_clients(s)};
    }
}

/* The same of a script that calls several. */
static void compare_calls(const struct stage *stage, const struct step *s, struct frames_how *how)
{
    struct step calls[RULES_CALLS_MAX];

    how->count = rules_script_calls(s, calls, RULES_CALLS_MAX);
    how->elements = how->count > 0 ? mem_calloc(how->count, sizeof *how->elements) : NULL;
    for (size_t i = 0; i < how->count; i++) {
        how->elements[i].rule = rules_compare(&stage->table, &calls[i], RULES_MULTI | where(stage));
    }
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
                    const char *frame, size_t len, struct frames_how *how)
{
    *how = (struct frames_how){.rule = FRAMES_EXACT};
    if (frames_begins(frame, len, "tracking-redir-broken")) {
        how->rule = FRAMES_IDS;
    }
    if (takes_ack(pl, p, frame, len, &how->rule) || is_message(pl, frame, len)) {
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
    how->rule = rules_compare(&stage->table, s, where(stage));
    follow_frame(pl, s, index, frame, len);
    follow_reads(pl, stage, p, s, frame, len);
    tally_frame(pl, stage, p, s, frame, len);
    if (step_is(s, 0, "exec") && s->kind != STEP_RAW) {
        compare_exec(pl, stage, p, how);
        follow_exec(pl, p, frame, len);
        pl->queued.head = pl->queued.count = 0;
    } else if (!is_queued(frame, len)) {
        compare_calls(stage, s, how);
    }
    return index;
}
