#include "tests/sim/snaps.h"

#include "common/crc32c.h"
#include "common/le.h"
#include "common/mem.h"
#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SNAPS_MAGIC = 0x50414e53, SNAPS_HEAD_BYTES = 28, SNAPS_VALUE_BYTES = 12 };

void snaps_fini(struct snaps *s)
{
    for (size_t i = 0; i < s->count; i++) {
        buf_release(&s->made[i].bytes);
    }
    free(s->made);
}

uint64_t snaps_wall_ms(const struct world *w)
{
    return 1000 + w->now / CLOCK_NS_PER_MS;
}

/* --- bytes --- */

void snaps_encode(const struct kv *kv, uint64_t offset, size_t pad_bytes, struct buf *out)
{
    uint8_t head[SNAPS_HEAD_BYTES], value[SNAPS_VALUE_BYTES];

    le_put32(head, SNAPS_MAGIC);
    le_put64(head + 4, offset);
    le_put64(head + 12, kv->birth);
    le_put32(head + 20, kv->used);
    le_put32(head + 24, (uint32_t)pad_bytes);
    buf_append(out, head, sizeof head);
    for (unsigned i = 0; i < kv->used; i++) {
        const struct kv_value *v = &kv->values[i];
        le_put64(value, v->number);
        le_put16(value + 8, v->is_set);
        le_put16(value + 10, v->len);
        buf_append(out, value, sizeof value);
        buf_append(out, v->text, v->len);
    }
    uint8_t *pad = buf_reserve(out, pad_bytes + 1);
    for (size_t i = 0; i < pad_bytes; i++) {
        pad[i] = (uint8_t)(i * 7 + i / 251 + offset);
    }
    buf_commit(out, pad_bytes);
}

bool snaps_decode(const uint8_t *bytes, size_t size, uint64_t *offset, struct kv *kv)
{
    size_t at = SNAPS_HEAD_BYTES;

    kv_clear(kv);
    if (size < at || le_get32(bytes) != SNAPS_MAGIC || le_get32(bytes + 20) > KV_KEYS_MAX) {
        return false;
    }
    *offset = le_get64(bytes + 4);
    kv->birth = le_get64(bytes + 12);
    for (unsigned used = le_get32(bytes + 20); kv->used < used; kv->used++) {
        struct kv_value *v = &kv->values[kv->used];
        if (size - at < SNAPS_VALUE_BYTES) {
            return false;
        }
        *v = (struct kv_value){.number = le_get64(bytes + at),
                               .is_set = le_get16(bytes + at + 8) != 0,
                               .len = le_get16(bytes + at + 10)};
        at += SNAPS_VALUE_BYTES;
        if (v->len > KV_TEXT_MAX || size - at < v->len) {
            return false;
        }
        memcpy(v->text, bytes + at, v->len);
        at += v->len;
    }
    return size - at == le_get32(bytes + 24);
}

/* --- what was made --- */

static const struct snaps_made *snaps_find(const struct world *w, const struct snapshot_info *info)
{
    for (size_t i = 0; i < w->snaps.count; i++) {
        if (snapinfo_same(&w->snaps.made[i].info, info)) {
            return &w->snaps.made[i];
        }
    }
    return NULL;
}

void snaps_add(struct world *w, struct snapshot_info *info, const struct buf *bytes, bool wrong)
{
    struct snaps *s = &w->snaps;

    info->size_bytes = bytes->len;
    info->crc = crc32c_extend(0, buf_head(bytes), bytes->len);
    if (snaps_find(w, info) != NULL) {
        return;
    }
    if (s->count == s->cap) {
        s->cap = s->cap > 0 ? 2 * s->cap : 16;
        s->made = mem_realloc(s->made, s->cap * sizeof *s->made);
    }
    s->made[s->count] = (struct snaps_made){.info = *info, .wrong = wrong, .bytes = BUF_INIT};
    buf_append(&s->made[s->count++].bytes, buf_head(bytes), bytes->len);
}

/* Whether it holds what the committed log makes up to its offset, if so much is committed. */
static bool snaps_is_right(struct world *w, const struct snaps_made *made)
{
    struct truth *t = &w->truth;
    uint64_t offset = 0;

    if (!truth_state_at(t, made->info.offset, &t->lookup)) {
        return true; /* nobody knows yet */
    }
    return snaps_decode(buf_head(&made->bytes), made->bytes.len, &offset, &t->decoded) &&
           offset == made->info.offset && kv_equal(&t->lookup, &t->decoded);
}

