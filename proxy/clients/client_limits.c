/* What CONFIG SET says of clients is held against the proxy's: at once, or a few times a second. A
 * link of another proxy is no client. */
#include "proxy/clients/client.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/net.h"
#include "proxy/clients/pubsub.h"
#include "proxy/clients/transaction.h"

#include <poll.h>
#include <stdlib.h>

/* Who holds less is not worth closing. */
enum { UNFINISHED_MUCH_BYTES = 64 * 1024 };

void clients_configure(struct clients *all, const struct client_config *config)
{
    all->config = *config;
    if (config->numbers[CLIENT_CONFIG_MAXCLIENTS].set) {
        all->limits.clients_max = (size_t)config->numbers[CLIENT_CONFIG_MAXCLIENTS].value;
    }
    if (config->numbers[CLIENT_CONFIG_QUERY_BYTES].set) {
        all->limits.query_max_bytes = (size_t)config->numbers[CLIENT_CONFIG_QUERY_BYTES].value;
    }
}

void client_configure(const struct client *c)
{
    const struct client_config *config = &c->all->config;

    if (config->numbers[CLIENT_CONFIG_KEEPALIVE_S].set) {
        net_keep_alive(c->fd, (unsigned)config->numbers[CLIENT_CONFIG_KEEPALIVE_S].value);
    }
}

static uint64_t clients_timeout_s(const struct clients *all)
{
    const struct client_config *config = &all->config;
    return config->numbers[CLIENT_CONFIG_TIMEOUT_S].set
               ? config->numbers[CLIENT_CONFIG_TIMEOUT_S].value
               : all->timeout_s;
}

/* clientsCronHandleTimeout (timeout.c): not who waits, monitors or subscribes. */
static bool is_idle(const struct client *c)
{
    uint64_t timeout_s = clients_timeout_s(c->all);

    return timeout_s != 0 && c->first == NULL && !c->postponed && !c->monitors && !pubsub_has(c) &&
           (c->all->now_ns - c->used_ns) / CLOCK_NS_PER_S > timeout_s;
}

/* checkClientOutputBufferLimits (networking.c). */
static bool is_over_output(struct client *c)
{
    const struct client_config *config = &c->all->config;
    int class = pubsub_has(c) ? CLIENT_CONFIG_PUBSUB : CLIENT_CONFIG_NORMAL;
    uint64_t hard = config->output[class].hard_bytes, soft = config->output[class].soft_bytes;
    uint32_t now_s = (uint32_t)(c->all->now_ns / CLOCK_NS_PER_S) + 1;
    size_t bytes = c->out.len > 0 ? chain_capacity(&c->out) : 0;

    if (!config->output[class].set) {
        return false;
    }
    if (soft == 0 || bytes <= soft) {
        c->over_soft_s = 0;
    } else if (c->over_soft_s == 0) {
        c->over_soft_s = now_s;
    }
    return (hard != 0 && bytes > hard) ||
           (c->over_soft_s != 0 && now_s - c->over_soft_s > config->output[class].soft_s);
}

size_t client_memory(const struct client *c)
{
    size_t unsent = c->out.len > 0 ? chain_capacity(&c->out) : 0;
    return sizeof *c + c->in.cap + transaction_bytes(c) + unsent + c->withheld_bytes;
}

/* Of its requests and of a transaction. */
static size_t unfinished_bytes(const struct client *c)
{
    return c->query_bytes + transaction_bytes(c);
}

static struct client *holds_most(struct clients *all)
{
    struct client *most = all->list;

    for (struct client *c = all->list; c != NULL; c = c->next) {
        most = unfinished_bytes(c) > unfinished_bytes(most) ? c : most;
    }
    return most;
}

bool clients_evict_query(struct clients *all, const struct client *asks)
{
    while (all->query_bytes > all->limits.query_total_max_bytes) {
        struct client *most = holds_most(all);
        if (most == NULL || most == asks || unfinished_bytes(most) <= UNFINISHED_MUCH_BYTES) {
            return most != asks;
        }
        log_warn("client %llu closed: it holds %zu bytes, and all clients' unfinished requests are "
                 "over limits.query_total_max_bytes",
                 (unsigned long long)most->id, unfinished_bytes(most));
        client_close(most, "unfinished requests take too much memory");
    }
    return true;
}

struct evictable {
    struct client *client;
    size_t bytes;
};

/* The largest first; of equals the youngest. */
static int evictable_compare(const void *x, const void *y)
{
    const struct evictable *a = x, *b = y;

    if (a->bytes != b->bytes) {
        return a->bytes > b->bytes ? -1 : 1;
    }
    return a->client->id > b->client->id ? -1 : 1;
}

/* evictClients (networking.c): the largest first. */
static void evict(struct clients *all)
{
    uint64_t most = all->config.numbers[CLIENT_CONFIG_MEMORY].value;
    uint64_t sum = 0;
    size_t count = 0;

    if (most == 0 || all->config.numbers[CLIENT_CONFIG_MEMORY].percent || all->count == 0) {
        return;
    }
    struct evictable *list = mem_alloc(all->count * sizeof *list);
    for (struct client *c = all->list; c != NULL; c = c->next) {
        if (c->nonce[0] == '\0' && !c->no_evict) {
            list[count] = (struct evictable){c, client_memory(c)};
            sum += list[count++].bytes;
        }
    }
    if (sum > most) {
        qsort(list, count, sizeof *list, evictable_compare);
    }
    for (size_t i = 0; i < count && sum > most; i++) {
        sum -= list[i].bytes;
        all->evicted++;
        log_info("client %llu evicted: all clients are over maxmemory-clients",
                 (unsigned long long)list[i].client->id);
        client_close(list[i].client, "maxmemory-clients");
    }
    free(list);
}

/* Who is not read (what it said waits, or it has ended) and resets the connection is told by no
 * event of libevent 2.1: EV_CLOSED is none of those that an error of the socket becomes. */
static void close_who_reset(struct clients *all)
{
    for (struct client *c = all->list, *next; c != NULL; c = next) {
        struct pollfd fd = {.fd = c->fd};
        next = c->next;
        if (!c->reading && (c->postponed || c->ended) && poll(&fd, 1, 0) > 0 &&
            (fd.revents & (POLLERR | POLLHUP)) != 0) {
            client_close(c, "it has reset the connection");
        }
    }
}

void clients_hold_limits(struct clients *all)
{
    const struct client_config *config = &all->config;
    bool idle = clients_timeout_s(all) != 0;
    bool output =
        config->output[CLIENT_CONFIG_NORMAL].set || config->output[CLIENT_CONFIG_PUBSUB].set;

    for (struct client *c = all->list, *next; (idle || output) && c != NULL; c = next) {
        next = c->next;
        if (c->nonce[0] != '\0') {
            continue;
        }
        if (is_idle(c)) {
            client_close(c, "idle for longer than timeout");
        } else if (is_over_output(c)) {
            log_info("client %llu closed: its replies are over client-output-buffer-limit",
                     (unsigned long long)c->id);
            client_close(c, "client-output-buffer-limit");
        }
    }
    evict(all);
    close_who_reset(all);
}
