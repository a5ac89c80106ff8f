#include "tests/lib/router_world.h"

#include "common/clock.h"
#include "proxy/clients/acl.h"
#include "proxy/clients/credentials.h"
#include "proxy/clients/monitor.h"
#include "proxy/clients/session.h"
#include "proxy/clients/transaction.h"

#include "tests/lib/commands.h"
#include "tests/lib/sockets.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#define ROLE   "*1\r\n$4\r\nROLE\r\n"
#define REPLID "0123456789abcdef0123456789abcdef01234567"
#define FENCED "*3\r\n$6\r\nmaster\r\n:7\r\n*0\r\n"

enum { WAIT_MS = 10, WAITS_MAX = 300, READ_BYTES = 65536 };

struct world world;

/* ---- the owner ---- */

static void owner_up(void *ctx)
{
    (void)ctx;
}

static void owner_fenced(void *ctx, struct request *first, uint64_t bound)
{
    (void)ctx;
    for (struct request *r = first, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        if (r->client == NULL) {
            request_learn(r);
            request_give(&world.pool, r);
            continue;
        }
        if ((r->flags & REQUEST_PUBLISH) != 0) {
            pubsub_published(world.pubsub, r);
        }
        if ((r->flags & REQUEST_GATE) != 0) {
            acl_answered(r);
        }
        if (!request_amend(r)) {
            request_give(&world.pool, r);
            continue;
        }
        r->stage = REQUEST_ANSWERED;
        r->client->written = world.router.last_bound = bound != ENGINE_UNFENCED ? bound : 0;
        client_answered(r);
        client_release(r);
    }
}

static void owner_private_fenced(void *ctx, struct request *first, uint64_t bound)
{
    for (struct request *r = first; r != NULL; r = r->next_in_batch) {
        if (r->client != NULL && (r->flags & REQUEST_AUTH) != 0) {
            acl_answered(r);
        }
    }
    owner_fenced(ctx, first, bound);
}

static void owner_down(void *ctx, struct request *unknown, struct request *unsent,
                       const char *reason)
{
    struct request *lists[] = {unknown, unsent};

    (void)ctx;
    (void)reason;
    for (int i = 0; i < 2; i++) {
        for (struct request *r = lists[i], *next; r != NULL; r = next) {
            next = r->next_in_batch;
            if (r->client != NULL) {
                client_close(r->client, "its request's outcome is unknown");
            }
            request_give(&world.pool, r);
        }
    }
}

static void owner_private_down(void *ctx, struct client *c, unsigned kept, struct request *unknown,
                               struct request *unsent, const char *reason)
{
    if ((kept & PRIVATE_MULTI) != 0) {
        transaction_unship(c);
    }
    if (unknown != NULL || (kept & ~(unsigned)PRIVATE_MULTI) != 0) {
        client_close(c, "its link is lost");
    }
    owner_down(ctx, unknown, unsent, reason);
}

/* Nobody here is told of invalidations. */
static void owner_private_push(void *ctx, struct client *c, const uint8_t *bytes, size_t size,
                               struct request *before)
{
    (void)ctx;
    (void)c;
    (void)bytes;
    (void)size;
    (void)before;
}

static const struct private_events private_events = {
    .fenced = owner_private_fenced, .down = owner_private_down, .push = owner_private_push};

static const struct engine_events engine_events = {
    .up = owner_up, .fenced = owner_fenced, .down = owner_down};

static void owner_request(void *ctx, struct client *c, const struct resp_arg *argv, size_t argc)
{
    (void)ctx;
    router_request(&world.router, c, argv, argc);
}

static void owner_abandoned(void *ctx, struct request *r)
{
    (void)ctx;
    if (r->op != NULL) {
        pubsub_abandoned(r);
    }
    if ((r->flags & REQUEST_WAIT) != 0) {
        session_wait_abandoned(&world.router, r);
    }
    if (r->stage != REQUEST_SENT || (r->flags & REQUEST_WAIT) != 0) {
        request_give(&world.pool, r);
    }
}

static void owner_closed(void *ctx, struct client *c)
{
    (void)ctx;
    transaction_discard(c);
    pubsub_client_gone(world.pubsub, c);
    monitor_leave(c);
    acl_client_gone(c);
    if (c->redirect != NULL) {
        private_drop(c->redirect);
    }
    if (c->link != NULL) {
        private_drop(c->link);
    }
}

