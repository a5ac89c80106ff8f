#include "tests/differ/scenes.h"

#include <string.h>

bool scenes_instead(struct maker *m, const struct command *c)
{
    const char *first = c->words[0], *second = c->words[1];

    if (strcmp(c->name, "xadd") == 0) {
        scenes_add_to_stream(m);
    } else if (strcmp(c->name, "spop") == 0) {
        scenes_pop_from_set(m);
    } else if (strlen(c->name) > 3 && strcmp(c->name + strlen(c->name) - 4, "scan") == 0) {
        scenes_scan(m, c);
    } else if ((strcmp(c->name, "zrange") == 0 || strcmp(c->name, "zrangestore") == 0) &&
               maker_chance(m, 60)) {
        scenes_range(m, c);
    } else if (strncmp(c->name, "restore", 7) == 0) {
        scenes_restore(m, c);
    } else if (strncmp(c->name, "eval", 4) == 0) {
        scenes_script(m);
    } else if (strncmp(c->name, "fcall", 5) == 0 || strcmp(c->name, "function load") == 0 ||
               strcmp(c->name, "function restore") == 0) {
        scenes_function(m);
    } else if (strcmp(first, "client") == 0) {
        scenes_client_command(m, c);
    } else if (strcmp(first, "debug") == 0) {
        scenes_debug(m);
    } else if (strcmp(c->name, "wait") == 0) {
        scenes_wait_for_replicas(m);
    } else if (strcmp(second, "getkeys") == 0 || strcmp(second, "getkeysandflags") == 0 ||
               strcmp(second, "dryrun") == 0) {
        scenes_keys_of(m, c);
    } else if (strcmp(c->name, "config set") == 0) {
        scenes_configure(m);
    } else if (strcmp(c->name, "acl setuser") == 0 || strcmp(c->name, "auth") == 0) {
        scenes_users(m);
    } else if (strcmp(c->name, "acl deluser") == 0) {
        scenes_delete_user(m);
    } else if (strcmp(c->name, "hello") == 0) {
        scenes_hello(m);
    } else if (strcmp(c->name, "quit") == 0 || strcmp(c->name, "reset") == 0) {
        scenes_leave(m);
    } else if (strcmp(c->group, "transactions") == 0) {
        scenes_transaction(m);
    } else if (strcmp(c->name, "subscribe") == 0 || strcmp(c->name, "psubscribe") == 0 ||
               strcmp(c->name, "ssubscribe") == 0) {
        scenes_subscribe(m);
    } else {
        return false;
    }
    return true;
}

void scenes_play(struct maker *m)
{
    static void (*const scenes[])(struct maker *) = {scenes_transaction,
                                                     scenes_transaction,
                                                     scenes_transaction,
                                                     scenes_watch,
                                                     scenes_watch,
                                                     scenes_script,
                                                     scenes_script,
                                                     scenes_script,
                                                     scenes_function,
                                                     scenes_subscribe,
                                                     scenes_subscribe,
                                                     scenes_replies_off,
                                                     scenes_track,
                                                     scenes_leave,
                                                     scenes_hello,
                                                     scenes_users,
                                                     scenes_kill_client,
                                                     scenes_in_line,
                                                     scenes_in_line,
                                                     scenes_raw,
                                                     scenes_unknown,
                                                     scenes_configure,
                                                     scenes_wait_for_replicas,
                                                     scenes_out_of_memory,
                                                     scenes_fill,
                                                     scenes_fill,
                                                     scenes_fill,
                                                     scenes_fill,
                                                     scenes_group,
                                                     scenes_group,
                                                     scenes_wake,
                                                     scenes_wake,
                                                     scenes_redirect,
                                                     scenes_events,
                                                     scenes_databases,
                                                     scenes_large,
                                                     scenes_race,
                                                     scenes_race,
                                                     scenes_broadcast,
                                                     scenes_broadcast,
                                                     scenes_few_replicas,
                                                     scenes_pause,
                                                     scenes_over,
                                                     scenes_over,
                                                     scenes_frequency,
                                                     scenes_reset,
                                                     scenes_flood,
                                                     scenes_wake,
                                                     scenes_wake,
                                                     scenes_odd_transaction,
                                                     scenes_odd_transaction,
                                                     scenes_watch_databases,
                                                     scenes_guest,
                                                     scenes_guest,
                                                     scenes_messages,
                                                     scenes_kill_client,
                                                     scenes_short_pause,
                                                     scenes_raw,
                                                     scenes_ask,
                                                     scenes_ask};
    scenes[random_below(&m->r, sizeof scenes / sizeof *scenes)](m);
}
