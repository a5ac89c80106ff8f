#include "tests/sim/truth.h"

#include "common/crc32c.h"
#include "common/mem.h"
#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRUTH_LEASE_TOLERANCE_NS = 1000 };

const char *truth_invariant_text(enum truth_invariant i)
{
    static const char *const texts[] = {
#define TRUTH_TEXT(name, text) text,
        TRUTH_INVARIANT_MAP(TRUTH_TEXT)
#undef TRUTH_TEXT
    };

    return texts[i];
}

void truth_violation(struct world *w, enum truth_invariant i, const char *fmt, ...)
{
    va_list args;

    if (world_failed(w)) {
        return; /* the first one is what matters */
    }
    va_start(args, fmt);
    vsnprintf(w->result->violation, sizeof w->result->violation, fmt, args);
    va_end(args);
    w->result->broken = i;
    world_trace(w, "VIOLATION of %s: %s", truth_invariant_text(i), w->result->violation);
}

void truth_fini(struct truth *t)
{
    for (size_t i = 0; i < t->term_count; i++) {
        buf_release(&t->terms[i].bytes);
        free(t->terms[i].stretches);
    }
    free(t->terms);
    free(t->committed);
    free(t->moments);
    free(t->confs);
    buf_release(&t->replay);
}

static struct truth_term *truth_term(struct truth *t, uint64_t term)
{
    if (term >= t->term_count) {
        size_t count = (size_t)term + 16;
        t->terms = mem_realloc(t->terms, count * sizeof *t->terms);
        memset(t->terms + t->term_count, 0, (count - t->term_count) * sizeof *t->terms);
        t->term_count = count;
    }
    return &t->terms[term];
}

uint64_t truth_committed_end(const struct truth *t)
{
    return t->committed_any ? t->committed_end : 0;
}

const uint8_t *truth_bytes(const struct truth *t, uint64_t term, uint64_t begin, size_t size)
{
    if (term >= t->term_count || !t->terms[term].led) {
        return NULL;
    }
    const struct truth_term *x = &t->terms[term];
    if (begin < x->begin || begin + size > x->begin + x->bytes.len) {
        return NULL;
    }
    return buf_head(&x->bytes) + (begin - x->begin);
}

/* --- who counts --- */

/* How far leaders of older terms than this one have committed. (Who was elected may learn so when
 * later terms have come and gone.) */
static uint64_t truth_committed_before(const struct truth *t, uint64_t term)
{
    uint64_t end = 0;

    for (uint64_t i = 0; i < term && i < t->term_count; i++) {
        end = t->terms[i].committed_any && t->terms[i].committed_to > end ? t->terms[i].committed_to
                                                                          : end;
    }
    return end;
}

/* Something that a node may have. */
typedef bool truth_question(const struct world *w, unsigned node, uint64_t term, uint64_t offset);

static bool truth_member_has(const struct world *w, const struct conf_member *m,
                             truth_question *has, uint64_t term, uint64_t offset)
{
    for (unsigned i = 0; i < w->nodes_count; i++) {
        const struct meta *meta = &w->nodes[i].shadow.meta;
        if (strcmp(meta->node_id, m->node_id) == 0 &&
            memcmp(&meta->disk, &m->disk, sizeof m->disk) == 0) {
            return has(w, i, term, offset);
        }
    }
    for (unsigned i = 0; i < w->truth.lost_count; i++) {
        if (memcmp(&w->truth.lost[i], &m->disk, sizeof m->disk) == 0) {
            return true; /* nobody knows; what it had said counts */
        }
    }
    return false;
}

static bool truth_set_has(const struct world *w, const struct conf_set *set, bool all,
                          truth_question *has, uint64_t term, uint64_t offset)
{
    unsigned count = 0;

    for (unsigned i = 0; i < set->count; i++) {
        count += truth_member_has(w, &set->members[i], has, term, offset);
    }
    return all ? count == set->count : 2 * count > set->count;
}

