/* hiredis against Holdfast, by address and by Sentinel; see tests/clients/run. hiredis knows
 * nothing of Sentinels, so what a client has to do is done here by hand, as Redis' "Guidelines for
 * Redis clients with support for Redis Sentinel" say: ask one after the other for the master's
 * address, connect, and look with ROLE whether it is one. */
#include "common/clock.h"
#include "common/mem.h"

#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ADDRESSES_MAX = 8, TIMEOUT_S = 10, RETRY_MS = 10 };

struct address {
    char host[64];
    int port;
};

static struct address addresses[ADDRESSES_MAX];
static int address_count;
static bool by_sentinel;
static const char *name;

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void parse(const char *list)
{
    for (const char *at = list; *at != '\0' && address_count < ADDRESSES_MAX;) {
        struct address *a = &addresses[address_count++];
        if (sscanf(at, "%63[^:]:%d", a->host, &a->port) != 2) {
            give_up(list, "not HOST:PORT,...");
        }
        at += strcspn(at, ",");
        at += *at == ',';
    }
}

static void pause_ms(long ms)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static redisContext *open_one(const struct address *a, int timeout_s)
{
    struct timeval timeout = {.tv_sec = timeout_s};
    redisContext *c = redisConnectWithTimeout(a->host, a->port, timeout);

    if (c == NULL || c->err != 0 || redisSetTimeout(c, timeout) != REDIS_OK) {
        if (c != NULL) {
            redisFree(c);
        }
        return NULL;
    }
    return c;
}

static bool find_master(struct address *master)
{
    for (int i = 0; i < address_count; i++) {
        redisContext *c = open_one(&addresses[i], 2);
        if (c == NULL) {
            continue;
        }
        redisReply *r = redisCommand(c, "SENTINEL get-master-addr-by-name mymaster");
        bool found = r != NULL && r->type == REDIS_REPLY_ARRAY && r->elements == 2;
        if (found) {
            (void)snprintf(master->host, sizeof master->host, "%s", r->element[0]->str);
            master->port = atoi(r->element[1]->str);
        }
        freeReplyObject(r);
        redisFree(c);
        if (found) {
            return true;
        }
    }
    return false;
}

/* One attempt; NULL: none is there. */
static redisContext *connect_once(void)
{
    struct address master = addresses[0];

    if (by_sentinel && !find_master(&master)) {
        return NULL;
    }
    redisContext *c = open_one(&master, TIMEOUT_S);
    if (c == NULL || !by_sentinel) {
        return c;
    }
    redisReply *r = redisCommand(c, "ROLE");
    bool is_master = r != NULL && r->type == REDIS_REPLY_ARRAY && r->elements > 0 &&
                     strcmp(r->element[0]->str, "master") == 0;
    freeReplyObject(r);
    if (!is_master) {
        redisFree(c);
        return NULL;
    }
    return c;
}

static redisContext *connect_some_time(void)
{
    redisContext *c;

    while ((c = connect_once()) == NULL) {
        pause_ms(RETRY_MS);
    }
    return c;
}

/* ---- ordinary use ---- */

static void expect(redisContext *c, const char *command, const char *wanted)
{
    char got[256] = "(no answer)";
    redisReply *r = redisCommand(c, command);

    if (r != NULL && r->type == REDIS_REPLY_INTEGER) {
        (void)snprintf(got, sizeof got, "%lld", r->integer);
    } else if (r != NULL && r->type == REDIS_REPLY_ARRAY) {
        (void)snprintf(got, sizeof got, "*%zu", r->elements);
    } else if (r != NULL) {
        (void)snprintf(got, sizeof got, "%s", r->type == REDIS_REPLY_NIL ? "(nil)" : r->str);
    }
    if (strcmp(got, wanted) != 0) {
        fprintf(stderr, "%s: \"%s\" instead of \"%s\"\n", command, got, wanted);
        exit(1);
    }
    freeReplyObject(r);
}

