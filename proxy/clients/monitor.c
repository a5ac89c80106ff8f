/* Who monitors stands in a list of its own: the common case is that it is empty.
 *
 * What a script does is told by Redis over a link of its own, so later than what clients ask is
 * known here. Where a script was asked for, everything behind it is therefore held, until that link
 * has shown the script, what it did, and something else: whatever has a fence behind it is followed
 * by that. The clients' order is kept, as Redis would have shown it. */
#include "proxy/clients/monitor.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/net.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Of what is asked while a MONITOR waits for its answer; then it is answered at once. */
enum { MONITOR_EARLY_MAX_BYTES = 1 << 20 };
/* Of what waits for scripts; then nothing does any more. */
enum { MONITOR_HELD_MAX_BYTES = 1 << 20 };
/* A script that Redis did not run (refused, or not yet) holds up nothing for longer. */
enum { MONITOR_HELD_MAX_MS = 200 };

/* Lines to be shown, or the place where a script's end. */
struct monitor_held {
    struct monitor_held *next, *prev;
    bool ends_script; /* bytes are its arguments, quoted */
    uint64_t since_ns;
    struct buf bytes;
};

static void monitor_enter(struct client *c)
{
    if (!c->monitors) {
        c->monitors = true;
        c->next_monitor = c->all->monitors;
        c->all->monitors = c;
    }
}

static void monitor_forget_early(struct client *c)
{
    if (c->early != NULL) {
        buf_release(c->early);
        free(c->early);
        c->early = NULL;
    }
}

void monitor_join(struct client *c)
{
    monitor_enter(c);
    if (c->early != NULL && c->early->len > 0) {
        client_push(c, '+', buf_head(c->early) + 1, c->early->len - 1);
    }
    monitor_forget_early(c);
}

void monitor_join_early(struct client *c)
{
    monitor_enter(c);
    if (c->early == NULL) {
        c->early = mem_calloc(1, sizeof *c->early);
    }
}

bool monitor_may_wait(const struct client *c)
{
    return c->early != NULL && c->early->len <= MONITOR_EARLY_MAX_BYTES;
}

void monitor_leave(struct client *c)
{
    struct client **at = &c->all->monitors;

    monitor_forget_early(c);
    if (!c->monitors) {
        return;
    }
    while (*at != c) {
        at = &(*at)->next_monitor;
    }
    *at = c->next_monitor;
    c->next_monitor = NULL;
    c->monitors = false;
    if (c->all->monitors == NULL) {
        monitor_give_up(c->all);
    }
}

/* ---- order ---- */

/* To all who monitor; asked: who has asked for it, whose own reply comes first, or NULL. */
static void monitor_show(struct clients *all, const struct client *asked, const uint8_t *text,
                         size_t len)
{
    for (struct client *each = all->monitors; each != NULL; each = each->next_monitor) {
        if (each->early != NULL) {
            buf_append(each->early, text, len);
            if (each->early->len > MONITOR_EARLY_MAX_BYTES && each->postponed) {
                client_resume(each);
            }
        } else if (each == asked) {
            client_release(client_insert(each, NULL, text, len));
        } else {
            client_push(each, '+', text + 1, len - 1);
        }
    }
}

/* Behind last (NULL: in front of all). */
static struct monitor_held *monitor_hold(struct clients *all, struct monitor_held *last,
                                         const uint8_t *bytes, size_t len)
{
    struct monitor_held *held = mem_calloc(1, sizeof *held);

    buf_append(&held->bytes, bytes, len);
    all->held_bytes += len;
    held->since_ns = all->now_ns;
    held->prev = last;
    held->next = last != NULL ? last->next : all->held_first;
    *(last != NULL ? &last->next : &all->held_first) = held;
    *(held->next != NULL ? &held->next->prev : &all->held_last) = held;
    return held;
}

static void monitor_drop_first(struct clients *all)
{
    struct monitor_held *held = all->held_first;

    all->held_first = held->next;
    *(held->next != NULL ? &held->next->prev : &all->held_last) = NULL;
    if (all->held_seen == held) {
        all->held_seen = NULL;
    }
    all->held_bytes -= held->bytes.len;
    buf_release(&held->bytes);
    free(held);
}

/* What waits for no script. */
static void monitor_show_first(struct clients *all)
{
    while (all->held_first != NULL && !all->held_first->ends_script) {
        struct buf *bytes = &all->held_first->bytes;
        if (bytes->len > 0) {
            monitor_show(all, NULL, buf_head(bytes), bytes->len);
        }
        monitor_drop_first(all);
    }
}

void monitor_give_up(struct clients *all)
{
    while (all->held_first != NULL) {
        monitor_drop_first(all);
        monitor_show_first(all);
    }
}

void monitor_turn(struct clients *all, uint64_t now_ns)
{
    while (all->held_first != NULL &&
           now_ns >= all->held_first->since_ns + MONITOR_HELD_MAX_MS * CLOCK_NS_PER_MS) {
        monitor_drop_first(all);
        monitor_show_first(all);
    }
}

/* "+1700000000.000000 [0 lua] "set" "k" "v"" */
static bool monitor_is_script(const uint8_t *bytes, const uint8_t *args)
{
    static const char mark[] = " lua] ";

    return args - bytes >= 6 && memcmp(args - 6, mark, sizeof mark - 1) == 0;
}