/* Counted anew here, without the product's own function for it. */
static bool truth_majorities(const struct world *w, const struct conf *c, truth_question *has,
                             uint64_t term, uint64_t offset)
{
    return truth_set_has(w, &c->now, false, has, term, offset) &&
           (c->old.count == 0 || truth_set_has(w, &c->old, false, has, term, offset));
}

static bool truth_quorum(const struct world *w, const struct conf *c, truth_question *has,
                         uint64_t term, uint64_t offset)
{
    bool founding = c->id.generation == 1;

    return truth_majorities(w, c, has, term, offset) &&
           truth_set_has(w, &c->now, founding, has, term, offset);
}

static bool truth_node_granted(const struct world *w, unsigned node, uint64_t term, uint64_t offset)
{
    (void)offset;
    return term < w->truth.term_count && (w->truth.terms[term].granted & 1u << node) != 0;
}

static bool truth_node_holds(const struct world *w, unsigned node, uint64_t term, uint64_t offset)
{
    return w->nodes[node].damaged || shadow_holds(&w->nodes[node].shadow, term, offset);
}

static bool truth_node_is_in_term(const struct world *w, unsigned node, uint64_t term,
                                  uint64_t offset)
{
    (void)offset;
    return w->nodes[node].shadow.meta.term.n >= term;
}

/* Whether it has the configuration (term, generation), given as term and offset, or a higher one.
 */
static bool truth_node_has_conf(const struct world *w, unsigned node, uint64_t term,
                                uint64_t generation)
{
    struct conf_id id = {{term}, generation};
    return conf_id_compare(w->nodes[node].shadow.meta.conf.id, id) >= 0;
}

static bool truth_node_vouched(const struct world *w, unsigned node, uint64_t term, uint64_t offset)
{
    (void)offset;
    return term < w->truth.term_count && (w->truth.terms[term].certain & 1u << node) != 0;
}

void truth_granted(struct world *w, unsigned node, uint64_t term, bool certain)
{
    truth_term(&w->truth, term)->granted |= 1u << node;
    truth_term(&w->truth, term)->certain |= (unsigned)certain << node;
}

void truth_disk_lost(struct world *w, unsigned node)
{
    struct truth *t = &w->truth;

    if (t->lost_count < SIM_NODES_MAX && w->nodes[node].shadow.has_meta) {
        t->lost[t->lost_count++] = w->nodes[node].shadow.meta.disk;
    }
}

void truth_conf(struct world *w, const struct conf *c, const char *who)
{
    struct truth *t = &w->truth;
    struct buf bytes = BUF_INIT;

    if (c->id.generation == 0) {
        return;
    }
    conf_encode(c, &bytes);
    uint32_t crc = crc32c_extend(0, buf_head(&bytes), bytes.len);
    buf_release(&bytes);
    for (size_t i = t->conf_count; i > 0; i--) {
        if (conf_id_compare(t->confs[i - 1].id, c->id) == 0) {
            if (t->confs[i - 1].crc != crc && c->id.term.n > 0) {
                truth_violation(w, I8_ONE_CONFIGURATION,
                                "%s has another configuration (%" PRIu64 ", %" PRIu64
                                ") than there was before",
                                who, c->id.term.n, c->id.generation);
            }
            return;
        }
    }
    if (t->conf_count == t->conf_cap) {
        t->conf_cap = t->conf_cap > 0 ? 2 * t->conf_cap : 32;
        t->confs = mem_realloc(t->confs, t->conf_cap * sizeof *t->confs);
    }
    t->confs[t->conf_count++] = (struct truth_conf){c->id, crc};
}

