/* The link, the parcels and what is in them. The commands are in pubsub_commands.c.
 *
 *   SUBSCRIBE a ─▶ op ─▶ link: SUBSCRIBE a, PING ─▶ its place among the messages: open parcel
 *                                                        │ ROLE (fence)
 *   messages ────────────────────────────────────────────┤
 *                                                        ▼
 *                        bounded parcel ─▶ tracker ─▶ ready, first of all ─▶ opened
 *
 * Parcels stand in one list, oldest first; the last one may still be open (not bounded). */
#include "proxy/clients/pubsub.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "proxy/clients/pubsub_link.h"

#include <stdlib.h>
#include <string.h>

enum parcel_state { PARCEL_OPEN, PARCEL_BOUNDED, PARCEL_READY };

struct parcel_item {
    struct parcel_item *next;
    struct pubsub_op *op; /* NULL: a message */
    enum topic_kind kind;
    size_t name_at, name_len, len;
    uint8_t bytes[]; /* as it came, '>' first; behind it the name stands at name_at */
};

struct parcel {
    struct tracker_waiter waiter; /* first */
    struct parcel *next;
    enum parcel_state state;
    struct parcel_item *first, *last;
    size_t bytes;
};

static void pubsub_make_link(struct pubsub *ps, enum engine_kind kind, int master_port)
{
    struct engine_config engine = {
        .kind = kind,
        .host = ps->config.host,
        .port = ps->config.port,
        .user = ps->config.user,
        .password = ps->config.password,
        .master_port = master_port,
        .connect_timeout_ms = ps->config.connect_timeout_ms,
        .batches_in_flight = 1,
    };

    engine_destroy(ps->engine);
    ps->follows = kind == ENGINE_REPLICA;
    ps->engine = engine_create(ps->base, &engine, &pubsub_engine_events, ps);
}

struct pubsub *pubsub_create(struct event_base *base, const struct pubsub_config *config,
                             struct tracker *tracker, struct request_pool *pool)
{
    struct pubsub *ps = mem_calloc(1, sizeof *ps);

    ps->base = base;
    ps->config = *config;
    ps->tracker = tracker;
    ps->pool = pool;
    ps->topics = topics_create();
    pubsub_make_link(ps, ENGINE_PRIVATE, 0);
    return ps;
}

void pubsub_destroy(struct pubsub *ps)
{
    if (ps != NULL) {
        pubsub_stop(ps, "the proxy ends");
        engine_destroy(ps->engine);
        topics_destroy(ps->topics);
        free(ps);
    }
}

void pubsub_start(struct pubsub *ps, const struct replid *replid)
{
    if (ps->started && memcmp(replid, &ps->replid, sizeof *replid) != 0) {
        pubsub_stop(ps, "Redis has another history now");
    }
    ps->replid = *replid;
    ps->started = true;
    if (ps->follows) {
        pubsub_make_link(ps, ENGINE_PRIVATE, 0);
    }
}

void pubsub_follow(struct pubsub *ps, int master_port)
{
    ps->started = true;
    if (!ps->follows) {
        pubsub_make_link(ps, ENGINE_REPLICA, master_port);
    }
}

bool pubsub_follows(const struct pubsub *ps)
{
    return ps->started && ps->follows;
}

void pubsub_stop(struct pubsub *ps, const char *reason)
{
    ps->started = false;
    engine_stop(ps->engine, reason);
}

size_t pubsub_topics(const struct pubsub *ps)
{
    return topics_count(ps->topics);
}

/* ---- parcels ---- */

static struct parcel *parcel_open(struct pubsub *ps)
{
    if (ps->last == NULL || ps->last->state != PARCEL_OPEN) {
        struct parcel *parcel = mem_calloc(1, sizeof *parcel);
        parcel->waiter.parcel = true;
        parcel->waiter.keyspace = true;
        if (ps->last != NULL) {
            ps->last->next = parcel;
        } else {
            ps->first = parcel;
        }
        ps->last = parcel;
    }
    return ps->last;
}

static void parcel_add(struct pubsub *ps, struct parcel_item *item)
{
    struct parcel *parcel = parcel_open(ps);

    if (parcel->last != NULL) {
        parcel->last->next = item;
    } else {
        parcel->first = item;
    }
    parcel->last = item;
    parcel->bytes += sizeof *item + item->len;
    ps->withheld_bytes += sizeof *item + item->len;
}