static void owner_wait(void *ctx, struct request *r)
{
    (void)ctx;
    session_wait_reply(&world.router, r);
}

static void owner_log_state(void *ctx, struct waits_log *log)
{
    (void)ctx;
    *log = world.log;
}

static const struct client_events client_events = {.request = owner_request,
                                                   .abandoned = owner_abandoned,
                                                   .closed = owner_closed,
                                                   .wait_reply = owner_wait};

static void owner_info(void *ctx, struct buf *out)
{
    (void)ctx;
    buf_append_str(out, "# Holdfast\r\nx:1\r\n");
}

static void owner_replication(void *ctx, struct buf *out)
{
    (void)ctx;
    buf_append_str(out, "# Replication\r\nrole:x\r\n\r\n");
}

static void owner_role(void *ctx, struct buf *out)
{
    (void)ctx;
    buf_append_str(out, "*1\r\n$1\r\nx\r\n");
}

/* What comes of requests that another server was to answer. */
static void owner_forward_answered(void *ctx, struct request *r)
{
    (void)ctx;
    if (r->client == NULL) {
        request_give(&world.pool, r);
        return;
    }
    r->stage = REQUEST_ANSWERED;
    if ((r->flags & (REQUEST_AUTH | REQUEST_GATE)) != 0) {
        acl_answered(r);
    }
    if ((r->flags & REQUEST_PUBLISH) != 0) {
        pubsub_published(world.pubsub, r);
    }
    if (!request_amend(r)) {
        request_give(&world.pool, r);
        return;
    }
    client_answered(r);
    client_release(r);
}

static void owner_forward_unknown(void *ctx, struct request *r)
{
    (void)ctx;
    if (r->client != NULL) {
        client_close(r->client, "its request's outcome is unknown");
    }
    request_give(&world.pool, r);
}

static void owner_forward_expired(void *ctx, struct request *r)
{
    request_set_reply(r, "-EXPIRED\r\n", 10);
    owner_forward_answered(ctx, r);
}

static void owner_forward_ours(void *ctx, struct request *r, const uint8_t *bytes)
{
    (void)ctx;
    if (r->client == NULL) {
        request_give(&world.pool, r);
        return;
    }
    r->replies_of_link = r->replies_to_skip = 0;
    engine_add_bytes(world.engine, r, r->db, r->resp, bytes, r->command_len, r->block_skips);
}

static const struct forward_events forward_events = {.answered = owner_forward_answered,
                                                     .unknown = owner_forward_unknown,
                                                     .expired = owner_forward_expired,
                                                     .ours = owner_forward_ours};

static void owner_forward_private_down(void *ctx, struct client *c, unsigned kept,
                                       struct request *unknown, struct request *unsent,
                                       const char *reason)
{
    if ((kept & PRIVATE_MULTI) != 0) {
        transaction_unship(c);
    }
    if (unknown != NULL || (kept & ~(unsigned)PRIVATE_MULTI) != 0) {
        client_close(c, "its link is lost");
    }
    owner_down(ctx, unknown, NULL, reason);
    for (struct request *r = unsent, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        owner_forward_expired(ctx, r);
    }
}

static void owner_forward_fenced(void *ctx, struct request *first, uint64_t bound)
{
    (void)bound;
    for (struct request *r = first, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        owner_forward_answered(ctx, r);
    }
}

static const struct private_events forward_private_events = {.fenced = owner_forward_fenced,
                                                             .down = owner_forward_private_down};

/* ---- the loop ---- */

static void turn(void)
{
    struct tracker_waiter *parcel;

    world.all.now_ns = clock_now_ns();
    ck_assert_int_ge(event_base_loop(world.base, EVLOOP_NONBLOCK), 0);
    if (!world.hold) {
        engine_flush(world.engine, clock_now_ns());
    }
    forward_tick(world.forward, clock_now_ns());
    forward_flush(world.forward, clock_now_ns());
    forward_flush(world.replica, clock_now_ns());
    clients_flush(&world.all);
    forward_flush(world.forward, clock_now_ns());
    forward_flush(world.replica, clock_now_ns());
    if (!world.hold) {
        engine_flush(world.engine, clock_now_ns());
        private_flush(world.privates, clock_now_ns());
        private_flush(world.forward_privates, clock_now_ns());
    }
    session_wait_turn(&world.router, clock_now_ns());
    pubsub_flush(world.pubsub, clock_now_ns());
    while ((parcel = tracker_next_ready(world.tracker)) != NULL) {
        pubsub_ready(world.pubsub, parcel);
    }
    clients_flush(&world.all);
    private_sweep(world.privates);
    private_sweep(world.forward_privates);
    router_wake(&world.router);
}

