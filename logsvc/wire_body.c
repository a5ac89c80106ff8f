/* The fields of each message's body, in order (docs/log-protocol.md, 4.2 and 4.3). */
#include "logsvc/wire_impl.h"

#include "common/le.h"
#include "common/mem.h"

#include <string.h>

/* Each message's layout is written once, as a walk over its fields. The same walk measures, writes
 * and reads. */
enum walk_mode { WALK_SIZE, WALK_PUT, WALK_GET };

struct walk {
    enum walk_mode mode;
    uint8_t *out;      /* WALK_PUT */
    const uint8_t *in; /* WALK_GET */
    size_t at;         /* bytes done */
    size_t size;       /* WALK_GET: bytes there */
    bool bad;          /* WALK_GET: too short, or a value that cannot be */
};

/* Whether the caller shall move size bytes now; where they are is (*out or *in). */
static bool walk_step(struct walk *w, size_t size, uint8_t **out, const uint8_t **in)
{
    if (w->mode == WALK_GET) {
        if (w->bad || w->size - w->at < size) {
            w->bad = true;
            return false;
        }
        *in = w->in + w->at;
    } else if (w->mode == WALK_PUT) {
        *out = w->out + w->at;
    }
    w->at += size;
    return w->mode != WALK_SIZE;
}

static void walk_raw(struct walk *w, void *bytes, size_t size)
{
    uint8_t *out = NULL;
    const uint8_t *in = NULL;

    if (!walk_step(w, size, &out, &in)) {
        return;
    }
    if (out != NULL) {
        memcpy(out, bytes, size);
    } else if (in != NULL) {
        memcpy(bytes, in, size);
    }
}

static void walk_u8(struct walk *w, uint8_t *value)
{
    walk_raw(w, value, 1);
}

#define WALK_DEFINE(bits)                                                                          \
    static void walk_u##bits(struct walk *w, uint##bits##_t *value)                                \
    {                                                                                              \
        uint8_t bytes[sizeof *value];                                                              \
        if (w->mode == WALK_PUT) {                                                                 \
            le_put##bits(bytes, *value);                                                           \
        }                                                                                          \
        walk_raw(w, bytes, sizeof bytes);                                                          \
        if (w->mode == WALK_GET && !w->bad) {                                                      \
            *value = le_get##bits(bytes);                                                          \
        }                                                                                          \
    }
WALK_DEFINE(32)
WALK_DEFINE(64)

static void walk_bool(struct walk *w, bool *value)
{
    uint8_t byte = *value;

    walk_u8(w, &byte);
    if (w->mode == WALK_GET && !w->bad) {
        w->bad = byte > 1;
        *value = byte == 1;
    }
}

/* u8 length, bytes; no NUL on the wire. */
static void walk_text(struct walk *w, char *text, size_t max)
{
    uint8_t len = w->mode == WALK_GET ? 0 : (uint8_t)strnlen(text, max);

    walk_u8(w, &len);
    if (w->mode == WALK_GET && len > max) {
        w->bad = true;
        return;
    }
    walk_raw(w, text, len);
    if (w->mode == WALK_GET && !w->bad) {
        w->bad = memchr(text, '\0', len) != NULL;
        text[len] = '\0';
    }
}

static void walk_history(struct walk *w, struct wire_history *h)
{
    static uint8_t empty[2];
    uint32_t size = w->mode == WALK_GET ? 0 : (uint32_t)(h->size > 0 ? h->size : sizeof empty);
    uint8_t *out = NULL;
    const uint8_t *in = NULL;

    walk_u32(w, &size);
    if (!walk_step(w, size, &out, &in)) {
        return;
    }
    if (w->mode == WALK_PUT) {
        memcpy(out, h->size > 0 ? h->bytes : empty, size);
        return;
    }
    struct history checked;
    w->bad = history_decode(in, size, &checked) != ERR_OK;
    *h = (struct wire_history){.bytes = in, .size = size};
}

