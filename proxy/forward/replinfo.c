#include "proxy/forward/replinfo.h"

#include "proxy/protocol/resp.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S 1000000000ull

bool replinfo_is_master(const struct replinfo *info)
{
    return info->leader == NULL || info->serves || leader_info(info->leader)->self;
}

/* Whether a peer counts as a replica of ours. */
static bool replinfo_is_replica(const struct leader_peer *peer)
{
    return !peer->self && peer->address.port > 0 && peer->role != LEADER_LEADER;
}

size_t replinfo_replicas(const struct replinfo *info, bool synced)
{
    size_t count = 0;

    for (size_t i = 0; info->leader != NULL && i < leader_peer_count(info->leader); i++) {
        const struct leader_peer *peer = leader_peer(info->leader, i);
        count += replinfo_is_replica(peer) && (peer->synced || !synced);
    }
    return count;
}

static void replinfo_put_text(struct buf *out, const char *text)
{
    resp_put_bulk(out, text, strlen(text));
}

static void replinfo_put_number_text(struct buf *out, uint64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, number);
    replinfo_put_text(out, text);
}

/* How a replica's link to its master is called in ROLE and INFO. */
static const char *replinfo_link(const struct leader_info *leader)
{
    return !leader->known ? "connect" : leader->local_reads ? "connected" : "sync";
}

void replinfo_put_role(const struct replinfo *info, struct buf *out)
{
    if (!replinfo_is_master(info)) {
        const struct leader_info *leader = leader_info(info->leader);
        resp_put_array(out, 5);
        replinfo_put_text(out, "slave");
        replinfo_put_text(out, leader->address.host);
        resp_put_integer(out, leader->address.port);
        replinfo_put_text(out, replinfo_link(leader));
        resp_put_integer(out, leader->local_reads ? (long long)info->offset : -1);
        return;
    }
    resp_put_array(out, 3);
    replinfo_put_text(out, "master");
    resp_put_integer(out, (long long)info->offset);
    resp_put_array(out, replinfo_replicas(info, true));
    for (size_t i = 0; info->leader != NULL && i < leader_peer_count(info->leader); i++) {
        const struct leader_peer *peer = leader_peer(info->leader, i);
        if (replinfo_is_replica(peer) && peer->synced) {
            resp_put_array(out, 3);
            replinfo_put_text(out, peer->address.host);
            replinfo_put_number_text(out, (uint64_t)peer->address.port);
            replinfo_put_number_text(out, peer->offset);
        }
    }
}

static void replinfo_put_follower(const struct replinfo *info, struct buf *out)
{
    const struct leader_info *leader = leader_info(info->leader);
    bool up = leader->known && leader->local_reads;

    buf_printf(out,
               "role:slave\r\nmaster_host:%s\r\nmaster_port:%d\r\nmaster_link_status:%s\r\n"
               "master_last_io_seconds_ago:%s\r\nmaster_sync_in_progress:%d\r\n"
               "slave_read_repl_offset:%" PRIu64 "\r\nslave_repl_offset:%" PRIu64 "\r\n",
               leader->address.host, leader->address.port, up ? "up" : "down", up ? "0" : "-1",
               leader->known && !leader->local_reads, info->offset, info->offset);
    if (!up) {
        buf_printf(out, "master_link_down_since_seconds:%" PRIu64 "\r\n", leader->lag_ms / 1000);
    }
    buf_append_str(out, "slave_priority:100\r\nslave_read_only:1\r\nreplica_announced:1\r\n");
}

static void replinfo_put_replicas(const struct replinfo *info, struct buf *out)
{
    size_t number = 0;

    for (size_t i = 0; info->leader != NULL && i < leader_peer_count(info->leader); i++) {
        const struct leader_peer *peer = leader_peer(info->leader, i);
        if (!replinfo_is_replica(peer)) {
            continue;
        }
        uint64_t lag_s =
            info->now_ns > peer->seen_ns ? (info->now_ns - peer->seen_ns) / NS_PER_S : 0;
        buf_printf(out, "slave%zu:ip=%s,port=%d,state=%s,offset=%" PRIu64 ",lag=%" PRIu64 "\r\n",
                   number++, peer->address.host, peer->address.port,
                   peer->synced ? "online" : "wait_bgsave", peer->offset, lag_s);
    }
}

void replinfo_put_section(const struct replinfo *info, struct buf *out)
{
    static const char unknown[] = "0000000000000000000000000000000000000000";
    bool master = replinfo_is_master(info);
    bool replid = info->replid.hex[0] != '\0';
    uint64_t first =
        info->offset > info->backlog_bytes ? info->offset - info->backlog_bytes + 1 : 1;

    buf_append_str(out, "# Replication\r\n");
    if (master) {
        buf_append_str(out, "role:master\r\n");
    } else {
        replinfo_put_follower(info, out);
    }
    buf_printf(out, "connected_slaves:%zu\r\n", master ? replinfo_replicas(info, false) : 0);
    if (master) {
        replinfo_put_replicas(info, out);
    }
    buf_printf(out,
               "master_failover_state:no-failover\r\nmaster_replid:%.*s\r\nmaster_replid2:%s\r\n"
               "master_repl_offset:%" PRIu64 "\r\nsecond_repl_offset:-1\r\n"
               "repl_backlog_active:1\r\nrepl_backlog_size:%" PRIu64 "\r\n"
               "repl_backlog_first_byte_offset:%" PRIu64 "\r\nrepl_backlog_histlen:%" PRIu64
               "\r\n\r\n",
               40, replid ? info->replid.hex : unknown, unknown, info->offset, info->backlog_bytes,
               first, info->offset + 1 - first);
}

/* Where the next section begins, or the end. */
static const char *replinfo_next_section(const char *at, const char *end)
{
    while (at < end) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        if (line == NULL) {
            return end;
        }
        at = line + 1;
        if (end - at >= 2 && at[0] == '#' && at[1] == ' ') {
            return at;
        }
    }
    return end;
}

void replinfo_correct(const struct replinfo *info, const char *text, size_t size, struct buf *out)
{
    static const char title[] = "# Replication\r\n";
    const char *end = text + size, *at = text;

    while (at < end) {
        const char *next = replinfo_next_section(at, end);
        if ((size_t)(next - at) >= sizeof title - 1 && memcmp(at, title, sizeof title - 1) == 0) {
            replinfo_put_section(info, out);
            if (next == end) {
                buf_truncate(out, out->len - 2); /* the empty line only stands between sections */
            }
        } else {
            buf_append(out, at, (size_t)(next - at));
        }
        at = next;
    }
}

void replinfo_set_number(struct buf *text, const char *name, uint64_t number)
{
    size_t len = strlen(name);
    const char *at = (const char *)buf_head(text), *end = at + text->len, *line = NULL;

    while (at < end && (line = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at = line + 1;
        if ((size_t)(end - at) > len && memcmp(at, name, len) == 0 && at[len] == ':') {
            break;
        }
        line = NULL;
    }
    if (line == NULL) {
        return;
    }
    const char *rest = memchr(at, '\r', (size_t)(end - at));
    struct buf whole = BUF_INIT;
    buf_append(&whole, buf_head(text), (size_t)(at - (const char *)buf_head(text)));
    buf_printf(&whole, "%s:%" PRIu64, name, number);
    buf_append(&whole, rest, rest != NULL ? (size_t)(end - rest) : 0);
    buf_swap(text, &whole);
    buf_release(&whole);
}