/* Takes what has come into world.heard; false: the connection has ended. */
static bool take(int fd)
{
    ssize_t got = recv(fd, buf_reserve(&world.heard, READ_BYTES), READ_BYTES, 0);

    if (got > 0) {
        buf_commit(&world.heard, (size_t)got);
    }
    return got > 0 || (got < 0 && errno == EAGAIN);
}

/* Until size bytes have come or a while has passed, then whatever else there is. */
static bool take_until(int fd, size_t size)
{
    bool open = true;

    for (int waits = 0; open && world.heard.len < size && waits < WAITS_MAX; waits++) {
        turn();
        open = take(fd);
        if (open && world.heard.len < size) {
            sockets_wait(fd, POLLIN, WAIT_MS);
        }
    }
    turn();
    return open && take(fd);
}

static const char *heard_text(void)
{
    buf_append(&world.heard, "", 1);
    world.heard.len--;
    return (const char *)buf_head(&world.heard);
}

/* ---- set-up ---- */

static void link_up(void)
{
    static const char answers[] =
        "+OK\r\n+OK\r\n+OK\r\n*0\r\n" FENCED "$67\r\nrole:master\r\nmaster_replid:" REPLID "\r\n";
    struct replid replid;

    memcpy(replid.hex, REPLID, sizeof replid.hex);
    private_start(world.privates, &replid);
    pubsub_start(world.pubsub, &replid);
    engine_start(world.engine, &replid, clock_now_ns());
    sockets_wait(world.redis_listener, POLLIN, 1000);
    world.redis = sockets_accept(world.redis_listener);
    ck_assert_int_gt(send(world.redis, answers, sizeof answers - 1, 0), 0);
    for (int waits = 0; !engine_is_up(world.engine) && waits < WAITS_MAX; waits++) {
        turn();
        sockets_wait(world.redis, POLLIN, WAIT_MS);
        (void)take(world.redis);
    }
    ck_assert(engine_is_up(world.engine));
    buf_clear(&world.heard);
}

static void open_parts(void)
{
    struct client_limits limits = {
        .clients_max = 100,
        .pending_max = 1000,
        .logins_max = 1,
        .withheld_max_bytes = 16 << 20,
        .query_max_bytes = 8 << 20,
        .query_total_max_bytes = 16 << 20,
        .withheld_total_max_bytes = 1 << 30,
        .resp = RESP_LIMITS_REDIS,
    };
    struct engine_config engine = {.host = "127.0.0.1",
                                   .port = world.redis_port,
                                   .name = "unit",
                                   .connect_timeout_ms = 1000,
                                   .stall_ms = 1000,
                                   .batches_in_flight = 1};
    struct forward_config forward = {.uplink = {.kind = UPLINK_LEADER,
                                                .password = "sesame",
                                                .name = "unit",
                                                .cluster_id = "c1",
                                                .log_id = 7,
                                                .connect_timeout_ms = WORLD_PATIENCE_MS,
                                                .stall_ms = WORLD_PATIENCE_MS,
                                                .leave_ms = WORLD_LEAVE_MS},
                                     .links = 1,
                                     .wait_ms = WORLD_PATIENCE_MS,
                                     .waiting_max = 3,
                                     .waiting_max_bytes = 1000};
    struct router_config router = {
        .databases = 16, .transaction_max_bytes = 1 << 20, .cluster_id = "c1", .log_id = 7};

    clients_init(&world.all, world.base, &limits, &client_events, NULL, &world.pool);
    world.all.now_ns = clock_now_ns();
    world.engine = engine_create(world.base, &engine, &engine_events, NULL);
    world.tracker = tracker_create(1, 0);
    struct private_config links = {.kind = ENGINE_PRIVATE,
                                   .host = "127.0.0.1",
                                   .port = world.redis_port,
                                   .links_max = WORLD_LINKS_MAX,
                                   .idle_max = 1,
                                   .connect_timeout_ms = 1000};
    world.privates = private_create(world.base, &links, &private_events, NULL, &world.pool);
    struct pubsub_config pubsub = {.host = "127.0.0.1",
                                   .port = world.redis_port,
                                   .connect_timeout_ms = 1000,
                                   .withheld_max_bytes = 1 << 20,
                                   .unsent_max_bytes = 1 << 20,
                                   .unsent_soft_bytes = 1 << 19,
                                   .unsent_soft_ms = 1000};
    world.pubsub = pubsub_create(world.base, &pubsub, world.tracker, &world.pool);
    router_init(&world.router, &router);
    world.router.clients = &world.all;
    world.router.engine = world.engine;
    world.router.tracker = world.tracker;
    world.router.privates = world.privates;
    world.router.pubsub = world.pubsub;
    world.router.table = world.table;
    world.router.service = SERVICE_FULL;
    world.forward = forward_create(world.base, &forward, &forward_events, NULL, &world.pool);
    forward.uplink.kind = UPLINK_REPLICA;
    forward.uplink.master_port = 7777;
    world.replica = forward_create(world.base, &forward, &forward_events, NULL, &world.pool);
    links.kind = ENGINE_FORWARD;
    links.name = "unit";
    links.cluster_id = "c1";
    links.log_id = 7;
    links.host = "";
    links.port = 0;
    world.forward_privates =
        private_create(world.base, &links, &forward_private_events, NULL, &world.pool);
    world.router.forward_privates = world.forward_privates;
    world.router.wait_ns = WORLD_PATIENCE_MS * CLOCK_NS_PER_MS;
    world.router.forward = world.forward;
    world.router.replica = world.replica;
    world.router.info_text = owner_info;
    world.router.log_state = owner_log_state;
    world.log = (struct waits_log){.flushed = {7, 7, 0}, .count = 3, .committed = 7};
    world.router.replication_text = owner_replication;
    world.router.role_reply = owner_role;
    (void)snprintf(world.router.engine_version, sizeof world.router.engine_version, "7.0.15");
}