/* What becomes true when a request's reply leaves. */
static void op_done(struct pubsub *ps, struct pubsub_op *op, bool delivered)
{
    for (size_t i = 0; i < op->count; i++) {
        struct subscription *s = op->entries[i].subscription;
        s->under_way--;
        if (s->subscriber != NULL && delivered) {
            s->live = op->entries[i].subscribes && !op->failed;
        }
        topics_settle(ps->topics, s);
    }
    if (op->request != NULL && delivered) {
        op->request->op = NULL;
        client_release(op->request);
    } else if (op->request != NULL) {
        op->request->op = NULL;
    }
    free(op);
}

static void parcel_message(struct pubsub *ps, const struct parcel_item *item)
{
    const struct topic *topic =
        topics_find(ps->topics, item->kind, item->bytes + item->name_at, item->name_len);

    for (struct subscription *s = topic != NULL ? topic->subscriptions : NULL, *next; s != NULL;
         s = next) {
        next = s->next_of_topic; /* closing a client frees its subscriptions */
        if (!s->live) {
            continue;
        }
        struct client *c = s->subscriber->client;
        client_push(c, c->resp == 2 ? '*' : '>', item->bytes + 1, item->len - 1);
        if (!c->all->config.output[CLIENT_CONFIG_PUBSUB].set &&
            c->out.len > ps->config.unsent_max_bytes) {
            s->subscriber->slow = true; /* closed when nobody walks over it */
            ps->slow = true;
        }
    }
}

static void parcel_free(struct pubsub *ps, struct parcel *parcel, bool delivered)
{
    while (parcel->first != NULL) {
        struct parcel_item *item = parcel->first;
        parcel->first = item->next;
        if (item->op != NULL) {
            op_done(ps, item->op, delivered);
        } else if (delivered) {
            parcel_message(ps, item);
        }
        free(item);
    }
    ps->withheld_bytes -= parcel->bytes;
    free(parcel);
}

static struct parcel *parcel_take_first(struct pubsub *ps)
{
    struct parcel *parcel = ps->first;

    ps->first = parcel->next;
    if (ps->first == NULL) {
        ps->last = NULL;
    }
    return parcel;
}

static void parcel_hand_out(struct pubsub *ps)
{
    while (ps->first != NULL && ps->first->state == PARCEL_READY) {
        parcel_free(ps, parcel_take_first(ps), true);
    }
}

void pubsub_ready(struct pubsub *ps, struct tracker_waiter *w)
{
    ((struct parcel *)(void *)w)->state = PARCEL_READY;
    parcel_hand_out(ps);
}

/* Nothing more comes into the last parcel. */
static void parcel_close(struct pubsub *ps, uint64_t bound)
{
    if (ps->last == NULL || ps->last->state != PARCEL_OPEN) {
        return;
    }
    if (ps->follows) {
        ps->last->state = PARCEL_READY;
        parcel_hand_out(ps);
    } else {
        ps->last->state = PARCEL_BOUNDED;
        tracker_add(ps->tracker, &ps->last->waiter, bound);
    }
}

/* ---- the link ---- */

static void pubsub_up(void *ctx)
{
    (void)ctx;
}

/* Those who wait to publish look again. */
static void pubsub_let_go(struct pubsub *ps)
{
    struct clients *all = ps->held;

    ps->held = NULL;
    if (all != NULL) {
        clients_take_up(all);
    }
}

/* A request's place among the messages. Its reply is made of what was prepared for it, unless Redis
 * refused. */
static void pubsub_answered(void *ctx, struct request *r)
{
    struct pubsub *ps = ctx;
    struct parcel_item *item = mem_calloc(1, sizeof *item);
    struct pubsub_op *op = ps->sent; /* in the order of the link */

    MUST(op != NULL);
    ps->done_count++;
    ps->sent = op->next;
    if (ps->sent == NULL) {
        ps->sent_last = NULL;
    }
    op->failed = request_reply_type(r) == '-';
    pubsub_let_go(ps);
    for (size_t i = 0; i < op->count; i++) {
        struct subscription *s = op->entries[i].subscription;
        if (s->subscriber != NULL) {
            topics_set_active(s, op->entries[i].subscribes && !op->failed);
        }
        if (s->subscriber != NULL && op->failed && op->entries[i].subscribes) {
            topics_set_wanted(s, false);
        }
    }
    if (op->request != NULL && op->request->client != NULL &&
        op->request == op->request->client->last) { /* else it has said something since */
        op->request->client->last_command = op->word;
    }
    if (op->failed) {
        request_cut_reply(r);
    } else if (op->request != NULL) {
        request_set_reply(r, buf_head(&op->reply), op->reply.len);
    }
    buf_release(&op->reply);
    item->op = op;
    parcel_add(ps, item);
}