/* The conditions under which only the new set may count. */
static void truth_check_settle(struct world *w, unsigned pair, const struct conf *was)
{
    const struct pair *p = &w->pairs[pair];
    uint64_t term = proposer_term(p->proposer).n;
    const char *lacks = NULL;

    if (!truth_quorum(w, was, truth_node_has_conf, was->id.term.n, was->id.generation)) {
        lacks = "a quorum of both sets with the joint configuration";
    } else if (!truth_quorum(w, was, truth_node_is_in_term, term, 0)) {
        lacks = "a quorum of both sets in the leader's term";
    } else if (!truth_quorum(w, was, truth_node_holds, term, p->joint_sync)) {
        lacks = "a quorum of both sets with what was committed before";
    } else {
        world_count(w, COUNT_CHANGES);
        return;
    }
    truth_violation(w, I8_ONE_CONFIGURATION,
                    "pair %u settles (%" PRIu64 ", %" PRIu64 ") without %s", pair, was->id.term.n,
                    was->id.generation, lacks);
}

void truth_follow_conf(struct world *w, unsigned pair)
{
    struct pair *p = &w->pairs[pair];
    const struct conf *c = proposer_conf(p->proposer);

    if (conf_id_compare(c->id, p->conf.id) == 0) {
        return;
    }
    truth_conf(w, c, "a proxy");
    bool same_term = c->id.term.n == p->conf.id.term.n && c->id.term.n > 0;
    if (conf_kind(&p->conf) == CONF_JOINT && conf_kind(c) == CONF_STABLE && same_term &&
        proposer_state(p->proposer) == PROPOSER_LEADING) {
        truth_check_settle(w, pair, &p->conf);
    }
    if (conf_kind(c) == CONF_JOINT) {
        p->joint_sync = truth_committed_before(&w->truth, c->id.term.n + 1);
    }
    world_trace(w, "pair %u: configuration (%" PRIu64 ", %" PRIu64 "), %s", pair, c->id.term.n,
                c->id.generation, conf_kind_name(conf_kind(c)));
    p->conf = *c;
}

/* --- elections --- */

/* The term that the donor's log ends with, whose stretches are those of that log; NULL: it is
 * empty. Its own history may have forgotten some. */
static const struct truth_term *truth_last(const struct truth *t,
                                           const struct proposer_donor *donor)
{
    const struct history *h = donor->history;
    uint64_t last = donor->empty || h->count == 0 ? 0 : h->entries[h->count - 1].term.n;

    return last > 0 && last < t->term_count && t->terms[last].led ? &t->terms[last] : NULL;
}

/* Whether the donor's log holds every byte that was committed before, of the same terms. */
static bool truth_is_complete(const struct truth *t, const struct proposer_donor *donor,
                              uint64_t term)
{
    uint64_t need = truth_committed_before(t, term);

    if (need == 0) {
        return true;
    }
    if (donor->empty || donor->end.offset < need) {
        return false;
    }
    const struct truth_term *x = truth_last(t, donor);
    for (size_t i = 0; i < t->committed_count && t->committed[i].begin < need; i++) {
        uint64_t end = i + 1 < t->committed_count ? t->committed[i + 1].begin : t->committed_end;
        end = end < need ? end : need;
        size_t k = x != NULL ? x->stretch_count : 0;
        while (k > 0 && x->stretches[k - 1].begin > t->committed[i].begin) {
            k--;
        }
        if (k == 0 || x->stretches[k - 1].term != t->committed[i].term ||
            (k < x->stretch_count && x->stretches[k].begin < end)) {
            return false;
        }
    }
    return true;
}