void world_setup(void)
{
    size_t size;
    uint8_t *reply = commands_reply(&size);

    memset(&world, 0, sizeof world);
    for (int i = 0; i < WORLD_CLIENTS_MAX; i++) {
        world.fds[i] = -1;
    }
    for (int i = 0; i < WORLD_LINKS_MAX; i++) {
        world.links[i] = -1;
    }
    ck_assert_int_eq(command_table_parse(reply, size, &world.table), ERR_OK);
    free(reply);
    command_table_mark(world.table, router_is_plain);
    world.base = event_base_new();
    ck_assert_ptr_nonnull(world.base);
    world.listener = sockets_listen(&world.port);
    world.redis_listener = sockets_listen(&world.redis_port);
    world.other_listener = sockets_listen(&world.other_port);
    world.other = -1;
    open_parts();
    link_up();
    world_join(0);
}

void world_setup_other_leads(void)
{
    world_setup();
    world.router.service = SERVICE_LOADING;
    world.router.others = world.router.had_others = true;
}

void world_teardown(void)
{
    engine_destroy(world.engine);
    private_destroy(world.privates);
    private_destroy(world.forward_privates);
    clients_fini(&world.all);
    forward_destroy(world.forward);
    forward_destroy(world.replica);
    pubsub_destroy(world.pubsub);
    ck_assert_uint_eq(world.pool.live_count, 0);
    ck_assert_uint_eq(world.all.query_bytes, 0);
    request_pool_release(&world.pool);
    router_fini(&world.router);
    tracker_destroy(world.tracker);
    command_table_destroy(world.table);
    buf_release(&world.heard);
    event_base_free(world.base);
    for (int i = 0; i < WORLD_CLIENTS_MAX; i++) {
        if (world.fds[i] >= 0) {
            (void)close(world.fds[i]);
        }
    }
    for (int i = 0; i < WORLD_LINKS_MAX; i++) {
        if (world.links[i] >= 0) {
            (void)close(world.links[i]);
        }
    }
    (void)close(world.redis);
    (void)close(world.listener);
    (void)close(world.redis_listener);
    (void)close(world.other_listener);
    if (world.other >= 0) {
        (void)close(world.other);
    }
}

struct credentials *world_credentials(const char *configured)
{
    static struct credentials credentials;

    credentials_init(&credentials, configured);
    world.router.config.credentials = &credentials;
    world.router.config.password = credentials.password;
    return &credentials;
}

