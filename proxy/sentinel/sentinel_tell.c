/* SENTINEL and its subcommands. The fields, their order and the texts are those of redis-sentinel
 * 7.0.15 (sentinel.c: addReplySentinelRedisInstance, sentinelCommand);
 * tests/system/test_sentinel_port.c compares them with a real one. */
#include "common/clock.h"
#include "proxy/protocol/glob.h"
#include "proxy/sentinel/sentinel_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char sentinel_no_such_master[] = "ERR No such master with that name";

/* What a real Sentinel's SENTINEL SET could change, and does not mean anything here. */
enum { SENTINEL_FAILOVER_TIMEOUT_MS = 180000, SENTINEL_PARALLEL_SYNCS = 1 };

static bool sentinel_is_master_name(const struct sentinel *s, const struct resp_arg *name)
{
    const char *own = s->config.master_name;
    return name->len == strlen(own) && memcmp(name->bytes, own, name->len) == 0;
}

/* True if it is; else the error has been answered. */
static bool sentinel_check_name(const struct sentinel *s, struct sentinel_client *c,
                                const struct resp_arg *name)
{
    if (!sentinel_is_master_name(s, name)) {
        sentinel_put_error(c, sentinel_no_such_master);
        return false;
    }
    return true;
}

/* ---- the state of an instance, as fields ---- */

/* Collects "name, value" pairs: their number stands before them. */
struct sentinel_fields {
    struct buf text;
    size_t count;
};

static void sentinel_put_field(struct sentinel_fields *f, const char *name, const char *value)
{
    sentinel_put_text(&f->text, name);
    sentinel_put_text(&f->text, value);
    f->count++;
}

static void sentinel_put_number(struct sentinel_fields *f, const char *name, uint64_t value)
{
    char digits[24];

    (void)snprintf(digits, sizeof digits, "%" PRIu64, value);
    sentinel_put_field(f, name, digits);
}

static void sentinel_end_fields(struct sentinel_fields *f, struct sentinel_client *c)
{
    sentinel_put_map(c, f->count);
    buf_append(&c->out, buf_head(&f->text), f->text.len);
    buf_release(&f->text);
}

static uint64_t sentinel_ms_since(const struct sentinel *s, uint64_t then_ns)
{
    return s->now_ns > then_ns ? (s->now_ns - then_ns) / CLOCK_NS_PER_MS : 0;
}

/* What is told of every instance. down_ms: for how long it has been s_down; 0: it is not. */
static void sentinel_put_instance(const struct sentinel *s, struct sentinel_fields *f,
                                  const struct sentinel_node *node, const char *flags,
                                  uint64_t down_ms)
{
    uint64_t seen_ms = sentinel_ms_since(s, node->seen_ns);

    sentinel_put_field(f, "flags", flags);
    sentinel_put_number(f, "link-pending-commands", 0);
    sentinel_put_number(f, "link-refcount", 1);
    sentinel_put_number(f, "last-ping-sent", node->there ? 0 : seen_ms);
    sentinel_put_number(f, "last-ok-ping-reply", seen_ms);
    sentinel_put_number(f, "last-ping-reply", seen_ms);
    if (down_ms > 0) {
        sentinel_put_number(f, "s-down-time", down_ms);
    }
}

static uint64_t sentinel_down_ms(const struct sentinel *s, const struct sentinel_node *node)
{
    uint64_t since_ns = node == s->master ? s->lost_ns : node->gone_ns;
    bool down = node == s->master ? sentinel_master_down(s) : !node->there;

    return down ? sentinel_ms_since(s, since_ns) + 1 : 0;
}

static void sentinel_put_master(const struct sentinel *s, struct sentinel_client *c)
{
    const struct sentinel_node *m = s->master;
    uint64_t down_ms = sentinel_down_ms(s, m);
    struct sentinel_fields f = {.count = 0};

    sentinel_put_field(&f, "name", s->config.master_name);
    sentinel_put_field(&f, "ip", m->address.host);
    sentinel_put_number(&f, "port", (uint64_t)m->address.port);
    sentinel_put_field(&f, "runid", m->run_id);
    sentinel_put_instance(s, &f, m, down_ms > 0 ? "s_down,o_down,master,disconnected" : "master",
                          down_ms);
    if (down_ms > 0) {
        sentinel_put_number(&f, "o-down-time", down_ms);
    }
    sentinel_put_number(&f, "down-after-milliseconds", s->config.down_after_ms);
    sentinel_put_number(&f, "info-refresh", sentinel_ms_since(s, m->seen_ns));
    sentinel_put_field(&f, "role-reported", "master");
    sentinel_put_number(&f, "role-reported-time", sentinel_ms_since(s, m->role_ns));
    sentinel_put_number(&f, "config-epoch", s->term);
    sentinel_put_number(&f, "num-slaves", sentinel_replica_count(s));
    sentinel_put_number(&f, "num-other-sentinels", sentinel_other_count(s));
    sentinel_put_number(&f, "quorum", s->voters / 2 + 1);
    sentinel_put_number(&f, "failover-timeout", SENTINEL_FAILOVER_TIMEOUT_MS);
    sentinel_put_number(&f, "parallel-syncs", SENTINEL_PARALLEL_SYNCS);
    sentinel_end_fields(&f, c);
}

