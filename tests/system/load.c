#include "tests/system/load.h"

#include "common/clock.h"
#include "common/mem.h"
#include "tests/lib/wire.h"
#include "tests/sim/linear.h"

#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEYS_PER_WRITER = 12, /* by turns: SET, INCR, a pair set in a transaction */
    DEPTH_MAX = 64,
    CONNECTIONS_MAX = 64,
    REFUSED_MAX = 256,
    RECONNECT_MS = 20,
    SEARCH_MAX = 1000000,
    HISTORY_OPS = 500, /* then the key rests until its history has been judged */
};

enum key_kind { KEY_SET, KEY_INCR, KEY_PAIR };

struct key {
    enum key_kind kind;
    char name[24], twin[24]; /* twin: the other key of a pair */
    long long acked, seen, sent;
    long long refused[REFUSED_MAX]; /* the last ones */
    unsigned refused_count;
    struct linear_history history; /* since the base */
    unsigned flying;               /* operations that are not answered */
    bool rests;                    /* nothing more is sent, but for a last read */
};

struct operation {
    struct key *key;
    bool write;
    bool last;          /* a read of a key that rests: its history ends here */
    int replies;        /* that are still to come: 4 for a transaction */
    long long value;    /* of a write */
    long long at_least; /* of a read: what was known when it was sent */
    uint64_t sent_ns;
};

struct connection {
    struct wire wire;
    int port;
    bool open;
    uint64_t retry_ns;
    struct key *keys; /* a writer's own; NULL: a reader */
    unsigned next_key;
    struct operation flight[DEPTH_MAX]; /* a ring */
    unsigned first, count;
};

struct load {
    struct load_options options;
    struct key *keys;
    unsigned key_count, resting;
    struct connection *connections;
    unsigned connection_count;
    unsigned seed;
    struct load_counts counts;
    struct load_histories histories;
};

/* Connections go round all ports. */
static int port_of(const struct load_options *options, unsigned i)
{
    unsigned count = 1;

    while (count < LOAD_PORTS_MAX && options->more_ports[count - 1] != 0) {
        count++;
    }
    return i % count == 0 ? options->port : options->more_ports[i % count - 1];
}

struct load *load_create(const struct load_options *options)
{
    struct load *l = mem_calloc(1, sizeof *l);
    l->options = *options;
    l->options.writers = options->writers ? options->writers : 4;
    l->options.readers = options->readers ? options->readers : 4;
    l->options.depth = options->depth ? options->depth : 8;
    l->seed = options->seed;
    l->key_count = l->options.writers * KEYS_PER_WRITER;
    l->keys = mem_calloc(l->key_count, sizeof *l->keys);
    for (unsigned i = 0; i < l->key_count; i++) {
        l->keys[i].kind = (enum key_kind)(i % 3);
        snprintf(l->keys[i].name, sizeof l->keys[i].name, "load%u", i);
        snprintf(l->keys[i].twin, sizeof l->keys[i].twin, "twin%u", i);
    }
    l->connection_count = l->options.writers + l->options.readers;
    MUST(l->connection_count <= CONNECTIONS_MAX && l->options.depth <= DEPTH_MAX);
    l->connections = mem_calloc(l->connection_count, sizeof *l->connections);
    for (unsigned i = 0; i < l->connection_count; i++) {
        l->connections[i].wire.fd = -1;
        l->connections[i].port = port_of(options, i);
        if (i < l->options.writers) {
            l->connections[i].keys = &l->keys[(size_t)i * KEYS_PER_WRITER];
        }
    }
    return l;
}

/* --- histories ------------------------------------------------------------------------------ */

/* A key's state, as the checker of histories knows it. */
static uint64_t state_of(const struct key *key, long long value)
{
    uint64_t state = (uint64_t)value;

    if (value != 0 && key->kind != KEY_INCR) {
        (void)kv_step(KV_SET, false, (uint64_t)value, 0, &state);
    }
    return state;
}

/* Long before there is no room, the key rests. */
static void history_add(struct key *key, const struct linear_op *op)
{
    MUST(key->history.count < LINEAR_OPS_MAX);
    linear_add(&key->history, op);
}

static void history_write(struct key *key, const struct operation *op, uint64_t ret, uint64_t reply)
{
    bool counter = key->kind == KEY_INCR;
    history_add(key, &(struct linear_op){.call = op->sent_ns,
                                         .ret = ret,
                                         .command = counter ? KV_INCR : KV_SET,
                                         .counter = counter,
                                         .token = counter ? 0 : (uint64_t)op->value,
                                         .answer = counter ? reply : 0});
}