void world_join(int i)
{
    int accepted;

    if (world.fds[i] >= 0) {
        (void)close(world.fds[i]);
    }
    world.fds[i] = sockets_connect(world.listener, world.port, &accepted);
    clients_accept(&world.all, accepted);
    world.clients[i] = world.all.list;
}

/* ---- clients ---- */

void world_say_raw(int i, const char *bytes)
{
    size_t size = strlen(bytes);

    ck_assert_int_eq(send(world.fds[i], bytes, size, MSG_NOSIGNAL), (ssize_t)size);
    turn();
}

void world_say(int i, const char *words)
{
    struct resp_arg argv[32];
    struct buf request = BUF_INIT;
    size_t argc = 0;

    for (const char *at = words; *at != '\0';) {
        size_t len = strcspn(at, " ");
        ck_assert_uint_lt(argc, 32);
        argv[argc++] = (struct resp_arg){(const uint8_t *)at, len};
        at += len + (at[len] == ' ');
    }
    resp_put_request(&request, argv, argc);
    buf_append(&request, "", 1);
    world_say_raw(i, (const char *)buf_head(&request));
    buf_release(&request);
}

const char *world_hear(int i)
{
    buf_clear(&world.heard);
    (void)take_until(world.fds[i], 1);
    return heard_text();
}

void world_expect(int i, const char *reply)
{
    buf_clear(&world.heard);
    bool open = take_until(world.fds[i], strlen(reply));
    ck_assert_str_eq(heard_text(), reply);
    ck_assert_msg(open || *reply != '\0', "client %d was closed", i);
}

void world_expect_closed(int i)
{
    buf_clear(&world.heard);
    ck_assert(!take_until(world.fds[i], 1));
    ck_assert_str_eq(heard_text(), "");
}

void world_expect_all(const struct exchange *exchanges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        world_say(0, exchanges[i].request);
        buf_clear(&world.heard);
        (void)take_until(world.fds[0], strlen(exchanges[i].reply));
        ck_assert_msg(strcmp(heard_text(), exchanges[i].reply) == 0, "%s: expected %s, got %s",
                      exchanges[i].request, exchanges[i].reply, heard_text());
    }
    world_expect_nothing_sent();
}

/* ---- Redis ---- */

/* The commands in bytes as text: "GET a|SET b c". */
static void commands_text(const struct buf *bytes, struct buf *text)
{
    struct resp_framer *framer = resp_framer_create();
    struct resp_limits limits = RESP_LIMITS_REDIS;
    struct resp_request request;
    size_t wanted;
    char error[128];

    for (size_t at = 0; at < bytes->len; at += request.len_bytes) {
        ck_assert_int_eq(resp_request_next(framer, &limits, buf_head(bytes) + at, bytes->len - at,
                                           &request, &wanted, error),
                         ERR_OK);
        buf_append_str(text, at > 0 ? "|" : "");
        for (size_t i = 0; i < request.argc; i++) {
            buf_append_str(text, i > 0 ? " " : "");
            buf_append(text, request.argv[i].bytes, request.argv[i].len);
        }
    }
    resp_framer_destroy(framer);
    buf_append(text, "", 1);
}

static void expect_on(int fd, const char *commands)
{
    struct buf text = BUF_INIT;

    buf_clear(&world.heard);
    (void)take_until(fd, 1);
    commands_text(&world.heard, &text);
    ck_assert_str_eq((const char *)buf_head(&text), commands);
    buf_release(&text);
}

static void expect_sent_on(int fd, const char *commands)
{
    struct buf expected = BUF_INIT, text = BUF_INIT;

    buf_clear(&world.heard);
    (void)take_until(fd, sizeof ROLE - 1);
    buf_printf(&expected, "%s%sROLE", commands, *commands != '\0' ? "|" : "");
    commands_text(&world.heard, &text);
    ck_assert_str_eq((const char *)buf_head(&text), (const char *)buf_head(&expected));
    buf_release(&expected);
    buf_release(&text);
}

void world_expect_sent(const char *commands)
{
    expect_sent_on(world.redis, commands);
    world.bare = false;
}

