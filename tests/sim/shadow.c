#include "tests/sim/shadow.h"

#include "common/mem.h"
#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct shadow *shadow_of(struct storage *base)
{
    return (struct shadow *)base;
}

static struct storage_state shadow_real_state(const struct shadow *s)
{
    struct storage_state st;

    s->real->ops->state(s->real, &st);
    return st;
}

static uint64_t shadow_end_at(const struct shadow *s, size_t count)
{
    return count > 0 ? s->records[count - 1].begin + s->records[count - 1].len : s->begin;
}

uint64_t shadow_end(const struct shadow *s)
{
    return shadow_end_at(s, s->count);
}

uint64_t shadow_durable_end(const struct shadow *s)
{
    return shadow_end_at(s, s->durable);
}

static uint64_t shadow_unit_end_at(const struct shadow *s, size_t count)
{
    while (count > 0 && !s->records[count - 1].unit_end) {
        count--;
    }
    return shadow_end_at(s, count);
}

uint64_t shadow_unit_end(const struct shadow *s)
{
    return shadow_unit_end_at(s, s->durable);
}

/* How many records end at or below offset. */
static size_t shadow_find(const struct shadow *s, uint64_t offset)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (shadow_end_at(s, middle + 1) <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool shadow_holds(const struct shadow *s, uint64_t term, uint64_t offset)
{
    const struct history *h = &s->meta.history;

    return s->has_begin && s->has_meta && shadow_durable_end(s) >= offset && h->count > 0 &&
           truth_descends(&s->world->truth, h->entries[h->count - 1].term.n, term);
}

/* --- what the acceptor does --- */

static void shadow_state(struct storage *base, struct storage_state *out)
{
    const struct shadow *s = shadow_of(base);

    s->real->ops->state(s->real, out);
}

/* Appending may bring what was queued before to the disk. */
static void shadow_follow(struct shadow *s)
{
    struct storage_state st = shadow_real_state(s);

    s->durable = st.empty ? 0 : shadow_find(s, st.flush_off);
}

static void shadow_check_append(struct shadow *s, const struct record *r, const void *payload)
{
    struct world *w = s->world;
    const uint8_t *truth = truth_bytes(&w->truth, r->term.n, r->begin, r->len_bytes);

    if (r->begin != shadow_end(s)) {
        truth_violation(w, I12_CONTIGUOUS,
                        "node %u appends at %" PRIu64 ", its log ends at %" PRIu64, s->node,
                        r->begin, shadow_end(s));
    }
    if (s->count > 0 && r->term.n < s->records[s->count - 1].term) {
        truth_violation(w, I4_TERMS_RISE, "node %u appends term %" PRIu64 " behind term %" PRIu64,
                        s->node, r->term.n, s->records[s->count - 1].term);
    }
    if (truth == NULL || memcmp(truth, payload, r->len_bytes) != 0) {
        truth_violation(w, I2_LOG_MATCHING,
                        "node %u appends %u bytes at %" PRIu64 " that the leader of term %" PRIu64
                        " never wrote there",
                        s->node, r->len_bytes, r->begin, r->term.n);
    }
}

static int shadow_append(struct storage *base, const struct record *r, const void *payload)
{
    struct shadow *s = shadow_of(base);
    int err = s->real->ops->append(s->real, r, payload);

    if (r->len_bytes == 0) {
        return err;
    }
    if (err == ERR_OK || err == ERR_IO) {
        shadow_check_append(s, r, payload);
        s->changes++;
    }
    if (err == ERR_OK) {
        if (s->count == s->cap) {
            s->cap = s->cap > 0 ? 2 * s->cap : 128;
            s->records = mem_realloc(s->records, s->cap * sizeof *s->records);
        }
        s->records[s->count++] = (struct shadow_record){.begin = r->begin,
                                                        .term = r->term.n,
                                                        .len = r->len_bytes,
                                                        .chain_crc = r->chain_crc,
                                                        .unit_end = (r->flags & RECORD_UNIT_END)};
        shadow_follow(s);
    }
    return err;
}

static int shadow_flush(struct storage *base)
{
    struct shadow *s = shadow_of(base);
    int err = s->real->ops->flush(s->real);

    if (err == ERR_OK) {
        s->durable = s->count;
    }
    return err;
}

static void shadow_check_cut(struct shadow *s, uint64_t to)
{
    struct world *w = s->world;
    uint64_t known = w->nodes[s->node].commit_seen;
    struct storage_state st = shadow_real_state(s);

    if (w->nodes[s->node].damaged && st.holes.count > 0 && st.holes.end > to) {
        s->told_any = false; /* what is behind has rotted, and the node will say so */
        s->counted_to = 0;
        return;
    }
    if (known > to && shadow_end(s) > to) {
        truth_violation(w, I6_NO_COMMITTED_CUT,
                        "node %u cuts its log at %" PRIu64 ", it knows %" PRIu64 " as committed",
                        s->node, to, known);
    }
    if (s->counted_to > to && shadow_end(s) > to) {
        truth_violation(w, I6_NO_COMMITTED_CUT,
                        "node %u cuts its log at %" PRIu64 ", it had helped to commit %" PRIu64,
                        s->node, to, s->counted_to);
    }
}

static int shadow_truncate(struct storage *base, uint64_t offset)
{
    struct shadow *s = shadow_of(base);

    shadow_check_cut(s, offset);
    world_trace(s->world, "node %u cuts its log at %" PRIu64 ", it ended at %" PRIu64, s->node,
                offset, shadow_end(s));
    s->cutting = true;
    s->cut_to = offset;
    int err = s->real->ops->truncate(s->real, offset);
    if (err == ERR_OK) {
        s->changes++;
        s->cutting = false;
        s->between = s->between || shadow_end(s) > offset;
        s->count = s->durable = shadow_find(s, offset);
    } else if (err != ERR_IO && err != ERR_CORRUPT) {
        s->cutting = false;
    }
    return err;
}

static uint64_t shadow_cuttable(struct storage *base, uint64_t offset)
{
    struct shadow *s = shadow_of(base);

    return s->real->ops->cuttable(s->real, offset);
}

/* Whether the history that is saved is that of the term that is. */
static bool shadow_has_adopted(const struct shadow *s)
{
    const struct history *h = &s->meta.history;

    return h->count > 0 && h->entries[h->count - 1].term.n == s->meta.term.n;
}

static void shadow_did_reset(struct shadow *s)
{
    s->resetting = false;
    s->between = (s->between || s->count > 0) && !shadow_has_adopted(s);
    s->count = s->durable = 0;
    s->has_begin = true;
    s->begin = s->reset_to;
    s->begin_chain = s->reset_chain;
}

/* The log begins anew behind all that is here: that must be committed, and stored elsewhere. */
static void shadow_check_rebase(struct shadow *s, uint64_t to)
{
    struct world *w = s->world;

    world_count(w, COUNT_REBASES);
    world_trace(w, "node %u begins anew at %" PRIu64 ", its log ended at %" PRIu64, s->node, to,
                shadow_end(s));
    if (to > truth_committed_end(&w->truth) || to > w->truth.trimmed_to) {
        truth_violation(w, I6_NO_COMMITTED_CUT,
                        "node %u begins anew at %" PRIu64 ", committed is %" PRIu64
                        " and forgotten may be %" PRIu64,
                        s->node, to, truth_committed_end(&w->truth), w->truth.trimmed_to);
    }
}

static int shadow_reset(struct storage *base, uint64_t offset, uint32_t chain_crc)
{
    struct shadow *s = shadow_of(base);

    /* Else it was founded by who had another begin, and nothing of it was ever committed. */
    const struct truth *t = &s->world->truth;
    bool ours = t->committed_any && shadow_end(s) >= t->committed_begin;

    if (s->has_begin && offset > shadow_end(s) && ours) {
        shadow_check_rebase(s, offset);
    } else if (s->has_begin) {
        shadow_check_cut(s, s->begin);
    }
    s->resetting = true;
    s->reset_to = offset;
    s->reset_chain = chain_crc;
    int err = s->real->ops->reset(s->real, offset, chain_crc);
    if (err == ERR_OK) {
        s->changes++;
        shadow_did_reset(s);
        snaps_check_restorable(s->world, "a log begins anew");
    } else if (err == ERR_NO_SPACE) {
        s->resetting = false;
    }
    return err;
}

static int shadow_read(struct storage *base, uint64_t from, size_t max_bytes, struct buf *out)
{
    struct shadow *s = shadow_of(base);

    return s->real->ops->read(s->real, from, max_bytes, out);
}

/* The records in front of the begin are gone. */
static void shadow_did_trim(struct shadow *s, uint64_t begin)
{
    size_t gone = shadow_find(s, begin);

    s->trimming = false;
    if (gone == 0) {
        return;
    }
    s->begin = shadow_end_at(s, gone);
    s->begin_chain = s->records[gone - 1].chain_crc;
    s->count -= gone;
    s->durable -= gone;
    memmove(s->records, s->records + gone, s->count * sizeof *s->records);
}

static int shadow_trim(struct storage *base, uint64_t offset, uint64_t *begin)
{
    struct shadow *s = shadow_of(base);
    struct world *w = s->world;

    s->trimming = true;
    s->trim_to = offset;
    int err = s->real->ops->trim(s->real, offset, begin);
    if (err != ERR_OK && err != ERR_NO_SPACE) {
        return err;
    }
    s->trimming = false;
    if (err == ERR_OK && *begin > s->begin) {
        world_count(w, COUNT_TRIMS);
        world_trace(w, "node %u forgets what is below %" PRIu64, s->node, *begin);
        if (*begin > truth_committed_end(&w->truth) || *begin > w->truth.trimmed_to) {
            truth_violation(w, I6_NO_COMMITTED_CUT,
                            "node %u forgets what is below %" PRIu64 ", committed is %" PRIu64
                            " and forgotten may be %" PRIu64,
                            s->node, *begin, truth_committed_end(&w->truth), w->truth.trimmed_to);
        }
        s->changes++;
        shadow_did_trim(s, *begin);
        snaps_check_restorable(w, "a log is trimmed");
    }
    return err;
}

/* Both may bring what was queued to the disk, to go on in another segment. */
static int shadow_check(struct storage *base, size_t max_bytes, struct storage_check *out)
{
    struct shadow *s = shadow_of(base);
    int err = s->real->ops->check(s->real, max_bytes, out);

    if (err == ERR_OK) {
        shadow_follow(s);
    }
    return err;
}

static int shadow_pack(struct storage *base, size_t max_bytes, struct storage_pack *out)
{
    struct shadow *s = shadow_of(base);
    int err = s->real->ops->pack(s->real, max_bytes, out);

    if (err == ERR_OK && out->packed) {
        world_count(s->world, COUNT_PACKS);
    }
    return err;
}

static int shadow_mend(struct storage *base, const void *records, size_t size)
{
    struct shadow *s = shadow_of(base);
    int err = s->real->ops->mend(s->real, records, size);

    if (err == ERR_OK) {
        world_count(s->world, COUNT_MENDS);
        shadow_follow(s);
    }
    return err;
}

/* --- what the acceptor remembers --- */

/* Every byte here is of the term that the history says; an empty history says nothing. */
static void shadow_check_labels(struct shadow *s, const struct history *h, const char *when)
{
    unsigned at = h->count;

    for (size_t i = s->count; i > 0 && h->count > 0; i--) {
        const struct shadow_record *r = &s->records[i - 1];
        while (at > 0 && h->entries[at - 1].begin > r->begin) {
            at--;
        }
        if (at == 0) {
            return; /* older than all of a trimmed history */
        }
        if (h->entries[at - 1].term.n != r->term) {
            truth_violation(s->world, I2_LOG_MATCHING,
                            "%s: node %u holds bytes of term %" PRIu64 " at %" PRIu64
                            ", its history says term %" PRIu64,
                            when, s->node, r->term, r->begin, h->entries[at - 1].term.n);
            return;
        }
    }
}

static int shadow_meta_load(struct storage *base, struct buf *out)
{
    struct shadow *s = shadow_of(base);

    return s->real->ops->meta_load(s->real, out);
}

static int shadow_meta_save(struct storage *base, const void *bytes, size_t size)
{
    struct shadow *s = shadow_of(base);

    MUST(meta_decode(bytes, size, &s->next) == ERR_OK);
    if (s->has_meta && s->next.term.n < s->meta.term.n) {
        truth_violation(s->world, I5_NOTHING_GOES_BACK,
                        "node %u saves term %" PRIu64 " over term %" PRIu64, s->node,
                        s->next.term.n, s->meta.term.n);
    }
    shadow_check_labels(s, &s->next.history, "saving");
    truth_conf(s->world, &s->next.conf, "a node");
    if (s->has_meta && conf_id_compare(s->next.conf.id, s->meta.conf.id) < 0) {
        truth_violation(s->world, I5_NOTHING_GOES_BACK,
                        "node %u goes back to an older configuration", s->node);
    }
    s->saving = true;
    int err = s->real->ops->meta_save(s->real, bytes, size);
    if (err == ERR_OK) {
        s->changes++;
        s->saving = false;
        s->has_meta = true;
        s->meta = s->next;
        s->between = s->between && !shadow_has_adopted(s);
    }
    return err;
}

static const struct storage_ops shadow_ops = {
    .state = shadow_state,
    .append = shadow_append,
    .flush = shadow_flush,
    .truncate = shadow_truncate,
    .cuttable = shadow_cuttable,
    .reset = shadow_reset,
    .read = shadow_read,
    .check = shadow_check,
    .mend = shadow_mend,
    .pack = shadow_pack,
    .meta_load = shadow_meta_load,
    .meta_save = shadow_meta_save,
    .snap_begin = shadow_snap_begin,
    .snap_write = shadow_snap_write,
    .snap_commit = shadow_snap_commit,
    .snap_drop = shadow_snap_drop,
    .snap_latest = shadow_snap_latest,
    .snap_read = shadow_snap_read,
    .snap_verified = shadow_snap_verified,
    .snap_delete = shadow_snap_delete,
    .trim = shadow_trim,
};

void shadow_init(struct shadow *s, struct world *w, unsigned node)
{
    s->base.ops = &shadow_ops;
    s->world = w;
    s->node = node;
}

void shadow_fini(struct shadow *s)
{
    free(s->records);
    s->records = NULL;
}

/* --- after a restart --- */

static void shadow_compare_meta(struct shadow *s)
{
    struct buf bytes = BUF_INIT;
    static struct meta found;
    int err = s->real->ops->meta_load(s->real, &bytes);

    if (err == ERR_NOT_FOUND) {
        if (s->has_meta) {
            truth_violation(s->world, I5_NOTHING_GOES_BACK, "node %u has forgotten its votes",
                            s->node);
        }
        buf_release(&bytes);
        return;
    }
    MUST(err == ERR_OK && meta_decode(buf_head(&bytes), bytes.len, &found) == ERR_OK);
    buf_release(&bytes);
    bool old = s->has_meta && found.term.n == s->meta.term.n &&
               history_equal(&found.history, &s->meta.history);
    bool new = s->saving &&found.term.n ==
               s->next.term.n &&history_equal(&found.history, &s->next.history);
    if ((!old && !new) || found.term.n < s->promised) {
        truth_violation(s->world, I5_NOTHING_GOES_BACK,
                        "node %u starts in term %" PRIu64 ", it had saved %" PRIu64
                        " and promised %" PRIu64,
                        s->node, found.term.n, s->meta.term.n, s->promised);
    }
    s->saving = false;
    s->has_meta = true;
    s->meta = found;
}

/* The log is shorter than what was durable. Rot can do that, and then the node must know. */
static void shadow_lost_tail(struct shadow *s, const struct storage_state *st)
{
    struct world *w = s->world;
    uint64_t had = shadow_durable_end(s);

    if (!w->nodes[s->node].damaged) {
        truth_violation(w, I5_NOTHING_GOES_BACK,
                        "node %u ends at %" PRIu64 " after its restart, %" PRIu64
                        " had been durable",
                        s->node, st->write_off, had);
    } else if (st->uncertain_to < had && s->meta.uncertain_to < had) {
        truth_violation(w, I14_NO_SILENT_LOSS,
                        "damaged node %u ends at %" PRIu64 " instead of %" PRIu64
                        " and is certain of it",
                        s->node, st->write_off, had);
    }
    s->told_any = false; /* what it said is lost, and it says so */
    s->counted_to = 0;
    world_count(w, COUNT_UNCERTAIN);
}

static void shadow_compare_log(struct shadow *s, const struct storage_state *st)
{
    struct world *w = s->world;
    size_t found = shadow_find(s, st->write_off);
    size_t least = s->durable;

    if (s->cutting && shadow_find(s, s->cut_to) < least) {
        least = shadow_find(s, s->cut_to);
    }
    if (st->begin_chain_known && st->begin == s->begin && st->begin_chain != s->begin_chain) {
        truth_violation(w, I2_LOG_MATCHING, "node %u tells another chain at its begin, %" PRIu64,
                        s->node, st->begin);
    }
    /* An old copy of what says where it begins leaves a hole in front. */
    bool older = w->nodes[s->node].damaged && st->begin < s->begin;
    if ((st->begin != s->begin && !older) || shadow_end_at(s, found) != st->write_off) {
        truth_violation(w, I5_NOTHING_GOES_BACK,
                        "node %u starts with a log from %" PRIu64 " to %" PRIu64 ", it had %" PRIu64
                        " to %" PRIu64,
                        s->node, st->begin, st->write_off, s->begin, shadow_end(s));
        return;
    }
    uint32_t chain = found > 0 ? s->records[found - 1].chain_crc : s->begin_chain;
    if (chain != st->chain_crc) {
        truth_violation(w, I2_LOG_MATCHING, "node %u starts with other bytes below %" PRIu64,
                        s->node, st->write_off);
    }
    if (found < least) {
        shadow_lost_tail(s, st);
    }
    s->between = s->between || (s->cutting && found < s->durable);
    s->count = s->durable = found;
    if (st->unit_off != shadow_unit_end(s) && !w->nodes[s->node].damaged) {
        truth_violation(w, I5_NOTHING_GOES_BACK,
                        "node %u starts with whole units up to %" PRIu64 ", they end at %" PRIu64,
                        s->node, st->unit_off, shadow_unit_end(s));
    }
}

void shadow_attach(struct shadow *s, struct storage *real)
{
    s->real = real;
    struct storage_state st = shadow_real_state(s);

    shadow_compare_meta(s);
    if (s->resetting && !st.empty && st.begin == s->reset_to && st.write_off == s->reset_to) {
        shadow_did_reset(s);
    }
    s->resetting = false;
    if (s->trimming && !st.empty && st.begin > s->begin && st.begin <= s->trim_to) {
        shadow_did_trim(s, st.begin);
    }
    s->trimming = false;
    if (st.empty != !s->has_begin) {
        truth_violation(s->world, I5_NOTHING_GOES_BACK, "node %u starts %s a log", s->node,
                        st.empty ? "without" : "with");
    } else if (!st.empty) {
        shadow_compare_log(s, &st);
    }
    s->cutting = false;
    s->between = s->between && !shadow_has_adopted(s);
    shadow_check_labels(s, &s->meta.history, "starting");
    shadow_compare_snaps(s);
}
