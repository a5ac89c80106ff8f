/* A sandbox: a redis-server of our own for as long as something is tried in it, with a copy of the
 * dataset that nobody else sees. It listens on a free port of loopback, asks for a password that
 * was made up at random, stores nothing, and is the first to go if the machine runs out of memory.
 *
 * Nothing of it stays: it dies with the process that started it, however that ends; its
 * configuration reaches it through a pipe; and it runs in a folder in which nobody can make a file
 * (it needs none: it loads and sends an RDB without one). */
#ifndef PROXY_SNAPSHOT_SANDBOX_H
#define PROXY_SNAPSHOT_SANDBOX_H

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct control;
struct event_base;
struct sandbox;

enum { SANDBOX_SECRET_CHARS = 40, SANDBOX_WHY_MAX = 300 };

struct sandbox_config {
    const char *program; /* redis-server; without a '/' it is looked for in PATH */
    uint32_t timeout_ms; /* until it answers; 0: 30 s */
};

/* Called from the event loop, never from within the functions below. sandbox_destroy may be called
 * from down, not from up. */
struct sandbox_events {
    /* It answers: it is an empty master. version: "7.0.15". */
    void (*up)(void *ctx, const char *version);
    /* It has ended, or does not answer, and can only be destroyed now. why is for people. */
    void (*down)(void *ctx, const char *why);
};

/* Starts it. NULL: it could not be started; why (SANDBOX_WHY_MAX bytes) says why. Its configuration
 * is copied. */
struct sandbox *sandbox_start(struct event_base *base, const struct sandbox_config *config,
                              const struct sandbox_events *events, void *ctx, char *why);
/* Kills it. NULL is allowed. Afterwards nothing of it is left. */
void sandbox_destroy(struct sandbox *s);

/* To ask it; belongs to the sandbox. */
struct control *sandbox_control(struct sandbox *s);
int sandbox_port(const struct sandbox *s);             /* on 127.0.0.1 */
const char *sandbox_password(const struct sandbox *s); /* of its default user */
pid_t sandbox_pid(const struct sandbox *s);

#endif