static void history_read(struct key *key, uint64_t call, long long value)
{
    history_add(key, &(struct linear_op){.call = call,
                                         .ret = clock_now_ns(),
                                         .command = KV_GET,
                                         .counter = key->kind == KEY_INCR,
                                         .answer = state_of(key, value)});
}

static void history_print(const struct key *key)
{
    for (size_t i = 0; i < key->history.count; i++) {
        const struct linear_op *op = &key->history.ops[i];
        fprintf(stderr, "%s %llu %lld %s token %llu answer %llx\n", key->name,
                (unsigned long long)op->call, op->ret == LINEAR_UNKNOWN ? -1 : (long long)op->ret,
                op->command == KV_GET ? "read" : "write", (unsigned long long)op->token,
                (unsigned long long)op->answer);
    }
}

/* A write whose outcome is not known can still come to pass when the history has been judged,
 * unless a later one was seen. It goes into the next one. */
static void history_carry(struct key *key, long long value)
{
    struct linear_history *h = &key->history;
    size_t kept = 0;

    for (size_t i = 0; i < h->count; i++) {
        bool later = key->kind == KEY_INCR || (long long)h->ops[i].token > value;
        if (h->ops[i].ret == LINEAR_UNKNOWN && later) {
            h->ops[kept++] = h->ops[i];
        }
    }
    h->count = kept;
}

/* Nothing is in flight, and `value` has just been read. settled: nor is anything on its way. */
static void history_judge(struct load *l, struct key *key, long long value, bool settled)
{
    enum linear_verdict verdict = linear_check(&key->history, SEARCH_MAX);

    if (verdict != LINEAR_OK) {
        history_print(key);
    }
    ck_assert_msg(verdict != LINEAR_VIOLATED,
                  "the history of %s (%zu operations) is not that of one Redis", key->name,
                  key->history.count);
    ck_assert_msg(verdict != LINEAR_UNDECIDED, "the history of %s (%zu operations) is too long",
                  key->name, key->history.count);
    l->histories.operations += key->history.count;
    l->histories.judged++;
    history_carry(key, value);
    key->history.count = settled ? 0 : key->history.count;
    key->history.begin = state_of(key, value);
    l->resting -= key->rests;
    key->rests = false;
}

struct load_histories load_histories(const struct load *l)
{
    return l->histories;
}

static void connection_close(struct load *l, struct connection *c)
{
    if (c->open) {
        wire_close(&c->wire);
        c->open = false;
        for (unsigned i = 0; i < c->count; i++) {
            struct operation *op = &c->flight[(c->first + i) % DEPTH_MAX];
            op->key->flying--;
            if (op->write) {
                history_write(op->key, op, LINEAR_UNKNOWN, 0);
                l->counts.unknown++;
            }
        }
        c->first = c->count = 0;
        c->retry_ns = clock_now_ns() + RECONNECT_MS * CLOCK_NS_PER_MS;
        l->counts.closed++;
    }
}

void load_destroy(struct load *l)
{
    for (unsigned i = 0; i < l->connection_count; i++) {
        connection_close(l, &l->connections[i]);
    }
    for (unsigned i = 0; i < l->key_count; i++) {
        linear_fini(&l->keys[i].history);
    }
    free(l->connections);
    free(l->keys);
    free(l);
}

struct load_counts load_counts(const struct load *l)
{
    return l->counts;
}

void load_counts_clear(struct load *l)
{
    l->counts = (struct load_counts){.writes_acked = 0};
}

static long long max_of(long long a, long long b)
{
    return a > b ? a : b;
}

/* --- sending -------------------------------------------------------------------------------- */

/* One more operation of that key is about to be sent. */
static void key_starts(struct load *l, struct key *key)
{
    key->flying++;
    if (!key->rests && key->history.count + key->flying >= HISTORY_OPS) {
        key->rests = true;
        l->resting++;
    }
}