void truth_elected(struct world *w, unsigned pair)
{
    const struct proposer *p = w->pairs[pair].proposer;
    const struct proposer_donor *donor = proposer_donor(p);
    uint64_t term = proposer_term(p).n;
    struct truth_term *x = truth_term(&w->truth, term);

    world_count(w, COUNT_ELECTIONS);
    world_trace(w,
                "pair %u is elected in term %" PRIu64 ": node %u ends at (%" PRIu64 ", %" PRIu64
                "), committed is %" PRIu64,
                pair, term, donor->node, donor->end.term.n, donor->end.offset,
                truth_committed_end(&w->truth));
    if (x->winner != 0) {
        truth_violation(w, I1_ONE_LEADER, "term %" PRIu64 " is won by pair %u and by pair %u", term,
                        x->winner - 1, pair);
    }
    x->winner = pair + 1;
    if (!truth_quorum(w, proposer_conf(p), truth_node_granted, term, 0)) {
        truth_violation(w, I1_ONE_LEADER,
                        "pair %u is elected in term %" PRIu64 " without the votes of a quorum",
                        pair, term);
    }
    if (!truth_majorities(w, proposer_conf(p), truth_node_vouched, term, 0)) {
        truth_violation(w, I14_NO_SILENT_LOSS,
                        "pair %u is elected in term %" PRIu64
                        " by votes that don't vouch for their logs",
                        pair, term);
    }
    if (!truth_is_complete(&w->truth, donor, term)) {
        truth_violation(w, I3_LEADER_COMPLETE,
                        "pair %u is elected in term %" PRIu64 " with (%" PRIu64 ", %" PRIu64
                        ") and lacks committed bytes below %" PRIu64,
                        pair, term, donor->end.term.n, donor->end.offset, w->truth.committed_end);
    }
}

/* Appends bytes [from, to) of a log made of these stretches to out. */
static bool truth_collect(const struct truth *t, const struct truth_stretch *s, size_t count,
                          uint64_t from, uint64_t to, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t begin = s[i].begin > from ? s[i].begin : from;
        uint64_t end = i + 1 < count && s[i + 1].begin < to ? s[i + 1].begin : to;
        if (begin >= end) {
            continue;
        }
        const uint8_t *bytes = truth_bytes(t, s[i].term, begin, (size_t)(end - begin));
        if (bytes == NULL) {
            return false;
        }
        buf_append(out, bytes, (size_t)(end - begin));
    }
    return true;
}

/* I11: the engine holds exactly what the log up to begin makes, and what of its own stream comes
 * behind (a Redis that is gone on with may be ahead; what it is ahead is proposed now). */
static void truth_check_redis(struct world *w, unsigned pair, uint64_t begin,
                              const struct truth_term *x)
{
    struct truth *t = &w->truth;
    const struct redis *r = &w->pairs[pair].redis;
    bool ok = true;

    buf_clear(&t->replay);
    uint64_t from = x->stretches[0].begin;
    kv_clear(&t->lookup);
    t->lookup.birth = x->birth;
    if (t->committed_any && begin >= t->committed_end && x->stretch_count > 1 &&
        truth_committed_before(t, x->stretches[x->stretch_count - 1].term) == t->committed_end) {
        /* The committed log is a part of its log: no need to begin at the very beginning. */
        kv_copy(&t->lookup, &t->state);
        from = t->committed_end;
    }
    ok = truth_collect(t, x->stretches, x->stretch_count, from, begin, &t->replay);
    ok = ok && kv_apply(&t->lookup, buf_head(&t->replay), t->replay.len) && r->offset >= begin &&
         begin >= r->stream_begin &&
         kv_apply(&t->lookup, buf_head(&r->stream) + (begin - r->stream_begin),
                  (size_t)(r->offset - begin)) &&
         kv_equal(&t->lookup, &r->kv);
    if (!ok) {
        truth_violation(w, I11_REDIS_IS_LOG,
                        "pair %u leads term %" PRIu64 " from %" PRIu64
                        " with a Redis that is not what the log makes",
                        pair, proposer_term(w->pairs[pair].proposer).n, begin);
    }
}