/* What is behind "] " in a line; NULL: it is none. */
static const uint8_t *monitor_args(const uint8_t *bytes, size_t size)
{
    const uint8_t *end = memmem(bytes, size, "] ", 2);

    return end != NULL ? end + 2 : NULL;
}

/* Whether a client that was shown might have asked for a script: only then it is looked for among
 * what is held, which may be much. text: its arguments. */
static bool monitor_may_be_script(const uint8_t *text, size_t len)
{
    return len > 5 && (strncasecmp((const char *)text, "\"eval", 5) == 0 ||
                       strncasecmp((const char *)text, "\"fcall", 6) == 0);
}

/* Redis shows something else than what a script does: that script is over, and if it is one
 * itself, it begins. text: the arguments, and CRLF. */
static void monitor_told_other(struct clients *all, const uint8_t *text, size_t len)
{
    struct monitor_held *over = all->held_seen;

    if (over != NULL) { /* nothing is left of it to be shown */
        over->ends_script = false;
        all->held_seen = NULL;
        all->held_bytes -= over->bytes.len;
        buf_clear(&over->bytes);
    }
    monitor_show_first(all);
    struct monitor_held *held = monitor_may_be_script(text, len) ? all->held_first : NULL;
    while (held != NULL && !(held->ends_script && held->bytes.len == len &&
                             memcmp(buf_head(&held->bytes), text, len) == 0)) {
        held = held->next;
    }
    all->held_seen = held;
}

void monitor_told(struct clients *all, const uint8_t *bytes, size_t size)
{
    const uint8_t *args = monitor_args(bytes, size);
    struct monitor_held *seen = all->held_seen;

    if (args == NULL) {
        return;
    }
    if (!monitor_is_script(bytes, args)) {
        monitor_told_other(all, args, size - (size_t)(args - bytes));
    } else if (seen == NULL || seen->prev == NULL) {
        monitor_show(all, NULL, bytes, size);
    } else {
        (void)monitor_hold(all, seen->prev, bytes, size);
    }
}

/* ---- lines ---- */

/* As sdscatrepr quotes. */
static void monitor_quote(struct buf *out, const uint8_t *bytes, size_t len)
{
    static const char special[] = "\\\"\n\r\t\a\b", shown[] = "\\\"nrtab";

    buf_append_str(out, "\"");
    for (size_t i = 0; i < len; i++) {
        const char *at = bytes[i] != '\0' ? strchr(special, bytes[i]) : NULL;
        if (at != NULL) {
            buf_printf(out, "\\%c", shown[at - special]);
        } else if (bytes[i] >= ' ' && bytes[i] <= '~') {
            buf_append(out, &bytes[i], 1);
        } else {
            buf_printf(out, "\\x%02x", bytes[i]);
        }
    }
    buf_append_str(out, "\"");
}

void monitor_line(struct buf *out, uint64_t wall_us, unsigned db, const char *address,
                  const struct resp_arg *argv, size_t argc, size_t hidden)
{
    buf_printf(out, "%llu.%06llu [%u %s]", (unsigned long long)(wall_us / 1000000),
               (unsigned long long)(wall_us % 1000000), db, address);
    for (size_t i = 0; i < argc; i++) {
        buf_append_str(out, " ");
        if (hidden != 0 && i >= hidden) {
            buf_append_str(out, "\"(redacted)\"");
        } else {
            monitor_quote(out, argv[i].bytes, argv[i].len);
        }
    }
}

/* From where on the arguments are secret: AUTH x y, HELLO 3 AUTH x y. */
static size_t monitor_secret(const struct command *command, const struct resp_arg *argv,
                             size_t argc)
{
    if (strcmp(command->name, "auth") == 0) {
        return 1;
    }
    for (size_t i = 2; strcmp(command->name, "hello") == 0 && i < argc; i++) {
        if (resp_arg_is(&argv[i], "auth")) {
            return i + 1;
        }
    }
    return 0;
}

bool monitor_runs_script(const struct command *command)
{
    static const char *const names[] = {"eval",       "evalsha", "eval_ro",
                                        "evalsha_ro", "fcall",   "fcall_ro"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(command->name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

void monitor_feed(struct client *c, const struct command *command, const struct resp_arg *argv,
                  size_t argc, bool told)
{
    struct clients *all = c->all;
    struct buf line = BUF_INIT;
    char peer[64];

    if ((command->flags & COMMAND_FLAG_ADMIN) != 0) {
        return;
    }
    net_peer_name(c->fd, peer, sizeof peer);
    buf_append_str(&line, "+");
    monitor_line(&line, clock_wall_ms() * 1000, c->db, peer, argv, argc,
                 monitor_secret(command, argv, argc));
    buf_append_str(&line, "\r\n");
    const uint8_t *text = buf_head(&line);
    if (all->held_first == NULL) {
        monitor_show(all, c, text, line.len);
    } else {
        (void)monitor_hold(all, all->held_last, text, line.len);
    }
    if (told && monitor_runs_script(command)) {
        const uint8_t *args = monitor_args(text, line.len);
        monitor_hold(all, all->held_last, args, line.len - (size_t)(args - text))->ends_script =
            true;
    }
    if (all->held_bytes > MONITOR_HELD_MAX_BYTES) {
        monitor_give_up(all);
    }
    buf_release(&line);
}
