#include "tests/differ/compare.h"

#include "common/clock.h"
#include "common/mem.h"

#include <check.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

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

/* Waits for a whole reply; its length, or 0. */
static size_t await_frame(struct wire *w, int timeout_ms)
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

/* Whether Holdfast's message is the one that Redis said; ids are of each server. */
static bool same_message(const char *said, size_t said_len, const char *bytes, size_t len)
{
    static const char broken[] = "tracking-redir-broken";
    return (len == said_len && memcmp(bytes, said, len) == 0) ||
           (frames_begins(said, said_len, broken) && frames_begins(bytes, len, broken));
}

static void bring_to_front(char *bytes, size_t at, size_t len)
{
    char *copy = mem_alloc(len);

    memcpy(copy, bytes + at, len);
    memmove(bytes + len, bytes, at);
    memcpy(bytes, copy, len);
    free(copy);
}

/* Brings the message that Redis says now to the front of what Holdfast has sent: those for several
 * patterns come in the order of a hash table, and in RESP3 what a client publishes to itself comes
 * behind the reply, as in later versions of Redis; invalidations may come behind what the proxy
 * itself answers, and where they are redirected to anywhere. Waits for it. */
static void reorder_messages(const struct performance *pf, struct player *pl, const char *said,
                             size_t said_len, bool freely)
{
    const struct player_queue *q = &pl->owed;
    struct wire *w = &pl->wires[STAGE_PROXY];
    bool by_proxy = q->count > 0 && rules_is_about_clients(&pf->program->steps[q->steps[q->head]]);
    uint64_t end = clock_now_ns() + (uint64_t)pf->stage->timeout_ms * CLOCK_NS_PER_MS;

    while (clock_now_ns() < end) {
        char *bytes = (char *)buf_head(&w->in);
        size_t at = 0;
        ssize_t len = 0;
        while (at < w->in.len && (len = wire_reply_length(bytes + at, w->in.len - at)) > 0) {
            if ((*said != '>' && !frames_is_message(bytes + at, (size_t)len)) ||
                (!freely && !by_proxy && strchr("-+>:", bytes[at]) == NULL && len > 4)) {
                break;
            }
            if (same_message(said, said_len, bytes + at, (size_t)len)) {
                bring_to_front(bytes, at, (size_t)len);
                return;
            }
            at += (size_t)len;
        }
        if (at < w->in.len && len > 0) {
            return; /* something that it must not come behind */
        }
        struct pollfd pfd = {.fd = w->fd, .events = POLLIN};
        if (w->ended || poll(&pfd, 1, pf->stage->timeout_ms) <= 0) {
            return;
        }
        wire_fill(w);
    }
}

/* Takes the message out of those that came early. */
static bool was_early(struct player *pl, const char *said, size_t said_len)
{
    uint8_t *bytes = buf_head(&pl->early);
    ssize_t len;

    for (size_t at = 0; at < pl->early.len; at += (size_t)len) {
        len = wire_reply_length((const char *)bytes + at, pl->early.len - at);
        MUST(len > 0);
        if ((size_t)len == said_len && memcmp(bytes + at, said, said_len) == 0) {
            memmove(bytes + at, bytes + at + said_len, pl->early.len - at - said_len);
            buf_truncate(&pl->early, pl->early.len - said_len);
            return true;
        }
    }
    return false;
}

/* Whether it has no place of its own among the client's replies. */
static bool comes_freely(const struct player *pl, const char *frame, size_t len)
{
    return frames_is_message(frame, len) || (pl->told && frames_begins(frame, len, "invalidate"));
}

/* Leaves out invalidations at the head of what Holdfast sent that Redis does not tell: they are for
 * keys that somebody else has read over the same link (COMPATIBILITY.md). */
