/* What clients say of pub/sub, with Redis' own replies and texts (pubsub.c, networking.c). Replies
 * are made when the request is read: a client's counts follow its own requests. They leave when
 * their parcel is opened. */
#include "proxy/clients/pubsub_link.h"

#include "common/mem.h"
#include "proxy/clients/transaction.h"
#include "proxy/protocol/glob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct resp_arg pubsub_ping = {(const uint8_t *)"PING", 4};

struct pubsub_verb {
    const char *name; /* of the command, and in the reply */
    const char *word; /* for Redis */
    enum topic_kind kind;
    bool subscribes;
};

static const struct pubsub_verb pubsub_verbs[] = {
    {"subscribe", "SUBSCRIBE", TOPIC_CHANNEL, true},
    {"psubscribe", "PSUBSCRIBE", TOPIC_PATTERN, true},
    {"ssubscribe", "SSUBSCRIBE", TOPIC_SHARD, true},
    {"unsubscribe", "UNSUBSCRIBE", TOPIC_CHANNEL, false},
    {"punsubscribe", "PUNSUBSCRIBE", TOPIC_PATTERN, false},
    {"sunsubscribe", "SUNSUBSCRIBE", TOPIC_SHARD, false},
};

static const struct pubsub_verb *pubsub_verb_of(const struct command *command)
{
    for (size_t i = 0; i < sizeof pubsub_verbs / sizeof *pubsub_verbs; i++) {
        if (strcmp(pubsub_verbs[i].name, command->name) == 0) {
            return &pubsub_verbs[i];
        }
    }
    return NULL;
}

bool pubsub_has(const struct client *c)
{
    return c->subscriber != NULL &&
           topics_total(c->subscriber, TOPIC_CHANNEL) + topics_total(c->subscriber, TOPIC_SHARD) >
               0;
}

/* ---- the link's replies ---- */

bool pubsub_parse_push(const uint8_t *bytes, size_t size, struct resp_arg *word,
                       struct resp_arg *name)
{
    const uint8_t *end = memchr(bytes, '\n', size);
    size_t at = end != NULL ? (size_t)(end - bytes) + 1 : size;

    return resp_read_bulk(bytes, size, &at, word) && resp_read_bulk(bytes, size, &at, name);
}

/* ---- SUBSCRIBE and UNSUBSCRIBE ---- */

static void pubsub_put_reply(struct buf *b, const struct client *c, const struct pubsub_verb *verb,
                             const uint8_t *name, size_t len)
{
    buf_append_str(b, c->resp == 3 ? ">3\r\n" : "*3\r\n");
    resp_put_bulk(b, verb->name, strlen(verb->name));
    if (name != NULL) {
        resp_put_bulk(b, name, len);
    } else {
        resp_put_null(b, (int)c->resp);
    }
    resp_put_integer(b, c->subscriber != NULL ? (long long)topics_total(c->subscriber, verb->kind)
                                              : 0);
}

static void pubsub_add_entry(struct pubsub_op *op, struct subscription *s, bool subscribes)
{
    op->entries[op->count].subscription = s;
    op->entries[op->count++].subscribes = subscribes;
    s->under_way++;
}

/* Queues the request for an op and sends what Redis is to be told. */
static void pubsub_queue(struct pubsub *ps, struct client *c, struct pubsub_op *op,
                         struct buf *commands)
{
    struct clients *all = c->all;
    struct request *r;

    if (all->capture != NULL) {
        buf_append(all->capture, buf_head(&op->reply), op->reply.len);
        r = client_queue_before(c, all->capture_for); /* EXEC waits for it */
        op->word = "exec";
    } else {
        r = client_queue(c, REQUEST_ACK);
        if (strcmp(op->word, "reset") != 0) {
            r->flags &= ~(uint32_t)REQUEST_SILENT; /* pushes are none of CLIENT REPLY's business */
        }
    }
    r->op = op;
    op->request = r;
    resp_put_request(commands, &pubsub_ping, 1);
    pubsub_send(ps, r, op, commands);
    buf_release(commands);
}

static struct pubsub_op *pubsub_op_create(size_t entries, const char *word)
{
    struct pubsub_op *op = mem_calloc(
        1, sizeof(struct pubsub_op) + entries * sizeof((struct pubsub_op *)NULL)->entries[0]);

    op->word = word;
    return op;
}

