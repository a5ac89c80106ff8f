#include "proxy/clients/transaction_session.h"

#include "common/mem.h"
#include "proxy/clients/acl.h"
#include "proxy/clients/pubsub.h"
#include "proxy/clients/session_impl.h"

#include <stdlib.h>
#include <string.h>

static bool is_named(const struct command *command, const char *name)
{
    return strcmp(command->name, name) == 0;
}

enum transaction_kind transaction_kind(const struct command *command)
{
    static const struct {
        const char *name; /* "x|" stands for all subcommands of x that are not named before */
        enum transaction_kind kind;
    } kinds[] = {{"hello", TRANSACTION_OWN},
                 {"auth", TRANSACTION_OWN},
                 {"client|tracking", TRANSACTION_OWN},
                 {"client|no-touch", TRANSACTION_OWN},
                 {"select", TRANSACTION_THERE},
                 {"client|trackinginfo", TRANSACTION_THERE},
                 {"client|unblock", TRANSACTION_THERE},
                 {"client|caching", TRANSACTION_PLAIN},
                 {"client|help", TRANSACTION_PLAIN},
                 {"client|", TRANSACTION_HERE},
                 {"readonly", TRANSACTION_HERE},
                 {"readwrite", TRANSACTION_HERE},
                 {"subscribe", TRANSACTION_HERE},
                 {"psubscribe", TRANSACTION_HERE},
                 {"ssubscribe", TRANSACTION_HERE},
                 {"unsubscribe", TRANSACTION_HERE},
                 {"punsubscribe", TRANSACTION_HERE},
                 {"sunsubscribe", TRANSACTION_HERE},
                 {"pubsub|help", TRANSACTION_PLAIN},
                 {"pubsub|", TRANSACTION_HERE},
                 {"monitor", TRANSACTION_HERE},
                 {"role", TRANSACTION_HERE},
                 {"wait", TRANSACTION_THERE},
                 {"waitaof", TRANSACTION_THERE},
                 {"publish", TRANSACTION_THERE},
                 {"spublish", TRANSACTION_THERE},
                 {"slowlog|get", TRANSACTION_THERE},
                 {"slowlog|len", TRANSACTION_THERE},
                 {"config|set", TRANSACTION_THERE},
                 {"config|get", TRANSACTION_THERE},
                 {"config|resetstat", TRANSACTION_THERE},
                 {"config|rewrite", TRANSACTION_THERE},
                 {"acl|setuser", TRANSACTION_THERE},
                 {"acl|load", TRANSACTION_THERE},
                 {"info", TRANSACTION_THERE}};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t len = strlen(kinds[i].name);
        if (kinds[i].name[len - 1] == '|' ? strncmp(command->name, kinds[i].name, len) == 0
                                          : is_named(command, kinds[i].name)) {
            return kinds[i].kind;
        }
    }
    return TRANSACTION_PLAIN;
}

/* ---- AUTH, and HELLO's ---- */

/* HELLO version [AUTH user password] [SETNAME name]: the place of the word behind `option`, as far
 * as Redis comes to it; 0: none. */
static size_t hello_option(const struct resp_arg *argv, size_t argc, const char *option)
{
    for (size_t i = 2; i < argc; i++) {
        bool auth = resp_arg_is(&argv[i], "auth") && argc - 1 - i >= 2;
        bool name = resp_arg_is(&argv[i], "setname") && argc - 1 - i >= 1;
        if (!auth && !name) {
            return 0;
        }
        if (resp_arg_is(&argv[i], option)) {
            return i + 1;
        }
        if (name && !session_name_ok(&argv[i + 1])) {
            return 0;
        }
        i += auth ? 2 : 1;
    }
    return 0;
}

/* The place of the user's name (0: there is none: *argc may be 2) and of the password; password 0:
 * it is not about a user. */
static void auth_places(const struct command *command, const struct resp_arg *argv, size_t argc,
                        size_t *user, size_t *password)
{
    *user = *password = 0;
    if (is_named(command, "hello")) {
        *user = hello_option(argv, argc, "auth");
        *password = *user != 0 ? *user + 1 : 0;
    } else if (argc <= 3) {
        *user = argc == 3 ? 1 : 0;
        *password = argc - 1;
    }
}

/* The link's own user comes in with the proxy's password; then Redis gets what the link has. */
static bool auth_is_own(const struct router *router, const struct resp_arg *argv, size_t user,
                        size_t password)
{
    return password != 0 && session_is_own(router, user != 0 ? &argv[user] : NULL, &argv[password]);
}

