/* What is sent, and how its replies are compared: one table for what can't be equal by nature
 * (random members, times, addresses), and for what docs/COMPATIBILITY.md says is different, with
 * the line there that says so. */
#ifndef TESTS_DIFFER_RULES_H
#define TESTS_DIFFER_RULES_H

#include "tests/differ/frames.h"
#include "tests/differ/program.h"
#include "tests/differ/table.h"

/* What the client is doing, and where. */
enum rules_when {
    RULES_EVER = 0,
    RULES_MULTI = 1,
    RULES_SUBSCRIBER = 2,
    RULES_FOLLOWER = 4, /* its proxy does not lead */
    RULES_REPLICA = 8,  /* and it has said READONLY */
};

/* How the reply to this step is compared. when: RULES_MULTI if it is one of an EXEC's elements, or
 * a script's. */
enum frames_rule rules_compare(const struct table *t, const struct step *s, unsigned when);

/* False: it must not be sent (now). */
bool rules_may_send(const struct step *s, unsigned when);

/* What the proxy carries out itself inside of EXEC, under the rights of whom it queued it for. */
bool rules_is_about_clients(const struct step *s);

/* What the proxy may answer itself. */
bool rules_is_of_proxy(const struct step *s);

/* EVAL, FCALL and their kind. */
bool rules_runs_scripts(const struct step *s);

/* The step whose command a script of ours runs (scripts that call what their arguments say), as a
 * view into s, with as many words left out in front; or 0. */
size_t rules_script_words(const struct step *s);

/* What a script calls that calls several (arguments.h), as views of the step's words; at most max.
 * 0: it is no such script. */
enum { RULES_CALLS_MAX = 16 };
size_t rules_script_calls(const struct step *s, struct step *calls, size_t max);

/* A key whose use is counted exactly (scenes_states.c). */
#define RULES_COUNTED_KEY "lf0"

/* The first line of the table that is not in the text of docs/COMPATIBILITY.md any more; NULL: all
 * are. */
const char *rules_missing_line(const char *compatibility);

#endif