static void skip_surplus(struct player *pl)
{
    struct buf *in = &pl->wires[STAGE_PROXY].in;
    const struct buf *said = &pl->wires[STAGE_PLAIN].in;

    while (in->len > 0 && *buf_head(in) == '>') {
        ssize_t len = wire_reply_length((const char *)buf_head(in), in->len);
        if (len <= 0 || !frames_begins((const char *)buf_head(in), (size_t)len, "invalidate") ||
            (said->len > 0 && memmem(buf_head(said), said->len, buf_head(in), (size_t)len))) {
            return;
        }
        buf_consume(in, (size_t)len);
    }
}

static bool compare_frame(struct performance *pf, int client)
{
    struct player *pl = &pf->players[client];
    struct wire *plain = &pl->wires[STAGE_PLAIN], *proxy = &pl->wires[STAGE_PROXY];
    enum frames_rule rule, *rules;
    size_t count = 0;

    size_t plain_len = await_frame(plain, STAGE_CONTROL_MS);
    ck_assert_msg(plain_len > 0, "not a whole reply of the plain Redis");
    const char *said = (const char *)buf_head(&plain->in);
    size_t step = player_takes(pl, pf->stage, pf->program, said, plain_len, &rule, &rules, &count);
    bool message = step == SIZE_MAX && comes_freely(pl, said, plain_len);
    if (message && was_early(pl, said, plain_len)) {
        free(rules);
        buf_consume(&plain->in, plain_len);
        return true;
    }
    size_t len = await_frame(proxy, pf->stage->timeout_ms);
    while (!message && len > 0 && *buf_head(&proxy->in) == '>' &&
           comes_freely(pl, (const char *)buf_head(&proxy->in), len)) {
        buf_append(&pl->early, buf_head(&proxy->in), len);
        buf_consume(&proxy->in, len);
        len = await_frame(proxy, pf->stage->timeout_ms);
    }
    if (len > 0 && *buf_head(&proxy->in) == '>') {
        skip_surplus(pl);
        len = await_frame(proxy, pf->stage->timeout_ms);
    }
    bool invalidates =
        step == SIZE_MAX && (frames_begins(said, plain_len, "invalidate") ||
                             frames_begins(said, plain_len, "tracking-redir-broken"));
    if (len > 0 && (message || invalidates)) {
        reorder_messages(pf, pl, said, plain_len, message);
        len = await_frame(proxy, 0);
    }
    bool same = len > 0 && frames_equal(said, plain_len, (const char *)buf_head(&proxy->in), len,
                                        rule, rules, count);
    free(rules);
    if (!same) {
        buf_append(&pf->difference->said[STAGE_PLAIN], said, plain_len);
        buf_append(&pf->difference->said[STAGE_PROXY], buf_head(&proxy->in),
                   len > 0 ? len : proxy->in.len);
        return compare_differs(pf, len > 0 ? DIFFERENCE_REPLY : DIFFERENCE_SILENCE, client, step);
    }
    buf_consume(&plain->in, plain_len);
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
    skip_surplus(pl);
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
        if (plain == stage_blocked(&controls[STAGE_ENGINE]) &&
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

    while ((blocked = stage_blocked(control)) != pf->blocked) {
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

bool compare_data(struct performance *pf)
{
    struct difference *d = pf->difference;

    ck_assert(stage_digest(&pf->stage->controls[STAGE_PLAIN], &d->said[STAGE_PLAIN]));
    if (!stage_digest(&pf->stage->controls[STAGE_PROXY], &d->said[STAGE_PROXY])) {
        return compare_differs(pf, DIFFERENCE_STUCK, -1, SIZE_MAX);
    }
    if (d->said[0].len != d->said[1].len ||
        memcmp(buf_head(&d->said[0]), buf_head(&d->said[1]), d->said[0].len) != 0) {
        return compare_differs(pf, DIFFERENCE_DIGEST, -1, SIZE_MAX);
    }
    buf_clear(&d->said[0]);
    buf_clear(&d->said[1]);
    return true;
}