static void pubsub_subscribe(struct pubsub *ps, struct client *c, const struct pubsub_verb *verb,
                             const struct resp_arg *argv, size_t argc)
{
    struct pubsub_op *op = pubsub_op_create(argc - 1, verb->name);
    struct buf commands = BUF_INIT;
    struct resp_arg word = {(const uint8_t *)verb->word, strlen(verb->word)};

    if (c->subscriber == NULL) {
        c->subscriber = topics_join(ps->topics, c);
        pubsub_enter(ps, c->subscriber);
    }
    resp_put_array(&commands, argc);
    resp_put_bulk(&commands, word.bytes, word.len);
    for (size_t i = 1; i < argc; i++) {
        struct subscription *s = topics_subscription(ps->topics, c->subscriber, verb->kind,
                                                     argv[i].bytes, argv[i].len, true);
        topics_set_wanted(s, true);
        pubsub_add_entry(op, s, true);
        resp_put_bulk(&commands, argv[i].bytes, argv[i].len);
        pubsub_put_reply(&op->reply, c, verb, argv[i].bytes, argv[i].len);
    }
    pubsub_queue(ps, c, op, &commands);
}

/* No longer wanted; Redis is told if nobody wants it. */
static void pubsub_drop(struct subscription *s, const struct pubsub_verb *verb,
                        struct pubsub_op *op, struct buf *commands)
{
    struct resp_arg argv[2] = {{(const uint8_t *)verb->word, strlen(verb->word)},
                               {s->topic->name, s->topic->len}};

    topics_set_wanted(s, false);
    pubsub_add_entry(op, s, false);
    if (s->topic->wanted == 0) {
        resp_put_request(commands, argv, 2);
    }
}

static void pubsub_drop_all(struct client *c, const struct pubsub_verb *verb, struct pubsub_op *op,
                            struct buf *commands, bool tell)
{
    /* The oldest first, as Redis does with patterns. */
    for (struct subscription *s = c->subscriber->subscriptions, *next; s != NULL; s = next) {
        next = s->next_of_subscriber;
        if (s->wanted && s->topic->kind == verb->kind) {
            pubsub_drop(s, verb, op, commands);
            if (tell) {
                pubsub_put_reply(&op->reply, c, verb, s->topic->name, s->topic->len);
            }
        }
    }
}

static void pubsub_unsubscribe(struct pubsub *ps, struct client *c, const struct pubsub_verb *verb,
                               const struct resp_arg *argv, size_t argc)
{
    size_t have = c->subscriber != NULL ? c->subscriber->wanted[verb->kind] : 0;
    /* Not room for all that it has: it may have many, and drop them one by one. */
    size_t most = argc > 1 && argc - 1 < have ? argc - 1 : have;
    struct pubsub_op *op = pubsub_op_create(most, verb->name);
    struct buf commands = BUF_INIT;

    for (size_t i = 1; i < argc; i++) {
        struct subscription *s = have == 0
                                     ? NULL
                                     : topics_subscription(ps->topics, c->subscriber, verb->kind,
                                                           argv[i].bytes, argv[i].len, false);
        if (s != NULL && s->wanted) {
            pubsub_drop(s, verb, op, &commands);
        }
        pubsub_put_reply(&op->reply, c, verb, argv[i].bytes, argv[i].len);
    }
    if (argc == 1 && have > 0) {
        pubsub_drop_all(c, verb, op, &commands, true);
    } else if (argc == 1) {
        pubsub_put_reply(&op->reply, c, verb, NULL, 0);
    }
    if (op->count > 0) {
        pubsub_queue(ps, c, op, &commands);
        return;
    }
    c->last_command = c->all->capture != NULL ? "exec" : op->word;
    client_answer_always(c, buf_head(&op->reply), op->reply.len);
    buf_release(&op->reply);
    free(op);
}

bool pubsub_reset(struct pubsub *ps, struct client *c, const char *reply)
{
    struct buf commands = BUF_INIT;

    if (!pubsub_has(c)) {
        return false;
    }
    struct pubsub_op *op = pubsub_op_create(topics_total(c->subscriber, TOPIC_CHANNEL) +
                                                topics_total(c->subscriber, TOPIC_SHARD),
                                            "reset");
    for (size_t i = 0; i < sizeof pubsub_verbs / sizeof *pubsub_verbs; i++) {
        if (!pubsub_verbs[i].subscribes) {
            pubsub_drop_all(c, &pubsub_verbs[i], op, &commands, false);
        }
    }
    buf_append_str(&op->reply, reply);
    pubsub_queue(ps, c, op, &commands);
    return true;
}

static void pubsub_change(struct router *router, struct client *c, const struct pubsub_verb *verb,
                          const struct resp_arg *argv, size_t argc)
{
    struct pubsub *ps = router->pubsub;

    if (!ps->started && verb->subscribes && router->others) {
        router_wait(router, c);
    } else if (!ps->started && verb->subscribes) {
        client_answer_error(c, "LOADING Redis is loading the dataset in memory");
    } else if (client_lane_busy(c, CLIENT_LANE_PUBSUB)) {
        return;
    } else if (verb->subscribes) {
        pubsub_subscribe(ps, c, verb, argv, argc);
    } else {
        pubsub_unsubscribe(ps, c, verb, argv, argc);
    }
}