void world_expect_sent_like(const char *begin, const char *end)
{
    struct buf expected = BUF_INIT, text = BUF_INIT;

    buf_clear(&world.heard);
    (void)take_until(world.redis, sizeof ROLE - 1);
    commands_text(&world.heard, &text);
    buf_printf(&expected, "%s|ROLE", end);
    const char *got = (const char *)buf_head(&text);
    buf_append(&expected, "", 1);
    ck_assert_msg(strncmp(got, begin, strlen(begin)) == 0, "%s", got);
    ck_assert_uint_ge(text.len, expected.len);
    ck_assert_str_eq(got + text.len - expected.len, (const char *)buf_head(&expected));
    world.bare = false;
    buf_release(&expected);
    buf_release(&text);
}

void world_expect_sent_bare(const char *commands)
{
    expect_on(world.redis, commands);
    world.bare = true;
}

void world_expect_nothing_sent(void)
{
    buf_clear(&world.heard);
    turn();
    (void)take(world.redis);
    ck_assert_str_eq(heard_text(), "");
}

void world_pause(int i)
{
    world_say(i, "CLIENT PAUSE 100000 WRITE");
    world_expect_sent_bare("CLIENT PAUSE 1000 WRITE");
    world_redis("+OK\r\n");
    world_expect(i, "+OK\r\n");
}

void world_unpause(int i)
{
    world_say(i, "CLIENT UNPAUSE");
    world_expect_sent_bare("CLIENT UNPAUSE");
    world_redis("+OK\r\n");
    world_expect(i, "+OK\r\n");
}

void world_redis(const char *replies)
{
    ck_assert_int_eq(send(world.redis, replies, strlen(replies), MSG_NOSIGNAL),
                     (ssize_t)strlen(replies));
    if (!world.bare) {
        ck_assert_int_gt(send(world.redis, FENCED, sizeof FENCED - 1, MSG_NOSIGNAL), 0);
    }
    world.bare = false;
    for (int waits = 0; !engine_is_idle(world.engine) && waits < WAITS_MAX; waits++) {
        turn();
        sockets_wait(-1, 0, 1);
    }
}

void world_asks(int i, const char *words, const char *reply)
{
    world_say(i, words);
    world_expect_sent(words);
    world_redis(reply);
    world_expect(i, reply);
}

/* ---- private links ---- */

void world_link_up(int i)
{
    char answers[256];

    (void)snprintf(answers, sizeof answers,
                   "+OK\r\n:%d\r\n$67\r\nrole:master\r\nmaster_replid:" REPLID "\r\n", 70 + i);
    world_link_up_as(i, answers);
}

void world_link_up_as(int i, const char *answers)
{
    if (world.links[i] >= 0) {
        (void)close(world.links[i]);
    }
    sockets_wait(world.redis_listener, POLLIN, 1000);
    world.links[i] = sockets_accept(world.redis_listener);
    buf_clear(&world.heard);
    turn();
    (void)take_until(world.links[i], 60); /* the set-up */
    ck_assert_int_eq(send(world.links[i], answers, strlen(answers), 0), (ssize_t)strlen(answers));
}

void world_link_expect_sent(int i, const char *commands)
{
    expect_sent_on(world.links[i], commands);
}

void world_link_expect_unfenced(int i, const char *commands)
{
    struct buf text = BUF_INIT;

    buf_clear(&world.heard);
    (void)take_until(world.links[i], 1);
    commands_text(&world.heard, &text);
    ck_assert_str_eq((const char *)buf_head(&text), commands);
    buf_release(&text);
}

void world_link_expect_bare(int i, const char *commands)
{
    expect_on(world.links[i], commands);
}

void world_link_redis_raw(int i, const char *bytes)
{
    ck_assert_int_eq(send(world.links[i], bytes, strlen(bytes), MSG_NOSIGNAL),
                     (ssize_t)strlen(bytes));
    for (int waits = 0; waits < 5; waits++) {
        turn();
        sockets_wait(-1, 0, 1);
    }
}

void world_link_redis(int i, const char *replies)
{
    char all[1024];

    (void)snprintf(all, sizeof all, "%s%s", replies, FENCED);
    world_link_redis_raw(i, all);
}

void world_link_asks(int i, int link, const char *words, const char *reply)
{
    world_say(i, words);
    world_link_expect_sent(link, words);
    world_link_redis(link, reply);
    world_expect(i, reply);
}

void world_link_asks_bare(int i, int link, const char *words, const char *reply)
{
    world_say(i, words);
    world_link_expect_bare(link, words);
    world_link_redis_raw(link, reply);
    world_expect(i, reply);
}

