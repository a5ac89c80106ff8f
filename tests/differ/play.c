#include "tests/differ/play.h"

#include "common/clock.h"
#include "common/mem.h"
#include "tests/differ/player.h"
#include "tests/differ/values.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PLAY_TIMEOUT_MS = 30000, PLAY_CONTROL_MS = 60000, PLAY_READ_BYTES = 16384 };

static const char *const control_names[PLAY_CONTROLS] = {"plain1", "proxy1", "redis1"};

/* One performance. */
struct performance {
    struct play_stage *stage;
    const struct program *program;
    struct player players[PROGRAM_CLIENTS];
    struct play_difference *difference;
    int blocked; /* clients, at the plain Redis */
};

const char *play_kind_text(enum play_kind kind)
{
    static const char *const texts[] = {
        "no difference",        "another reply",        "no reply from Holdfast",
        "more than Redis says", "the connection's end", "clients that block",
        "other data",           "the proxy ended",      "Holdfast does not answer",
    };
    return texts[kind];
}

void play_difference_release(struct play_difference *d)
{
    buf_release(&d->said[0]);
    buf_release(&d->said[1]);
}

static void dump(const struct performance *pf);

static bool differ(struct performance *pf, enum play_kind kind, int client, size_t step)
{
    struct play_difference *d = pf->difference;

    dump(pf);
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

/* ---- controls ---- */

/* Sends what is queued and takes that many replies; the last stays in reply. */
static bool control_do(struct wire *w, unsigned replies, struct buf *reply)
{
    wire_flush(w);
    for (unsigned i = 0; i < replies; i++) {
        if (wire_reply(w, reply, PLAY_CONTROL_MS) != ERR_OK) {
            return false;
        }
    }
    return true;
}

static int number_of(const struct buf *reply, const char *name)
{
    const char *at = memmem(buf_head(reply), reply->len, name, strlen(name));
    return at != NULL ? atoi(at + strlen(name)) : -1;
}

static int blocked_clients(struct wire *w)
{
    struct buf reply = BUF_INIT;

    wire_queue(w, "INFO", "clients");
    int blocked = control_do(w, 1, &reply) ? number_of(&reply, "blocked_clients:") : -1;
    buf_release(&reply);
    return blocked;
}

static bool digest(struct wire *w, struct buf *reply)
{
    wire_queue(w, "DEBUG", "DIGEST");
    return control_do(w, 1, reply);
}

static void pause_ms(long ms)
{
    struct timespec ts = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&ts, NULL);
}

/* Everything that a program may have changed and that lives longer than its clients. */
static unsigned queue_reset(struct wire *w)
{
    static const char *const config[] = {"hash-max-listpack-entries",
                                         "128",
                                         "hash-max-listpack-value",
                                         "64",
                                         "list-max-listpack-size",
                                         "-2",
                                         "set-max-intset-entries",
                                         "512",
                                         "zset-max-listpack-entries",
                                         "128",
                                         "zset-max-listpack-value",
                                         "64",
                                         "stream-node-max-entries",
                                         "100",
                                         "notify-keyspace-events",
                                         "",
                                         "maxmemory",
                                         "0",
                                         "proto-max-bulk-len",
                                         "512mb",
                                         "hll-sparse-max-bytes",
                                         "3000",
                                         "maxmemory-policy",
                                         "noeviction",
                                         "lfu-log-factor",
                                         "10",
                                         "slowlog-log-slower-than",
                                         "10000",
                                         NULL};
    wire_queue(w, "CLIENT", "UNPAUSE");
    wire_queue(w, "SCRIPT", "FLUSH");
    wire_queue(w, "FUNCTION", "FLUSH");
    wire_queue(w, "ACL", "DELUSER", "u1", "u2");
    wire_queue(w, "ACL", "LOG", "RESET");
    wire_queue(w, "FLUSHALL");
    wire_queue(w, "DEBUG", "SET-ACTIVE-EXPIRE", "1");
    wire_queue(w, "DEBUG", "QUICKLIST-PACKED-THRESHOLD", "1B");
    wire_queue(w, "DEBUG", "QUICKLIST-PACKED-THRESHOLD", "0");
    const char *argv[64] = {"CONFIG", "SET"};
    memcpy(&argv[2], config, sizeof config);
    wire_queuev(w, argv);
    return 10;
}

