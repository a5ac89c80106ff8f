/* CLIENT PAUSE, and which requests may add to the stream, so that they are held back by CLIENT
 * PAUSE … WRITE, or while the log is full.
 *
 * Redis pauses along, for writes, as long as the proxy leads: then it lets no key expire and evicts
 * none (activeExpireCycle, expireIfNeeded, isSafeToPerformEvictions), as it does for clients of its
 * own. It is told over the link that all share, so in one order with what they write: what came
 * before the pause is executed before, and nothing that Redis holds back is sent over that link
 * while it lasts: a script that may not write, yet does not say so, goes over one of its own (where
 * there is one to be had). What comes late on a private link waits there, as it would in Redis. And
 * it is told for a second at a time, so that it never lasts if we end. */
#include "proxy/clients/router.h"

#include "common/clock.h"
#include "common/mem.h"
#include "proxy/clients/transaction.h"

#include <stdio.h>
#include <string.h>

enum { PAUSE_MS = 1000, PAUSE_AGAIN_MS = 250 };

bool router_may_replicate(const struct command *command)
{
    static const char *const names[] = {"pfcount", "publish", "spublish"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(command->name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether it is an EVAL of a script that says so. */
static bool router_only_reads(const struct command *command, const struct resp_arg *argv,
                              size_t argc)
{
    return strcmp(command->name, "eval") == 0 && argc >= 2 && readers_says_so(&argv[1]);
}

bool router_may_change(const struct command *command, const struct resp_arg *argv, size_t argc)
{
    return (router_writes(command) && !router_only_reads(command, argv, argc)) ||
           router_may_replicate(command) || router_debug_populates(command, argv, argc);
}

/* Not if it depends on the client's rights to FCALL_RO. */
static bool router_is_reader(const struct client *c, const struct command *command,
                             const struct resp_arg *argv, size_t argc)
{
    return readers_have(&c->all->readers, command, argv, argc) &&
           (c->user == NULL || !readers_is_function(command));
}

/* A script that may not write, and does not say so, as far as is known. */
bool router_reads_unsaid(const struct client *c, const struct command *command,
                         const struct resp_arg *argv, size_t argc)
{
    if (strcmp(command->name, "eval_ro") == 0) {
        return argc >= 2 && argv[1].len >= 2 && memcmp(argv[1].bytes, "#!", 2) == 0 &&
               !readers_says_so(&argv[1]);
    }
    return (strcmp(command->name, "evalsha_ro") == 0 || strcmp(command->name, "fcall_ro") == 0) &&
           !readers_have(&c->all->readers, command, argv, argc);
}

/* What a script is run as that may not write, or NULL. */
static const char *router_reader_name(const struct command *command)
{
    static const char *const names[][2] = {
        {"eval", "EVAL_RO"}, {"evalsha", "EVALSHA_RO"}, {"fcall", "FCALL_RO"}};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(command->name, names[i][0]) == 0) {
            return names[i][1];
        }
    }
    return NULL;
}

bool router_runs_as_reader(const struct client *c, const struct command *command)
{
    return c->user == NULL && router_reader_name(command) != NULL &&
           client_config_replicas_lack(&c->all->config);
}

struct resp_arg *router_reader_words(const struct client *c, const struct command *command,
                                     bool reads, const struct resp_arg *argv, size_t argc)
{
    struct resp_arg *words;

    const char *name = router_reader_name(command);

    if (name == NULL || (!reads && (c->all->pause_until_ns == 0 || c->user != NULL))) {
        return NULL;
    }
    words = mem_alloc(argc * sizeof *words);
    memcpy(words, argv, argc * sizeof *words);
    words[0] = (struct resp_arg){(const uint8_t *)name, strlen(name)};
    return words;
}

/* In front of what the script is called and where it wrote. */
void router_reader_wrote(struct request *r)
{
    static const char *const errors[] = {
        "-ERR Write commands are not allowed from read-only scripts.",
        "-ERR Can not execute a script with write flag using *_ro command."};
    static const char lack[] = "-NOREPLICAS Not enough good replicas to write.";
    struct buf reply = BUF_INIT, rest = BUF_INIT;

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        if (request_reply_begins(r, errors[i])) {
            request_move_reply(r, &rest);
            buf_consume(&rest, strlen(errors[i]));
            buf_append_str(&reply, lack);
            buf_append(&reply, buf_head(&rest), rest.len);
            request_take_reply(r, &reply);
            buf_release(&rest);
            return;
        }
    }
}

bool router_is_paused(const struct router *router, const struct client *c,
                      const struct command *command, const struct resp_arg *argv, size_t argc)
{
    bool exec = strcmp(command->name, "exec") == 0;
    bool changes = exec ? transaction_may_change(c) : router_may_change(command, argv, argc);

    if (router->log_full && changes && (exec || c->transaction == NULL)) {
        return true;
    }
    return c->all->pause_until_ns != 0 &&
           (!c->all->pause_writes_only || (changes && !router_is_reader(c, command, argv, argc)));
}

/* ---- Redis pauses along ---- */

static void pause_tell(struct router *router, const char *const *texts, size_t count)
{
    struct request *r = request_take(router->clients->pool);
    struct resp_arg words[4];

    for (size_t i = 0; i < count; i++) {
        words[i] = (struct resp_arg){(const uint8_t *)texts[i], strlen(texts[i])};
    }
    r->waiter.harmless = true;
    engine_add(router->engine, r, 0, 2, words, count);
}

void router_pause(struct router *router)
{
    uint64_t now_ns = router->clients->now_ns, until_ns = router->clients->pause_until_ns;
    char rest[16];
    const char *const words[] = {"CLIENT", "PAUSE", rest, "WRITE"};

    if (until_ns <= now_ns || now_ns < router->pause_again_ns || !router_serves(router)) {
        return;
    }
    uint64_t rest_ms = (until_ns - now_ns) / CLOCK_NS_PER_MS + 1;
    (void)snprintf(rest, sizeof rest, "%u", (unsigned)(rest_ms < PAUSE_MS ? rest_ms : PAUSE_MS));
    pause_tell(router, words, 4);
    router->redis_paused = true;
    router->pause_again_ns = now_ns + PAUSE_AGAIN_MS * CLOCK_NS_PER_MS;
}

void router_end_pause(struct router *router)
{
    static const char *const words[] = {"CLIENT", "UNPAUSE"};

    if (router->redis_paused && router_serves(router)) {
        pause_tell(router, words, 2);
    }
    router->redis_paused = false;
    router->pause_again_ns = 0;
    clients_end_pause(router->clients);
}