void pubsub_do(struct router *router, struct client *c, const struct command *command,
               const struct resp_arg *argv, size_t argc)
{
    const struct pubsub_verb *verb = pubsub_verb_of(command);

    c->lane = CLIENT_LANE_PUBSUB;
    if (!router->pubsub->started && verb->subscribes) {
        client_answer_error(c, "LOADING Redis is loading the dataset in memory");
    } else if (verb->subscribes) {
        pubsub_subscribe(router->pubsub, c, verb, argv, argc);
    } else {
        pubsub_unsubscribe(router->pubsub, c, verb, argv, argc);
    }
}

/* ---- PUBSUB ---- */

struct pubsub_list {
    enum topic_kind kind;
    const struct resp_arg *pattern; /* NULL: all */
    size_t count;
    struct buf names;
};

static void pubsub_list_one(void *ctx, const struct topic *topic)
{
    struct pubsub_list *list = ctx;

    if (topic->kind == list->kind && topic->active > 0 &&
        (list->pattern == NULL || glob_match((const char *)list->pattern->bytes, list->pattern->len,
                                             (const char *)topic->name, topic->len))) {
        list->count++;
        resp_put_bulk(&list->names, topic->name, topic->len);
    }
}

static void pubsub_channels(struct router *router, struct client *c, enum topic_kind kind,
                            const struct resp_arg *pattern)
{
    struct pubsub_list list = {.kind = kind, .pattern = pattern};

    topics_each(router->pubsub->topics, pubsub_list_one, &list);
    buf_clear(&router->text);
    resp_put_array(&router->text, list.count);
    buf_append(&router->text, buf_head(&list.names), list.names.len);
    buf_release(&list.names);
    router_answer(router, c, 0);
}

static void pubsub_numsub(struct router *router, struct client *c, enum topic_kind kind,
                          const struct resp_arg *argv, size_t argc)
{
    buf_clear(&router->text);
    resp_put_array(&router->text, (argc - 2) * 2);
    for (size_t i = 2; i < argc; i++) {
        const struct topic *topic =
            topics_find(router->pubsub->topics, kind, argv[i].bytes, argv[i].len);
        resp_put_bulk(&router->text, argv[i].bytes, argv[i].len);
        resp_put_integer(&router->text, topic != NULL ? (long long)topic->active : 0);
    }
    router_answer(router, c, 0);
}

static void pubsub_count_pattern(void *ctx, const struct topic *topic)
{
    *(long long *)ctx += topic->kind == TOPIC_PATTERN && topic->active > 0;
}

static void pubsub_numpat(struct router *router, struct client *c)
{
    long long count = 0;

    topics_each(router->pubsub->topics, pubsub_count_pattern, &count);
    buf_clear(&router->text);
    resp_put_integer(&router->text, count);
    router_answer(router, c, 0);
}

bool pubsub_ask(struct router *router, struct client *c, const char *sub,
                const struct resp_arg *argv, size_t argc)
{
    bool shard = strncmp(sub, "shard", 5) == 0;
    enum topic_kind kind = shard ? TOPIC_SHARD : TOPIC_CHANNEL;

    sub += shard ? 5 : 0;
    if (strcmp(sub, "help") == 0 || (strcmp(sub, "channels") == 0 && argc > 3)) {
        return false; /* Redis tells it, or what is wrong */
    }
    if (c->lane == CLIENT_LANE_PUBSUB && c->unanswered > 0 && c->all->capture == NULL) {
        client_postpone(c); /* its own are to be counted */
    } else if (strcmp(sub, "channels") == 0) {
        pubsub_channels(router, c, kind, argc == 3 ? &argv[2] : NULL);
    } else if (strcmp(sub, "numsub") == 0) {
        pubsub_numsub(router, c, kind, argv, argc);
    } else if (strcmp(sub, "numpat") == 0) {
        pubsub_numpat(router, c);
    } else {
        return false;
    }
    return true;
}

/* ---- PUBLISH ---- */

struct pubsub_note {
    enum topic_kind kind;
    bool there; /* it goes to the leading proxy, which counts its own clients */
    size_t len;
    uint8_t channel[];
};

void pubsub_publish(const struct pubsub *ps, struct request *r, bool there,
                    const struct resp_arg *argv, const struct command *command)
{
    if (topics_count(ps->topics) == 0) {
        return;
    }
    struct pubsub_note *note = mem_alloc(sizeof *note + argv[1].len);
    note->kind = command->name[0] == 's' ? TOPIC_SHARD : TOPIC_CHANNEL;
    note->there = there;
    note->len = argv[1].len;
    memcpy(note->channel, argv[1].bytes, argv[1].len);
    r->note = note;
    r->flags |= REQUEST_PUBLISH;
}