/* The link's own user with another password than the proxy's, be it the one that Redis knows. */
static bool auth_is_refused(const struct router *router, const struct command *command,
                            const struct resp_arg *argv, size_t argc)
{
    size_t user, password;

    if (!is_named(command, "hello") && !is_named(command, "auth")) {
        return false;
    }
    auth_places(command, argv, argc, &user, &password);
    return password != 0 &&
           session_is_own_refused(router, user != 0 ? &argv[user] : NULL, &argv[password]);
}

static void auth_put(struct router *router, struct client *c, const struct command *command,
                     const struct resp_arg *argv, size_t argc, struct buf *commands)
{
    struct resp_arg own[3], *words = mem_alloc(argc * sizeof *words);
    size_t user, password, name = hello_option(argv, argc, "setname");
    struct buf named = BUF_INIT;

    private_own_login(c->link, own);
    auth_places(command, argv, argc, &user, &password);
    memcpy(words, argv, argc * sizeof *words);
    if (auth_is_own(router, argv, user, password) && is_named(command, "auth")) {
        resp_put_request(commands, own, 3);
        free(words);
        return;
    }
    if (auth_is_own(router, argv, user, password)) {
        words[user] = own[1];
        words[password] = own[2];
    }
    /* Proxies tell by names that begin so whether a Redis is another one's. */
    if (is_named(command, "hello") && name != 0 && argv[name].len >= strlen(PRIVATE_NAMES_OURS) &&
        memcmp(argv[name].bytes, PRIVATE_NAMES_OURS, strlen(PRIVATE_NAMES_OURS)) == 0) {
        buf_append_str(&named, "client:");
        buf_append(&named, argv[name].bytes, argv[name].len);
        words[name] = (struct resp_arg){buf_head(&named), named.len};
    }
    resp_put_request(commands, words, argc);
    buf_release(&named);
    free(words);
}

static void auth_done(struct router *router, struct client *c, const struct resp_arg *argv,
                      size_t user, size_t password)
{
    char *name = NULL;

    if (c->link == NULL || password == 0) {
        return;
    }
    bool own = auth_is_own(router, argv, user, password) ||
               session_is_own_name(router, user != 0 ? &argv[user] : NULL);
    if (!own && user == 0) {
        name = mem_strdup("default");
    } else if (!own) {
        name = mem_alloc(argv[user].len + 1);
        memcpy(name, argv[user].bytes, argv[user].len);
        name[argv[user].len] = '\0';
    }
    acl_become(c, name);
    free(name);
}

/* What an option says is done before the next one is looked at, so much is done even if it ends
 * with an error. */
static void hello_done(struct router *router, struct client *c, const struct command *command,
                       const struct resp_arg *argv, size_t argc, const uint8_t *reply, size_t len)
{
    static const char wrong[] = "-WRONGPASS", version[] = "-NOPROTO", number[] = "-ERR Protocol";
    bool failed = reply[0] == '-';
    size_t user, password, name = hello_option(argv, argc, "setname");
    long long wanted;

#define BEGINS(with) (len >= sizeof(with) - 1 && memcmp(reply, with, sizeof(with) - 1) == 0)
    if (failed && (BEGINS(version) || BEGINS(number))) {
        client_answer(c, reply, len, 0);
        return;
    }
    bool refused = failed && BEGINS(wrong);
#undef BEGINS
    auth_places(command, argv, argc, &user, &password);
    if (!refused) {
        auth_done(router, c, argv, user, password);
    }
    if (name != 0 && session_name_ok(&argv[name]) && !(refused && name > user)) {
        session_set_name(c, &argv[name]);
    }
    if (failed) {
        client_answer(c, reply, len, 0);
        return;
    }
    if (argc >= 2 && resp_arg_integer(&argv[1], &wanted)) {
        c->resp = (unsigned)wanted;
    }
    session_hello_reply(router, c);
}

/* ---- all of them ---- */

static void put_here(struct buf *commands, bool *here)
{
    buf_append_str(commands, "*1\r\n$4\r\nPING\r\n");
    *here = true;
}

bool transaction_session_put(struct router *router, struct client *c, enum route route,
                             const struct command *command, const struct resp_arg *argv,
                             size_t argc, struct buf *commands, bool *here)
{
    struct resp_arg *words, slowlog[3];
    char text[32];
    bool ready = true;

    *here = false;
    if (transaction_kind(command) == TRANSACTION_HERE) {
        put_here(commands, here);
        return true;
    }
    if (strncmp(command->name, "wait", 4) == 0 && route == ROUTE_ENGINE) {
        put_here(commands, here); /* elsewhere the proxy that leads knows its log nodes */
        return true;
    }
    if (auth_is_refused(router, command, argv, argc)) {
        put_here(commands, here); /* with Redis' words (session.c) */
        return true;
    }
    if (is_named(command, "hello") || is_named(command, "auth")) {
        auth_put(router, c, command, argv, argc, commands);
        return true;
    }
    if (strncmp(command->name, "slowlog|", 8) == 0 && route == ROUTE_ENGINE &&
        session_slowlog_words(command, argv, argc, slowlog)) {
        resp_put_request(commands, slowlog, 3);
        return true;
    }
    words = mem_alloc(argc * sizeof *words);
    memcpy(words, argv, argc * sizeof *words);
    if (is_named(command, "client|tracking")) {
        ready = session_tracking_words(router, c, route, words, argc, text);
    } else if ((is_named(command, "client|unblock") &&
                !session_unblock_words(c, route, words, argc, text)) ||
               (is_named(command, "config|set") && route == ROUTE_ENGINE &&
                !session_config_words(c, words, &argc))) {
        put_here(commands, here);
        free(words);
        return true;
    }
    if (ready) {
        resp_put_request(commands, words, argc);
    }
    free(words);
    return ready;
}

