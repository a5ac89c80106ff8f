#include "tests/differ/play.h"

#include "common/clock.h"
#include "tests/differ/compare.h"
#include "tests/differ/values.h"

#include <check.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>

enum { PLAY_READ_BYTES = 16384 };

/* After a time in which nothing went on (a disk, a machine), the proxy may have to lead anew. */
static bool wait_served(struct performance *pf)
{
    struct wire *w = &pf->stage->controls[STAGE_PROXY];
    uint64_t end = clock_now_ns() + STAGE_CONTROL_MS * CLOCK_NS_PER_MS;
    struct buf reply = BUF_INIT;
    bool served = false;

    for (bool answers = true; !served && answers && clock_now_ns() < end;) {
        wire_queue(w, "CLIENT", "UNPAUSE");
        wire_queue(w, "CONFIG", "SET", "min-replicas-to-write", "0");
        wire_queue(w, "FLUSHALL");
        answers = stage_take(w, 3, &reply);
        served = answers && *buf_head(&reply) == '+';
        stage_pause_ms(served ? 0 : 10);
    }
    buf_release(&reply);
    return served;
}

static bool begin(struct performance *pf)
{
    struct wire *controls = pf->stage->controls;
    struct buf reply = BUF_INIT;

    bool ok = compare_wait_gone(pf, 0) && wait_served(pf) &&
              (pf->stage->through == STAGE_LEADER || stage_catch_up(pf->stage));
    unsigned count = stage_queue_reset(&controls[STAGE_PROXY]);
    wire_flush(&controls[STAGE_PROXY]);
    stage_queue_reset(&controls[STAGE_PLAIN]);
    ok = stage_take(&controls[STAGE_PLAIN], count, &reply) && ok;
    ck_assert_msg(reply.len == 5, "CONFIG SET: %s", reply.len > 0 ? (char *)buf_head(&reply) : "");
    ok = ok && stage_take(&controls[STAGE_PROXY], count, &reply);
    buf_release(&reply);
    return ok || compare_differs(pf, DIFFERENCE_STUCK, -1, SIZE_MAX);
}

/* ---- a pipeline ---- */

/* Reads what the plain Redis said to anybody; the most bytes that one got. */
static size_t fill_plain(struct performance *pf)
{
    size_t most = 0;
    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        struct wire *w = &pf->players[i].wires[STAGE_PLAIN];
        if (pf->players[i].open && !w->ended) {
            size_t before = w->received;
            wire_fill(w);
            most = w->received - before > most ? w->received - before : most;
        }
    }
    return most;
}

/* Returns when the plain Redis has done all that was sent. It answers those whose requests it found
 * together in no order that helps, so that one question more is needed than it reads in turns. */
static void settle_plain(struct performance *pf, int client, size_t sent)
{
    struct wire *control = &pf->stage->controls[STAGE_PLAIN];
    size_t rounds = 1 + sent / PLAY_READ_BYTES, most;
    struct buf reply = BUF_INIT;

    do {
        wire_queue(control, "PING");
        ck_assert_msg(stage_take(control, 1, &reply),
                      "the plain Redis does not answer (program %" PRIu64 ", client %c)",
                      pf->program->seed, 'A' + client);
        rounds -= rounds > 0;
        most = rounds == 0 ? fill_plain(pf) : 0;
    } while (rounds > 0 || most > PLAY_READ_BYTES * 2);
    pf->blocked = stage_blocked(control);
    ck_assert_msg(pf->blocked >= 0, "the plain Redis does not answer");
    fill_plain(pf);
    buf_release(&reply);
}

static bool leave(struct performance *pf, int client)
{
    player_close(&pf->players[client]);
    return compare_wait_gone(pf, compare_open(pf)) ||
           compare_differs(pf, DIFFERENCE_CLOSED, client, SIZE_MAX);
}

/* What stands behind it in a pipeline would run at a time of its own. */
static bool may_block(const struct stage *stage, const struct step *s)
{
    if (s->kind == STEP_RAW || s->count < 2 || s->words[0].bytes == NULL) {
        return false;
    }
    const struct command *c = table_find(&stage->table, s->words[0].bytes, "");
    return c != NULL && c->blocking;
}

/* Whether it only reads. */
static bool reads(const struct stage *stage, const struct step *s)
{
    const char *name = s->count > 0 && s->words[0].bytes != NULL ? s->words[0].bytes : "";
    const struct command *c = table_find(&stage->table, name, "");

    return s->kind != STEP_RAW && c != NULL && c->reads && !rules_runs_scripts(s);
}

