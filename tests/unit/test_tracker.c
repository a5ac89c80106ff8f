/* The tracker: each of its rules by itself, then random histories against a model that keeps
 * everything and looks at all of it each time. Nothing leaves early, nothing stays late. */
#include "proxy/clients/tracker.h"

#include "common/mem.h"
#include "tests/lib/unit.h"

#include <string.h>

enum { A = 11, B = 22, C = 33 };

static const uint64_t KEY_A[] = {A}, KEY_B[] = {B}, KEYS_AB[] = {A, B};

static struct tracker *t;

static void setup(void)
{
    t = tracker_create(1, 100);
}

static void teardown(void)
{
    tracker_destroy(t);
}

static struct tracker_waiter on(const uint64_t *hashes, uint32_t count)
{
    return (struct tracker_waiter){.hashes = hashes, .hash_count = count};
}

#define ASSERT_READY(w) ck_assert_ptr_eq(tracker_next_ready(t), w)
#define ASSERT_NONE     ck_assert_ptr_null(tracker_next_ready(t))

/* ---- each rule ---- */

/* A write's reply leaves when its effect is committed, and not an offset before. */
START_TEST(write_waits_for_its_commit)
{
    struct tracker_waiter w = on(KEY_A, 1);

    tracker_dirty(t, A, 150);
    tracker_stream_at(t, 150);
    tracker_add(t, &w, 150);
    ck_assert_int_eq(w.state, TRACKER_WAITS_COMMIT);
    ck_assert_uint_eq(w.release_at, 150);
    ck_assert_uint_eq(tracker_withheld(t), 1);
    tracker_commit(t, 149);
    ASSERT_NONE;
    ck_assert(!tracker_has_ready(t));
    tracker_commit(t, 150);
    ck_assert(tracker_has_ready(t)); /* it waits for nothing, and has not left */
    ASSERT_READY(&w);
    ck_assert(!tracker_has_ready(t));
    ck_assert_int_eq(w.state, TRACKER_OUT);
    ck_assert_uint_eq(tracker_withheld(t), 0);
    ASSERT_NONE;
}
END_TEST

/* A reply that came before its effect was read is not judged until the stream is at its bound. */
START_TEST(nothing_is_judged_before_its_bound)
{
    struct tracker_waiter w = on(KEY_A, 1);

    tracker_add(t, &w, 150);
    ck_assert_int_eq(w.state, TRACKER_WAITS_STREAM);
    tracker_stream_at(t, 149);
    ASSERT_NONE;
    tracker_dirty(t, A, 150);
    tracker_stream_at(t, 150);
    ck_assert_int_eq(w.state, TRACKER_WAITS_COMMIT);
    ASSERT_NONE;
    tracker_commit(t, 150);
    ASSERT_READY(&w);
}
END_TEST

/* Who waits for no commit waits for the stream all the same: what the reply reveals is known then,
 * and on its way to the log. Others who read the same key wait as ever. */
START_TEST(async_waits_for_the_stream_alone)
{
    struct tracker_waiter async = on(KEY_A, 1), all = {.keyspace = true}, sync = on(KEY_A, 1);

    async.async = all.async = true;
    tracker_add(t, &async, 150);
    tracker_add(t, &all, 150);
    tracker_add(t, &sync, 150);
    ASSERT_NONE;
    tracker_dirty(t, A, 150);
    tracker_stream_at(t, 149);
    ASSERT_NONE;
    tracker_stream_at(t, 150);
    ASSERT_READY(&async);
    ASSERT_READY(&all);
    ASSERT_NONE;
    ck_assert_int_eq(sync.state, TRACKER_WAITS_COMMIT);
    tracker_commit(t, 150);
    ASSERT_READY(&sync);
}
END_TEST

/* A clean key's reply leaves at once, though another key waits for the disk. */
START_TEST(clean_read_leaves_at_once)
{
    struct tracker_waiter dirty = on(KEY_A, 1), clean = on(KEY_B, 1);

    tracker_dirty(t, A, 150);
    tracker_add(t, &dirty, 150);
    tracker_add(t, &clean, 150);
    tracker_stream_at(t, 150);
    ASSERT_READY(&clean);
    ASSERT_NONE;
}
END_TEST

