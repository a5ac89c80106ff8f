#include "proxy/clients/client_buffers.h"

#include <stdlib.h>
#include <strings.h>

enum {
    BUFFERS_TICK_MS = 100,
    BUFFERS_READ_BYTES = 16384, /* PROTO_IOBUF_LEN … */
    BUFFERS_READ_ROOM = 20474,  /* … and what its allocator makes of that */
    BUFFERS_BIG_BYTES = 32768,  /* PROTO_MBULK_BIG_ARG, PROTO_RESIZE_THRESHOLD */
    BUFFERS_WASTE_BYTES = 4096,
    BUFFERS_IDLE_S = 2,
    BUFFERS_REPLY_BYTES = 16384, /* PROTO_REPLY_CHUNK_BYTES */
    BUFFERS_REPLY_LEAST = 1024,  /* PROTO_REPLY_MIN_BYTES */
    BUFFERS_PEAK_MS = 5000,      /* REPLY_BUFFER_DEFAULT_PEAK_RESET_TIME */
};

void client_buffers_init(struct client_buffers *b)
{
    *b = (struct client_buffers){.reply = BUFFERS_REPLY_BYTES, .reply_peak = BUFFERS_REPLY_BYTES};
}

static void look_at_query(struct client_buffers *b, uint64_t idle_s)
{
    if (b->query > BUFFERS_WASTE_BYTES && idle_s > BUFFERS_IDLE_S) {
        b->query = 0;
    } else if (b->query > BUFFERS_BIG_BYTES && b->query / 2 > b->query_peak) {
        b->query = b->query_peak;
    }
    b->query_peak = 0;
}

static void look_at_reply(struct client_buffers *b, const struct client_buffers_rules *rules,
                          uint32_t now_ms)
{
    long long reset_ms = rules->peak_given ? rules->peak_ms : BUFFERS_PEAK_MS;
    uint16_t reply = b->reply;

    if (rules->fixed) {
        return;
    }
    if (reply / 2 >= BUFFERS_REPLY_LEAST && b->reply_peak < reply / 2) {
        reply = b->reply_peak < BUFFERS_REPLY_LEAST ? BUFFERS_REPLY_LEAST
                                                    : (uint16_t)(b->reply_peak + 1);
    } else if (reply * 2 < BUFFERS_REPLY_BYTES * 2 && b->reply_peak == reply) {
        reply = reply * 2 < BUFFERS_REPLY_BYTES ? (uint16_t)(reply * 2) : BUFFERS_REPLY_BYTES;
    }
    if (!rules->peak_stays && (b->reset_ms == 0 || (long long)(now_ms - b->reset_ms) >= reset_ms)) {
        b->reply_peak = 0;
        b->reset_ms = now_ms;
    }
    b->reply = reply;
}

/* After so long nothing changes from one time to the next but what two of them have changed. */
void client_buffers_look(struct client_buffers *b, const struct client_buffers_rules *rules,
                         uint32_t now_ms, uint64_t idle_s)
{
    if (b->looked_ms == 0) {
        b->looked_ms = now_ms;
    }
    uint32_t ticks = (now_ms - b->looked_ms) / BUFFERS_TICK_MS;
    if (ticks == 0) {
        return;
    }
    for (uint32_t i = 0; i < ticks && i < 2; i++) {
        look_at_query(b, idle_s);
        look_at_reply(b, rules, now_ms);
    }
    b->looked_ms = now_ms;
}

void client_buffers_read(struct client_buffers *b, const struct client_buffers_rules *rules,
                         uint32_t now_ms, size_t bytes)
{
    uint32_t used = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;

    client_buffers_look(b, rules, now_ms, 0);
    if (used >= BUFFERS_BIG_BYTES) {
        b->query = used > b->query ? used : b->query;
    } else if (b->query < BUFFERS_READ_BYTES) {
        b->query = BUFFERS_READ_ROOM;
    }
    b->query_peak = used > b->query_peak ? used : b->query_peak;
}

void client_buffers_wrote(struct client_buffers *b, const struct client_buffers_rules *rules,
                          uint32_t now_ms, size_t bytes)
{
    client_buffers_look(b, rules, now_ms, 0);
    if (bytes >= b->reply) {
        b->reply_peak = b->reply;
    } else if (bytes > b->reply_peak) {
        b->reply_peak = (uint16_t)bytes;
    }
}

bool client_buffers_rule(struct client_buffers_rules *rules, const char *name, const char *value)
{
    if (strcasecmp(name, "resizing") == 0) {
        rules->fixed = strtol(value, NULL, 10) == 0;
        return true;
    }
    if (strcasecmp(name, "peak-reset-time") != 0) {
        return false;
    }
    rules->peak_stays = strcasecmp(value, "never") == 0;
    rules->peak_given = !rules->peak_stays && strcasecmp(value, "reset") != 0;
    rules->peak_ms = rules->peak_given ? strtoll(value, NULL, 10) : 0;
    rules->peak_stays = rules->peak_stays || rules->peak_ms < 0;
    return true;
}