/* Who hears of what is written: others' tracking is redirected to it, or keys notify it. */
static void note_told(struct performance *pf, struct player *pl, const struct step *s)
{
    bool tracking = step_is(s, 0, "client") && step_is(s, 1, "tracking");

    if (tracking || step_is(s, 0, "reset")) {
        pl->redirects = false;
    }
    for (size_t i = 0; i < s->count && tracking; i++) {
        if (s->words[i].client >= 0) {
            pl->redirects = true;
            pl->tells = s->words[i].client;
            pf->players[pl->tells].told = true;
        }
    }
    bool begins = step_is(s, 0, "subscribe") || step_is(s, 0, "psubscribe");
    for (size_t i = 1; begins && i < s->count; i++) {
        const struct word *w = &s->words[i];
        pl->hears_keys |= w->len > 0 && w->client < 0 && strchr("_*[", w->bytes[0]) != NULL;
    }
    if (s->count == 1 && (step_is(s, 0, "unsubscribe") || step_is(s, 0, "punsubscribe"))) {
        pl->hears_keys = false;
    }
}

static bool hears_tracking(const struct performance *pf, const struct player *pl)
{
    bool hears = false;

    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        const struct player *other = &pf->players[i];
        hears |= other->redirects && &pf->players[other->tells] == pl;
    }
    return hears;
}

/* What it would be told of its own doing comes in the middle of replies from Redis 7.0. */
static bool hears_itself(const struct performance *pf, const struct player *pl,
                         const struct step *s)
{
    const char *name = s->count > 0 && s->words[0].bytes != NULL ? s->words[0].bytes : "";
    const struct command *c = table_find(&pf->stage->table, name, "");

    return pl->pushes && (pl->hears_keys || hears_tracking(pf, pl)) && s->kind != STEP_RAW &&
           !step_is(s, 0, "exec") &&
           ((c != NULL && (c->write || c->blocking)) || step_is(s, 0, "multi") ||
            rules_runs_scripts(s));
}

/* Whether somebody blocks who has said more: it runs as soon as he is woken, and what the waker
 * says next may come in front of it or behind it. */
static bool rest_waits(const struct performance *pf, int client)
{
    bool waits = false;

    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        waits |= i != client && pf->players[i].open && pf->players[i].owed.count > 1;
    }
    return waits;
}

/* Through a follower, subscriptions and what is published go different ways; and so do reads and
 * writes of a replica. Who leaves right behind a message to itself does not get it. */
static bool is_alone(const struct performance *pf, size_t index)
{
    const struct step *s = &pf->program->steps[index];
    const struct step *before = index > 0 ? s - 1 : s;

    switch (pf->stage->through) {
    case STAGE_FOLLOWER:
        if (player_is_subscription(s) || player_is_subscription(before)) {
            return true;
        }
        break;
    case STAGE_REPLICA:
        return true;
    case STAGE_LEADER:
        break;
    }
    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        if (pf->players[i].may_broadcast) {
            return true; /* what is said at once is told at once */
        }
    }
    if (step_is(before, 0, "acl") &&
        (step_is(before, 1, "deluser") || step_is(before, 1, "setuser"))) {
        return true; /* RULES_CLOSED */
    }
    bool leaves = step_is(s, 0, "quit") && player_is_subscribed(&pf->players[s->client]);
    return s->alone || leaves || rest_waits(pf, s->client) || s->kind == STEP_RAW ||
           before->kind == STEP_RAW;
}

/* Whether it hears of, or reads, what the Redis beside the proxy may not have yet. */
static bool is_behind(const struct performance *pf, const struct step *s)
{
    return (pf->stage->through == STAGE_REPLICA && pf->written) ||
           (pf->stage->through == STAGE_FOLLOWER && player_is_subscription(s));
}

/* While writes are paused, who else says what waits as well: in which order they go on nobody could
 * tell. */
static bool would_wait_too(const struct performance *pf, const struct player *pl,
                           const struct step *s)
{
    bool waits = false;

    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        waits |= &pf->players[i] != pl && pf->players[i].open && pf->players[i].owed.count > 0;
    }
    return pf->paused && waits && !reads(pf->stage, s) &&
           !(step_is(s, 0, "client") && step_is(s, 1, "unpause"));
}

