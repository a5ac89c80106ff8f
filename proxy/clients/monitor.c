/* Who monitors stands in a list of its own: the common case is that it is empty. */
#include "proxy/clients/monitor.h"

#include "common/clock.h"
#include "common/mem.h"
#include "proxy/node/net.h"

#include <stdlib.h>
#include <string.h>

/* Of what is asked while a MONITOR waits for its answer; then it is answered at once. */
enum { MONITOR_EARLY_MAX_BYTES = 1 << 20 };

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
    c->early = mem_calloc(1, sizeof *c->early);
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
}

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

void monitor_feed(struct client *c, const struct command *command, const struct resp_arg *argv,
                  size_t argc)
{
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
    for (struct client *each = c->all->monitors; each != NULL; each = each->next_monitor) {
        if (each->early != NULL) {
            buf_append(each->early, text, line.len);
            if (each->early->len > MONITOR_EARLY_MAX_BYTES && each->postponed) {
                client_resume(each);
            }
        } else if (each == c) { /* its own reply comes first */
            client_release(client_insert(c, NULL, text, line.len));
        } else {
            client_push(each, '+', text + 1, line.len - 1);
        }
    }
    buf_release(&line);
}
