#include "tests/differ/compare.h"

#include "common/clock.h"
#include "tests/differ/messages.h"

#include <check.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

bool compare_differs(struct performance *pf, enum difference_kind kind, int client, size_t step)
{
    struct difference *d = pf->difference;

    stage_dump(pf->stage);
    d->kind = kind;
    d->client = client;
    d->step = step;
    if (step != SIZE_MAX && pf->program->steps[step].count > 0 &&
        pf->program->steps[step].words[0].bytes != NULL) {
        (void)snprintf(d->command, sizeof d->command, "%.60s",
                       pf->program->steps[step].words[0].bytes);
    }
    return false;
}

/* ---- replies ---- */

size_t compare_await(struct wire *w, int timeout_ms)
{
    uint64_t end = clock_now_ns() + (uint64_t)timeout_ms * CLOCK_NS_PER_MS;

    for (;;) {
        ssize_t len =
            w->in.len > 0 ? wire_reply_length((const char *)buf_head(&w->in), w->in.len) : 0;
        uint64_t now = clock_now_ns();
        if (len > 0) {
            return (size_t)len;
        }
        if (len < 0 || w->ended || now > end) {
            return 0;
        }
        struct pollfd pfd = {.fd = w->fd, .events = POLLIN};
        (void)poll(&pfd, 1, (int)((end - now) / CLOCK_NS_PER_MS) + 1);
        wire_fill(w);
    }
}

/* Names in acknowledgements that come in any order: in the end they must have been the same. */
static void note_acknowledged(struct player *pl, enum stage_side side, struct message m)
{
    struct frame f;

    frames_parse(&f, m.bytes, m.len);
    if (f.count > 1) {
        pl->acknowledged[side] += XXH3_64bits(f.children[1].bytes, f.children[1].len);
    }
    frames_release(&f);
}

static bool starts(struct message m, const char *text)
{
    return m.len >= strlen(text) && memcmp(m.bytes, text, strlen(text)) == 0;
}

/* Whether Redis refuses a subscriber's command for another reason first (RULES_CONTEXT). */
static bool says_context_first(const struct player *pl, struct message said, struct message m)
{
    bool first = starts(said, "-OOM ") || starts(said, "-NOREPLICAS ");

    return (first && player_is_subscribed(pl) && starts(m, "-ERR Can't execute '")) ||
           (starts(said, "-NOPERM ") && starts(m, "-NOREPLICAS "));
}

/* Both frames are at the front. */
static bool same_frames(const struct performance *pf, struct player *pl, struct message said,
                        struct message m, struct frames_how *how)
{
    struct frames_id ids[PROGRAM_CLIENTS];

    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        for (int side = 0; side < STAGE_SIDES; side++) {
            ids[i].ids[side] = pf->players[i].open ? pf->players[i].ids[side] : -1;
        }
    }
    how->ids = ids;
    how->id_count = PROGRAM_CLIENTS;
    bool same =
        frames_equal(said.bytes, said.len, m.bytes, m.len, how) || says_context_first(pl, said, m);
    if (same && how->rule == FRAMES_ACK) {
        note_acknowledged(pl, STAGE_PLAIN, said);
        note_acknowledged(pl, STAGE_PROXY, m);
        same = pl->acks >= 0 || pl->acknowledged[STAGE_PLAIN] == pl->acknowledged[STAGE_PROXY];
    }
    return same;
}

/* What Holdfast says where Redis says this, brought to the front, if it comes. */
static size_t find_frame(const struct performance *pf, struct player *pl, struct message said,
                         bool asked)
{
    struct wire *proxy = &pl->wires[STAGE_PROXY];
    bool freely = !asked && messages_come_freely(pl, said);
    bool may_lack = !asked && messages_may_lack(pf, pl, said);
    int timeout_ms = may_lack ? 0 : pf->stage->timeout_ms;

    size_t len = compare_await(proxy, timeout_ms);
    if (!freely) {
        len = messages_keep_early(pl, said, len, timeout_ms);
    }
    if (len > 0) {
        messages_skip_surplus(pf, pl);
        len = compare_await(proxy, timeout_ms);
    }
    if (len > 0 && !may_lack && (freely || (!asked && messages_invalidate(said)))) {
        messages_reorder(pf, pl, said, freely);
        len = compare_await(proxy, 0);
    }
    return len;
}