/* Of several keys the latest effect counts, whichever comes first in the list. */
START_TEST(latest_of_several_keys)
{
    static const uint64_t ba[] = {B, A};
    struct tracker_waiter w = on(KEYS_AB, 2), v = on(ba, 2);

    tracker_dirty(t, A, 120);
    tracker_dirty(t, B, 130);
    tracker_stream_at(t, 140);
    tracker_add(t, &w, 140);
    tracker_add(t, &v, 140);
    tracker_commit(t, 129);
    ASSERT_NONE;
    tracker_commit(t, 130);
    ASSERT_READY(&w);
    ASSERT_READY(&v);
}
END_TEST

/* A key that is written again stays dirty until its last effect is committed. */
START_TEST(dirty_again)
{
    struct tracker_waiter w = on(KEY_A, 1);

    tracker_dirty(t, A, 110);
    tracker_dirty(t, B, 120);
    tracker_dirty(t, A, 130);
    ck_assert_uint_eq(tracker_dirty_keys(t), 2);
    tracker_commit(t, 120);
    ck_assert_uint_eq(tracker_dirty_keys(t), 1);
    tracker_stream_at(t, 130);
    tracker_add(t, &w, 130);
    ASSERT_NONE;
    tracker_commit(t, 130);
    ASSERT_READY(&w);
    ck_assert_uint_eq(tracker_dirty_keys(t), 0);
}
END_TEST

/* What happens to a key behind a reply's bound can't be in the reply: it waits for its bound at
 * most, however often the key is written after it. */
START_TEST(later_writes_hold_no_longer_than_the_bound)
{
    struct tracker_waiter w = on(KEY_A, 1), all = {.keyspace = true};

    tracker_dirty(t, A, 110);
    tracker_dirty(t, A, 500);
    tracker_add(t, &w, 120);
    tracker_add(t, &all, 120);
    tracker_stream_at(t, 500);
    ck_assert_uint_eq(w.release_at, 120);
    tracker_commit(t, 119);
    ASSERT_NONE;
    tracker_commit(t, 120);
    ASSERT_READY(&w);
    ASSERT_READY(&all);
}
END_TEST

/* An effect that may have changed anything holds every reply, clean keys and no keys alike. */
START_TEST(keyspace_wide_effect_holds_all)
{
    struct tracker_waiter w = on(KEY_A, 1), none = {.hash_count = 0};

    tracker_dirty_keyspace(t, 150);
    tracker_stream_at(t, 150);
    tracker_add(t, &w, 150);
    tracker_add(t, &none, 150);
    tracker_commit(t, 149);
    ASSERT_NONE;
    tracker_commit(t, 150);
    ASSERT_READY(&w);
    ASSERT_READY(&none);
}
END_TEST

/* A keyspace-wide reply waits for every effect, of any key; when all are committed, for nothing. */
START_TEST(keyspace_wide_reply_waits_for_all)
{
    struct tracker_waiter w = {.keyspace = true}, v = {.keyspace = true};

    tracker_dirty(t, A, 110);
    tracker_dirty(t, B, 120);
    tracker_add(t, &w, 130);
    tracker_stream_at(t, 130);
    tracker_commit(t, 110);
    ASSERT_NONE;
    tracker_commit(t, 120);
    ASSERT_READY(&w);
    tracker_add(t, &v, 130);
    ASSERT_READY(&v);
}
END_TEST

/* PING and its like wait for neither stream nor disk. */
START_TEST(harmless_waits_for_nothing)
{
    struct tracker_waiter w = {.harmless = true};

    tracker_dirty_keyspace(t, 150);
    tracker_add(t, &w, 1000);
    ck_assert_int_eq(w.state, TRACKER_READY);
    ASSERT_READY(&w);
}
END_TEST

/* Committed before it is judged: ready when judged. An effect that is told after its commit is
 * clean. */
START_TEST(committed_already)
{
    struct tracker_waiter w = on(KEY_A, 1);

    tracker_add(t, &w, 150);
    tracker_commit(t, 150);
    ASSERT_NONE;
    tracker_dirty(t, A, 150);
    ck_assert_uint_eq(tracker_dirty_keys(t), 0);
    tracker_stream_at(t, 150);
    ASSERT_READY(&w);
    tracker_commit(t, 120);
    ck_assert_uint_eq(tracker_committed_offset(t), 150);
}
END_TEST