/* Where writes are paused for long, so would be all there is, the tester as well. */
static bool pauses_tester(const struct performance *pf, const struct step *s)
{
    return pf->paused && step_is(s, 0, "client") && step_is(s, 1, "pause") &&
           !step_is(s, 3, "write");
}

/* Whether it may take a right to what others have queued: Redis then carries out the rest
 * (RULES_LOST_RIGHT); or one of a subscriber's through a proxy that does not lead (RULES_CLOSED).
 */
static bool takes_rights(const struct performance *pf, const struct step *s)
{
    bool other = false;

    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        const struct player *pl = &pf->players[i];
        bool subscribed = pf->stage->through != STAGE_LEADER && player_is_subscribed(pl);
        other |= pl->open && (pl->sends_multi || subscribed);
    }
    return other && step_is(s, 0, "acl") && step_is(s, 1, "setuser");
}

/* Whether it makes several keys of somebody who blocks ready at once: Redis serves them in the
 * order of a hash table (scanDatabaseForReadyKeys in db.c). */
static bool wakes_by_chance(const struct performance *pf, const struct step *s)
{
    bool wakes = false;

    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        const struct player_queue *q = &pf->players[i].owed;
        const struct step *blocks =
            pf->players[i].open && q->count > 0 ? &pf->program->steps[q->steps[q->head]] : NULL;
        wakes |= blocks != NULL && may_block(pf->stage, blocks) && blocks->count > 3 &&
                 !step_is(blocks, 0, "blmove") && !step_is(blocks, 0, "brpoplpush");
    }
    return wakes && step_is(s, 0, "swapdb");
}

/* Queues the steps from `first` on that make one pipeline; returns where the next one begins. */
static size_t queue_pipeline(struct performance *pf, size_t first, bool *ends)
{
    const struct program *p = pf->program;
    int client = p->steps[first].client;
    struct player *pl = &pf->players[client];
    size_t i = first;

    *ends = false;
    bool blocked = false;
    for (; i < p->count && p->steps[i].client == client && p->steps[i].kind != STEP_LEAVE &&
           p->steps[i].kind != STEP_END;
         i++) {
        const struct step *s = &p->steps[i];
        bool alone = is_alone(pf, i);
        if (i > first && (alone || s->ends || *ends || (blocked && !s->behind))) {
            break;
        }
        bool blocks = !pl->sends_multi && may_block(pf->stage, s);
        if (hears_itself(pf, pl, s) || would_wait_too(pf, pl, s) || wakes_by_chance(pf, s) ||
            pauses_tester(pf, s) || takes_rights(pf, s) || (pf->alone && rules_runs_scripts(s)) ||
            !player_sends(pl, pf->stage, p, i)) {
            continue;
        }
        note_told(pf, pl, s);
        pl->said_raw |= s->kind == STEP_RAW;
        for (int side = 0; side < STAGE_SIDES; side++) {
            long long ids[PROGRAM_CLIENTS];
            for (int c = 0; c < PROGRAM_CLIENTS; c++) {
                ids[c] = pf->players[c].ids[side];
            }
            step_encode(s, ids, &pl->wires[side].out);
        }
        *ends = s->ends;
        blocked |= blocks;
        pf->written |= !reads(pf->stage, s);
        pf->stage->commands++;
    }
    return i;
}

/* Whether something that is sent may block: whoever ends then gets no answer to it. */
static bool owes_blocking(const struct performance *pf, const struct player *pl)
{
    for (size_t i = 0; i < pl->owed.count; i++) {
        if (may_block(pf->stage, &pf->program->steps[pl->owed.steps[pl->owed.head + i]])) {
            return true;
        }
    }
    return false;
}

/* Sends what is queued, to Holdfast in up to three pieces (but not what may end the connection: a
 * reset, if it comes to one, would take the last replies along). */