void truth_leads(struct world *w, unsigned pair, uint64_t begin)
{
    const struct proposer *p = w->pairs[pair].proposer;
    uint64_t term = proposer_term(p).n;
    struct truth_term *x = truth_term(&w->truth, term);
    const struct truth_term *before = truth_last(&w->truth, proposer_donor(p));
    size_t from = before != NULL ? before->stretch_count : 0;

    world_count(w, COUNT_LEADS);
    world_trace(w, "pair %u leads term %" PRIu64 " from %" PRIu64, pair, term, begin);
    x->led = true;
    x->begin = begin;
    x->stretches = mem_alloc((from + 1) * sizeof *x->stretches);
    x->stretch_count = from + 1;
    for (size_t i = 0; i < from; i++) {
        x->stretches[i] = before->stretches[i];
    }
    x->stretches[from] = (struct truth_stretch){term, begin};
    x->birth = before != NULL ? before->birth : w->pairs[pair].redis.kv.birth;
    truth_check_redis(w, pair, begin, x);
}

uint64_t truth_open_at(const struct truth *t, uint64_t term)
{
    return t->terms[term].open_at;
}

bool truth_descends(const struct truth *t, uint64_t later, uint64_t term)
{
    for (size_t i = 0; later < t->term_count && i < t->terms[later].stretch_count; i++) {
        if (t->terms[later].stretches[i].term == term) {
            return true;
        }
    }
    return false;
}

void truth_appends(struct world *w, unsigned pair, const uint8_t *bytes, size_t size)
{
    struct truth_term *x = truth_term(&w->truth, proposer_term(w->pairs[pair].proposer).n);

    MUST(x->led && x->winner == pair + 1);
    if (x->bytes.len == 0 || (x->committed_any && x->committed_to == x->begin + x->bytes.len)) {
        x->open_at = w->now;
    }
    buf_append(&x->bytes, bytes, size);
}

void truth_adopted(struct world *w, unsigned node, uint64_t term)
{
    const struct truth_term *x = truth_term(&w->truth, term);
    const struct history *h = &w->nodes[node].shadow.meta.history;
    bool right = x->led && h->count > 0 && h->entries[h->count - 1].term.n == term;
    size_t at = 0;

    for (unsigned i = 0; right && i < h->count; i++, at++) {
        while (at < x->stretch_count && x->stretches[at].term < h->entries[i].term.n) {
            at++; /* forgotten there */
        }
        right = at < x->stretch_count && h->entries[i].term.n == x->stretches[at].term &&
                h->entries[i].begin == x->stretches[at].begin;
    }
    if (!right) {
        truth_violation(w, I2_LOG_MATCHING,
                        "node %u acknowledges term %" PRIu64 " with another history", node, term);
    }
}

/* --- commits --- */

static void truth_extend(struct truth *t, const struct truth_term *x, uint64_t from, uint64_t to)
{
    for (size_t i = 0; i < x->stretch_count; i++) {
        uint64_t end = i + 1 < x->stretch_count ? x->stretches[i + 1].begin : UINT64_MAX;
        uint64_t begin = x->stretches[i].begin > from ? x->stretches[i].begin : from;
        if (begin >= (end < to ? end : to)) {
            continue;
        }
        if (t->committed_count > 0 &&
            t->committed[t->committed_count - 1].term == x->stretches[i].term) {
            continue;
        }
        if (t->committed_count == t->committed_cap) {
            t->committed_cap = t->committed_cap > 0 ? 2 * t->committed_cap : 16;
            t->committed = mem_realloc(t->committed, t->committed_cap * sizeof *t->committed);
        }
        t->committed[t->committed_count++] = (struct truth_stretch){x->stretches[i].term, begin};
    }
    t->committed_end = to;
}

/* I7: a quorum has it durably and is told of this leader. Disks that lost it to rot count. What was
 * counted in the same step in which a change of members began is of those of before. */
static void truth_check_majority(struct world *w, unsigned pair, uint64_t term, uint64_t offset)
{
    const struct pair *p = &w->pairs[pair];
    const struct conf *now = proposer_conf(p->proposer), *before = &p->conf;

    if (!truth_quorum(w, now, truth_node_holds, term, offset) &&
        (conf_id_compare(before->id, now->id) == 0 || before->id.term.n != term ||
         !truth_quorum(w, before, truth_node_holds, term, offset))) {
        truth_violation(w, I7_COMMIT_RULE,
                        "term %" PRIu64 " commits %" PRIu64 ", which no quorum has durably", term,
                        offset);
    }
}