/* How many clients the proxy knows of. */
static int proxy_clients(struct wire *w)
{
    struct buf reply = BUF_INIT;
    int clients = 0;

    wire_queue(w, "CLIENT", "LIST");
    if (control_do(w, 1, &reply)) {
        for (size_t i = 0; i + 3 < reply.len; i++) {
            clients += memcmp(buf_head(&reply) + i, "\nid=", 4) == 0;
        }
    }
    buf_release(&reply);
    return clients;
}

/* For whoever looks into a difference: DIFFER_DUMP=1 shows what the servers think of clients. */
static void dump(const struct performance *pf)
{
    struct buf reply = BUF_INIT;

    for (int i = 0; getenv("DIFFER_DUMP") != NULL && i < PLAY_CONTROLS; i++) {
        struct wire *w = &pf->stage->controls[i];
        wire_queue(w, "CLIENT", "LIST");
        if (control_do(w, 1, &reply)) {
            printf("%s %s\n", control_names[i], (char *)buf_head(&reply));
        }
    }
    buf_release(&reply);
}

/* Both servers have seen that clients left. */
static bool wait_gone(struct performance *pf, int clients)
{
    struct wire *controls = pf->stage->controls;
    uint64_t end = clock_now_ns() + (uint64_t)pf->stage->timeout_ms * CLOCK_NS_PER_MS;

    for (;;) {
        int plain = blocked_clients(&controls[PLAY_PLAIN]);
        if (plain == blocked_clients(&controls[PLAY_ENGINE]) &&
            proxy_clients(&controls[PLAY_PROXY]) == clients + 1) {
            pf->blocked = plain;
            return true;
        }
        if (clock_now_ns() > end) {
            return false;
        }
        pause_ms(1);
    }
}

static int open_players(const struct performance *pf)
{
    int open = 0;
    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        open += pf->players[i].open;
    }
    return open;
}

/* After a time in which nothing went on (a disk, a machine), the proxy may have to lead anew. */
static bool wait_served(struct performance *pf)
{
    struct wire *w = &pf->stage->controls[PLAY_PROXY];
    uint64_t end = clock_now_ns() + PLAY_CONTROL_MS * CLOCK_NS_PER_MS;
    struct buf reply = BUF_INIT;
    bool served = false;

    for (bool answers = true; !served && answers && clock_now_ns() < end;) {
        wire_queue(w, "FLUSHALL");
        answers = control_do(w, 1, &reply);
        served = answers && *buf_head(&reply) == '+';
        pause_ms(served ? 0 : 10);
    }
    buf_release(&reply);
    return served;
}

static bool begin(struct performance *pf)
{
    struct wire *controls = pf->stage->controls;
    struct buf reply = BUF_INIT;

    bool ok = wait_gone(pf, 0) && wait_served(pf);
    unsigned count = queue_reset(&controls[PLAY_PROXY]);
    wire_flush(&controls[PLAY_PROXY]);
    queue_reset(&controls[PLAY_PLAIN]);
    ok = control_do(&controls[PLAY_PLAIN], count, &reply) && ok;
    ck_assert_msg(reply.len == 5, "CONFIG SET: %s", reply.len > 0 ? (char *)buf_head(&reply) : "");
    ok = ok && control_do(&controls[PLAY_PROXY], count, &reply);
    buf_release(&reply);
    return ok || differ(pf, PLAY_STUCK, -1, SIZE_MAX);
}

/* ---- a pipeline ---- */

