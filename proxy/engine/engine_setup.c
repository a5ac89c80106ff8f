/* The first commands of a link, and what Redis says to them: who it is, and that we may do what the
 * link needs. */
#include "proxy/engine/engine_impl.h"

#include "common/net.h"
#include "common/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENGINE_IDENTITY_BYTES_MAX = 64 * 1024 };

/* Whether INFO replication is that of our replica, in touch with us: not of one that was restarted,
 * or made another's. */
static bool engine_is_replica(struct engine *e)
{
    static const char slave[] = "role:slave\r\n", up[] = "\nmaster_link_status:up\r\n";
    char master[64];

    (void)snprintf(master, sizeof master, "\nmaster_host:127.0.0.1\r\nmaster_port:%d\r\n",
                   e->config.master_port);
    buf_append(&e->identity, "", 1);
    const char *text = (const char *)buf_head(&e->identity);
    return strstr(text, slave) != NULL && strstr(text, up) != NULL && strstr(text, master) != NULL;
}

/* Whether INFO replication names the Redis whose stream we read, as a master. */
static bool engine_identity_ok(struct engine *e)
{
    static const char key[] = "\nmaster_replid:", master[] = "\nrole:master";

    buf_append(&e->identity, "", 1);
    const char *at = strstr((const char *)buf_head(&e->identity), key);
    return strstr((const char *)buf_head(&e->identity), master) != NULL && at != NULL &&
           strncmp(at + sizeof key - 1, e->replid.hex, sizeof e->replid.hex) == 0;
}

/* ":42\r\n", the reply to CLIENT ID. */
static void engine_take_id(struct engine *e)
{
    buf_append(&e->identity, "", 1);
    e->id = strtoull((const char *)buf_head(&e->identity) + 1, NULL, 10);
    buf_clear(&e->identity);
}

bool engine_setup_piece(struct engine *e, const uint8_t *bytes, size_t size, bool done)
{
    if (e->framer.first == '-') {
        engine_stop(e, "Redis refused the link's set-up (see redis.user and redis.password)");
        return false;
    }
    /* The last reply is the identity; before it is that to CLIENT ID, if one client has the link.
     */
    bool of_one = e->config.kind == ENGINE_PRIVATE || e->config.kind == ENGINE_FORWARD;
    bool keep = e->setup_left == 1 || (e->setup_left == 2 && of_one);
    if (keep && e->identity.len + size < ENGINE_IDENTITY_BYTES_MAX) {
        buf_append(&e->identity, bytes, size);
    }
    if (!done || --e->setup_left > 0) {
        if (done && e->setup_left == 1 && of_one) {
            engine_take_id(e);
        }
        return true;
    }
    if (e->config.kind == ENGINE_REPLICA && !engine_is_replica(e)) {
        engine_stop(e, "our Redis is no replica of ours");
        return false;
    }
    if (engine_is_master_link(e) && !engine_identity_ok(e)) {
        engine_stranger(e, "it is another Redis than the one whose stream we read");
        return false;
    }
    buf_release(&e->identity);
    e->state = ENGINE_UP;
    e->events->up(e->ctx);
    return true;
}

static void engine_put_words(struct engine *e, const char *const *words)
{
    struct resp_arg argv[6];
    size_t argc = 0;

    for (; *words != NULL; words++, argc++) {
        argv[argc] = (struct resp_arg){(const uint8_t *)*words, strlen(*words)};
    }
    resp_put_request(&e->outlet.out, argv, argc);
    e->setup_left++;
}

static void engine_put_auth(struct engine *e)
{
    const char *user = e->config.user, *password = e->config.password;
    bool has_user = user != NULL && user[0] != '\0';
    const char *const with_user[] = {"AUTH", user, password, NULL};
    const char *const without[] = {"AUTH", password, NULL};

    /* A user may need no password; without AUTH the link would be the default user. Another proxy
     * knows what is meant. */
    if (password != NULL &&
        (password[0] != '\0' || (has_user && e->config.kind != ENGINE_FORWARD))) {
        engine_put_words(e, has_user ? with_user : without);
    }
}

/* Another proxy is told whose link this is, so that it never passes it on. */
static void engine_put_mark(struct engine *e)
{
    char log_id[24];
    const char *const words[] = {"HOLDFAST", "LINK", e->config.cluster_id, log_id, e->config.name,
                                 e->nonce,   NULL};

    (void)snprintf(log_id, sizeof log_id, "%" PRIu64, e->config.log_id);
    (void)snprintf(e->nonce, sizeof e->nonce, "%016" PRIx64, random_seed());
    engine_put_words(e, words);
}

void engine_setup(struct engine *e)
{
    static const char *const no_evict[] = {"CLIENT", "NO-EVICT", "on", NULL};
    static const char *const id[] = {"CLIENT", "ID", NULL};
    const char *const name[] = {"CLIENT", "SETNAME", e->config.name, NULL};
    /* What the link needs while it is up: an ACL user who may not is found out here, and not when
     * a client's command has run in the wrong database. */
    static const char *const select[] = {"SELECT", "0", NULL};
    static const char *const hello[] = {"HELLO", "2", NULL};
    static const char *const fence[] = {"ROLE", NULL};
    static const char *const identity[] = {"INFO", "replication", NULL}; /* the last: setup_left */
    const char *const *const shared[] = {no_evict, name, select, hello, fence, identity, NULL};
    static const char *const *const private[] = {no_evict, id, identity, NULL};
    static const char *const *const replica[] = {no_evict, identity, NULL};
    static const char *const *const none[] = {NULL};
    const char *const *const *const of_kind[] = {[ENGINE_SHARED] = shared,
                                                 [ENGINE_PRIVATE] = private,
                                                 [ENGINE_REPLICA] = replica,
                                                 [ENGINE_FORWARD] = none};
    const char *const *const *commands = of_kind[e->config.kind];

    e->state = ENGINE_SETUP;
    net_local_name(e->fd, e->address, sizeof e->address);
    e->framer = (struct resp_reply_framer){0};
    e->fence_len = 0;
    e->setup_left = 0;
    e->moved = false;
    engine_put_auth(e);
    if (e->config.kind == ENGINE_FORWARD && e->config.cluster_id != NULL) {
        engine_put_words(e,
                         id); /* before the mark: behind it, who does not serve answers nothing */
        engine_put_mark(e);
    }
    while (*commands != NULL) {
        engine_put_words(e, *commands++);
    }
    if (e->setup_left == 0) {
        e->state = ENGINE_UP;
        e->events->up(e->ctx);
        return;
    }
    engine_write(e);
}
