/* HOLDFAST LOG STATUS and HOLDFAST LOG REPLACE: what holdfast-ctl asks of the leader about the
 * log's members (docs/log-protocol.md, "Membership"); and HOLDFAST FAILOVER. */
#include "proxy/node/proxy.h"

#include "common/clock.h"
#include "common/hex.h"
#include "common/log.h"
#include "proxy/protocol/resp.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *admin_change_name(enum proposer_change_state state)
{
    static const char *const names[] = {"none", "greet", "learn", "joint", "final", "none", "none"};
    return names[state];
}

static void admin_change(const struct proxy *p, struct buf *out)
{
    struct proposer_change_info c;

    proposer_change_info(p->proposer, &c);
    buf_printf(out, "change:%s", admin_change_name(c.state));
    if (c.state == PROPOSER_CHANGE_LEARN && c.total_bytes > 0) {
        buf_printf(out, " %" PRIu64 " of %" PRIu64 " bytes",
                   c.done_bytes < c.total_bytes ? c.done_bytes : c.total_bytes, c.total_bytes);
    }
    buf_append_str(out, "\r\n");
    if (c.state != PROPOSER_CHANGE_NONE) {
        buf_printf(out, "change_old:%s\r\nchange_new:%s\r\nchange_address:%s\r\n", c.old_id,
                   c.new_id, c.address);
    }
    if (c.state == PROPOSER_CHANGE_FAILED) {
        buf_printf(out, "change_error:%s\r\n", c.why);
    }
}

static void admin_status(const struct proxy *p, struct buf *out)
{
    const struct conf *conf = proposer_conf(p->proposer);
    struct buf text = BUF_INIT;

    buf_append_str(&text, "cluster_id:");
    hex_put(&text, p->settings->cluster_id, sizeof p->settings->cluster_id);
    buf_printf(&text, "\r\nlog_id:%" PRId64 "\r\n", p->settings->log_id);
    buf_printf(&text, "leader:%s\r\n",
               proposer_state(p->proposer) == PROPOSER_LEADING ? "yes" : "no");
    buf_printf(&text, "term:%" PRIu64 "\r\n", proposer_term(p->proposer).n);
    buf_printf(&text, "conf:%" PRIu64 ".%" PRIu64 "\r\n", conf->id.term.n, conf->id.generation);
    buf_printf(&text, "members:%s\r\n", conf_kind_name(conf_kind(conf)));
    buf_printf(&text, "end:%" PRIu64 "\r\n", proposer_end(p->proposer));
    buf_printf(&text, "committed:%" PRIu64 "\r\n", proposer_commit(p->proposer));
    admin_change(p, &text);
    info_nodes(p, true, &text);
    resp_put_bulk(out, buf_head(&text), text.len);
    buf_release(&text);
}

/* "HOST:PORT" in out; false: it is not. */
static bool admin_address(const struct resp_arg *arg, char *out, size_t size)
{
    if (arg->len == 0 || arg->len >= size || memchr(arg->bytes, '\0', arg->len) != NULL) {
        return false;
    }
    memcpy(out, arg->bytes, arg->len);
    out[arg->len] = '\0';
    char *end, *colon = strrchr(out, ':');
    if (colon == NULL || colon == out || strpbrk(out, "/ \r\n\t") != NULL) {
        return false;
    }
    long port = strtol(colon + 1, &end, 10);
    return colon[1] >= '0' && colon[1] <= '9' && *end == '\0' && port > 0 && port < 65536;
}

static void admin_replace(struct proxy *p, const struct resp_arg *old, const struct resp_arg *at,
                          struct buf *out)
{
    char old_id[CONF_TEXT_MAX + 1], address[CONF_TEXT_MAX + 1], why[PROPOSER_REFUSAL_MAX + 1];
    char text[PROPOSER_REFUSAL_MAX + 8];

    if (old->len == 0 || old->len > CONF_TEXT_MAX || memchr(old->bytes, '\0', old->len) != NULL) {
        resp_put_error(out, "ERR no member of the log has that node id");
        return;
    }
    if (!admin_address(at, address, sizeof address)) {
        resp_put_error(out, "ERR the new node's address must be HOST:PORT");
        return;
    }
    memcpy(old_id, old->bytes, old->len);
    old_id[old->len] = '\0';
    if (proposer_replace(p->proposer, clock_now_ns(), old_id, address, why, sizeof why) != ERR_OK) {
        (void)snprintf(text, sizeof text, "ERR %s", why);
        resp_put_error(out, text);
        return;
    }
    log_info("log node %s is to be replaced by the one at %s", old_id, address);
    resp_put_simple(out, "OK");
}

/* HOLDFAST FAILOVER [NAME]: OK when the hand-over has begun. */
static void admin_failover(struct proxy *p, const struct resp_arg *name, struct buf *out)
{
    char text[LEADER_TEXT_MAX + 1] = "";

    if (name != NULL) {
        if (name->len == 0 || name->len > LEADER_TEXT_MAX) {
            resp_put_error(out, "NOPEER no such proxy is there");
            return;
        }
        memcpy(text, name->bytes, name->len);
    }
    const char *error = proxy_hand_over(p, text);
    if (error != NULL) {
        resp_put_error(out, error);
    } else {
        resp_put_simple(out, "OK");
    }
}

bool admin_answer(void *ctx, const struct resp_arg *argv, size_t argc, struct buf *out)
{
    struct proxy *p = ctx;

    if ((argc == 2 || argc == 3) && resp_arg_is(&argv[1], "failover")) {
        admin_failover(p, argc == 3 ? &argv[2] : NULL, out);
        return true;
    }
    if (argc >= 2 && resp_arg_is(&argv[1], "snapshot")) {
        proxy_answer_snapshot(p, argv, argc, out);
        return true;
    }
    if (argc < 2 || !resp_arg_is(&argv[1], "log")) {
        return false;
    }
    if (argc == 3 && resp_arg_is(&argv[2], "status")) {
        admin_status(p, out);
    } else if (argc == 5 && resp_arg_is(&argv[2], "replace")) {
        admin_replace(p, &argv[3], &argv[4], out);
    } else {
        resp_put_error(out, "ERR try HOLDFAST LOG STATUS or HOLDFAST LOG REPLACE OLD-NODE-ID "
                            "NEW-HOST:PORT");
    }
    return true;
}