static void pubsub_fenced(void *ctx, struct request *first, uint64_t bound)
{
    struct pubsub *ps = ctx;

    for (struct request *r = first, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        r->next_in_batch = NULL;
        if (r->client == NULL) {
            request_give(ps->pool, r);
        } else {
            r->stage = REQUEST_ANSWERED;
            client_answered(r);
        }
    }
    parcel_close(ps, bound);
}

static void pubsub_push(void *ctx, const uint8_t *bytes, size_t size, struct request *before)
{
    static const char *const words[TOPIC_KINDS] = {"message", "pmessage", "smessage"};
    struct pubsub *ps = ctx;
    struct resp_arg word, name;

    (void)before;
    if (!pubsub_parse_push(bytes, size, &word, &name)) {
        return;
    }
    for (int kind = 0; kind < TOPIC_KINDS; kind++) {
        if (word.len == strlen(words[kind]) && memcmp(word.bytes, words[kind], word.len) == 0) {
            struct parcel_item *item = mem_alloc(sizeof *item + size);
            *item = (struct parcel_item){.kind = (enum topic_kind)kind,
                                         .name_at = (size_t)(name.bytes - bytes),
                                         .name_len = name.len,
                                         .len = size};
            memcpy(item->bytes, bytes, size);
            parcel_add(ps, item);
            return;
        }
    }
}

/* Messages may have been lost: every subscriber has to come anew. */
static void pubsub_down(void *ctx, struct request *unknown, struct request *unsent,
                        const char *reason)
{
    struct pubsub *ps = ctx;
    struct request *lists[] = {unknown, unsent};

    while (ps->first != NULL) {
        struct parcel *parcel = parcel_take_first(ps);
        tracker_remove(ps->tracker, &parcel->waiter);
        parcel_free(ps, parcel, false);
    }
    while (ps->sent != NULL) {
        struct pubsub_op *op = ps->sent;
        ps->sent = op->next;
        buf_release(&op->reply);
        op_done(ps, op, false);
    }
    ps->sent_last = NULL;
    ps->done_count = ps->sent_count;
    pubsub_let_go(ps);
    if (ps->subscribers != NULL) {
        log_warn("the link for pub/sub ended: %s; its subscribers are closed", reason);
    }
    while (ps->subscribers != NULL) {
        client_close(ps->subscribers->client, reason); /* which calls pubsub_client_gone */
    }
    for (int i = 0; i < 2; i++) {
        for (struct request *r = lists[i], *next; r != NULL; r = next) {
            next = r->next_in_batch;
            r->next_in_batch = NULL;
            request_give(ps->pool, r);
        }
    }
}

const struct engine_events pubsub_engine_events = {.up = pubsub_up,
                                                   .fenced = pubsub_fenced,
                                                   .down = pubsub_down,
                                                   .push = pubsub_push,
                                                   .answered = pubsub_answered};

/* ---- clients ---- */

void pubsub_send(struct pubsub *ps, struct request *r, struct pubsub_op *op,
                 const struct buf *commands)
{
    if (engine_is_down(ps->engine)) {
        engine_start(ps->engine, ps->follows ? NULL : &ps->replid, clock_now_ns());
    }
    if (engine_is_down(ps->engine)) {
        r->stage = REQUEST_SENT;
        op->next = NULL;
        ps->sent = op;
        pubsub_down(ps, r, NULL, "no connection to Redis can be made");
        return;
    }
    r->flags |= REQUEST_PONG;
    op->next = NULL;
    if (ps->sent_last != NULL) {
        ps->sent_last->next = op;
    } else {
        ps->sent = op;
    }
    ps->sent_last = op;
    ps->sent_count++;
    if (op->count > 0 && op->entries[0].subscribes) {
        ps->subscribe_count = ps->sent_count;
    }
    engine_add_block(ps->engine, r, 0, 3, commands, 1, false);
}

