/* What is sent, and how its replies are compared: one table for what can't be equal by nature
 * (random members, times, addresses), and for what docs/COMPATIBILITY.md says is different, with
 * the line there that says so. */
#ifndef TESTS_DIFFER_RULES_H
#define TESTS_DIFFER_RULES_H

#include "tests/differ/frames.h"
#include "tests/differ/program.h"
#include "tests/differ/table.h"

/* How the reply to this step is compared. in_multi: it is one of an EXEC's elements. */
enum frames_rule rules_compare(const struct table *t, const struct step *s, bool in_multi);

/* What the client is doing. */
enum rules_when {
    RULES_EVER = 0,
    RULES_MULTI = 1,
    RULES_SUBSCRIBER = 2,
};

/* False: it must not be sent (now). when: of what the client is doing. */
bool rules_may_send(const struct step *s, unsigned when);

/* What the proxy carries out itself inside of EXEC, under the rights of whom it queued it for. */
bool rules_is_about_clients(const struct step *s);

/* EVAL, FCALL and their kind. */
bool rules_runs_scripts(const struct step *s);

/* The step whose command a script of ours runs (scripts that call what their arguments say), as a
 * view into s, with as many words left out in front; or 0. */
size_t rules_script_words(const struct step *s);

/* What a script calls that calls several (arguments.h), as views of the step's words; at most max.
 * 0: it is no such script. */
enum { RULES_CALLS_MAX = 16 };
size_t rules_script_calls(const struct step *s, struct step *calls, size_t max);

/* The first line of the table that is not in the text of docs/COMPATIBILITY.md any more; NULL: all
 * are. */
const char *rules_missing_line(const char *compatibility);

#endif