static void sentinel_put_replica(const struct sentinel *s, struct sentinel_client *c,
                                 const struct sentinel_node *node)
{
    const struct sentinel_node *m = s->master;
    uint64_t down_ms = sentinel_down_ms(s, node);
    struct sentinel_fields f = {.count = 0};

    sentinel_put_field(&f, "name", node->name);
    sentinel_put_field(&f, "ip", node->address.host);
    sentinel_put_number(&f, "port", (uint64_t)node->address.port);
    sentinel_put_field(&f, "runid", node->run_id);
    sentinel_put_instance(s, &f, node, down_ms > 0 ? "s_down,slave,disconnected" : "slave",
                          down_ms);
    sentinel_put_number(&f, "down-after-milliseconds", s->config.down_after_ms);
    sentinel_put_number(&f, "info-refresh", sentinel_ms_since(s, node->seen_ns));
    sentinel_put_field(&f, "role-reported", "slave");
    sentinel_put_number(&f, "role-reported-time", sentinel_ms_since(s, node->role_ns));
    sentinel_put_number(&f, "master-link-down-time",
                        s->lost_ns != 0 ? sentinel_ms_since(s, s->lost_ns) : 0);
    sentinel_put_field(&f, "master-link-status",
                       node->there && node->synced && s->lost_ns == 0 ? "ok" : "err");
    sentinel_put_field(&f, "master-host", m->address.host);
    sentinel_put_number(&f, "master-port", (uint64_t)m->address.port);
    sentinel_put_number(&f, "slave-priority", 100);
    sentinel_put_number(&f, "slave-repl-offset", node->offset);
    sentinel_put_number(&f, "replica-announced", 1);
    sentinel_end_fields(&f, c);
}

static void sentinel_put_sentinel(const struct sentinel *s, struct sentinel_client *c,
                                  const struct sentinel_node *node)
{
    uint64_t down_ms = node->there ? 0 : sentinel_ms_since(s, node->gone_ns) + 1;
    struct sentinel_fields f = {.count = 0};

    sentinel_put_field(&f, "name", node->id);
    sentinel_put_field(&f, "ip", node->address.host);
    sentinel_put_number(&f, "port", (uint64_t)node->sentinel_port);
    sentinel_put_field(&f, "runid", node->id);
    sentinel_put_instance(s, &f, node, down_ms > 0 ? "s_down,sentinel,disconnected" : "sentinel",
                          down_ms);
    sentinel_put_number(&f, "down-after-milliseconds", s->config.down_after_ms);
    sentinel_put_number(&f, "last-hello-message", sentinel_ms_since(s, node->seen_ns));
    sentinel_put_field(&f, "voted-leader", "?"); /* proxies do not vote; log nodes do */
    sentinel_put_number(&f, "voted-leader-epoch", 0);
    sentinel_end_fields(&f, c);
}

/* ---- subcommands that ask ---- */

void sentinel_do_masters(struct sentinel *s, struct sentinel_client *c, const struct resp_arg *argv,
                         size_t argc)
{
    (void)argv;
    (void)argc;
    resp_put_array(&c->out, 1);
    sentinel_put_master(s, c);
}

void sentinel_do_master(struct sentinel *s, struct sentinel_client *c, const struct resp_arg *argv,
                        size_t argc)
{
    (void)argc;
    if (sentinel_check_name(s, c, &argv[2])) {
        sentinel_put_master(s, c);
    }
}

void sentinel_do_replicas(struct sentinel *s, struct sentinel_client *c,
                          const struct resp_arg *argv, size_t argc)
{
    (void)argc;
    if (!sentinel_check_name(s, c, &argv[2])) {
        return;
    }
    resp_put_array(&c->out, sentinel_replica_count(s));
    for (const struct sentinel_node *n = s->nodes; n < s->nodes + SENTINEL_NODES_MAX; n++) {
        if (n->used && n != s->master) {
            sentinel_put_replica(s, c, n);
        }
    }
}