enum pubsub_behind pubsub_behind(const struct command *command)
{
    if (command->plain) {
        return PUBSUB_BEHIND_NOTHING;
    }
    if (strcmp(command->name, "publish") == 0 || strcmp(command->name, "spublish") == 0) {
        return PUBSUB_BEHIND_SUBSCRIBES;
    }
    return strncmp(command->name, "pubsub|", 7) == 0 ? PUBSUB_BEHIND_ALL : PUBSUB_BEHIND_NOTHING;
}

bool pubsub_holds(struct pubsub *ps, struct client *c, enum pubsub_behind behind)
{
    if (behind == PUBSUB_BEHIND_NOTHING) {
        return false;
    }
    if (c->publishes_after == 0) {
        c->publishes_after = behind == PUBSUB_BEHIND_ALL ? ps->sent_count : ps->subscribe_count;
    }
    if (c->publishes_after <= ps->done_count) {
        c->publishes_after = 0;
        return false;
    }
    ps->held = c->all;
    client_postpone(c);
    return true;
}

void pubsub_abandoned(struct request *r)
{
    r->op->request = NULL;
    r->op = NULL;
}

/* What Redis is to be told, into ctx. */
static void pubsub_left(void *ctx, const struct topic *topic)
{
    struct buf *commands = ctx;
    static const char *const words[TOPIC_KINDS] = {"UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"};
    struct resp_arg argv[2] = {{(const uint8_t *)words[topic->kind], strlen(words[topic->kind])},
                               {topic->name, topic->len}};

    resp_put_request(commands, argv, 2);
}

void pubsub_enter(struct pubsub *ps, struct subscriber *subscriber)
{
    subscriber->next = ps->subscribers;
    if (subscriber->next != NULL) {
        subscriber->next->prev = subscriber;
    }
    ps->subscribers = subscriber;
}

void pubsub_client_gone(struct pubsub *ps, struct client *c)
{
    struct subscriber *subscriber = c->subscriber;
    struct buf commands = BUF_INIT;

    if (subscriber == NULL) {
        return;
    }
    *(subscriber->prev != NULL ? &subscriber->prev->next : &ps->subscribers) = subscriber->next;
    if (subscriber->next != NULL) {
        subscriber->next->prev = subscriber->prev;
    }
    c->subscriber = NULL;
    topics_leave(ps->topics, subscriber, pubsub_left, &commands);
    if (commands.len > 0 && !engine_is_down(ps->engine)) {
        resp_put_request(&commands, &pubsub_ping, 1);
        pubsub_send(ps, request_take(ps->pool), mem_calloc(1, sizeof(struct pubsub_op)), &commands);
    }
    buf_release(&commands);
}

void pubsub_flush(struct pubsub *ps, uint64_t now_ns)
{
    if (ps->slow) {
        ps->slow = false;
        for (struct subscriber *s = ps->subscribers, *next; s != NULL; s = next) {
            next = s->next;
            if (s->slow) {
                client_close(s->client, "it does not read its messages (limits.pubsub_out)");
            }
        }
    }
    if (ps->withheld_bytes > ps->config.withheld_max_bytes) {
        engine_stop(ps->engine, "more messages than limits.withheld_total_max_bytes are withheld");
    } else if (engine_may_flush(ps->engine)) {
        engine_flush(ps->engine, now_ns);
    } else if (ps->follows) {
        parcel_close(ps, 0);
    } else if (ps->last != NULL && ps->last->state == PARCEL_OPEN) {
        engine_fence(ps->engine, now_ns);
    }
}

void pubsub_tick(struct pubsub *ps, uint64_t now_ns)
{
    engine_tick(ps->engine, now_ns);
    for (struct subscriber *s = ps->subscribers; s != NULL; s = s->next) {
        if (s->client->out.len <= ps->config.unsent_soft_bytes ||
            s->client->all->config.output[CLIENT_CONFIG_PUBSUB].set) {
            s->slow_since_ns = 0;
        } else if (s->slow_since_ns == 0) {
            s->slow_since_ns = now_ns;
        } else if (now_ns - s->slow_since_ns > ps->config.unsent_soft_ms * CLOCK_NS_PER_MS) {
            s->slow = ps->slow = true;
        }
    }
}