void snaps_check_use(struct world *w, const char *who, const struct snapshot_info *info,
                     const uint8_t *bytes, size_t size)
{
    const struct snaps_made *made = snaps_find(w, info);

    world_count(w, COUNT_SNAPS_USED);
    if (made == NULL || size != made->bytes.len ||
        memcmp(bytes, buf_head(&made->bytes), size) != 0) {
        truth_violation(w, I16_SNAPSHOT_WHOLE,
                        "%s was given %zu bytes as the snapshot at %" PRIu64
                        " that are not what was stored",
                        who, size, info->offset);
    } else if (made->wrong || (info->verified_ms > 0 && !snaps_is_right(w, made))) {
        truth_violation(w, I15_RESTORABLE,
                        "%s begins with a snapshot at %" PRIu64 " that is not what the log makes",
                        who, info->offset);
    }
}

/* --- what nodes hold and say --- */

void snaps_check_held(struct world *w, unsigned node, const struct snapshot_info *info,
                      const struct buf *bytes)
{
    const struct snaps_made *made = snaps_find(w, info);

    if (made == NULL || (bytes != NULL &&
                         (bytes->len != made->bytes.len ||
                          memcmp(buf_head(bytes), buf_head(&made->bytes), made->bytes.len) != 0))) {
        truth_violation(w, I16_SNAPSHOT_WHOLE,
                        "node %u has a snapshot at %" PRIu64 " that is not as it was made", node,
                        info->offset);
    } else if (info->verified_ms > 0 && (made->wrong || !snaps_is_right(w, made))) {
        truth_violation(w, I15_RESTORABLE,
                        "node %u has a snapshot at %" PRIu64
                        " as verified that is not what the log makes",
                        node, info->offset);
    }
}

/* A piece of a snapshot leaves a node: it must be of one that was made. */
static void snaps_check_piece(struct world *w, unsigned node, const struct wire_msg *msg)
{
    const struct wire_snap_read_reply *m = &msg->snap_read_reply;

    for (size_t i = 0; i < w->snaps.count; i++) {
        const struct snaps_made *made = &w->snaps.made[i];
        if (made->info.offset == m->offset && m->at <= made->bytes.len &&
            msg->data_size <= made->bytes.len - m->at &&
            memcmp(buf_head(&made->bytes) + m->at, msg->data, msg->data_size) == 0) {
            return;
        }
    }
    truth_violation(w, I16_SNAPSHOT_WHOLE,
                    "node %u hands out %zu bytes of the snapshot at %" PRIu64
                    " that were never in one",
                    node, msg->data_size, m->offset);
}

static void snaps_check_told(struct world *w, unsigned node, const struct snapshot_info *info)
{
    const struct snapshot_info *held = shadow_snap(&w->nodes[node].shadow, info->offset);

    if (held == NULL || !snapinfo_same(held, info) || held->verified_ms != info->verified_ms) {
        truth_violation(w, I5_NOTHING_GOES_BACK,
                        "node %u tells of a snapshot at %" PRIu64 " that is not durable there so",
                        node, info->offset);
    }
}

static void snaps_check_list(struct world *w, unsigned node, const struct wire_snaps *list)
{
    for (unsigned i = 0; i < snapinfo_list_count(list->bytes, list->size); i++) {
        struct snapinfo_stored stored;
        snapinfo_list_get(list->bytes, list->size, i, &stored);
        snaps_check_told(w, node, &stored.info);
    }
}

void snaps_check_reply(struct world *w, unsigned node, const struct wire_msg *msg)
{
    const struct shadow *s = &w->nodes[node].shadow;
    const char *lacks = NULL;
    uint64_t offset = 0;

    if (msg->type == WIRE_SNAP_READ_REPLY) {
        snaps_check_piece(w, node, msg);
    } else if (msg->type == WIRE_SNAP_LIST_REPLY) {
        snaps_check_list(w, node, &msg->snap_list_reply.snaps);
    } else if (msg->type == WIRE_SNAP_LATEST_REPLY && msg->snap_latest_reply.found) {
        snaps_check_told(w, node, &msg->snap_latest_reply.info);
    } else if (msg->type == WIRE_SNAP_COMMIT_REPLY) {
        offset = msg->snap_reply.offset;
        lacks = shadow_snap(s, offset) == NULL ? "stored" : NULL;
    } else if (msg->type == WIRE_SNAP_VERIFIED_REPLY) {
        const struct snapshot_info *held = shadow_snap(s, offset = msg->snap_mark_reply.offset);
        lacks = held == NULL || held->verified_ms == 0 ? "marked" : NULL;
    } else if (msg->type == WIRE_SNAP_DELETE_REPLY) {
        offset = msg->snap_mark_reply.offset;
        lacks = shadow_snap(s, offset) != NULL ? "deleted" : NULL;
    }
    if (lacks != NULL) {
        truth_violation(w, I5_NOTHING_GOES_BACK,
                        "node %u says that the snapshot at %" PRIu64
                        " is %s, and it is not, durably",
                        node, offset, lacks);
    }
}

/* --- I15 --- */

/* Up to where a node's log is what is committed; begin is where it begins. Nothing: both are
 * equal. */
