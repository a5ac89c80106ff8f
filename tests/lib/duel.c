#include "tests/lib/duel.h"

#include "tests/lib/wire.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DUEL_CLIENTS = 8, DUEL_SIDES = 2, DUEL_WORDS = 32 };
enum { DUEL_SILENCE_MS = 80 };

static const char *const duel_ports[DUEL_SIDES] = {"proxy1", "plain1"};
static const char *const duel_redis[DUEL_SIDES] = {"redis1", "plain1"};

struct duel {
    struct cluster *cluster;
    const char *step;
    int number; /* of the step, from 1 */
    bool open[DUEL_CLIENTS];
    struct wire wires[DUEL_CLIENTS][DUEL_SIDES];
    long long ids[DUEL_CLIENTS][DUEL_SIDES];
    struct buf replies[DUEL_SIDES];
};

static void duel_read(struct duel *d, int client, int side)
{
    int rc = wire_reply(&d->wires[client][side], &d->replies[side], WIRE_PATIENCE_MS);
    ck_assert_msg(rc == ERR_OK, "step %d, %s: no reply of %s: %s", d->number, d->step,
                  duel_ports[side], err_text(rc));
}

static void duel_open(struct duel *d, int client)
{
    for (int side = 0; side < DUEL_SIDES; side++) {
        struct wire *w = &d->wires[client][side];
        wire_open(w, cluster_port(d->cluster, duel_ports[side]));
        ck_assert_int_eq(wire_command(w, "CLIENT", "ID"), ERR_OK);
        duel_read(d, client, side);
        d->ids[client][side] = strtoll((const char *)buf_head(&d->replies[side]) + 1, NULL, 10);
    }
    d->open[client] = true;
}

static void duel_close(struct duel *d, int client)
{
    for (int side = 0; side < DUEL_SIDES; side++) {
        wire_close(&d->wires[client][side]);
    }
    d->open[client] = false;
}

static void duel_compare(struct duel *d, int client)
{
    duel_read(d, client, 1);
    duel_read(d, client, 0);
    ck_assert_msg(
        d->replies[0].len == d->replies[1].len &&
            memcmp(buf_head(&d->replies[0]), buf_head(&d->replies[1]), d->replies[0].len) == 0,
        "%s\n  Redis says    %.600s\n  Holdfast says %.600s", d->step,
        (char *)buf_head(&d->replies[1]), (char *)buf_head(&d->replies[0]));
}

/* %A becomes a client's id; %, and anything else behind it, stay. */
static void duel_word(const struct duel *d, int side, const char *from, size_t len, char *out,
                      size_t size)
{
    if (len == 2 && from[0] == '%' && from[1] >= 'A' && from[1] < 'A' + DUEL_CLIENTS) {
        (void)snprintf(out, size, "%lld", d->ids[from[1] - 'A'][side]);
    } else {
        (void)snprintf(out, size, "%.*s", (int)len, from);
    }
}

static void duel_send(struct duel *d, int client, const char *words)
{
    char text[DUEL_WORDS][256];

    for (int side = 0; side < DUEL_SIDES; side++) {
        const char *argv[DUEL_WORDS + 1];
        int argc = 0;
        for (const char *at = words; *at != '\0' && argc < DUEL_WORDS;) {
            size_t len = strcspn(at, " ");
            duel_word(d, side, at, len, text[argc], sizeof text[argc]);
            argv[argc] = text[argc];
            argc++;
            at += len + (at[len] == ' ');
        }
        argv[argc] = NULL;
        ck_assert_int_eq(wire_sendv(&d->wires[client][side], argv), ERR_OK);
    }
}

/* ---- blocked clients ---- */

struct duel_blocked {
    const struct duel *duel;
    int count;
};

static bool duel_are_blocked(void *arg)
{
    const struct duel_blocked *wait = arg;
    char reply[4096];

    for (int side = 0; side < DUEL_SIDES; side++) {
        cluster_ask(wait->duel->cluster, duel_redis[side], reply, sizeof reply,
                    (const char *[]){"INFO", "clients", NULL});
        const char *at = strstr(reply, "blocked_clients:");
        if (at == NULL || atoi(at + sizeof "blocked_clients:" - 1) != wait->count) {
            return false;
        }
    }
    return true;
}

static bool duel_are_busy(void *arg)
{
    const struct duel *d = arg;
    struct buf reply = BUF_INIT;
    int busy = 0;

    for (int side = 0; side < DUEL_SIDES; side++) {
        struct wire w;
        wire_open(&w, cluster_port(d->cluster, duel_ports[side]));
        busy += wire_command(&w, "PING") == ERR_OK &&
                wire_reply(&w, &reply, WIRE_PATIENCE_MS) == ERR_OK &&
                memcmp(buf_head(&reply), "-BUSY", 5) == 0;
        wire_close(&w);
    }
    buf_release(&reply);
    return busy == DUEL_SIDES;
}

/* ---- steps ---- */

static void duel_step(struct duel *d, const char *step)
{
    int client = step[0] - 'A';

    d->step = step;
    if (strcmp(step, "=busy") == 0) {
        cluster_wait(step, WIRE_PATIENCE_MS, duel_are_busy, d);
        return;
    }
    if (step[0] == '=') {
        struct duel_blocked wait = {d, atoi(step + 1)};
        cluster_wait(step, WIRE_PATIENCE_MS, duel_are_blocked, &wait);
        return;
    }
    ck_assert_msg(client >= 0 && client < DUEL_CLIENTS, "no step: %s", step);
    if (!d->open[client]) {
        duel_open(d, client);
    }
    switch (step[1]) {
    case ' ':
        duel_send(d, client, step + 2);
        duel_compare(d, client);
        break;
    case '~':
        duel_send(d, client, step + 2);
        break;
    case ':':
        duel_send(d, client, step + 2);
        duel_read(d, client, 0);
        duel_read(d, client, 1);
        break;
    case '<':
        duel_compare(d, client);
        break;
    case '|':
        ck_assert_msg(wire_silent(&d->wires[client][0], DUEL_SILENCE_MS), "%s", step);
        ck_assert_msg(wire_silent(&d->wires[client][1], DUEL_SILENCE_MS), "%s", step);
        break;
    case '!':
        duel_close(d, client);
        break;
    case '?':
        ck_assert_msg(wire_wait_closed(&d->wires[client][1], WIRE_PATIENCE_MS), "%s", step);
        ck_assert_msg(wire_wait_closed(&d->wires[client][0], WIRE_PATIENCE_MS), "%s", step);
        duel_close(d, client);
        break;
    default:
        ck_abort_msg("no step: %s", step);
    }
}

void duel(struct cluster *cluster, const char *const steps[])
{
    struct duel d = {.cluster = cluster};

    for (; *steps != NULL; steps++) {
        d.number++;
        duel_step(&d, *steps);
    }
    for (int i = 0; i < DUEL_CLIENTS; i++) {
        if (d.open[i]) {
            duel_close(&d, i);
        }
    }
    buf_release(&d.replies[0]);
    buf_release(&d.replies[1]);
}