void pubsub_publish_here(struct request *r)
{
    if ((r->flags & REQUEST_PUBLISH) != 0) {
        struct pubsub_note *note = r->note;
        note->there = false;
    }
}

static void pubsub_correct_count(const struct pubsub *ps, enum topic_kind kind, bool there,
                                 const void *channel, size_t len, struct buf *reply)
{
    size_t clients, links;

    buf_append(reply, "", 1);
    reply->len--;
    const char *text = (const char *)buf_head(reply);
    if (text[0] == ':') {
        long long count = strtoll(text + 1, NULL, 10);
        topics_receivers(ps->topics, kind, channel, len, &clients, &links);
        if (there) {
            count += (long long)clients;
        } else if (count >
                   0) { /* or we had left when it was published, and are yet to hear of it */
            count = (count > (long long)links ? count - (long long)links : 0) + (long long)clients;
        }
        buf_clear(reply);
        resp_put_integer(reply, count);
    }
}

void pubsub_published(const struct pubsub *ps, struct request *r)
{
    const struct pubsub_note *note = r->note;
    struct buf reply = BUF_INIT;

    request_move_reply(r, &reply);
    pubsub_correct_count(ps, note->kind, note->there, note->channel, note->len, &reply);
    request_take_reply(r, &reply);
}

void pubsub_put_receivers(const struct pubsub *ps, const struct command *command, bool there,
                          const struct resp_arg *channel, struct buf *reply)
{
    pubsub_correct_count(ps, command->name[0] == 's' ? TOPIC_SHARD : TOPIC_CHANNEL, there,
                         channel->bytes, channel->len, reply);
}

/* ---- all of it ---- */

/* In RESP2 a subscriber's connection is for messages; PING has a form of its own there. */
static bool pubsub_subscriber_says(struct router *router, struct client *c,
                                   const struct command *command, const struct resp_arg *argv,
                                   size_t argc)
{
    char text[256];

    if (strcmp(command->name, "ping") == 0 && argc > 2) {
        client_answer_error(c, "ERR wrong number of arguments for 'ping' command");
        return true;
    }
    if (strcmp(command->name, "ping") == 0) {
        buf_clear(&router->text);
        resp_put_array(&router->text, 2);
        resp_put_bulk(&router->text, "pong", 4);
        resp_put_bulk(&router->text, argc == 2 ? argv[1].bytes : NULL, argc == 2 ? argv[1].len : 0);
        router_answer(router, c, 0);
        return true;
    }
    if (strcmp(command->name, "quit") == 0 || strcmp(command->name, "reset") == 0) {
        return false;
    }
    (void)snprintf(text, sizeof text,
                   "ERR Can't execute '%.80s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / "
                   "QUIT / RESET are allowed in this context",
                   command->name);
    if (strcmp(command->name, "exec") == 0) {
        transaction_unwatch(c); /* as if there had been a MULTI (execCommandAbort in multi.c) */
        transaction_answer_abort(c, text);
    } else {
        client_answer_error(c, text);
    }
    return true;
}

bool pubsub_changes(const struct command *command)
{
    return (command->flags & COMMAND_FLAG_PUBSUB) != 0 && pubsub_verb_of(command) != NULL;
}

bool pubsub_confines(const struct client *c)
{
    return c->transaction == NULL && c->subscriber != NULL && c->resp == 2 && pubsub_has(c);
}

bool pubsub_denies(const struct client *c, const struct command *command)
{
    static const char *const allowed[] = {"ping", "quit", "reset"};

    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        if (strcmp(command->name, allowed[i]) == 0) {
            return false;
        }
    }
    return pubsub_confines(c) && !pubsub_changes(command);
}

bool pubsub_handle(struct router *router, struct client *c, const struct command *command,
                   const struct resp_arg *argv, size_t argc)
{
    const struct pubsub_verb *verb =
        (command->flags & COMMAND_FLAG_PUBSUB) != 0 ? pubsub_verb_of(command) : NULL;

    if (c->transaction != NULL) {
        return false;
    }
    if (verb != NULL) {
        pubsub_change(router, c, verb, argv, argc);
        return true;
    }
    if (c->subscriber != NULL && c->resp == 2 && pubsub_has(c)) {
        return pubsub_subscriber_says(router, c, command, argv, argc);
    }
    return strncmp(command->name, "pubsub|", 7) == 0 &&
           pubsub_ask(router, c, command->name + 7, argv, argc);
}