void sentinel_do_sentinels(struct sentinel *s, struct sentinel_client *c,
                           const struct resp_arg *argv, size_t argc)
{
    (void)argc;
    if (!sentinel_check_name(s, c, &argv[2])) {
        return;
    }
    resp_put_array(&c->out, sentinel_other_count(s));
    for (const struct sentinel_node *n = s->nodes; n < s->nodes + SENTINEL_NODES_MAX; n++) {
        if (n->used && !n->self && n->sentinel_port != 0) {
            sentinel_put_sentinel(s, c, n);
        }
    }
}

void sentinel_do_get_master_addr(struct sentinel *s, struct sentinel_client *c,
                                 const struct resp_arg *argv, size_t argc)
{
    char port[16];

    (void)argc;
    if (!sentinel_is_master_name(s, &argv[2])) {
        buf_append_str(&c->out, c->resp == 3 ? "_\r\n" : "*-1\r\n");
        return;
    }
    (void)snprintf(port, sizeof port, "%d", s->master->address.port);
    resp_put_array(&c->out, 2);
    sentinel_put_text(&c->out, s->master->address.host);
    sentinel_put_text(&c->out, port);
}

void sentinel_do_myid(struct sentinel *s, struct sentinel_client *c, const struct resp_arg *argv,
                      size_t argc)
{
    (void)argv;
    (void)argc;
    sentinel_put_text(&c->out, s->self->id);
}

/* Who can authorize a failover are the log nodes: those that answer are counted. */
void sentinel_do_ckquorum(struct sentinel *s, struct sentinel_client *c,
                          const struct resp_arg *argv, size_t argc)
{
    char text[256];

    (void)argc;
    if (!sentinel_check_name(s, c, &argv[2])) {
        return;
    }
    if (s->voters_up >= s->voters / 2 + 1) {
        (void)snprintf(text, sizeof text,
                       "OK %u usable Sentinels. Quorum and failover authorization can be reached",
                       s->voters_up);
        resp_put_simple(&c->out, text);
    } else {
        (void)snprintf(text, sizeof text,
                       "NOQUORUM %u usable Sentinels. Not enough available Sentinels to reach the "
                       "specified quorum for this master. Not enough available Sentinels to reach "
                       "the majority and authorize a failover",
                       s->voters_up);
        sentinel_put_error(c, text);
    }
}

/* What Sentinels ask each other. We never vote for one, so there is no leader to be named. */
void sentinel_do_is_master_down(struct sentinel *s, struct sentinel_client *c,
                                const struct resp_arg *argv, size_t argc)
{
    long long port, epoch;
    const struct leader_address *own = &s->master->address;

    (void)argc;
    if (!resp_arg_integer(&argv[3], &port) || !resp_arg_integer(&argv[4], &epoch)) {
        sentinel_put_error(c, "ERR value is not an integer or out of range");
        return;
    }
    bool ours = port == own->port && argv[2].len == strlen(own->host) &&
                memcmp(argv[2].bytes, own->host, argv[2].len) == 0;
    resp_put_array(&c->out, 3);
    resp_put_integer(&c->out, ours && sentinel_master_down(s));
    sentinel_put_text(&c->out, "*");
    resp_put_integer(&c->out, 0);
}

void sentinel_do_pending_scripts(struct sentinel *s, struct sentinel_client *c,
                                 const struct resp_arg *argv, size_t argc)
{
    (void)s;
    (void)argv;
    (void)argc;
    resp_put_array(&c->out, 0); /* there are no scripts */
}

/* Of a master that is not known a Sentinel has nothing cached, and we never have. */
void sentinel_do_info_cache(struct sentinel *s, struct sentinel_client *c,
                            const struct resp_arg *argv, size_t argc)
{
    (void)s;
    (void)argv;
    (void)argc;
    resp_put_array(&c->out, 0);
}

/* ---- subcommands that change something ---- */

void sentinel_do_failover(struct sentinel *s, struct sentinel_client *c,
                          const struct resp_arg *argv, size_t argc)
{
    (void)argc;
    if (!sentinel_may_command(s, c) || !sentinel_check_name(s, c, &argv[2])) {
        return;
    }
    const char *error = s->actions->failover(s->ctx);
    if (error != NULL) {
        sentinel_put_error(c, error);
    } else {
        sentinel_put_ok(c);
    }
}

void sentinel_do_reset(struct sentinel *s, struct sentinel_client *c, const struct resp_arg *argv,
                       size_t argc)
{
    const char *name = s->config.master_name;
    char text[SENTINEL_TEXT_MAX];

    (void)argc;
    if (!sentinel_may_command(s, c)) {
        return;
    }
    if (!glob_match((const char *)argv[2].bytes, argv[2].len, name, strlen(name))) {
        resp_put_integer(&c->out, 0);
        return;
    }
    sentinel_forget(s);
    resp_put_integer(&c->out, 1);
    sentinel_describe(s, s->master, text);
    sentinel_publish(s, "+reset-master", "%s", text);
}