void world_link_down(int i)
{
    (void)close(world.links[i]);
    world.links[i] = -1;
    for (int waits = 0; waits < 5; waits++) {
        turn();
        sockets_wait(-1, 0, 1);
    }
}

void world_link_expect_closed(int i)
{
    buf_clear(&world.heard);
    ck_assert(!take_until(world.links[i], 1));
}

const char *world_scope(int i)
{
    static char text[1024];
    const struct request *r = world.clients[i]->last;

    ck_assert(r != NULL && r->stage == REQUEST_SENT);
    if (r->waiter.keyspace || r->waiter.harmless) {
        return r->waiter.keyspace ? "keyspace" : "harmless";
    }
    text[0] = '\0';
    for (uint32_t k = 0; k < r->waiter.hash_count; k++) {
        for (int j = 0; j < 16 * 26; j++) {
            char key = (char)('a' + j % 26);
            if (tracker_hash(world.tracker, (uint32_t)j / 26, &key, 1) == r->waiter.hashes[k]) {
                size_t len = strlen(text);
                (void)snprintf(text + len, sizeof text - len, "%s%d:%c", len > 0 ? " " : "", j / 26,
                               key);
            }
        }
    }
    return text;
}

/* ---- another proxy, or our Redis as a replica ---- */

static bool other_take_setup(bool leader)
{
    /* The last word of the set-up is the nonce, or ROLE. */
    const char *end = leader ? "\r\n$16\r\n" : "ROLE\r\n";

    for (int waits = 0; waits < WAITS_MAX; waits++) {
        turn();
        (void)take(world.other);
        const char *at = strstr(heard_text(), end);
        if (at != NULL && !leader) {
            return true;
        }
        if (at != NULL && strlen(at) >= 7 + 16 + 2) {
            memcpy(world.nonce, at + 7, 16);
            world.nonce[16] = '\0';
            return true;
        }
        sockets_wait(world.other, POLLIN, WAIT_MS);
    }
    return false;
}

void world_other_accept(void)
{
    struct pollfd p = {.fd = world.other_listener, .events = POLLIN};

    for (int waits = 0; poll(&p, 1, 1) == 0 && waits < WAITS_MAX; waits++) {
        turn(); /* it may come a little later (uplink's retries) */
    }
    world.other = sockets_accept(world.other_listener);
}

void world_other_link(void)
{
    world_other_accept();
    buf_clear(&world.heard);
    ck_assert(other_take_setup(true));
    world_other(":70\r\n+OK\r\n");
}

void world_other_joins(bool leader)
{
    struct forward *f = leader ? world.forward : world.replica;

    if (world.other >= 0) {
        (void)close(world.other);
    }
    forward_aim(f, FORWARD_THERE, "127.0.0.1", world.other_port, clock_now_ns());
    world_other_accept();
    buf_clear(&world.heard);
    ck_assert(other_take_setup(leader));
    world_other(leader ? "+OK\r\n+OK\r\n"
                       : "+OK\r\n+OK\r\n+OK\r\n*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:7777\r\n"
                         "$9\r\nconnected\r\n:1\r\n");
    for (int waits = 0; forward_links_up(f) == 0 && waits < WAITS_MAX; waits++) {
        turn();
        sockets_wait(-1, 0, 1);
    }
    ck_assert_uint_eq(forward_links_up(f), 1);
}

void world_other(const char *replies)
{
    ck_assert_int_eq(send(world.other, replies, strlen(replies), MSG_NOSIGNAL),
                     (ssize_t)strlen(replies));
    turn();
}

void world_other_moved(void)
{
    char text[128];

    (void)snprintf(text, sizeof text, "-HOLDFASTMOVED %s 9 127.0.0.1:1\r\n", world.nonce);
    world_other(text);
}

void world_expect_other(const char *commands)
{
    struct buf text = BUF_INIT;

    buf_clear(&world.heard);
    (void)take_until(world.other, *commands != '\0');
    commands_text(&world.heard, &text);
    ck_assert_str_eq((const char *)buf_head(&text), commands);
    buf_release(&text);
}

void world_links_wait_too_long(void)
{
    forward_tick(world.forward, clock_now_ns() + (WORLD_PATIENCE_MS + 1) * CLOCK_NS_PER_MS);
}

void world_waits_too_long(void)
{
    world.router.wait_ns = 0;
    world_links_wait_too_long();
}

void world_turn(void)
{
    turn();
}