static uint64_t snaps_committed_end(const struct truth *t, const struct shadow *s)
{
    uint64_t end = s->begin;
    size_t k = 0;

    for (size_t i = 0; i < s->durable; i++) {
        const struct shadow_record *r = &s->records[i];
        while (k + 1 < t->committed_count && t->committed[k + 1].begin <= r->begin) {
            k++;
        }
        if (t->committed_count == 0 || r->term != t->committed[k].term ||
            r->begin < t->committed[k].begin) {
            break;
        }
        end = r->begin + r->len;
    }
    return end < t->committed_end ? end : t->committed_end;
}

/* What is known of the nodes, for one check. */
struct snaps_disks {
    unsigned count; /* nodes that have a log */
    unsigned nodes[SIM_NODES_MAX];
    uint64_t begin[SIM_NODES_MAX], end[SIM_NODES_MAX];
};

/* From where on the logs of these nodes lead to the end of all that is committed. */
static uint64_t snaps_log_from(const struct world *w, const struct snaps_disks *d, unsigned set)
{
    uint64_t from = w->truth.committed_end;
    bool moved = true;

    while (moved) {
        moved = false;
        for (unsigned i = 0; i < d->count; i++) {
            if ((set >> d->nodes[i] & 1) != 0 && d->begin[i] < from && d->end[i] >= from) {
                from = d->begin[i];
                moved = true;
            }
        }
    }
    return from;
}

/* Whether a Redis could be brought to the end of what is committed by these nodes' disks alone. */
static bool snaps_set_restores(struct world *w, const struct snaps_disks *d, unsigned set)
{
    uint64_t from = snaps_log_from(w, d, set);

    for (unsigned i = 0; i < d->count; i++) {
        const struct shadow_snaps *held = &w->nodes[d->nodes[i]].shadow.snaps;
        for (unsigned k = 0; k < held->count && (set >> d->nodes[i] & 1) != 0; k++) {
            const struct snapshot_info *info = &held->held[k];
            const struct snaps_made *made = snaps_find(w, info);
            bool counts =
                info->verified_ms > 0 ? info->offset >= d->begin[i] : info->offset == d->begin[i];
            if (counts && info->offset >= from && info->offset <= w->truth.committed_end &&
                made != NULL && !made->wrong && snaps_is_right(w, made)) {
                return true;
            }
        }
    }
    return false;
}

static bool snaps_is_majority(const struct world *w, const struct conf_set *of, unsigned set)
{
    unsigned count = 0;

    for (unsigned i = 0; i < w->nodes_count; i++) {
        const struct meta *meta = &w->nodes[i].shadow.meta;
        count += (set >> i & 1) != 0 && conf_set_has(of, meta->node_id, &meta->disk);
    }
    return 2 * count > of->count;
}

/* The highest configuration that anybody has. */
static const struct conf *snaps_conf(const struct world *w)
{
    const struct conf *conf = &w->nodes[0].shadow.meta.conf;

    for (unsigned i = 0; i < w->nodes_count; i++) {
        const struct shadow *s = &w->nodes[i].shadow;
        if (s->has_meta && conf_id_compare(s->meta.conf.id, conf->id) > 0) {
            conf = &s->meta.conf;
        }
    }
    return conf;
}

/* While a member is damaged, or one's disk is gone, all of them together must do. */
void snaps_check_restorable(struct world *w, const char *when)
{
    const struct conf *conf = snaps_conf(w);
    struct snaps_disks d = {0};
    unsigned members = 0;
    bool damaged = false;

    if (!w->truth.committed_any || conf_kind(conf) < CONF_STABLE || world_failed(w)) {
        return;
    }
    for (unsigned i = 0; i < w->nodes_count; i++) {
        const struct node *n = &w->nodes[i];
        const struct shadow *s = &n->shadow;
        if (!s->has_meta || conf_find(conf, s->meta.node_id, &s->meta.disk) == NULL) {
            continue;
        }
        members |= 1u << i;
        damaged = damaged || n->damaged || n->lost;
        if (s->has_begin && !s->resetting) {
            d.nodes[d.count] = i;
            d.begin[d.count] = s->begin;
            d.end[d.count++] = snaps_committed_end(&w->truth, s);
        }
    }
    damaged = damaged || (unsigned)__builtin_popcount(members) < conf->now.count;
    for (unsigned set = damaged ? members : 1; set <= members; set++) {
        if ((set & ~members) == 0 && snaps_is_majority(w, &conf->now, set) &&
            (conf->old.count == 0 || snaps_is_majority(w, &conf->old, set)) &&
            !snaps_set_restores(w, &d, set)) {
            truth_violation(w, I15_RESTORABLE,
                            "%s: with the disks of the nodes %#x alone nobody can bring a Redis to "
                            "%" PRIu64,
                            when, set, w->truth.committed_end);
            return;
        }
    }
}
