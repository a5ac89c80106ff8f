#include "proxy/clients/tally.h"

#include "common/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct tally_entry *tally_find(const struct tally *t, const char *name, size_t len)
{
    for (size_t i = 0; i < t->count; i++) {
        if (strlen(t->entries[i].name) == len && memcmp(t->entries[i].name, name, len) == 0) {
            return &t->entries[i];
        }
    }
    return NULL;
}

void tally_add(struct tally *t, const char *name, uint64_t took_ns, bool failed)
{
    struct tally_entry *e = tally_find(t, name, strlen(name));
    unsigned bucket = 0;

    if (e == NULL) {
        t->entries = mem_realloc(t->entries, (t->count + 1) * sizeof *t->entries);
        e = &t->entries[t->count++];
        *e = (struct tally_entry){.name = mem_strdup(name)};
    }
    while (bucket < TALLY_BUCKETS - 1 && took_ns >> (10 + bucket) != 0) {
        bucket++;
    }
    e->calls++;
    e->failed += failed;
    e->total_ns += took_ns;
    e->buckets[bucket]++;
}

void tally_reset(struct tally *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->entries[i].name);
    }
    free(t->entries);
    *t = (struct tally){0};
}

/* ---- LATENCY HISTOGRAM ---- */

/* A container stands for all its subcommands. */
static bool tally_is_asked(const struct tally_entry *e, const struct resp_arg *words, size_t count)
{
    size_t container = strcspn(e->name, "|");
    char first[64] = "";

    if (container < sizeof first && e->name[container] != '\0') {
        memcpy(first, e->name, container);
    }
    for (size_t i = 0; i < count; i++) {
        if (resp_arg_is(&words[i], e->name) || (*first != '\0' && resp_arg_is(&words[i], first))) {
            return true;
        }
    }
    return count == 0;
}

static void tally_put_map(struct buf *out, char type, size_t pairs)
{
    buf_printf(out, "%c%zu\r\n", type, type == '%' ? pairs : 2 * pairs);
}

/* As fillCommandCDF in latency.c: how many took so long at most, where that grows. */
static void tally_put_entry(const struct tally_entry *e, char type, struct buf *out)
{
    size_t samples = 0;
    uint64_t sum = 0;

    for (unsigned i = 0; i < TALLY_BUCKETS; i++) {
        samples += e->buckets[i] > 0;
    }
    resp_put_bulk(out, e->name, strlen(e->name));
    tally_put_map(out, type, 2);
    resp_put_bulk(out, "calls", 5);
    resp_put_integer(out, (long long)e->calls);
    resp_put_bulk(out, "histogram_usec", 14);
    tally_put_map(out, type, samples);
    for (unsigned i = 0; i < TALLY_BUCKETS; i++) {
        sum += e->buckets[i];
        if (e->buckets[i] > 0) {
            resp_put_integer(out, (long long)((1024ull << i) / 1000));
            resp_put_integer(out, (long long)sum);
        }
    }
}

void tally_correct_histogram(const struct tally *t, const struct resp_arg *words, size_t count,
                             struct buf *reply)
{
    const uint8_t *bytes = buf_head(reply);
    char type = reply->len > 0 && bytes[0] == '%' ? '%' : '*';
    struct buf kept = BUF_INIT;
    size_t pairs = 0, at = 0, elements;
    struct resp_arg name;

    if (t->count == 0 || !resp_read_number(bytes, reply->len, &at, type, &elements)) {
        return; /* nothing of ours; an error */
    }
    bool whole = true;
    while (whole && at < reply->len) {
        size_t begin = at;
        whole = resp_read_bulk(bytes, reply->len, &at, &name) &&
                resp_read_reply(bytes, reply->len, &at);
        if (whole && tally_find(t, (const char *)name.bytes, name.len) == NULL) {
            buf_append(&kept, bytes + begin, at - begin);
            pairs++;
        }
    }
    for (size_t i = 0; i < t->count; i++) {
        if (tally_is_asked(&t->entries[i], words, count)) {
            tally_put_entry(&t->entries[i], type, &kept);
            pairs++;
        }
    }
    if (whole) {
        buf_clear(reply);
        tally_put_map(reply, type, pairs);
        buf_append(reply, buf_head(&kept), kept.len);
    }
    buf_release(&kept);
}

/* ---- INFO commandstats ---- */

static void tally_put_line(const struct tally_entry *e, struct buf *out)
{
    buf_printf(out,
               "cmdstat_%s:calls=%" PRIu64 ",usec=%" PRIu64 ",usec_per_call=%.2f,rejected_calls=0,"
               "failed_calls=%" PRIu64 "\r\n",
               e->name, e->calls, e->total_ns / 1000,
               (double)e->total_ns / 1000.0 / (double)e->calls, e->failed);
}

/* Whether the line tells of a command that we count. */
static bool tally_has_line(const struct tally *t, const char *line, size_t len)
{
    static const char prefix[] = "cmdstat_";
    size_t head = sizeof prefix - 1;
    const char *colon =
        len > head && memcmp(line, prefix, head) == 0 ? memchr(line + head, ':', len - head) : NULL;

    return colon != NULL && tally_find(t, line + head, (size_t)(colon - line) - head) != NULL;
}

void tally_correct_info(const struct tally *t, struct buf *text)
{
    static const char title[] = "# Commandstats\r\n";
    const char *at = (const char *)buf_head(text), *end = at + text->len;
    struct buf whole = BUF_INIT;

    if (t->count == 0 || text->len == 0 || memmem(at, text->len, title, sizeof title - 1) == NULL) {
        return;
    }
    while (at < end) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        size_t len = line != NULL ? (size_t)(line + 1 - at) : (size_t)(end - at);
        if (!tally_has_line(t, at, len)) {
            buf_append(&whole, at, len);
        }
        for (size_t i = 0; len == sizeof title - 1 && memcmp(at, title, len) == 0 && i < t->count;
             i++) {
            tally_put_line(&t->entries[i], &whole);
        }
        at += len;
    }
    buf_swap(text, &whole);
    buf_release(&whole);
}