/* Bounds of several connections come in any order; each is judged at its own, the earliest first.
 */
START_TEST(bounds_interleave)
{
    static const uint64_t bounds[] = {200, 150, 180, 110, 190, 300, 105};
    static const int order[] = {6, 3, 1, 2, 4, 0, 5};
    struct tracker_waiter w[7];

    for (int i = 0; i < 7; i++) {
        w[i] = on(KEY_A, 1);
        tracker_add(t, &w[i], bounds[i]);
    }
    for (int i = 0; i < 7; i++) {
        tracker_stream_at(t, bounds[order[i]] - 1);
        ASSERT_NONE;
        tracker_stream_at(t, bounds[order[i]]);
        ASSERT_READY(&w[order[i]]);
    }
}
END_TEST

/* The same with hundreds out of order, half of which go again before they are judged. */
START_TEST(hundreds_out_of_order)
{
    enum { N = 600 };
    static struct tracker_waiter w[N], last;
    bool gone[N] = {false};
    unsigned random = 1;

    last = on(KEY_A, 1);
    tracker_add(t, &last, (uint64_t)2 * N);
    for (int i = 0; i < N; i++) {
        w[i] = on(KEY_A, 1);
        random = random * 1103515245 + 12345;
        tracker_add(t, &w[i], 101 + (random >> 8) % N);
    }
    for (int i = 0; i < N; i += 2) {
        random = random * 1103515245 + 12345;
        gone[(random >> 8) % N] = true;
        tracker_remove(t, &w[(random >> 8) % N]);
    }
    for (uint64_t at = 101; at <= 101 + N; at++) {
        tracker_stream_at(t, at);
        while (tracker_next_ready(t) != NULL) {
            continue;
        }
        for (int i = 0; i < N; i++) {
            if (!gone[i] && (w[i].state == TRACKER_OUT) != (w[i].bound <= at)) {
                ck_abort_msg("waiter %d at %d", i, (int)at);
            }
        }
    }
    ck_assert_uint_eq(tracker_withheld(t), 1);
}
END_TEST

/* A client that goes takes its reply with it, whatever state that is in; the others don't notice.
 */
START_TEST(removed_in_each_state)
{
    struct tracker_waiter s = on(KEY_A, 1), c = on(KEY_A, 1), r = on(KEY_B, 1), out = {0};
    struct tracker_waiter s2 = on(KEY_A, 1), c2 = on(KEY_A, 1), r2 = on(KEY_B, 1);

    tracker_dirty(t, A, 150);
    tracker_stream_at(t, 150);
    struct tracker_waiter *all[] = {&c, &c2, &r, &r2, &s, &s2};
    for (int i = 0; i < 6; i++) {
        tracker_add(t, all[i], i < 4 ? 150 : 160);
    }
    ck_assert_int_eq(s.state, TRACKER_WAITS_STREAM);
    ck_assert_int_eq(c.state, TRACKER_WAITS_COMMIT);
    ck_assert_int_eq(r.state, TRACKER_READY);
    tracker_remove(t, &s);
    tracker_remove(t, &c);
    tracker_remove(t, &r);
    tracker_remove(t, &out);
    ck_assert_int_eq(s.state, TRACKER_OUT);
    ck_assert_int_eq(c.state, TRACKER_OUT);
    ck_assert_int_eq(r.state, TRACKER_OUT);
    ck_assert_uint_eq(tracker_withheld(t), 2);
    tracker_stream_at(t, 160);
    tracker_commit(t, 160);
    ASSERT_READY(&r2);
    ASSERT_READY(&c2);
    ASSERT_READY(&s2);
    ASSERT_NONE;
    tracker_add(t, &s, 160);
    ASSERT_READY(&s);
}
END_TEST