/* I3: it agrees with what is committed already, and with the logs of all later leaders (a deposed
 * one may learn late that it has committed something). */
static void truth_check_agreement(struct world *w, const struct truth_term *x, uint64_t term,
                                  uint64_t offset)
{
    const struct truth *t = &w->truth;
    uint64_t common = offset < t->committed_end ? offset : t->committed_end;
    size_t k = 0;

    for (size_t i = 0; i < t->committed_count && t->committed[i].begin < common; i++) {
        while (k + 1 < x->stretch_count && x->stretches[k + 1].begin <= t->committed[i].begin) {
            k++;
        }
        if (x->stretches[k].term != t->committed[i].term) {
            truth_violation(w, I3_LEADER_COMPLETE,
                            "term %" PRIu64 " commits %" PRIu64 ", but from %" PRIu64
                            " on term %" PRIu64 " is committed",
                            term, offset, t->committed[i].begin, t->committed[i].term);
        }
    }
    for (uint64_t later = term + 1; later < t->term_count; later++) {
        if (t->terms[later].led && t->terms[later].begin < offset) {
            truth_violation(w, I3_LEADER_COMPLETE,
                            "term %" PRIu64 " commits %" PRIu64 ", term %" PRIu64
                            " began at %" PRIu64,
                            term, offset, later, t->terms[later].begin);
        }
    }
}

static void truth_note_moment(struct truth *t, uint64_t offset)
{
    if (t->moment_count == t->moment_cap) {
        t->moment_cap = t->moment_cap > 0 ? 2 * t->moment_cap : 64;
        t->moments = mem_realloc(t->moments, t->moment_cap * sizeof *t->moments);
    }
    t->moments[t->moment_count++] = offset;
}

uint64_t truth_moment(struct world *w, uint64_t from, uint64_t to)
{
    const struct truth *t = &w->truth;
    size_t low = 0, high = t->moment_count;

    while (low < high && t->moments[low] < from) {
        low++;
    }
    while (high > low && t->moments[high - 1] > to) {
        high--;
    }
    return low < high ? t->moments[low + world_below(w, high - low)] : to;
}

bool truth_state_at(struct truth *t, uint64_t offset, struct kv *out)
{
    if (!t->committed_any || offset < t->committed_begin || offset > t->committed_end) {
        return false;
    }
    kv_clear(out);
    out->birth = t->birth;
    buf_clear(&t->replay);
    return truth_collect(t, t->committed, t->committed_count, t->committed_begin, offset,
                         &t->replay) &&
           kv_apply(out, buf_head(&t->replay), t->replay.len);
}

void truth_commits(struct world *w, unsigned pair, uint64_t offset)
{
    struct truth *t = &w->truth;
    uint64_t term = proposer_term(w->pairs[pair].proposer).n;
    struct truth_term *x = truth_term(t, term);

    world_count(w, COUNT_COMMITS);
    if (!x->led || offset < x->begin || offset > x->begin + x->bytes.len) {
        truth_violation(w, I7_COMMIT_RULE,
                        "pair %u commits %" PRIu64 " in term %" PRIu64
                        ", whose part of the log is %" PRIu64 " to %" PRIu64,
                        pair, offset, term, x->begin, x->begin + x->bytes.len);
        return;
    }
    truth_check_majority(w, pair, term, offset);
    truth_check_agreement(w, x, term, offset);
    x->open_at = !x->committed_any || offset > x->committed_to ? w->now : x->open_at;
    x->committed_any = true;
    x->committed_to = offset;
    for (unsigned i = 0; i < w->nodes_count; i++) {
        struct shadow *s = &w->nodes[i].shadow;
        uint64_t counted = s->acked_unit < offset ? s->acked_unit : offset;
        if (s->acked_term == term && counted >= x->begin && counted > s->counted_to) {
            s->counted_to = counted;
            s->counted_term = term;
        }
    }
    if (!t->committed_any) {
        t->committed_any = true;
        t->committed_begin = t->committed_end = x->stretches[0].begin;
        t->birth = t->state.birth = x->birth;
    }
    if (offset <= t->committed_end) {
        return;
    }
    buf_clear(&t->replay);
    if (!truth_collect(t, x->stretches, x->stretch_count, t->committed_end, offset, &t->replay) ||
        !kv_apply(&t->state, buf_head(&t->replay), t->replay.len)) {
        truth_violation(w, I7_COMMIT_RULE,
                        "pair %u commits %" PRIu64 ", which is not the end of a unit", pair,
                        offset);
        return;
    }
    w->result->counts[COUNT_BYTES] += t->replay.len;
    truth_extend(t, x, t->committed_end, offset);
    truth_note_moment(t, offset);
}