static void send_write(struct load *l, struct connection *c, struct key *key)
{
    char value[24];

    key_starts(l, key);
    struct operation *op = &c->flight[(c->first + c->count++) % DEPTH_MAX];

    *op = (struct operation){
        .key = key, .write = true, .replies = 1, .value = ++key->sent, .sent_ns = clock_now_ns()};
    snprintf(value, sizeof value, "%lld", op->value);
    switch (key->kind) {
    case KEY_SET:
        wire_queue(&c->wire, "SET", key->name, value);
        break;
    case KEY_INCR:
        wire_queue(&c->wire, "INCR", key->name);
        break;
    case KEY_PAIR:
        op->replies = 4;
        wire_queue(&c->wire, "MULTI");
        wire_queue(&c->wire, "SET", key->name, value);
        wire_queue(&c->wire, "SET", key->twin, value);
        wire_queue(&c->wire, "EXEC");
        break;
    }
}

static void send_read(struct load *l, struct connection *c, struct key *key)
{
    bool last = key->rests;

    key_starts(l, key);
    struct operation *op = &c->flight[(c->first + c->count++) % DEPTH_MAX];

    *op = (struct operation){.key = key,
                             .replies = 1,
                             .last = last,
                             .at_least = max_of(key->acked, key->seen),
                             .sent_ns = clock_now_ns()};
    if (key->kind == KEY_PAIR) {
        wire_queue(&c->wire, "MGET", key->name, key->twin);
    } else {
        wire_queue(&c->wire, "GET", key->name);
    }
}

/* The next of a writer's keys that does not rest; NULL: all do. */
static struct key *key_to_write(struct connection *c)
{
    for (unsigned i = 0; i < KEYS_PER_WRITER; i++) {
        struct key *key = &c->keys[c->next_key++ % KEYS_PER_WRITER];
        if (!key->rests) {
            return key;
        }
    }
    return NULL;
}

/* A key whose history waits for its last read, else any that does not rest; NULL: it is none. */
static struct key *key_to_read(struct load *l)
{
    struct key *key;

    for (unsigned i = 0; i < l->key_count && l->resting > 0; i++) {
        key = &l->keys[i];
        if (key->rests && key->flying == 0) {
            return key;
        }
    }
    key = &l->keys[(unsigned)rand_r(&l->seed) % l->key_count];
    return key->rests ? NULL : key;
}

static void connection_top_up(struct load *l, struct connection *c)
{
    while (c->count < l->options.depth) {
        struct key *key = c->keys != NULL ? key_to_write(c) : key_to_read(l);
        if (key == NULL) {
            break;
        }
        if (c->keys != NULL) {
            send_write(l, c, key);
        } else {
            send_read(l, c, key);
        }
    }
    wire_flush(&c->wire);
}

/* --- judging replies ------------------------------------------------------------------------ */

static void check_value(const struct key *key, long long value, long long at_least)
{
    ck_assert_msg(value >= at_least && value <= key->sent,
                  "%s is %lld, but must be between %lld (acknowledged %lld, seen %lld) and %lld",
                  key->name, value, at_least, key->acked, key->seen, key->sent);
    unsigned kept = key->refused_count < REFUSED_MAX ? key->refused_count : REFUSED_MAX;
    for (unsigned i = 0; i < kept && key->kind != KEY_INCR; i++) {
        ck_assert_msg(key->refused[i] != value, "%s is %lld, a write that was refused", key->name,
                      value);
    }
}

static long long bulk_number(const char *bulk)
{
    /* $-1 is a key that was never written: 0. */
    return bulk[1] == '-' ? 0 : strtoll(strchr(bulk, '\n') + 1, NULL, 10);
}

static long long read_value(const struct key *key, const char *reply)
{
    if (key->kind != KEY_PAIR) {
        ck_assert_msg(reply[0] == '$', "GET %s: %.60s", key->name, reply);
        return bulk_number(reply);
    }
    ck_assert_msg(strncmp(reply, "*2\r\n$", 5) == 0, "MGET %s: %.60s", key->name, reply);
    const char *first = reply + 4;
    long long value = bulk_number(first);
    const char *second = first + wire_reply_length(first, 64);
    ck_assert_msg(bulk_number(second) == value, "half a transaction: %s is %lld and %s is %lld",
                  key->name, value, key->twin, bulk_number(second));
    return value;
}