/* After a reset nothing is dirty and nobody waits, also where the offset went back. */
START_TEST(reset_forgets_everything)
{
    struct tracker_waiter s = on(KEY_A, 1), c = on(KEY_A, 1), r = on(KEY_B, 1);

    tracker_dirty(t, A, 150);
    tracker_dirty_keyspace(t, 151);
    tracker_stream_at(t, 150);
    tracker_add(t, &c, 150);
    tracker_add(t, &s, 160);
    tracker_commit(t, 140);
    tracker_add(t, &r, 130);
    ck_assert_int_eq(r.state, TRACKER_READY);
    tracker_reset(t, 50);
    ck_assert_int_eq(s.state, TRACKER_OUT);
    ck_assert_int_eq(c.state, TRACKER_OUT);
    ck_assert_int_eq(r.state, TRACKER_OUT);
    ck_assert_uint_eq(tracker_stream_offset(t), 50);
    ck_assert_uint_eq(tracker_committed_offset(t), 50);
    ck_assert_uint_eq(tracker_dirty_keys(t), 0);
    ck_assert_uint_eq(tracker_withheld(t), 0);
    ASSERT_NONE;
    tracker_dirty(t, B, 60);
    tracker_stream_at(t, 60);
    tracker_add(t, &c, 60);
    ASSERT_READY(&c);
    tracker_add(t, &r, 60);
    ASSERT_NONE;
}
END_TEST

/* A hash depends on name, database and seed. */
START_TEST(hash_tells_keys_apart)
{
    struct tracker *other = tracker_create(2, 0);

    ck_assert_uint_eq(tracker_hash(t, 0, "key", 3), tracker_hash(t, 0, "keys", 3));
    ck_assert_uint_ne(tracker_hash(t, 0, "key", 3), tracker_hash(t, 0, "keys", 4));
    ck_assert_uint_ne(tracker_hash(t, 0, "key", 3), tracker_hash(t, 1, "key", 3));
    ck_assert_uint_ne(tracker_hash(t, 0, "", 0), tracker_hash(t, 1, "", 0));
    ck_assert_uint_ne(tracker_hash(t, 0, "key", 3), tracker_hash(other, 0, "key", 3));
    tracker_destroy(other);
}
END_TEST

/* Many keys are found again while the table grows, and while it shrinks. */
START_TEST(many_keys)
{
    enum { N = 100000 };
    uint64_t hash;
    struct tracker_waiter w = on(&hash, 1);

    for (uint64_t i = 0; i < N; i++) {
        tracker_dirty(t, i * 64, 101 + i);
    }
    ck_assert_uint_eq(tracker_dirty_keys(t), N);
    tracker_stream_at(t, 100 + N);
    for (uint64_t i = 0; i < N; i += 500) {
        tracker_commit(t, 100 + i);
        ck_assert_uint_eq(tracker_dirty_keys(t), N - i);
        hash = i * 64;
        tracker_add(t, &w, 100 + N);
        ck_assert_uint_eq(w.release_at, 101 + i);
        tracker_remove(t, &w);
        hash = (uint64_t)(N - 1) * 64;
        tracker_add(t, &w, 100 + N);
        ck_assert_uint_eq(w.release_at, 100 + N);
        tracker_remove(t, &w);
    }
}
END_TEST

/* ---- the model ---- */

/* The model keeps every effect there ever was, and for each waiter computes from that history alone
 * whether it may leave. Few keys, so that they meet often and stand for collisions too. */
/* As ck_assert, which writes a message to its parent each time that it holds; here millions do. */
#define ALWAYS(cond)                                                                               \
    do {                                                                                           \
        if (!(cond))                                                                               \
            ck_abort_msg("seed %llu: %s", (unsigned long long)model_seed, #cond);                  \
    } while (0)

static uint64_t model_seed;

enum { MODEL_WAITERS = 48, MODEL_EFFECTS = 4000, MODEL_KEYS = 6, MODEL_STEPS = 400 };

struct model_effect {
    uint64_t hash, offset;
    bool keyspace;
};

struct model_waiter {
    struct tracker_waiter w;
    uint64_t hashes[4];
    bool in, judged;
    uint64_t release_at;
};

struct model {
    uint64_t random;
    struct model_effect effects[MODEL_EFFECTS];
    size_t effect_count;
    uint64_t executed; /* where the engine is: bounds are at or before it */
    uint64_t stream, committed;
    struct model_waiter waiters[MODEL_WAITERS];
    size_t released;
};

static uint64_t below(struct model *m, uint64_t limit)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (m->random >> 11) % limit;
}