/* Reads what the plain Redis said to anybody; the most bytes that one got. */
static size_t fill_plain(struct performance *pf)
{
    size_t most = 0;
    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        struct wire *w = &pf->players[i].wires[PLAY_PLAIN];
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
static void settle_plain(struct performance *pf, size_t sent)
{
    struct wire *control = &pf->stage->controls[PLAY_PLAIN];
    size_t rounds = 1 + sent / PLAY_READ_BYTES, most;
    struct buf reply = BUF_INIT;

    do {
        wire_queue(control, "PING");
        ck_assert_msg(control_do(control, 1, &reply), "the plain Redis does not answer");
        rounds -= rounds > 0;
        most = rounds == 0 ? fill_plain(pf) : 0;
    } while (rounds > 0 || most > PLAY_READ_BYTES * 2);
    pf->blocked = blocked_clients(control);
    ck_assert_msg(pf->blocked >= 0, "the plain Redis does not answer");
    fill_plain(pf);
    buf_release(&reply);
}

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
    struct wire *w = &pl->wires[PLAY_PROXY];
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
    struct buf *in = &pl->wires[PLAY_PROXY].in;
    const struct buf *said = &pl->wires[PLAY_PLAIN].in;

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
    struct wire *plain = &pl->wires[PLAY_PLAIN], *proxy = &pl->wires[PLAY_PROXY];
    enum frames_rule rule, *rules;
    size_t count = 0;

    size_t plain_len = await_frame(plain, PLAY_CONTROL_MS);
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
        buf_append(&pf->difference->said[PLAY_PLAIN], said, plain_len);
        buf_append(&pf->difference->said[PLAY_PROXY], buf_head(&proxy->in),
                   len > 0 ? len : proxy->in.len);
        return differ(pf, len > 0 ? PLAY_REPLY : PLAY_SILENCE, client, step);
    }
    buf_consume(&plain->in, plain_len);
    buf_consume(&proxy->in, len);
    return true;
}

/* Both have closed, or none. */
static bool compare_end(struct performance *pf, int client)
{
    struct player *pl = &pf->players[client];

    if (pl->wires[PLAY_PLAIN].ended &&
        !wire_wait_closed(&pl->wires[PLAY_PROXY], pf->stage->timeout_ms)) {
        return differ(pf, PLAY_CLOSED, client, SIZE_MAX);
    }
    if (pl->wires[PLAY_PLAIN].ended) {
        player_close(pl);
        return true;
    }
    wire_fill(&pl->wires[PLAY_PROXY]);
    skip_surplus(pl);
    if (pl->wires[PLAY_PROXY].ended) {
        return differ(pf, PLAY_CLOSED, client, SIZE_MAX);
    }
    if (pl->wires[PLAY_PROXY].in.len + pl->early.len > 0) {
        struct wire *w = &pl->wires[PLAY_PROXY];
        buf_append(&pf->difference->said[PLAY_PROXY], buf_head(&pl->early), pl->early.len);
        buf_append(&pf->difference->said[PLAY_PROXY], buf_head(&w->in), w->in.len);
        return differ(pf, PLAY_EXTRA, client, SIZE_MAX);
    }
    return true;
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

/* The proxy's clients that block do it at its Redis; so the next ones can't overtake them. */
static bool compare_blocked(struct performance *pf)
{
    struct wire *control = &pf->stage->controls[PLAY_ENGINE];
    uint64_t end = clock_now_ns() + (uint64_t)pf->stage->timeout_ms * CLOCK_NS_PER_MS;
    int blocked;

    while ((blocked = blocked_clients(control)) != pf->blocked) {
        if (clock_now_ns() > end) {
            tell_blocked(pf, &pf->difference->said[PLAY_PLAIN]);
            buf_printf(&pf->difference->said[PLAY_PROXY], "%d", blocked);
            return differ(pf, PLAY_BLOCKED, -1, SIZE_MAX);
        }
        pause_ms(1);
    }
    return true;
}

static bool compare_all(struct performance *pf)
{
    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        struct player *pl = &pf->players[i];
        while (pl->open && pl->wires[PLAY_PLAIN].in.len > 0) {
            if (!compare_frame(pf, i)) {
                return false;
            }
        }
    }
    int open = open_players(pf);
    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        if (pf->players[i].open && !compare_end(pf, i)) {
            return false;
        }
    }
    return open_players(pf) == open || wait_gone(pf, open_players(pf)) ||
           differ(pf, PLAY_CLOSED, -1, SIZE_MAX);
}

static bool leave(struct performance *pf, int client)
{
    player_close(&pf->players[client]);
    return wait_gone(pf, open_players(pf)) || differ(pf, PLAY_CLOSED, client, SIZE_MAX);
}

/* What stands behind it in a pipeline would run at a time of its own. */
static bool may_block(const struct play_stage *stage, const struct step *s)
{
    if (s->kind == STEP_RAW || s->count < 2 || s->words[0].bytes == NULL) {
        return false;
    }
    const struct command *c = table_find(&stage->table, s->words[0].bytes, "");
    return c != NULL && c->blocking;
}