static void write_acked(struct load *l, struct operation *op, const char *reply)
{
    struct key *key = op->key;
    long long value = op->value;

    if (key->kind == KEY_INCR) {
        ck_assert_msg(reply[0] == ':', "INCR %s: %.60s", key->name, reply);
        value = strtoll(reply + 1, NULL, 10);
        ck_assert_msg(value > key->acked, "INCR %s: %lld after %lld", key->name, value, key->acked);
        check_value(key, value, max_of(key->acked, 0));
    } else if (key->kind == KEY_SET) {
        ck_assert_msg(strncmp(reply, "+OK", 3) == 0, "SET %s: %.60s", key->name, reply);
    } else {
        ck_assert_msg(strncmp(reply, "*2\r\n+OK\r\n+OK\r\n", 14) == 0, "EXEC %s: %.60s", key->name,
                      reply);
    }
    history_write(key, op, clock_now_ns(), (uint64_t)value);
    key->acked = max_of(key->acked, value);
    l->counts.writes_acked++;
    l->counts.acked_sent_ns = op->sent_ns;
}

static void write_refused(struct load *l, struct operation *op)
{
    op->key->refused[op->key->refused_count++ % REFUSED_MAX] = op->value;
    l->counts.refused++;
}

/* -EXECABORT follows an error that a transaction's commands got: they were refused there. */
static bool error_is_allowed(struct load *l, struct operation *op, const char *reply)
{
    if (strncmp(reply, "-LOADING", 8) == 0 ||
        (!op->write && strncmp(reply, "-MASTERDOWN", 11) == 0)) {
        l->counts.loading++;
        return true;
    }
    if (op->write &&
        (strncmp(reply, "-NOREPLICAS", 11) == 0 || strncmp(reply, "-EXECABORT", 10) == 0)) {
        return true;
    }
    return false;
}

static void reply_take(struct load *l, struct connection *c, const char *reply)
{
    ck_assert_msg(c->count > 0, "a reply that nobody asked for: %.60s", reply);
    struct operation *op = &c->flight[c->first];
    bool last = --op->replies == 0;

    if (reply[0] == '-') {
        ck_assert_msg(error_is_allowed(l, op, reply), "%s %s: %.100s", op->write ? "write" : "read",
                      op->key->name, reply);
        if (last && op->write) {
            write_refused(l, op);
        }
    } else if (last && op->write) {
        write_acked(l, op, reply);
    } else if (last) {
        long long value = read_value(op->key, reply);
        history_read(op->key, op->sent_ns, value);
        check_value(op->key, value, op->at_least);
        op->key->seen = max_of(op->key->seen, value);
        l->counts.reads_done++;
        if (op->last) {
            history_judge(l, op->key, value, false);
        }
    }
    if (last) {
        op->key->flying--;
        uint64_t us = (clock_now_ns() - op->sent_ns) / CLOCK_NS_PER_US;
        l->counts.latency_max_us = us > l->counts.latency_max_us ? us : l->counts.latency_max_us;
        c->first = (c->first + 1) % DEPTH_MAX;
        c->count--;
    }
}

static void connection_receive(struct load *l, struct connection *c)
{
    const char *reply;

    wire_fill(&c->wire);
    while (wire_take(&c->wire, &reply) > 0) {
        reply_take(l, c, reply);
    }
    if (c->wire.ended) {
        connection_close(l, c);
    }
}

/* --- going ---------------------------------------------------------------------------------- */

static void connection_open(struct load *l, struct connection *c, uint64_t now)
{
    if (now < c->retry_ns) {
        return;
    }
    if (wire_try_open(&c->wire, c->port) == ERR_OK) {
        c->open = true;
    } else {
        c->retry_ns = now + RECONNECT_MS * CLOCK_NS_PER_MS;
        l->counts.closed++;
    }
}

/* One turn: waits up to 10 ms for replies and takes them. */
static void load_turn(struct load *l)
{
    struct pollfd fds[CONNECTIONS_MAX];

    for (unsigned i = 0; i < l->connection_count; i++) {
        struct connection *c = &l->connections[i];
        fds[i] = (struct pollfd){.fd = c->open ? c->wire.fd : -1, .events = POLLIN};
        if (c->open && c->wire.out.len > 0) {
            fds[i].events |= POLLOUT;
        }
    }
    if (poll(fds, l->connection_count, 10) <= 0) {
        return;
    }
    for (unsigned i = 0; i < l->connection_count; i++) {
        if (fds[i].revents & POLLOUT) {
            wire_flush(&l->connections[i].wire);
        }
        if (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) {
            connection_receive(l, &l->connections[i]);
        }
    }
}