static bool model_touches(const struct model_waiter *mw, const struct model_effect *e)
{
    if (e->keyspace || mw->w.keyspace) {
        return true;
    }
    for (uint32_t k = 0; k < mw->w.hash_count; k++) {
        if (mw->hashes[k] == e->hash) {
            return true;
        }
    }
    return false;
}

/* The rule, word by word: once the stream is at the bound, the highest effect told so far that the
 * reply's keys meet, but nothing behind the bound. */
static bool model_may_leave(const struct model *m, struct model_waiter *mw)
{
    if (mw->w.harmless) {
        return true;
    }
    if (!mw->judged && m->stream >= mw->w.bound) {
        mw->judged = true;
        mw->release_at = 0;
        for (size_t i = 0; i < m->effect_count; i++) {
            if (model_touches(mw, &m->effects[i]) && m->effects[i].offset > mw->release_at) {
                mw->release_at = m->effects[i].offset;
            }
        }
        if (mw->release_at > mw->w.bound) {
            mw->release_at = mw->w.bound;
        }
    }
    return mw->judged && (mw->w.async || mw->release_at <= m->committed);
}

/* No effect that the reply can have seen is uncommitted: what the whole thing is for. */
static void model_assert_safe(const struct model *m, const struct model_waiter *mw)
{
    for (size_t i = 0; i < m->effect_count && !mw->w.harmless && !mw->w.async; i++) {
        const struct model_effect *e = &m->effects[i];
        if (e->offset <= mw->w.bound && model_touches(mw, e)) {
            ALWAYS(e->offset <= m->committed);
        }
    }
}

/* Exactly the waiters that may leave are READY, the others are not. */
static void model_compare(struct model *m)
{
    size_t withheld = 0, dirty = 0;

    for (int i = 0; i < MODEL_WAITERS; i++) {
        struct model_waiter *mw = &m->waiters[i];
        if (!mw->in) {
            ALWAYS(mw->w.state == TRACKER_OUT);
        } else if (model_may_leave(m, mw)) {
            ALWAYS(mw->w.state == TRACKER_READY);
        } else {
            ALWAYS(mw->w.state == (mw->judged ? TRACKER_WAITS_COMMIT : TRACKER_WAITS_STREAM));
            withheld++;
        }
    }
    ALWAYS(tracker_withheld(t) == withheld);
    for (uint64_t hash = 0; hash < MODEL_KEYS; hash++) {
        for (size_t i = 0; i < m->effect_count; i++) {
            const struct model_effect *e = &m->effects[i];
            if (!e->keyspace && e->hash == hash && e->offset > m->committed) {
                dirty++;
                break;
            }
        }
    }
    ALWAYS(tracker_dirty_keys(t) == dirty);
}

static void model_drain(struct model *m, size_t limit)
{
    struct tracker_waiter *w;

    while (limit-- > 0 && (w = tracker_next_ready(t)) != NULL) {
        struct model_waiter *mw = (struct model_waiter *)w;
        ALWAYS(mw->in && model_may_leave(m, mw));
        model_assert_safe(m, mw);
        mw->in = false;
        m->released++;
    }
}

/* A reply arrives on some connection; its fence is anywhere between the stream and the engine, or
 * already passed by the stream. */
static void model_add(struct model *m)
{
    struct model_waiter *mw = &m->waiters[below(m, MODEL_WAITERS)];
    uint64_t from = m->stream < 20 ? 0 : m->stream - 20;

    if (mw->in) {
        return;
    }
    *mw = (struct model_waiter){.in = true};
    mw->w.async = below(m, 8) == 0;
    mw->w.hashes = mw->hashes;
    mw->w.hash_count = (uint32_t)below(m, 4);
    mw->w.keyspace = below(m, 12) == 0;
    mw->w.harmless = below(m, 12) == 0;
    for (uint32_t k = 0; k < mw->w.hash_count; k++) {
        mw->hashes[k] = below(m, MODEL_KEYS);
    }
    tracker_add(t, &mw->w, from + below(m, m->executed - from + 1));
}

/* Some of the effects between the stream and the engine are read; several may end at one offset (a
 * transaction). */
