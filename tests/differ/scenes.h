/* What makes sense only as several steps, or must be made with care: transactions, WATCH, scripts,
 * subscriptions, users, and commands whose effect would be random. */
#ifndef TESTS_DIFFER_SCENES_H
#define TESTS_DIFFER_SCENES_H

#include "tests/differ/arguments.h"
#include "tests/differ/generate.h"

#include <stdbool.h>

/* A program in the making. */
struct maker {
    struct random r;
    const struct generate_world *world;
    struct program *program;
    int client; /* whose turn it is */
    unsigned next_id;
    struct {
        bool multi, subscribed, blocked;
    } clients[PROGRAM_CLIENTS];
};

/* A new step of the client whose turn it is. */
struct step *maker_step(struct maker *m);
struct step *maker_say(struct maker *m, const char *const *words);
#define MAKER_SAY(m, ...) maker_say(m, (const char *const[]){__VA_ARGS__, NULL})

/* One command of any kind; more than one step, if it must be. */
void maker_command(struct maker *m);
/* At most that many. */
void maker_commands(struct maker *m, unsigned most);
/* The same as words behind those that the step has; never one that needs care. */
void maker_words(struct maker *m, struct step *s);

/* A scene instead of the command; false: the command needs none. */
bool scenes_instead(struct maker *m, const struct command *c);
/* Any scene. */
void scenes_play(struct maker *m);
/* An XADD, whose id is not made from the clock. */
void scenes_stream_entry(struct maker *m, struct step *s);
/* Scenes about data (scenes_data.c). */
void scenes_fill(struct maker *m);
void scenes_group(struct maker *m);
void scenes_wake(struct maker *m);
void scenes_redirect(struct maker *m);
void scenes_events(struct maker *m);
void scenes_databases(struct maker *m);
void scenes_large(struct maker *m);
/* Somebody wakes a client that blocks. */
void scenes_release(struct maker *m, int client);

#endif
