#include "tests/differ/messages.h"

#include "common/clock.h"
#include "common/mem.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

static bool begins(struct message m, const char *word)
{
    return frames_begins(m.bytes, m.len, word);
}

/* The first whole one from `at` on; no length: there is none. */
static struct message next(struct buf *in, size_t at)
{
    const char *bytes = (const char *)buf_head(in) + at;
    ssize_t len = at < in->len ? wire_reply_length(bytes, in->len - at) : 0;
    return (struct message){bytes, len > 0 ? (size_t)len : 0};
}

bool messages_come_freely(const struct player *pl, struct message m)
{
    return frames_is_message(m.bytes, m.len) || (pl->told && begins(m, "invalidate"));
}

bool messages_invalidate(struct message m)
{
    return begins(m, "invalidate") || begins(m, "tracking-redir-broken");
}

/* Whether Holdfast's message is the one that Redis said; ids are of each server. */
static bool same(struct message a, struct message b)
{
    static const char broken[] = "tracking-redir-broken";
    return (a.len == b.len && memcmp(a.bytes, b.bytes, a.len) == 0) ||
           (begins(a, broken) && begins(b, broken));
}

/* ---- their order ---- */

static bool equal_bytes(const struct frame *a, const struct frame *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* Channel and text of the same PUBLISH, to another pattern, or the channel itself. */
static bool same_publish(const struct frame *a, const struct frame *b)
{
    bool same_channel = a->count > 2 && b->count > 2 &&
                        equal_bytes(&a->children[a->count - 2], &b->children[b->count - 2]) &&
                        equal_bytes(&a->children[a->count - 1], &b->children[b->count - 1]);
    bool other =
        same_channel && (a->count != b->count || !equal_bytes(&a->children[1], &b->children[1]));
    return other;
}

static bool of_tracking(const struct frame *f)
{
    static const char channel[] = "__redis__:invalidate";
    return f->count == 3 && f->children[1].len == sizeof channel - 1 &&
           memcmp(f->children[1].bytes, channel, sizeof channel - 1) == 0;
}

/* Whether two messages of channels, one behind the other, may change places. */
static bool may_swap_messages(struct message a, struct message b)
{
    struct frame x, y;

    frames_parse(&x, a.bytes, a.len);
    frames_parse(&y, b.bytes, b.len);
    bool may = of_tracking(&x) != of_tracking(&y) || same_publish(&x, &y);
    frames_release(&x);
    frames_release(&y);
    return may;
}

static bool is_reply(struct message m)
{
    return *m.bytes != '>' && !frames_is_message(m.bytes, m.len);
}

/* Where a subscription begins and ends among messages is where Redis ran it. */
static bool is_acknowledgement(struct message m)
{
    return player_is_acknowledgement(m.bytes, m.len);
}

/* ---- early ones ---- */

bool messages_were_early(struct player *pl, struct message said)
{
    struct message m;

    for (size_t at = 0; at < pl->early.len; at += m.len) {
        m = next(&pl->early, at);
        MUST(m.len > 0);
        if (same(m, said)) {
            uint8_t *bytes = buf_head(&pl->early);
            memmove(bytes + at, bytes + at + m.len, pl->early.len - at - m.len);
            buf_truncate(&pl->early, pl->early.len - m.len);
            return true;
        }
        bool both = frames_is_message(m.bytes, m.len) && frames_is_message(said.bytes, said.len);
        if (both && !may_swap_messages(m, said)) {
            return false;
        }
    }
    return false;
}

size_t messages_keep_early(struct player *pl, struct message said, size_t len, int timeout_ms)
{
    struct wire *w = &pl->wires[STAGE_PROXY];

    while (len > 0 && *buf_head(&w->in) == '>' && !is_acknowledgement(said) &&
           messages_come_freely(pl, (struct message){(const char *)buf_head(&w->in), len})) {
        buf_append(&pl->early, buf_head(&w->in), len);
        buf_consume(&w->in, len);
        len = compare_await(w, timeout_ms);
    }
    return len;
}

/* ---- invalidations ---- */

static bool is_invalidation(struct message m)
{
    struct frame f;

    if (!frames_is_message(m.bytes, m.len)) {
        return begins(m, "invalidate");
    }
    frames_parse(&f, m.bytes, m.len);
    bool is = of_tracking(&f);
    frames_release(&f);
    return is;
}

/* Whether the client has read one of its keys since its tracking began; of all keys (null): yes. */
static bool was_read(const struct player *pl, struct message m)
{
    struct frame f;

    frames_parse(&f, m.bytes, m.len);
    const struct frame *keys = &f.children[f.count - 1];
    bool read = keys->children == NULL;
    for (size_t i = 0; i < keys->count && !read; i++) {
        read = player_has_read(pl, keys->children[i].bytes, keys->children[i].len);
    }
    frames_release(&f);
    return read;
}

/* Whose keys a client is told of: its own, and theirs who redirect their tracking to it. */
static bool is_told_for(const struct performance *pf, const struct player *pl, int other)
{
    const struct player *one = &pf->players[other];
    return one == pl || (one->tells >= 0 && &pf->players[one->tells] == pl);
}

/* Whether Holdfast may say this and Redis not, or the other way round (`lacks`). */
static bool is_for_nobody(const struct performance *pf, const struct player *pl, struct message m,
                          bool lacks)
{
    bool may = false;

    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        const struct player *one = &pf->players[i];
        if (is_told_for(pf, pl, i)) {
            if (one->broadcasts || was_read(one, m)) {
                return false;
            }
            may |= lacks ? one->tracked : one->tracks;
        }
    }
    return may;
}