/* Who hears of what is written: others' tracking is redirected to it, or keys notify it. */
static void note_told(struct performance *pf, struct player *pl, const struct step *s)
{
    for (size_t i = 0; i < s->count && step_is(s, 1, "tracking"); i++) {
        if (s->words[i].client >= 0) {
            pf->players[s->words[i].client].told = true;
            pf->players[s->words[i].client].hears_tracking = true;
        }
    }
    for (int i = 0; i < PROGRAM_CLIENTS && step_is(s, 1, "tracking") && step_is(s, 2, "off"); i++) {
        pf->players[i].hears_tracking = false;
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

/* What it would be told of its own doing comes in the middle of replies from Redis 7.0. */
static bool hears_itself(const struct play_stage *stage, const struct player *pl,
                         const struct step *s)
{
    const char *name = s->count > 0 && s->words[0].bytes != NULL ? s->words[0].bytes : "";
    const struct command *c = table_find(&stage->table, name, "");

    return (pl->hears_tracking || pl->hears_keys) && s->kind != STEP_RAW &&
           !step_is(s, 0, "exec") &&
           ((c != NULL && (c->write || c->blocking)) || step_is(s, 0, "multi") ||
            rules_runs_scripts(s));
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
        bool alone =
            s->alone || s->kind == STEP_RAW || p->steps[i > 0 ? i - 1 : 0].kind == STEP_RAW;
        if (i > first && (alone || s->ends || *ends || blocked)) {
            break;
        }
        bool blocks = !pl->sends_multi && may_block(pf->stage, s);
        if (hears_itself(pf->stage, pl, s) || !player_sends(pl, p, i)) {
            continue;
        }
        note_told(pf, pl, s);
        for (int side = 0; side < PLAY_SIDES; side++) {
            long long ids[PROGRAM_CLIENTS];
            for (int c = 0; c < PROGRAM_CLIENTS; c++) {
                ids[c] = pf->players[c].ids[side];
            }
            step_encode(s, ids, &pl->wires[side].out);
        }
        *ends = s->ends;
        blocked = blocks;
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
    struct wire *proxy = &pl->wires[PLAY_PROXY];
    struct buf whole = BUF_INIT;
    struct random r;
    size_t sent = 0;

    random_init(&r, pf->program->seed + at);
    bool may_close = false;
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
        pause_ms(pieces > 1 ? 1 : 0);
    }
    buf_release(&whole);
    (void)wire_send(&pl->wires[PLAY_PLAIN], "", 0);
}

/* Both hear that the client says nothing more; the plain Redis has closed then. */
static void half_close(struct performance *pf, struct player *pl)
{
    enum { TRIES = 400 };

    for (int side = 0; side < PLAY_SIDES; side++) {
        (void)shutdown(pl->wires[side].fd, SHUT_WR);
    }
    for (int i = 0; i < TRIES && !pl->wires[PLAY_PLAIN].ended; i++) {
        settle_plain(pf, 0);
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
        player_open(pl, pf->stage, pf->program->resp);
    }
    int before = pf->blocked;
    pl->sends_subscribe = false;
    if (before > 0 && pl->owed.count > 0) {
        ++*at; /* it is blocked: when what it says now would run, nobody knows */
        return true;
    }
    size_t start = *at;
    *at = queue_pipeline(pf, start, &ends);
    bool half = *at < p->count && p->steps[*at].kind == STEP_END &&
                p->steps[*at].client == first->client && !owes_blocking(pf, pl);
    if (pl->reply_off) {
        pl->reply_off = false; /* or nobody could tell when it is done */
        for (int side = 0; side < PLAY_SIDES; side++) {
            wire_queue(&pl->wires[side], "CLIENT", "REPLY", "ON");
        }
    }
    size_t sent = pl->wires[PLAY_PLAIN].out.len;
    send_pieces(pf, pl, start, *at);
    settle_plain(pf, sent);
    if (half) {
        half_close(pf, pl);
        ++*at;
    }
    for (int i = 0; ends && pl->wires[PLAY_PLAIN].in.len == 0 && i < 100; i++) {
        pause_ms(5);
        settle_plain(pf, 0);
    }
    if (ends) {
        settle_plain(pf, 0); /* it may have been answered while we asked who blocks */
    }
    return compare_all(pf) && (before + pf->blocked == 0 || compare_blocked(pf));
}

static bool compare_data(struct performance *pf)
{
    struct play_difference *d = pf->difference;

    ck_assert(digest(&pf->stage->controls[PLAY_PLAIN], &d->said[PLAY_PLAIN]));
    if (!digest(&pf->stage->controls[PLAY_PROXY], &d->said[PLAY_PROXY])) {
        return differ(pf, PLAY_STUCK, -1, SIZE_MAX);
    }
    if (d->said[0].len != d->said[1].len ||
        memcmp(buf_head(&d->said[0]), buf_head(&d->said[1]), d->said[0].len) != 0) {
        return differ(pf, PLAY_DIGEST, -1, SIZE_MAX);
    }
    buf_clear(&d->said[0]);
    buf_clear(&d->said[1]);
    return true;
}

/* ---- the whole ---- */

void play_connect(const struct play_stage *stage, enum play_side side, struct wire *w)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (side != PLAY_PLAIN) {
        wire_open(w, cluster_port(stage->cluster, control_names[side]));
        return;
    }
    /* The path itself may be too long. */
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/redis.sock",
                   stage->plain_dir_fd);
    *w = (struct wire){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    ck_assert_msg(w->fd >= 0 && connect(w->fd, (struct sockaddr *)&addr, sizeof addr) == 0,
                  "connect to plain1: %s", strerror(errno));
}