static void walk_holes(struct walk *w, struct storage_holes *h)
{
    walk_u32(w, &h->count);
    walk_u64(w, &h->from);
    walk_u64(w, &h->to);
    walk_u64(w, &h->next);
    walk_u64(w, &h->end);
    walk_u64(w, &h->found);
    walk_u64(w, &h->mended_bytes);
}

static void walk_disk(struct walk *w, struct disk_id *disk)
{
    walk_raw(w, disk->bytes, sizeof disk->bytes);
}

static void walk_conf(struct walk *w, struct wire_conf *c)
{
    static uint8_t none[CONF_BYTES_MIN];
    uint32_t size = w->mode == WALK_GET ? 0 : (uint32_t)(c->size > 0 ? c->size : sizeof none);
    uint8_t *out = NULL;
    const uint8_t *in = NULL;

    walk_u32(w, &size);
    if (!walk_step(w, size, &out, &in)) {
        return;
    }
    if (w->mode == WALK_PUT) {
        memcpy(out, c->size > 0 ? c->bytes : none, size);
        return;
    }
    struct conf checked;
    w->bad = conf_decode(in, size, &checked) != ERR_OK;
    *c = (struct wire_conf){.bytes = in, .size = size};
}

static void walk_roster(struct walk *w, struct wire_roster *r)
{
    static uint8_t empty[2];
    uint32_t size = w->mode == WALK_GET ? 0 : (uint32_t)(r->size > 0 ? r->size : sizeof empty);
    uint8_t *out = NULL;
    const uint8_t *in = NULL;

    walk_u32(w, &size);
    if (!walk_step(w, size, &out, &in)) {
        return;
    }
    if (w->mode == WALK_PUT) {
        memcpy(out, r->size > 0 ? r->bytes : empty, size);
        return;
    }
    struct roster checked;
    w->bad = roster_decode(in, size, 0, &checked) != ERR_OK;
    *r = (struct wire_roster){.bytes = in, .size = size};
}

static void walk_log(struct walk *w, struct wire_log *log)
{
    walk_bool(w, &log->empty);
    walk_u64(w, &log->begin);
    walk_u64(w, &log->flush_off);
    walk_u64(w, &log->unit_off);
    walk_u64(w, &log->uncertain_to);
    walk_u64(w, &log->commit);
    walk_u32(w, &log->chain_crc);
    walk_u32(w, &log->begin_chain);
    walk_holes(w, &log->holes);
}

static void walk_info(struct walk *w, struct snapshot_info *info)
{
    uint8_t bytes[SNAPINFO_BYTES];

    if (w->mode == WALK_PUT) {
        snapinfo_put(info, bytes);
    }
    walk_raw(w, bytes, sizeof bytes);
    if (w->mode == WALK_GET && !w->bad) {
        w->bad = snapinfo_get(bytes, info) != ERR_OK;
    }
}

static void walk_snaps(struct walk *w, struct wire_snaps *s)
{
    static uint8_t empty[2];
    uint32_t size = w->mode == WALK_GET ? 0 : (uint32_t)(s->size > 0 ? s->size : sizeof empty);
    uint8_t *out = NULL;
    const uint8_t *in = NULL;

    walk_u32(w, &size);
    if (!walk_step(w, size, &out, &in)) {
        return;
    }
    if (w->mode == WALK_PUT) {
        memcpy(out, s->size > 0 ? s->bytes : empty, size);
        return;
    }
    w->bad = snapinfo_list_check(in, size) != ERR_OK;
    *s = (struct wire_snaps){.bytes = in, .size = size};
}

static void walk_hello(struct walk *w, struct wire_hello *m)
{
    walk_u32(w, &m->lease_ms);
    walk_text(w, m->name, WIRE_NAME_MAX);
}

static void walk_hello_reply(struct walk *w, struct wire_hello_reply *m)
{
    walk_text(w, m->node_id, WIRE_NAME_MAX);
    walk_disk(w, &m->disk);
    walk_u32(w, &m->lease_ms);
    walk_u64(w, &m->elapsed_ns);
    walk_u64(w, &m->heard_ns);
    walk_log(w, &m->log);
    walk_u64(w, &m->snapshot);
    walk_text(w, m->leader, WIRE_NAME_MAX);
    walk_history(w, &m->history);
    walk_conf(w, &m->conf);
}