static bool is_surplus(const struct performance *pf, const struct player *pl, struct message m)
{
    const struct buf *said = &pl->wires[STAGE_PLAIN].in;

    return m.len > 0 && is_invalidation(m) && is_for_nobody(pf, pl, m, false) &&
           (said->len == 0 || memmem(buf_head(said), said->len, m.bytes, m.len) == NULL);
}

void messages_skip_surplus(const struct performance *pf, struct player *pl)
{
    struct buf *in = &pl->wires[STAGE_PROXY].in;

    for (struct message m = next(in, 0); is_surplus(pf, pl, m); m = next(in, 0)) {
        buf_consume(in, m.len);
    }
    for (struct message m = next(&pl->early, 0); is_surplus(pf, pl, m); m = next(&pl->early, 0)) {
        buf_consume(&pl->early, m.len);
    }
}

bool messages_may_lack(const struct performance *pf, const struct player *pl, struct message said)
{
    return is_invalidation(said) && is_for_nobody(pf, pl, said, true);
}

/* ---- late ones ---- */

/* The step that the reply which Holdfast has sent as its index-th one belongs to. */
static const struct step *owed(const struct performance *pf, const struct player *pl, size_t index)
{
    const struct player_queue *q = &pl->owed;

    for (size_t i = 0; i < q->count; i++) {
        const struct step *s = &pf->program->steps[q->steps[q->head + i]];
        if (!player_is_subscription(s) && index-- == 0) {
            return s;
        }
    }
    return NULL;
}

/* Whether it is the end of another subscription than that of the message: what is not subscribed to
 * is acknowledged at once. */
static bool ends_another(struct message acknowledgement, struct message m)
{
    struct frame x, y;

    frames_parse(&x, acknowledgement.bytes, acknowledgement.len);
    frames_parse(&y, m.bytes, m.len);
    bool ends = x.count == 3 && memmem(x.children[0].bytes, x.children[0].len, "unsub", 5) != NULL;
    char kind = y.count > 0 ? *y.children[0].bytes : 'm'; /* message, pmessage, smessage */
    if (ends && *x.children[0].bytes != (kind == 'm' ? 'u' : kind)) {
        frames_release(&x);
        frames_release(&y);
        return true;
    }
    for (size_t i = 1; ends && i + 1 < y.count; i++) {
        ends = x.children[1].type == '_' || !equal_bytes(&x.children[1], &y.children[i]);
    }
    frames_release(&x);
    frames_release(&y);
    return ends;
}

/* Whether what Redis says now may come behind this. reply: which one of them it is. */
static bool may_follow(const struct performance *pf, const struct player *pl, struct message said,
                       struct message m, size_t reply, bool freely)
{
    bool message = frames_is_message(said.bytes, said.len);

    if (is_acknowledgement(m)) {
        return !message || ends_another(m, said);
    }
    if (!is_reply(m)) {
        return !message || !frames_is_message(m.bytes, m.len) || may_swap_messages(m, said);
    }
    if (*said.bytes != '>' || freely) {
        return *said.bytes == '>'; /* RESP2 has no messages to itself */
    }
    const struct step *s = owed(pf, pl, reply);
    return *m.bytes == '-' || (m.len == 9 && memcmp(m.bytes, "+QUEUED\r\n", m.len) == 0) ||
           (s != NULL && rules_is_of_proxy(s));
}

static void bring_to_front(char *bytes, size_t at, size_t len)
{
    char *copy = mem_alloc(len);

    memcpy(copy, bytes + at, len);
    memmove(bytes + len, bytes, at);
    memcpy(bytes, copy, len);
    free(copy);
}

/* True: it is at the front, or can't come there. */
static bool reorder(const struct performance *pf, struct player *pl, struct message said,
                    bool freely)
{
    struct buf *in = &pl->wires[STAGE_PROXY].in;
    struct message m;
    size_t replies = 0;

    for (size_t at = 0; (m = next(in, at)).len > 0; at += m.len) {
        if (same(m, said)) {
            bring_to_front((char *)buf_head(in), at, m.len);
            return true;
        }
        if (!may_follow(pf, pl, said, m, replies, freely)) {
            return true;
        }
        replies += is_reply(m);
    }
    return false;
}

void messages_reorder(const struct performance *pf, struct player *pl, struct message said,
                      bool freely)
{
    struct wire *w = &pl->wires[STAGE_PROXY];
    uint64_t end = clock_now_ns() + (uint64_t)pf->stage->timeout_ms * CLOCK_NS_PER_MS;

    while (!reorder(pf, pl, said, freely) && clock_now_ns() < end) {
        struct pollfd pfd = {.fd = w->fd, .events = POLLIN};
        if (w->ended || poll(&pfd, 1, pf->stage->timeout_ms) <= 0) {
            return;
        }
        wire_fill(w);
    }
}
