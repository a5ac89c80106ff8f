/* Server and clients of the transport over real sockets on 127.0.0.1. For the programs
 * test_transport.c and test_transport_strangers.c; each has its own. */
#ifndef TESTS_LIB_TRANSPORT_CASE_H
#define TESTS_LIB_TRANSPORT_CASE_H

#include "logsvc/client/transport.h"
#include "logsvc/transport_server.h"

#include "common/clock.h"
#include "tests/lib/unit.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_BYTES = 64 * 1024, QUEUE_BYTES = 1024 * 1024, PATIENCE_MS = 5000 };

/* ---- a server that answers every request with "re:" and the request ---- */

struct echo {
    struct transport_server *server;
    pthread_t thread;
    atomic_bool stop;
    atomic_bool hold; /* takes nothing while set */
    atomic_uint seen;
};

static inline void echo_turn(struct echo *e)
{
    struct transport_request request;

    while (!atomic_load(&e->hold) && transport_server_next(e->server, &request)) {
        atomic_fetch_add(&e->seen, 1);
        if (request.size == 0 || request.bytes[0] != '?') {
            transport_server_good(e->server, &request.from);
        }
        transport_server_reply(e->server, &request.from, "re:", 3, request.bytes, request.size);
        transport_server_release(e->server, &request);
    }
}

static inline void *echo_run(void *arg)
{
    struct echo *e = arg;

    while (!atomic_load(&e->stop)) {
        if (atomic_load(&e->hold)) {
            usleep(1000);
        } else {
            transport_server_wait(e->server, 50);
        }
        echo_turn(e);
    }
    return NULL;
}

static uint32_t server_idle_ms;

static inline struct transport_server *server_open(uint16_t port)
{
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    struct transport_server_config config = {.address = address,
                                             .message_max_bytes = MAX_BYTES,
                                             .queue_max_bytes = QUEUE_BYTES,
                                             .idle_ms = server_idle_ms};
    struct transport_server *s = NULL;
    uint64_t until = clock_now_ns() + PATIENCE_MS * CLOCK_NS_PER_MS;
    int rv;

    do { /* a port just left may be busy for a moment */
        rv = transport_server_open(&s, &config);
    } while (rv == ERR_EXISTS && clock_now_ns() < until && usleep(10000) == 0);
    ck_assert_int_eq(rv, ERR_OK);
    return s;
}

static inline void echo_start(struct echo *e, uint16_t port)
{
    memset(e, 0, sizeof *e);
    e->server = server_open(port);
    ck_assert_int_eq(pthread_create(&e->thread, NULL, echo_run, e), 0);
}

static inline void echo_stop(struct echo *e)
{
    atomic_store(&e->stop, true);
    transport_server_wake(e->server);
    pthread_join(e->thread, NULL);
    transport_server_close(e->server);
}

/* ---- a client ---- */

static inline struct transport *client_open_sized(unsigned count, const uint16_t *ports, size_t max,
                                                  size_t queue)
{
    char addresses[TRANSPORT_NODES_MAX][32];
    struct transport_config config = {
        .node_count = count, .message_max_bytes = max, .queue_max_bytes = queue};
    struct transport *t;

    for (unsigned i = 0; i < count; i++) {
        snprintf(addresses[i], sizeof addresses[i], "127.0.0.1:%u", ports[i]);
        config.addresses[i] = addresses[i];
    }
    ck_assert_int_eq(transport_open(&t, &config), ERR_OK);
    return t;
}

static inline struct transport *client_open(unsigned count, const uint16_t *ports)
{
    return client_open_sized(count, ports, MAX_BYTES, QUEUE_BYTES);
}

/* The next event within ms; false: none came. */
static inline bool client_event(struct transport *t, struct transport_event *ev, int ms)
{
    uint64_t until = clock_now_ns() + (uint64_t)ms * CLOCK_NS_PER_MS;

    while (!transport_next(t, ev)) {
        uint64_t now = clock_now_ns();
        if (now >= until) {
            return false;
        }
        struct pollfd p = {.fd = transport_fd(t), .events = POLLIN};
        poll(&p, 1, (int)((until - now) / CLOCK_NS_PER_MS) + 1);
    }
    return true;
}

/* Skips events until one of that kind and node comes. */
static inline struct transport_event client_expect(struct transport *t,
                                                   enum transport_event_kind kind, unsigned node)
{
    struct transport_event ev;

    do {
        ck_assert_msg(client_event(t, &ev, PATIENCE_MS), "no event %d of node %u", kind, node);
    } while (ev.kind != kind || ev.node != node);
    return ev;
}

static inline void client_send(struct transport *t, unsigned node, const void *bytes, size_t size)
{
    while (!transport_send(t, node, bytes, size, NULL, 0)) {
        client_expect(t, TRANSPORT_READY, node);
    }
}

static inline void round_trip(struct transport *t, unsigned node, const char *text)
{
    client_send(t, node, text, strlen(text));
    struct transport_event ev = client_expect(t, TRANSPORT_MESSAGE, node);
    ck_assert_uint_eq(ev.size, strlen(text) + 3);
    ck_assert_mem_eq(ev.bytes + 3, text, strlen(text));
}

#endif