static void send_pieces(struct performance *pf, struct player *pl, size_t first, size_t at)
{
    struct wire *proxy = &pl->wires[STAGE_PROXY];
    struct buf whole = BUF_INIT;
    struct random r;
    size_t sent = 0;

    random_init(&r, pf->program->seed + at);
    bool may_close = pl->said_raw;
    for (size_t i = first; i < at; i++) {
        const struct step *s = &pf->program->steps[i];
        may_close |= s->kind == STEP_RAW || step_is(s, 0, "quit") || step_is(s, 0, "client") ||
                     step_is(s, 0, "acl");
    }
    buf_swap(&whole, &proxy->out);
    uint64_t pieces =
        values_chance(&r, 20) && whole.len > 0 && !may_close ? 1 + random_below(&r, 3) : 1;
    for (; pieces > 0; pieces--) {
        size_t rest = whole.len - sent;
        size_t size = pieces > 1 ? (size_t)random_below(&r, rest + 1) : rest;
        if (wire_send(proxy, buf_head(&whole) + sent, size) != ERR_OK) {
            proxy->ended = true;
        }
        sent += size;
        stage_pause_ms(pieces > 1 ? 1 : 0);
    }
    buf_release(&whole);
    (void)wire_send(&pl->wires[STAGE_PLAIN], "", 0);
}

/* Both hear that the client says nothing more; the plain Redis has closed then. */
static void half_close(struct performance *pf, int client)
{
    struct player *pl = &pf->players[client];

    enum { TRIES = 400 };

    for (int side = 0; side < STAGE_SIDES; side++) {
        (void)shutdown(pl->wires[side].fd, SHUT_WR);
    }
    for (int i = 0; i < TRIES && !pl->wires[STAGE_PLAIN].ended; i++) {
        settle_plain(pf, client, 0);
    }
}

static bool play_pipeline(struct performance *pf, size_t *at)
{
    const struct program *p = pf->program;
    const struct step *first = &p->steps[*at];
    struct player *pl = &pf->players[first->client];
    bool ends;

    if (first->kind == STEP_LEAVE || (first->kind == STEP_END && pl->open && pl->owed.count > 0)) {
        ++*at;
        return !pl->open || leave(pf, first->client);
    }
    if (!pl->open) {
        player_open(pl, pf->stage, p->resp, program_is_asynchronous(p, first->client));
    }
    int before = pf->blocked;
    pl->sends_subscribe = false;
    if (before > 0 && pl->owed.count > 0) {
        ++*at; /* it is blocked: when what it says now would run, nobody knows */
        return true;
    }
    if (is_behind(pf, first) && !stage_catch_up(pf->stage)) {
        return compare_differs(pf, DIFFERENCE_STUCK, -1, SIZE_MAX);
    }
    pf->written &= pf->stage->through != STAGE_REPLICA;
    size_t start = *at;
    *at = queue_pipeline(pf, start, &ends);
    bool half = *at < p->count && p->steps[*at].kind == STEP_END &&
                p->steps[*at].client == first->client && !owes_blocking(pf, pl);
    if (pl->reply_off) {
        pl->reply_off = false; /* or nobody could tell when it is done */
        for (int side = 0; side < STAGE_SIDES; side++) {
            wire_queue(&pl->wires[side], "CLIENT", "REPLY", "ON");
        }
    }
    size_t sent = pl->wires[STAGE_PLAIN].out.len;
    send_pieces(pf, pl, start, *at);
    settle_plain(pf, first->client, sent);
    if (half) {
        half_close(pf, first->client);
        ++*at;
    }
    for (int i = 0; ends && pl->wires[STAGE_PLAIN].in.len == 0 && i < 100; i++) {
        stage_pause_ms(5);
        settle_plain(pf, first->client, 0);
    }
    if (ends) {
        settle_plain(pf, first->client,
                     0); /* it may have been answered while we asked who blocks */
    }
    return compare_all(pf) && (before + pf->blocked == 0 || compare_blocked(pf));
}

/* ---- the whole ---- */

bool play(struct stage *stage, const struct program *p, struct difference *d)
{
    struct performance pf = {.stage = stage, .program = p, .difference = d, .written = true};
    enum { DATA_EVERY = 100 };
    size_t at = 0, looked = 0;

    *d = (struct difference){.client = -1, .step = SIZE_MAX};
    bool same = stage_stands(stage) && begin(&pf);
    if (!same) { /* what the last program, that differed, left behind */
        stage_renew(stage);
        *d = (struct difference){.client = -1, .step = SIZE_MAX};
        same = begin(&pf);
    }
    while (same && at < p->count) {
        same = play_pipeline(&pf, &at);
        bool within = at < p->count && p->steps[at].glued; /* of what may be random meanwhile */
        if (same && (at == p->count || (at >= looked + DATA_EVERY && !within))) {
            same = compare_data(&pf);
            looked = at;
        }
    }
    if (!same && !stage_stands(stage)) {
        d->kind = DIFFERENCE_DIED;
    }
    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        player_close(&pf.players[i]);
    }
    return same;
}
