/* What makes sense only as several steps, or must be made with care: transactions, WATCH, scripts,
 * subscriptions, users, and commands whose effect would be random. Each file of scenes has a
 * subject; scenes.c picks. */
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

/* Rows of words, of which each but the longest ends with NULL; and a step with one of them. */
struct rows {
    const char *const *words;
    size_t columns, count;
};
#define ROWS(rows)                                                                                 \
    {                                                                                              \
        (rows)[0], sizeof(rows)[0] / sizeof *(rows)[0], sizeof(rows) / sizeof *(rows)              \
    }
struct step *maker_say_row(struct maker *m, const struct rows *rows);

bool maker_chance(struct maker *m, unsigned percent);

/* Whether the client whose turn it is neither is in MULTI nor blocks. */
bool maker_is_free(const struct maker *m);
/* Any other client that is free; -1: there is none. */
int maker_other(struct maker *m);

/* One command of any kind; more than one step, if it must be. */
void maker_command(struct maker *m);
/* At most that many. */
void maker_commands(struct maker *m, unsigned most);
/* The same as words behind those that the step has; never one that needs care. */
void maker_words(struct maker *m, struct step *s);
/* All words of a step, of such a command that does not block. */
void maker_words_awake(struct maker *m, struct step *s);

/* A scene instead of the command; false: the command needs none. */
bool scenes_instead(struct maker *m, const struct command *c);
/* Any scene. */
void scenes_play(struct maker *m);

/* What is carried out as one (scenes_calls.c). */
void scenes_transaction(struct maker *m);
void scenes_odd_transaction(struct maker *m);
void scenes_watch(struct maker *m);
void scenes_watch_databases(struct maker *m);
void scenes_race(struct maker *m);
void scenes_script(struct maker *m);
void scenes_function(struct maker *m);

/* Who is told what others do (scenes_told.c). */
void scenes_subscribe(struct maker *m);
void scenes_messages(struct maker *m);
void scenes_track(struct maker *m);
void scenes_redirect(struct maker *m);
void scenes_broadcast(struct maker *m);
void scenes_events(struct maker *m);

/* Connections (scenes_clients.c). */
void scenes_replies_off(struct maker *m);
void scenes_leave(struct maker *m);
void scenes_hello(struct maker *m);
void scenes_kill_client(struct maker *m);
void scenes_client_command(struct maker *m, const struct command *c);
/* Somebody wakes a client that blocks. */
void scenes_release(struct maker *m, int client);

/* Users (scenes_users.c). */
void scenes_users(struct maker *m);
void scenes_delete_user(struct maker *m);
void scenes_guest(struct maker *m);

/* How things are said, and settings (scenes_forms.c). */
void scenes_in_line(struct maker *m);
void scenes_raw(struct maker *m);
void scenes_unknown(struct maker *m);
void scenes_configure(struct maker *m);

/* What the server, a connection or a key is in for a while (scenes_states.c). */
void scenes_out_of_memory(struct maker *m);
void scenes_few_replicas(struct maker *m);
void scenes_pause(struct maker *m);
void scenes_short_pause(struct maker *m);
void scenes_over(struct maker *m);
void scenes_frequency(struct maker *m);
void scenes_reset(struct maker *m);
void scenes_flood(struct maker *m);

/* Who blocks (scenes_blocked.c). */
void scenes_wake(struct maker *m);

/* Data (scenes_data.c). */
void scenes_fill(struct maker *m);
void scenes_group(struct maker *m);
void scenes_databases(struct maker *m);
void scenes_large(struct maker *m);

/* Single commands that are made with care (scenes_care.c). */
void scenes_add_to_stream(struct maker *m);
/* An XADD, whose id is not made from the clock. */
void scenes_stream_entry(struct maker *m, struct step *s);
void scenes_pop_from_set(struct maker *m);
void scenes_scan(struct maker *m, const struct command *c);
void scenes_range(struct maker *m, const struct command *c);
void scenes_restore(struct maker *m, const struct command *c);
void scenes_debug(struct maker *m);
void scenes_wait_for_replicas(struct maker *m);
void scenes_ask(struct maker *m);
void scenes_keys_of(struct maker *m, const struct command *c);

#endif