static void walk_vote(struct walk *w, struct wire_vote *m)
{
    walk_u32(w, &m->lease_ms);
    walk_disk(w, &m->to);
    walk_conf(w, &m->conf);
}

static void walk_vote_reply(struct walk *w, struct wire_vote_reply *m)
{
    walk_bool(w, &m->granted);
    walk_u64(w, &m->elapsed_ns);
    walk_log(w, &m->log);
    walk_history(w, &m->history);
}

static void walk_elected(struct walk *w, struct wire_elected *m)
{
    walk_disk(w, &m->to);
    walk_u64(w, &m->start);
    walk_u32(w, &m->chain_crc);
    walk_bool(w, &m->reset);
    walk_text(w, m->name, WIRE_NAME_MAX);
    walk_u32(w, &m->engine);
    walk_history(w, &m->history);
    walk_conf(w, &m->conf);
}

static void walk_elected_reply(struct walk *w, struct wire_elected_reply *m)
{
    walk_log(w, &m->log);
}

static void walk_append(struct walk *w, struct wire_append *m)
{
    walk_u64(w, &m->begin);
    walk_u64(w, &m->commit);
}

static void walk_append_reply(struct walk *w, struct wire_append_reply *m)
{
    walk_bool(w, &m->gap);
    walk_u64(w, &m->write_off);
    walk_u64(w, &m->unit_off);
    walk_u64(w, &m->commit);
    walk_holes(w, &m->holes);
}

static void walk_read(struct walk *w, struct wire_read *m)
{
    walk_u64(w, &m->from);
    walk_u32(w, &m->max_bytes);
}

static void walk_read_reply(struct walk *w, struct wire_read_reply *m)
{
    walk_u64(w, &m->from);
    walk_u64(w, &m->limit);
    walk_log(w, &m->log);
}

static void walk_release(struct walk *w, struct wire_release *m)
{
    walk_text(w, m->heir, WIRE_NAME_MAX);
}

static void walk_release_reply(struct walk *w, struct wire_release_reply *m)
{
    walk_bool(w, &m->released);
}

static void walk_status(struct walk *w, struct wire_status *m)
{
    walk_u8(w, &m->none);
}

static void walk_status_reply(struct walk *w, struct wire_status_reply *m)
{
    walk_hello_reply(w, &m->node);
}

static void walk_snap_begin(struct walk *w, struct wire_snap_begin *m)
{
    walk_info(w, &m->info);
}

static void walk_snap_write(struct walk *w, struct wire_snap_write *m)
{
    walk_u64(w, &m->offset);
    walk_u64(w, &m->at);
}

static void walk_snap_commit(struct walk *w, struct wire_snap_commit *m)
{
    walk_u64(w, &m->offset);
}

static void walk_snap_reply(struct walk *w, struct wire_snap_reply *m)
{
    walk_u64(w, &m->offset);
    walk_u64(w, &m->next);
}

static void walk_snap_latest(struct walk *w, struct wire_snap_latest *m)
{
    walk_u64(w, &m->limit);
    walk_bool(w, &m->any);
}

static void walk_snap_latest_reply(struct walk *w, struct wire_snap_latest_reply *m)
{
    walk_bool(w, &m->found);
    walk_info(w, &m->info);
}

static void walk_snap_read(struct walk *w, struct wire_snap_read *m)
{
    walk_u64(w, &m->offset);
    walk_u64(w, &m->at);
    walk_u32(w, &m->max_bytes);
}

static void walk_snap_read_reply(struct walk *w, struct wire_snap_read_reply *m)
{
    walk_u64(w, &m->offset);
    walk_u64(w, &m->at);
}

static void walk_snap_list(struct walk *w, struct wire_snap_list *m)
{
    walk_u8(w, &m->none);
}