void sentinel_do_flushconfig(struct sentinel *s, struct sentinel_client *c,
                             const struct resp_arg *argv, size_t argc)
{
    (void)s;
    (void)argv;
    (void)argc;
    sentinel_put_ok(c); /* nothing is kept on disk */
}

/* The parameters of sentinel.conf that Redis lets be read; none of them is set here. */
void sentinel_do_config(struct sentinel *s, struct sentinel_client *c, const struct resp_arg *argv,
                        size_t argc)
{
    static const struct {
        const char *name, *value;
    } rows[] = {{"resolve-hostnames", "no"}, {"announce-hostnames", "no"}, {"announce-ip", ""},
                {"announce-port", "0"},      {"sentinel-user", ""},        {"sentinel-pass", ""}};
    struct sentinel_fields f = {.count = 0};

    (void)s;
    if (resp_arg_is(&argv[2], "set") && argc == 5) {
        sentinel_put_error(c, "ERR SENTINEL CONFIG SET is disabled by the proxy");
        return;
    }
    if (!resp_arg_is(&argv[2], "get") || argc != 4) {
        sentinel_put_error(c, "ERR Only SENTINEL CONFIG GET <option> / SET <option> <value> are "
                              "supported.");
        return;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (glob_match((const char *)argv[3].bytes, argv[3].len, rows[i].name,
                       strlen(rows[i].name))) {
            sentinel_put_field(&f, rows[i].name, rows[i].value);
        }
    }
    sentinel_end_fields(&f, c);
}

/* What is monitored, and how, is the proxy's configuration and the log's business. */
void sentinel_do_disabled(struct sentinel *s, struct sentinel_client *c,
                          const struct resp_arg *argv, size_t argc)
{
    struct buf text = BUF_INIT;

    (void)s;
    (void)argc;
    buf_append_str(&text, "ERR SENTINEL ");
    for (size_t i = 0; i < argv[1].len; i++) { /* a word of our table: letters and '-' */
        char letter = (char)argv[1].bytes[i];
        letter = (char)(letter >= 'a' && letter <= 'z' ? letter - 32 : letter);
        buf_append(&text, &letter, 1);
    }
    buf_append_str(&text, " is disabled by the proxy");
    buf_append(&text, "", 1);
    sentinel_put_error(c, (const char *)buf_head(&text));
    buf_release(&text);
}

void sentinel_do_help(struct sentinel *s, struct sentinel_client *c, const struct resp_arg *argv,
                      size_t argc)
{
    static const char *const lines[] = {
        "SENTINEL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CKQUORUM <master-name>",
        "    Check if enough log nodes answer for a failover.",
        "CONFIG GET <param>",
        "    Get global Sentinel configuration parameter.",
        "FAILOVER <master-name>",
        "    Hand the lead over to another proxy.",
        "GET-MASTER-ADDR-BY-NAME <master-name>",
        "    Return the ip and port number of the master with that name.",
        "IS-MASTER-DOWN-BY-ADDR <ip> <port> <current-epoch> <runid>",
        "    Check if the master specified by ip:port is down from current Sentinel's",
        "    point of view.",
        "MASTER <master-name>",
        "    Show the state and info of the specified master.",
        "MASTERS",
        "    Show a list of monitored masters and their state.",
        "MYID",
        "    Return the ID of the Sentinel instance.",
        "REPLICAS <master-name>",
        "    Show a list of replicas for this master and their state.",
        "RESET <pattern>",
        "    Forget the proxies that are gone, if the master's name matches this pattern.",
        "SENTINELS <master-name>",
        "    Show a list of Sentinel instances for this master and their state.",
        "HELP",
        "    Prints this help.",
    };

    (void)s;
    (void)argv;
    (void)argc;
    resp_put_array(&c->out, sizeof lines / sizeof *lines);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        resp_put_simple(&c->out, lines[i]);
    }
}

/* ---- INFO ---- */

void sentinel_put_info(const struct sentinel *s, struct buf *b)
{
    buf_append_str(b, "# Sentinel\r\n"
                      "sentinel_masters:1\r\n"
                      "sentinel_tilt:0\r\n"
                      "sentinel_tilt_since_seconds:-1\r\n"
                      "sentinel_running_scripts:0\r\n"
                      "sentinel_scripts_queue_length:0\r\n"
                      "sentinel_simulate_failure_flags:0\r\n");
    buf_printf(b, "master0:name=%s,status=%s,address=%s,slaves=%zu,sentinels=%zu\r\n",
               s->config.master_name, sentinel_master_down(s) ? "odown" : "ok", s->master->name,
               sentinel_replica_count(s), sentinel_other_count(s) + 1);
}
