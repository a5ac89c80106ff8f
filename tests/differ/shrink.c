#include "tests/differ/shrink.h"

#include "common/clock.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SHRINK_AGAIN = 3, SHRINK_MS = 60000, SHRINK_TIMEOUT_MS = 1200 };

struct shrinking {
    struct stage *stage;
    struct program *program;
    struct difference *difference; /* of the program as it is now */
    uint64_t end_ns;
};

static bool alike(const struct difference *a, const struct difference *b)
{
    return a->kind == b->kind && strcasecmp(a->command, b->command) == 0;
}

/* Takes the candidate over if it shows the difference, else frees it. */
static bool try_it(struct shrinking *sh, struct program *candidate)
{
    struct difference d;

    if (clock_now_ns() < sh->end_ns && !play(sh->stage, candidate, &d)) {
        if (alike(&d, sh->difference)) {
            program_fini(sh->program);
            *sh->program = *candidate;
            difference_release(sh->difference);
            *sh->difference = d;
            return true;
        }
        difference_release(&d);
    }
    program_fini(candidate);
    return false;
}

/* ---- steps ---- */

/* Without the steps from..to, and what is glued to them. */
static bool try_without(struct shrinking *sh, size_t from, size_t to)
{
    const struct program *p = sh->program;
    bool *keep = mem_calloc(p->count + 1, sizeof *keep);
    struct program candidate;

    for (size_t i = 0; i < p->count; i++) {
        keep[i] = i < from || i >= to;
        if (p->steps[i].glued && i > 0) {
            keep[i] = keep[i - 1];
        }
    }
    program_copy(&candidate, p, keep);
    free(keep);
    if (candidate.count == p->count) {
        program_fini(&candidate);
        return false;
    }
    return try_it(sh, &candidate);
}

static bool drop_steps(struct shrinking *sh)
{
    bool any = false;

    for (size_t size = sh->program->count / 2; size > 0; size /= 2) {
        /* From the end: later steps depend on earlier ones. */
        for (size_t to = sh->program->count; to > 0;) {
            size_t from = to > size ? to - size : 0;
            any = try_without(sh, from, to) || any;
            to = from < sh->program->count ? from : sh->program->count;
        }
    }
    return any;
}

/* One client less to think of. */
static void merge_clients(struct shrinking *sh)
{
    for (int from = PROGRAM_CLIENTS - 1; from > 0; from--) {
        for (int to = 0; to < from; to++) {
            struct program candidate;
            bool any = false;
            program_copy(&candidate, sh->program, NULL);
            for (size_t i = 0; i < candidate.count; i++) {
                if (candidate.steps[i].client == from) {
                    candidate.steps[i].client = to;
                    any = true;
                }
            }
            if (!any) {
                program_fini(&candidate);
            } else if (try_it(sh, &candidate)) {
                break;
            }
        }
    }
}

/* ---- words ---- */

static void drop_words(struct shrinking *sh)
{
    for (size_t i = 0; i < sh->program->count; i++) {
        for (size_t w = sh->program->steps[i].count; w-- > 1;) {
            struct program candidate;
            program_copy(&candidate, sh->program, NULL);
            step_drop_word(&candidate.steps[i], w);
            (void)try_it(sh, &candidate);
        }
    }
}

static void simplify_words(struct shrinking *sh)
{
    for (size_t i = 0; i < sh->program->count; i++) {
        for (size_t w = 1; w < sh->program->steps[i].count; w++) {
            const struct word *word = &sh->program->steps[i].words[w];
            struct program candidate;
            if (word->client >= 0 || word->len < 6) {
                continue;
            }
            program_copy(&candidate, sh->program, NULL);
            step_set_word(&candidate.steps[i], w, "a", 1);
            (void)try_it(sh, &candidate);
        }
    }
}

/* One by one instead of in a pipeline. */
static void separate_steps(struct shrinking *sh)
{
    for (size_t i = 1; i < sh->program->count; i++) {
        if (!sh->program->steps[i].alone &&
            sh->program->steps[i].client == sh->program->steps[i - 1].client) {
            struct program candidate;
            program_copy(&candidate, sh->program, NULL);
            candidate.steps[i].alone = true;
            (void)try_it(sh, &candidate);
        }
    }
}

bool shrink(struct stage *stage, struct program *p, struct difference *d)
{
    struct shrinking sh = {.stage = stage,
                           .program = p,
                           .difference = d,
                           .end_ns = clock_now_ns() + SHRINK_MS * CLOCK_NS_PER_MS};
    int timeout_ms = stage->timeout_ms;
    bool again = false;

    stage->timeout_ms = SHRINK_TIMEOUT_MS;
    for (int i = 0; i < SHRINK_AGAIN && !again; i++) {
        struct program same;
        program_copy(&same, p, NULL);
        again = try_it(&sh, &same);
    }
    if (again) {
        while (drop_steps(&sh)) {
        }
        merge_clients(&sh);
        drop_words(&sh);
        simplify_words(&sh);
        separate_steps(&sh);
    }
    stage->timeout_ms = timeout_ms;
    return again;
}