void load_run(struct load *l, uint64_t ms, bool (*enough)(void *arg), void *arg)
{
    uint64_t end = clock_now_ns() + ms * CLOCK_NS_PER_MS;

    for (uint64_t now = 0; now < end && (enough == NULL || !enough(arg)); now = clock_now_ns()) {
        for (unsigned i = 0; i < l->connection_count; i++) {
            struct connection *c = &l->connections[i];
            if (!c->open) {
                connection_open(l, c, clock_now_ns());
            }
            if (c->open) {
                connection_top_up(l, c);
            }
        }
        load_turn(l);
    }
}

static bool load_is_idle(const struct load *l)
{
    for (unsigned i = 0; i < l->connection_count; i++) {
        if (l->connections[i].count > 0) {
            return false;
        }
    }
    return true;
}

/* Whose replies do not come. */
static void load_print_waiting(const struct load *l)
{
    for (unsigned i = 0; i < l->connection_count; i++) {
        const struct connection *c = &l->connections[i];
        const struct operation *op = &c->flight[c->first];
        if (c->count > 0) {
            fprintf(stderr, "port %d, connection %u: %u wait, first the %s of %s, for %llu ms\n",
                    c->port, i, c->count, op->write ? "write" : "read", op->key->name,
                    (unsigned long long)((clock_now_ns() - op->sent_ns) / CLOCK_NS_PER_MS));
        }
    }
}

bool load_settle(struct load *l, uint64_t timeout_ms)
{
    uint64_t end = clock_now_ns() + timeout_ms * CLOCK_NS_PER_MS;
    while (!load_is_idle(l) && clock_now_ns() < end) {
        load_turn(l);
    }
    if (!load_is_idle(l)) {
        load_print_waiting(l);
    }
    return load_is_idle(l);
}

void load_hang_up(struct load *l)
{
    for (unsigned i = 0; i < l->connection_count; i++) {
        struct connection *c = &l->connections[i];
        uint64_t end = clock_now_ns() + WIRE_PATIENCE_MS * CLOCK_NS_PER_MS;
        while (c->open && clock_now_ns() < end) {
            struct pollfd pfd = {.fd = c->wire.fd, .events = POLLIN};
            poll(&pfd, 1, 10);
            connection_receive(l, c);
        }
        ck_assert_msg(!c->open, "a connection outlives the process at its other end");
    }
}

/* Whether that is no value: nobody may read now. */
static bool is_refused(const char *reply)
{
    return strncmp(reply, "-LOADING", 8) == 0 || strncmp(reply, "-MASTERDOWN", 11) == 0;
}

/* Asks for the key until there is an answer: who leads may change meanwhile, which closes the
 * connection, or the lease may be over. Returns when that was asked which was answered. */
static uint64_t ask_for(struct load *l, struct wire *wire, const struct key *key, struct buf *reply)
{
    uint64_t sent_ns, end_ns = clock_now_ns() + WIRE_PATIENCE_MS * CLOCK_NS_PER_MS;

    for (;;) {
        sent_ns = clock_now_ns();
        if (key->kind == KEY_PAIR) {
            wire_command(wire, "MGET", key->name, key->twin);
        } else {
            wire_command(wire, "GET", key->name);
        }
        int rv = wire_reply(wire, reply, WIRE_PATIENCE_MS);
        if (rv == ERR_OK && (!is_refused((char *)buf_head(reply)) || sent_ns >= end_ns)) {
            return sent_ns;
        }
        if (rv == ERR_OK) {
            (void)poll(NULL, 0, RECONNECT_MS);
            continue;
        }
        ck_assert_msg(rv == ERR_CLOSED && sent_ns < end_ns, "reading %s: %s", key->name,
                      err_text(rv));
        wire_close(wire);
        wire_open(wire, l->options.port);
    }
}

void load_check(struct load *l)
{
    struct wire wire;
    struct buf reply = BUF_INIT;

    ck_assert(load_is_idle(l));
    wire_open(&wire, l->options.port);
    for (unsigned i = 0; i < l->key_count; i++) {
        struct key *key = &l->keys[i];
        uint64_t sent_ns = ask_for(l, &wire, key, &reply);
        long long value = read_value(key, (const char *)buf_head(&reply));
        check_value(key, value, max_of(key->acked, key->seen));
        history_read(key, sent_ns, value);
        history_judge(l, key, value, true);
        key->acked = key->seen = value;
        if (key->kind == KEY_INCR) {
            key->sent = value; /* what was sent and lost leaves no gap in an INCR */
        }
    }
    wire_close(&wire);
    buf_release(&reply);
}