static void ordinary(void)
{
    redisContext *c = connect_some_time();
    void *reply;

    expect(c, "PING", "PONG");
    expect(c, "DEL s l t", "0");
    expect(c, "SET s v EX 100", "OK");
    expect(c, "SET s w NX", "(nil)");
    expect(c, "GET s", "v");
    expect(c, "RPUSH l a b c", "3");
    expect(c, "LPOP l", "a");
    expect(c, "LPUSH s x", "WRONGTYPE Operation against a key holding the wrong kind of value");
    expect(c, "MULTI", "OK");
    expect(c, "SET t 1", "QUEUED");
    expect(c, "INCR t", "QUEUED");
    expect(c, "EXEC", "*2");
    expect(c, "WATCH t", "OK");
    expect(c, "BLPOP l 5", "*2");
    expect(c, "DEL s l t", "3");
    for (int i = 0; i < 1000; i++) {
        if (redisAppendCommand(c, "SET p%d %d", i, i) != REDIS_OK) {
            give_up("redisAppendCommand", c->errstr);
        }
    }
    for (int i = 0; i < 1000; i++) {
        if (redisGetReply(c, &reply) != REDIS_OK) {
            give_up("pipeline", c->errstr);
        }
        freeReplyObject(reply);
    }
    expect(c, "GET p999", "999");
    redisFree(c);
    printf("DONE\n");
}

/* ---- the load ---- */

struct numbers {
    long *at;
    size_t count, room;
};

static void add(struct numbers *n, long value)
{
    if (n->count == n->room) {
        n->room = n->room * 2 + 1024;
        n->at = mem_realloc(n->at, n->room * sizeof *n->at);
    }
    n->at[n->count++] = value;
}

/* True: acknowledged. An error reply or none is counted; without an answer the link is made anew.
 */
static bool write_one(redisContext **c, long i, long *errors)
{
    redisReply *r = redisCommand(*c, "SET %s:%ld %ld", name, i, i);
    bool ok = r != NULL && r->type == REDIS_REPLY_STATUS;

    if (!ok) {
        fprintf(stderr, "%s\n", r != NULL ? r->str : (*c)->errstr);
        (*errors)++;
        if (r == NULL || by_sentinel) {
            redisFree(*c);
            *c = connect_some_time();
        }
    }
    freeReplyObject(r);
    return ok;
}

static size_t count_lost(const struct numbers *acked)
{
    redisContext *c = connect_some_time();
    char wanted[32];
    size_t lost = 0;

    for (size_t i = 0; i < acked->count; i++) {
        redisReply *r = redisCommand(c, "GET %s:%ld", name, acked->at[i]);
        (void)snprintf(wanted, sizeof wanted, "%ld", acked->at[i]);
        if (r == NULL) {
            give_up("looking for what was acknowledged", c->errstr);
        }
        lost += r->type != REDIS_REPLY_STRING || strcmp(r->str, wanted) != 0;
        freeReplyObject(r);
    }
    redisFree(c);
    return lost;
}

/* Writes until standard input ends, then looks whether what was acknowledged is there. */
static int load(void)
{
    struct numbers acked = {.count = 0};
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    redisContext *c = connect_some_time();
    uint64_t last_ns = clock_now_ns(), told_ns = last_ns, gap_ns = 0;
    long errors = 0;

    for (long i = 1; poll(&in, 1, 0) == 0; i++) {
        if (write_one(&c, i, &errors)) {
            uint64_t now_ns = clock_now_ns();
            add(&acked, i);
            gap_ns = now_ns - last_ns > gap_ns ? now_ns - last_ns : gap_ns;
            last_ns = now_ns;
        }
        if (clock_now_ns() - told_ns > 100 * CLOCK_NS_PER_MS) {
            told_ns = clock_now_ns();
            printf("ACKED %zu\n", acked.count);
            (void)fflush(stdout);
        }
    }
    redisFree(c);
    size_t lost = count_lost(&acked);
    printf("DONE acked=%zu lost=%zu errors=%ld gap_ms=%llu\n", acked.count, lost, errors,
           (unsigned long long)(gap_ns / CLOCK_NS_PER_MS));
    free(acked.at);
    return lost == 0 && acked.count > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        give_up("client_hiredis", "TASK NAME MODE HOST:PORT,...");
    }
    name = argv[2];
    by_sentinel = strcmp(argv[3], "sentinel") == 0;
    parse(argv[4]);
    if (strcmp(argv[1], "ordinary") == 0) {
        ordinary();
        return 0;
    }
    return load();
}