static void walk_snap_list_reply(struct walk *w, struct wire_snap_list_reply *m)
{
    walk_log(w, &m->log);
    walk_snaps(w, &m->snaps);
}

static void walk_snap_mark(struct walk *w, struct wire_snap_mark *m)
{
    walk_u64(w, &m->offset);
    walk_u32(w, &m->crc);
    walk_u64(w, &m->verified_ms);
}

static void walk_snap_mark_reply(struct walk *w, struct wire_snap_mark_reply *m)
{
    walk_u64(w, &m->offset);
}

static void walk_trim(struct walk *w, struct wire_trim *m)
{
    walk_u64(w, &m->to);
    walk_u64(w, &m->snapshot);
    walk_u32(w, &m->crc);
}

static void walk_rebase(struct walk *w, struct wire_rebase *m)
{
    walk_u64(w, &m->begin);
    walk_u32(w, &m->chain_crc);
}

static void walk_log_reply(struct walk *w, struct wire_log_reply *m)
{
    walk_log(w, &m->log);
}

static void walk_config(struct walk *w, struct wire_config *m)
{
    walk_conf(w, &m->conf);
}

static void walk_config_reply(struct walk *w, struct wire_config_reply *m)
{
    walk_u8(w, &m->none);
}

static void walk_refused(struct walk *w, struct wire_refused *m)
{
    walk_u32(w, &m->code);
    walk_u8(w, &m->to);
    walk_u64(w, &m->write_off);
    walk_text(w, m->reason, WIRE_REASON_MAX);
}

static void walk_mend(struct walk *w, struct wire_mend *m)
{
    walk_u64(w, &m->from);
}

static void walk_mend_reply(struct walk *w, struct wire_mend_reply *m)
{
    walk_holes(w, &m->holes);
}

static void walk_watch(struct walk *w, struct wire_watch *m)
{
    walk_u32(w, &m->lease_ms);
    walk_text(w, m->name, WIRE_NAME_MAX);
    walk_text(w, m->address, WIRE_NAME_MAX);
    walk_u8(w, &m->role);
    w->bad = w->bad || m->role > ROSTER_LEADER;
    walk_bool(w, &m->synced);
    walk_u64(w, &m->offset);
    walk_u64(w, &m->needs);
    walk_u32(w, &m->sentinel_port);
    walk_u64(w, &m->known.n);
}

static void walk_watch_reply(struct walk *w, struct wire_watch_reply *m)
{
    walk_u64(w, &m->heard_ns);
    walk_u64(w, &m->leader_term.n);
    walk_text(w, m->leader, WIRE_NAME_MAX);
    walk_text(w, m->heir, WIRE_NAME_MAX);
    walk_u64(w, &m->commit);
    walk_u64(w, &m->begin);
    walk_bool(w, &m->empty);
    walk_u32(w, &m->engine);
    walk_roster(w, &m->roster);
    walk_history(w, &m->history);
}

static void walk_body(struct walk *w, struct wire_msg *msg)
{
    switch (msg->type) {
#define WIRE_WALK(name, code, field)                                                               \
    case name:                                                                                     \
        walk_##field(w, &msg->field);                                                              \
        return;
        WIRE_TYPE_MAP(WIRE_WALK)
#undef WIRE_WALK
    }
    w->bad = true;
}

size_t wire_body_size(const struct wire_msg *msg)
{
    struct walk w = {.mode = WALK_SIZE};

    walk_body(&w, (struct wire_msg *)msg); /* measuring and writing change nothing */
    MUST(!w.bad);
    return w.at;
}

void wire_body_put(const struct wire_msg *msg, uint8_t *out)
{
    struct walk w = {.mode = WALK_PUT, .out = out};

    walk_body(&w, (struct wire_msg *)msg);
}

bool wire_body_get(const uint8_t *bytes, size_t size, struct wire_msg *msg)
{
    struct walk w = {.mode = WALK_GET, .in = bytes, .size = size};

    walk_body(&w, msg);
    return !w.bad && w.at == size;
}