static void open_controls(struct play_stage *stage)
{
    char path[600];

    (void)snprintf(path, sizeof path, "%s/data", cluster_dir(stage->cluster, "plain1"));
    stage->plain_dir_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(stage->plain_dir_fd, 0);
    play_connect(stage, PLAY_PLAIN, &stage->controls[PLAY_PLAIN]);
    play_connect(stage, PLAY_PROXY, &stage->controls[PLAY_PROXY]);
    wire_open(&stage->controls[PLAY_ENGINE], cluster_port(stage->cluster, "redis1"));
    for (int i = 0; i < PLAY_SIDES; i++) {
        struct buf reply = BUF_INIT;
        wire_queue(&stage->controls[i], "CLIENT", "SETNAME", FRAMES_CONTROL);
        ck_assert(control_do(&stage->controls[i], 1, &reply));
        buf_release(&reply);
    }
}

static void close_controls(struct play_stage *stage)
{
    for (int i = 0; i < PLAY_CONTROLS; i++) {
        wire_close(&stage->controls[i]);
    }
    close(stage->plain_dir_fd);
}

void play_open(struct play_stage *stage, struct cluster *cluster)
{
    *stage = (struct play_stage){.cluster = cluster, .timeout_ms = PLAY_TIMEOUT_MS};
    open_controls(stage);
    table_load(&stage->table, &stage->controls[PLAY_PLAIN]);
}

void play_close(struct play_stage *stage)
{
    close_controls(stage);
    table_release(&stage->table);
}

/* After what nobody can be sure of: new processes, with nothing in them. */
static void renew(struct play_stage *stage)
{
    static const char *const names[] = {"proxy1", "redis1", "plain1", "log1", "log2", "log3"};

    close_controls(stage);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cluster_kill(stage->cluster, names[i]);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cluster_wipe(stage->cluster, names[i]);
    }
    cluster_start(stage->cluster);
    open_controls(stage);
    stage->fresh++;
}

bool play(struct play_stage *stage, const struct program *p, struct play_difference *d)
{
    struct performance pf = {.stage = stage, .program = p, .difference = d};
    enum { DATA_EVERY = 100 };
    size_t at = 0, looked = 0;

    *d = (struct play_difference){.client = -1, .step = SIZE_MAX};
    bool same = cluster_running(stage->cluster, "proxy1") && begin(&pf);
    if (!same) { /* what the last program, that differed, left behind */
        renew(stage);
        *d = (struct play_difference){.client = -1, .step = SIZE_MAX};
        same = begin(&pf);
    }
    while (same && at < p->count) {
        same = play_pipeline(&pf, &at);
        if (same && (at == p->count || at >= looked + DATA_EVERY)) {
            same = compare_data(&pf);
            looked = at;
        }
    }
    if (!same && !cluster_running(stage->cluster, "proxy1")) {
        d->kind = PLAY_DIED;
    }
    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        player_close(&pf.players[i]);
    }
    return same;
}