/* Redis has set the rest; what is ours is set along, unless that can't be. */
static void config_set_too(struct router *router, struct client *c, const struct resp_arg *argv,
                           size_t argc, struct buf *out)
{
    size_t before = c->all->capture->len;

    session_config_here(router, c, argv, argc);
    if (c->all->capture->len > before) {
        buf_clear(out); /* it has been answered */
    }
}

/* What is set, or asked, of the server: about us, too, if it was our own Redis that did it, and not
 * another proxy's, where that one has seen to it. False: it is something else. */
static bool server_answered(struct router *router, struct client *c, enum route route,
                            const struct command *command, const struct resp_arg *argv, size_t argc,
                            struct buf *out)
{
    bool own = route == ROUTE_ENGINE, ok = buf_head(out)[0] == '+';

    if (is_named(command, "config|get")) {
        if (own) {
            client_config_correct(&c->all->config, out);
        }
    } else if (is_named(command, "config|resetstat")) {
        if (own && ok) {
            session_reset_stats(c->all);
        }
    } else if (is_named(command, "config|rewrite")) {
        if (own && ok) {
            session_config_keep(router, out);
        }
    } else if (is_named(command, "config|set")) {
        if (own && ok) {
            config_set_too(router, c, argv, argc, out);
            session_config_credentials(router, argv, argc);
        }
    } else if (acl_changes_rights(command)) {
        if (own && ok) {
            acl_rights_changed(router, argv, argc);
        }
    } else {
        return false;
    }
    return true;
}

void transaction_session_answered(struct router *router, struct client *c, enum route route,
                                  const struct command *command, const struct resp_arg *argv,
                                  size_t argc, const uint8_t *reply, size_t len)
{
    struct buf out = BUF_INIT;
    size_t user, password;
    long long db;

    if (is_named(command, "hello")) {
        hello_done(router, c, command, argv, argc, reply, len);
        return;
    }
    buf_append(&out, reply, len);
    if (is_named(command, "select") && reply[0] == '+' && resp_arg_integer(&argv[1], &db)) {
        c->db = (unsigned)db;
    } else if (is_named(command, "auth") && reply[0] == '+') {
        auth_places(command, argv, argc, &user, &password);
        auth_done(router, c, argv, user, password);
    } else if (is_named(command, "client|tracking") && reply[0] == '+') {
        session_tracking_done(c, argv, argc);
    } else if (is_named(command, "client|no-touch") && reply[0] == '+') {
        session_no_touch_done(c, resp_arg_is(&argv[2], "on"));
    } else if (is_named(command, "client|trackinginfo")) {
        session_put_redirect(c, &out);
    } else if (is_named(command, "publish") || is_named(command, "spublish")) {
        pubsub_put_receivers(router->pubsub, command, route == ROUTE_FORWARD, &argv[1], &out);
    } else if (strncmp(command->name, "slowlog|", 8) == 0) {
        if (route == ROUTE_ENGINE) { /* elsewhere the leader has put it right */
            session_put_slowlog(c->all, command, argv, argc, &out);
        }
    } else if (server_answered(router, c, route, command, argv, argc, &out)) {
        /* that is all */
    } else if (is_named(command, "info") && router->correct_info != NULL) {
        router->correct_info(router->info_ctx, argv, argc, route != ROUTE_FORWARD, &out);
    }
    if (out.len > 0) {
        client_answer(c, buf_head(&out), out.len, 0);
    }
    buf_release(&out);
}

bool transaction_session_teaches(const struct command *command)
{
    return is_named(command, "config|set") || acl_changes_rights(command);
}

void transaction_session_learn(struct router *router, const struct command *command,
                               const struct resp_arg *argv, size_t argc)
{
    if (is_named(command, "config|set")) {
        session_config_credentials(router, argv, argc);
    } else if (acl_changes_rights(command)) {
        session_acl_credentials(router, argv, argc);
    }
}