/* What nobody can write under, for all that was answered; and what stands in one ACL LOG only. */
static void follow_refusals(struct performance *pf, size_t step, struct message said)
{
    const struct step *s = step != SIZE_MAX ? &pf->program->steps[step] : NULL;

    if (s != NULL && starts(said, "-NOPERM ") && s->count > 0 && s->words[0].bytes != NULL) {
        const struct command *c = table_find(&pf->stage->table, s->words[0].bytes, "");
        pf->unlogged |= (c != NULL && c->blocking) || step_is(s, 1, "reply");
    }
    if (s == NULL || *said.bytes != '+') {
        return;
    }
    if (step_is(s, 0, "config") && step_is(s, 1, "set") && step_is(s, 2, "min-replicas-to-write")) {
        pf->alone = !step_is(s, 3, "0");
    }
    if (!step_is(s, 0, "client")) {
        return;
    }
    if (step_is(s, 1, "pause") && !step_is(s, 2, "0") && step_is(s, 3, "write")) {
        pf->paused = true;
    } else if (step_is(s, 1, "unpause")) {
        pf->paused = false;
    }
}

/* "(but what the proxy disables, what may block, and `CLIENT REPLY`" (RULES_UNLOGGED) */
static void forgive_log(const struct performance *pf, struct frames_how *how)
{
    if (!pf->unlogged) {
        return;
    }
    how->rule = how->rule == FRAMES_LOG ? FRAMES_TYPE : how->rule;
    for (size_t i = 0; how->elements != NULL && i < how->count; i++) {
        struct frames_element *e = &how->elements[i];
        e->rule = e->rule == FRAMES_LOG ? FRAMES_TYPE : e->rule;
    }
}

static bool compare_frame(struct performance *pf, int client)
{
    struct player *pl = &pf->players[client];
    struct wire *plain = &pl->wires[STAGE_PLAIN], *proxy = &pl->wires[STAGE_PROXY];
    struct frames_how how;

    size_t said_len = compare_await(plain, STAGE_CONTROL_MS);
    ck_assert_msg(said_len > 0, "not a whole reply of the plain Redis");
    struct message said = {(const char *)buf_head(&plain->in), said_len};
    size_t step = player_takes(pl, pf->stage, pf->program, said.bytes, said.len, &how);
    bool asked = step != SIZE_MAX;
    forgive_log(pf, &how);
    size_t len = 0;
    bool same = !asked && messages_come_freely(pl, said) && messages_were_early(pl, said);
    if (!same) {
        len = find_frame(pf, pl, said, asked);
        same =
            len > 0 && same_frames(pf, pl, said,
                                   (struct message){(const char *)buf_head(&proxy->in), len}, &how);
        if (!same && !asked && messages_may_lack(pf, pl, said)) {
            len = 0;
            same = true;
        }
    }
    free(how.elements);
    if (!same) {
        buf_append(&pf->difference->said[STAGE_PLAIN], said.bytes, said.len);
        buf_append(&pf->difference->said[STAGE_PROXY], buf_head(&proxy->in),
                   len > 0 ? len : proxy->in.len);
        return compare_differs(pf, len > 0 ? DIFFERENCE_REPLY : DIFFERENCE_SILENCE, client, step);
    }
    follow_refusals(pf, step, said);
    buf_consume(&plain->in, said.len);
    buf_consume(&proxy->in, len);
    return true;
}

/* ---- connections ---- */

/* Both have closed, or none. */
static bool compare_end(struct performance *pf, int client)
{
    struct player *pl = &pf->players[client];

    if (pl->wires[STAGE_PLAIN].ended &&
        !wire_wait_closed(&pl->wires[STAGE_PROXY], pf->stage->timeout_ms)) {
        return compare_differs(pf, DIFFERENCE_CLOSED, client, SIZE_MAX);
    }
    if (pl->wires[STAGE_PLAIN].ended) {
        player_close(pl);
        return true;
    }
    wire_fill(&pl->wires[STAGE_PROXY]);
    messages_skip_surplus(pf, pl);
    if (pl->wires[STAGE_PROXY].ended) {
        return compare_differs(pf, DIFFERENCE_CLOSED, client, SIZE_MAX);
    }
    if (pl->wires[STAGE_PROXY].in.len + pl->early.len > 0) {
        struct wire *w = &pl->wires[STAGE_PROXY];
        buf_append(&pf->difference->said[STAGE_PROXY], buf_head(&pl->early), pl->early.len);
        buf_append(&pf->difference->said[STAGE_PROXY], buf_head(&w->in), w->in.len);
        return compare_differs(pf, DIFFERENCE_EXTRA, client, SIZE_MAX);
    }
    return true;
}

