/* Large requests, and those whose replies are likely to be large, go over a link of their own: on
 * the shared one everybody would wait for them. */
#include "proxy/clients/router.h"

bool router_can_go_alone(const struct router *router, const struct client *c, enum route route)
{
    const struct private_pool *pool =
        route == ROUTE_ENGINE ? router->privates : router->forward_privates;

    return (route == ROUTE_ENGINE || route == ROUTE_FORWARD) && private_can_lend(pool, c);
}

static bool router_is_large(const struct client *c, const struct resp_arg *argv, size_t argc)
{
    size_t bytes = 0;

    if (c->in.len < BIGS_BYTES) { /* where large requests gather */
        return false;
    }
    for (size_t i = 0; i < argc; i++) {
        bytes += argv[i].len;
    }
    return bytes >= BIGS_BYTES;
}

uint64_t router_big_key(const struct command *command, uint64_t key)
{
    return key ^ ((uint64_t)(uintptr_t)command * 0x9e3779b97f4a7c15ull);
}

/* Whether the request or its reply is so large that others would have to wait for it on a link that
 * is shared, as far as can be guessed (bigs.h): by what it is, by how it was answered last, or
 * since a large value was written there. */
bool router_goes_alone(struct router *router, struct client *c, const struct command *command,
                       const struct resp_arg *argv, size_t argc, uint64_t key, uint32_t *flags)
{
    struct bigs *bigs = &router->clients->bigs;

    if (router_is_large(c, argv, argc)) {
        bigs_add(bigs, key);
        return true;
    }
    if (bigs->count == 0) {
        return false;
    }
    *flags |= REQUEST_BIG;
    if (bigs_has(bigs, router_big_key(command, key))) {
        return true;
    }
    if (router_writes(command)) {
        bigs_remove(bigs, key);
        return false;
    }
    return bigs_has(bigs, key);
}