static void model_read_stream(struct model *m)
{
    uint64_t to = m->stream + below(m, m->executed - m->stream + 1), at = m->stream;

    while (at < to && m->effect_count < MODEL_EFFECTS) {
        at += 1 + below(m, to - at);
        for (uint64_t n = 1 + below(m, 3); n > 0 && m->effect_count < MODEL_EFFECTS; n--) {
            struct model_effect e = {.hash = below(m, MODEL_KEYS), .offset = at};
            e.keyspace = below(m, 30) == 0;
            if (e.keyspace) {
                tracker_dirty_keyspace(t, at);
            } else {
                tracker_dirty(t, e.hash, at);
            }
            m->effects[m->effect_count++] = e;
        }
    }
    m->stream = to;
    tracker_stream_at(t, to);
}

static void model_reset(struct model *m)
{
    for (int i = 0; i < MODEL_WAITERS; i++) {
        m->waiters[i].in = false;
    }
    m->effect_count = 0;
    m->executed = m->stream = m->committed = below(m, 1000);
    tracker_reset(t, m->committed);
}

static void model_step(struct model *m)
{
    struct model_waiter *mw = &m->waiters[below(m, MODEL_WAITERS)];

    switch (below(m, 16)) {
    case 0:
    case 1:
        m->executed += below(m, 50);
        break;
    case 2:
    case 3:
        model_read_stream(m);
        break;
    case 4:
    case 5:
        m->committed += below(m, m->stream - m->committed + 1);
        tracker_commit(t, m->committed);
        break;
    case 6:
        tracker_remove(t, &mw->w);
        mw->in = false;
        break;
    case 7:
        model_drain(m, below(m, MODEL_WAITERS));
        break;
    case 8:
        if (below(m, 40) == 0) {
            model_reset(m);
        }
        break;
    default:
        model_add(m);
    }
}

static void model_run(uint64_t seed)
{
    struct model *m = mem_calloc(1, sizeof *m);

    model_seed = seed;
    m->random = seed * 0x9e3779b97f4a7c15ull + 1;
    model_reset(m);
    for (int i = 0; i < MODEL_STEPS; i++) {
        model_step(m);
        model_compare(m);
    }
    /* At the end of everything nobody is left behind. */
    m->stream = m->executed;
    tracker_stream_at(t, m->stream);
    m->committed = m->stream;
    tracker_commit(t, m->committed);
    model_compare(m);
    model_drain(m, SIZE_MAX);
    for (int i = 0; i < MODEL_WAITERS; i++) {
        ALWAYS(!m->waiters[i].in);
    }
    ALWAYS(m->released > 0);
    free(m);
}

/* One check case is one hundred seeds. */
START_TEST(model)
{
    for (uint64_t seed = (uint64_t)_i * 100; seed < (uint64_t)_i * 100 + 100; seed++) {
        model_run(seed);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tracker");
    TCase *rules = tcase_create("rules"), *random = tcase_create("model");

    tcase_add_checked_fixture(rules, setup, teardown);
    tcase_add_test(rules, write_waits_for_its_commit);
    tcase_add_test(rules, nothing_is_judged_before_its_bound);
    tcase_add_test(rules, async_waits_for_the_stream_alone);
    tcase_add_test(rules, clean_read_leaves_at_once);
    tcase_add_test(rules, latest_of_several_keys);
    tcase_add_test(rules, dirty_again);
    tcase_add_test(rules, later_writes_hold_no_longer_than_the_bound);
    tcase_add_test(rules, keyspace_wide_effect_holds_all);
    tcase_add_test(rules, keyspace_wide_reply_waits_for_all);
    tcase_add_test(rules, harmless_waits_for_nothing);
    tcase_add_test(rules, committed_already);
    tcase_add_test(rules, bounds_interleave);
    tcase_add_test(rules, hundreds_out_of_order);
    tcase_add_test(rules, removed_in_each_state);
    tcase_add_test(rules, reset_forgets_everything);
    tcase_add_test(rules, hash_tells_keys_apart);
    tcase_add_test(rules, many_keys);
    suite_add_tcase(suite, rules);
    tcase_add_checked_fixture(random, setup, teardown);
    tcase_set_timeout(random, 60);
    tcase_add_loop_test(random, model, 0, 30);
    suite_add_tcase(suite, random);
    return unit_main(suite);
}