void truth_replies(struct world *w, unsigned pair, uint64_t effect)
{
    const struct truth_term *x = truth_term(&w->truth, proposer_term(w->pairs[pair].proposer).n);

    if (!x->committed_any || effect > x->committed_to) {
        truth_violation(w, I10_CLIENTS,
                        "pair %u answers with what the log has at %" PRIu64
                        ", committed is %" PRIu64,
                        pair, effect, x->committed_to);
    }
}

/* --- leases --- */

void truth_lease(struct world *w, unsigned pair)
{
    struct truth *t = &w->truth;
    const struct proposer *p = w->pairs[pair].proposer;
    unsigned proc = WORLD_PAIR + pair;

    t->serves_from[pair] = t->serves_to[pair] = 0;
    if (p == NULL || proposer_state(p) != PROPOSER_LEADING || !w->pairs[pair].commit_known) {
        return;
    }
    uint64_t end = proposer_lease_end_ns(p), safe = proposer_safe_at_ns(p);
    if (end == 0 || safe == UINT64_MAX) {
        return;
    }
    uint64_t now = world_clock(w, proc);
    t->serves_from[pair] = safe > now ? world_real(w, proc, safe) : w->now;
    t->serves_to[pair] = world_real(w, proc, end);
}

void truth_released(struct world *w, unsigned node, uint64_t term, uint64_t promised)
{
    const struct truth *t = &w->truth;

    for (unsigned i = 0; i < w->pairs_count; i++) {
        const struct proposer *p = w->pairs[i].proposer;
        if (p == NULL || proposer_term(p).n > promised || t->serves_from[i] > w->now ||
            t->serves_to[i] < w->now + TRUTH_LEASE_TOLERANCE_NS) {
            continue;
        }
        truth_violation(w, I9_LEASE,
                        "node %u of term %" PRIu64 " takes a release of term %" PRIu64
                        ", pair %u may serve in term %" PRIu64 " for another %.3f ms",
                        node, promised, term, i, proposer_term(p).n,
                        (double)(t->serves_to[i] - w->now) / 1e6);
    }
}

void truth_check_leases(struct world *w, uint64_t from)
{
    const struct truth *t = &w->truth;

    for (unsigned i = 0; i < w->pairs_count; i++) {
        for (unsigned k = i + 1; k < w->pairs_count; k++) {
            uint64_t begin =
                t->serves_from[i] > t->serves_from[k] ? t->serves_from[i] : t->serves_from[k];
            uint64_t end = t->serves_to[i] < t->serves_to[k] ? t->serves_to[i] : t->serves_to[k];
            begin = begin > from ? begin : from;
            end = end < w->now ? end : w->now;
            if (begin + TRUTH_LEASE_TOLERANCE_NS < end) {
                truth_violation(w, I9_LEASE, "pairs %u and %u may both serve for %.3f ms", i, k,
                                (double)(end - begin) / 1e6);
            }
        }
    }
}