int compare_open(const struct performance *pf)
{
    int open = 0;
    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        open += pf->players[i].open;
    }
    return open;
}

bool compare_wait_gone(struct performance *pf, int clients)
{
    struct wire *controls = pf->stage->controls;
    uint64_t end = clock_now_ns() + (uint64_t)pf->stage->timeout_ms * CLOCK_NS_PER_MS;

    for (;;) {
        int plain = stage_blocked(&controls[STAGE_PLAIN]);
        if ((pf->paused || plain == stage_blocked(&controls[STAGE_ENGINE])) &&
            stage_clients(&controls[STAGE_PROXY]) == clients + 1) {
            pf->blocked = plain;
            return true;
        }
        if (clock_now_ns() > end) {
            return false;
        }
        stage_pause_ms(1);
    }
}

static void tell_blocked(const struct performance *pf, struct buf *out)
{
    buf_printf(out, "%d:", pf->blocked);
    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        const struct player_queue *q = &pf->players[i].owed;
        if (pf->players[i].open && q->count > 0) {
            const struct step *s = &pf->program->steps[q->steps[q->head]];
            buf_printf(out, " %c in %s", 'A' + i, s->count > 0 ? s->words[0].bytes : "");
        }
    }
}

bool compare_blocked(struct performance *pf)
{
    struct wire *control = &pf->stage->controls[STAGE_ENGINE];
    uint64_t end = clock_now_ns() + (uint64_t)pf->stage->timeout_ms * CLOCK_NS_PER_MS;
    int blocked;

    while (!pf->paused && (blocked = stage_blocked(control)) != pf->blocked) {
        if (clock_now_ns() > end) {
            tell_blocked(pf, &pf->difference->said[STAGE_PLAIN]);
            buf_printf(&pf->difference->said[STAGE_PROXY], "%d", blocked);
            return compare_differs(pf, DIFFERENCE_BLOCKED, -1, SIZE_MAX);
        }
        stage_pause_ms(1);
    }
    return true;
}

bool compare_all(struct performance *pf)
{
    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        struct player *pl = &pf->players[i];
        while (pl->open && pl->wires[STAGE_PLAIN].in.len > 0) {
            if (!compare_frame(pf, i)) {
                return false;
            }
        }
    }
    int open = compare_open(pf);
    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        if (pf->players[i].open && !compare_end(pf, i)) {
            return false;
        }
    }
    return compare_open(pf) == open || compare_wait_gone(pf, compare_open(pf)) ||
           compare_differs(pf, DIFFERENCE_CLOSED, -1, SIZE_MAX);
}

/* ---- data ---- */

static bool same_data(struct performance *pf, int control)
{
    struct difference *d = pf->difference;

    if (!stage_digest(&pf->stage->controls[control], &d->said[STAGE_PROXY])) {
        return compare_differs(pf, DIFFERENCE_STUCK, -1, SIZE_MAX);
    }
    return (d->said[0].len == d->said[1].len &&
            memcmp(buf_head(&d->said[0]), buf_head(&d->said[1]), d->said[0].len) == 0) ||
           compare_differs(pf, DIFFERENCE_DIGEST, -1, SIZE_MAX);
}

bool compare_data(struct performance *pf)
{
    struct difference *d = pf->difference;

    ck_assert(stage_digest(&pf->stage->controls[STAGE_PLAIN], &d->said[STAGE_PLAIN]));
    if (!same_data(pf, STAGE_PROXY)) {
        return false;
    }
    if (pf->stage->through != STAGE_LEADER) {
        if (!stage_catch_up(pf->stage)) {
            return compare_differs(pf, DIFFERENCE_STUCK, -1, SIZE_MAX);
        }
        if (!same_data(pf, STAGE_COPY)) {
            return false;
        }
    }
    difference_release(d);
    return true;
}
