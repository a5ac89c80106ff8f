#include "proxy/node/settings.h"

#include <ctype.h>
#include <string.h>

/* The characters that a real Sentinel takes in a master's name. */
static const char *settings_check_master_name(const char *value)
{
    for (const char *p = value; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && strchr(".-_", *p) == NULL) {
            return "letters, digits, '.', '-' and '_'";
        }
    }
    return NULL;
}

#define S struct settings

const struct config_row settings_schema[] = {
    CONFIG_STRING("name", S, name, 1, 64, "proxy1", "this proxy's name, in logs and for people"),
    CONFIG_HEX("cluster_id", S, cluster_id, NULL, "the cluster's id, the same in all its programs"),
    CONFIG_STRING("host", S, host, 1, 64, "127.0.0.1", "address that clients connect to"),
    CONFIG_INT("port", S, port, 0, 65535, "7379", "port that clients connect to; 0: any"),
    CONFIG_INT("replica_port", S, replica_port, 0, 65535, "0",
               "port for reads from our own Redis while it is a replica; 0: none"),
    CONFIG_STRING("announce_host", S, announce_host, 0, 57, "",
                  "address that other proxies and clients are told; empty: host"),
    CONFIG_INT("announce_port", S, announce_port, 0, 65535, "0",
               "port that they are told; 0: port"),
    CONFIG_STRING("data_dir", S, data_dir, 1, 4000, ".", "folder for files on their way"),
    CONFIG_STRING("log_level", S, log_level, 1, 8, "info", "debug, info, warn or error",
                  .check = config_check_log_level),
    CONFIG_INT(
        "lease_ms", S, lease_ms, 50, 600000, "800",
        "how long a leader may serve after a quorum last heard it; the same in all programs"),
    CONFIG_BOOL("watchdog", S, watchdog, "true",
                "a process beside the proxy tells the log nodes when it has died"),
    CONFIG_BOOL("sync", S, sync, "true",
                "whether OK means committed, on connections that do not say HOLDFAST SYNC"),

    CONFIG_STRING("redis.host", S, redis_host, 1, 64, "127.0.0.1", "address of our Redis"),
    CONFIG_INT("redis.port", S, redis_port, 1, 65535, "6379", "port of our Redis"),
    CONFIG_STRING("redis.user", S, redis_user, 0, 255, "", "ACL user; empty: the default user"),
    CONFIG_STRING("redis.password", S, redis_password, 0, 4096, "",
                  "its password, which clients must give as well; empty: none", .secret = true),
    CONFIG_INT("redis.connect_timeout_ms", S, redis_connect_timeout_ms, 10, 600000, "5000",
               "how long connecting may take"),
    CONFIG_INT("redis.stall_ms", S, redis_stall_ms, 100, 3600000, "60000",
               "a batch unanswered for this long: its clients are closed, the link is made anew"),
    CONFIG_INT("redis.handover_ms", S, redis_handover_ms, 100, 3600000, "7000",
               "a Redis that answers nothing for this long (longer than its busy-reply-threshold): "
               "another proxy leads, if one can"),
    CONFIG_INT("redis.backlog_bytes", S, redis_backlog_bytes, 1 << 20, CONFIG_INT_MAX, "67108864",
               "repl-backlog-size set on Redis, so that a short break needs no rebuild"),
    CONFIG_INT("redis.batches_in_flight", S, redis_batches_in_flight, 1, 4, "1",
               "batches sent to Redis and not yet answered"),

    CONFIG_INT("log.id", S, log_id, 1, CONFIG_INT_MAX, "1", "which of the nodes' logs is ours"),
    CONFIG_STRINGS("log.nodes", S, log_nodes, 1, 7, NULL, "the log nodes, each IP:PORT",
                   .check = config_check_host_port),
    CONFIG_INT("log.heartbeat_ms", S, log_heartbeat_ms, 5, 60000, "100",
               "how often an idle leader is heard; well below lease_ms"),
    CONFIG_INT("log.append_max_bytes", S, log_append_max_bytes, 4096, 16 << 20, "1048576",
               "bytes of the stream in one append"),
    CONFIG_INT("log.appends_in_flight", S, log_appends_in_flight, 1, 32, "2",
               "appends to one node that are not yet acknowledged"),
    CONFIG_INT("log.window_max_bytes", S, log_window_max_bytes, 1 << 20, CONFIG_INT_MAX, "67108864",
               "stream bytes kept for nodes that lag a little"),

    CONFIG_INT("feed.port", S, feed_port, 0, 65535, "0",
               "where our Redis reaches us while it is rebuilt; 0: any"),
    CONFIG_INT("feed.queue_max_bytes", S, feed_queue_max_bytes, 65536, CONFIG_INT_MAX, "8388608",
               "bytes queued for our Redis while it is rebuilt"),
    CONFIG_INT("feed.ahead_max_bytes", S, feed_ahead_max_bytes, 0, CONFIG_INT_MAX, "67108864",
               "bytes of the log fetched ahead of that, while Redis loads the snapshot"),

    CONFIG_STRING("snapshot.redis_server", S, snapshot_redis_server, 1, 4000, "redis-server",
                  "the redis-server program that snapshots are made and tried with; one of the "
                  "engine's version"),
    CONFIG_STRING("snapshot.program", S, snapshot_program, 0, 4000, "",
                  "the program that makes snapshots; empty: holdfast-snapshot beside this one"),
    CONFIG_BOOL("snapshot.schedule", S, snapshot_schedule, "true",
                "whether this proxy has snapshots made by itself"),
    CONFIG_INT("snapshot.log_percent", S, snapshot_log_percent, 1, 100000, "10",
               "a snapshot is due when the log behind the newest one is so large against it"),
    CONFIG_INT("snapshot.log_min_bytes", S, snapshot_log_min_bytes, 4096, CONFIG_INT_MAX,
               "50331648", "and at least this large"),
    CONFIG_INT("snapshot.hurry_percent", S, snapshot_hurry_percent, 0, 100000, "125",
               "with so much log behind the newest one, the next is made without regard for rates "
               "and priorities; 0: never"),
    CONFIG_INT("snapshot.rate_max_bytes", S, snapshot_rate_max_bytes, 0, CONFIG_INT_MAX, "67108864",
               "bytes a second that are fed to the Redis in which one is made; 0: no limit"),
    CONFIG_INT("snapshot.store_rate_max_bytes", S, snapshot_store_rate_max_bytes, 0, CONFIG_INT_MAX,
               "4194304", "bytes a second of one that a disk is given to write; 0: no limit"),
    CONFIG_INT("snapshot.nice", S, snapshot_nice, 0, 20, "19",
               "how much making one gives way to all else: a nice value; 20: only idle time"),
    CONFIG_INT(
        "snapshot.memory_reserve_bytes", S, snapshot_memory_reserve_bytes, 0, CONFIG_INT_MAX,
        "268435456",
        "memory that stays available on the machine where one is made: else it is not begun, "
        "or given up; 0: not looked at"),
    CONFIG_INT("snapshot.retry_ms", S, snapshot_retry_ms, 100, 86400000, "60000",
               "how long nothing is begun after one came to nothing"),
    CONFIG_BOOL("snapshot.trim", S, snapshot_trim, "true",
                "whether the log is forgotten below the oldest snapshot that is kept"),
    CONFIG_INT("snapshot.keep", S, snapshot_keep, 1, 60, "1",
               "how many of the newest verified snapshots are kept, with the log from there on"),
    CONFIG_INT("snapshot.keep_age_ms", S, snapshot_keep_age_ms, 0, CONFIG_INT_MAX, "0",
               "younger ones are kept as well; 0: no"),
    CONFIG_INT("snapshot.pitr_ms", S, snapshot_pitr_ms, 0, CONFIG_INT_MAX, "0",
               "what any moment of the last so many can be restored from is kept as well; 0: no"),

    CONFIG_INT("sentinel.port", S, sentinel_port, 0, 65535, "0",
               "port on which the proxy answers as a Redis Sentinel; 0: none"),
    CONFIG_STRING("sentinel.master_name", S, sentinel_master_name, 1, 64, "mymaster",
                  "the name under which Sentinel's clients ask for the leader",
                  .check = settings_check_master_name),
    CONFIG_STRING("sentinel.password", S, sentinel_password, 0, 4096, "",
                  "password that Sentinel's clients must give; empty: none", .secret = true),
    CONFIG_INT("sentinel.down_after_ms", S, sentinel_down_after_ms, 10, 600000, "1000",
               "how long nobody may lead before the master is said to be down"),
    CONFIG_INT("sentinel.clients_max", S, sentinel_clients_max, 1, 100000, "1000",
               "connections to the Sentinel port"),
    CONFIG_INT("forward.links", S, forward_links, 1, 64, "8",
               "connections to the proxy that leads, for the clients of all"),
    CONFIG_INT("forward.wait_ms", S, forward_wait_ms, 0, 600000, "5000",
               "how long a request waits for somebody to lead; then it is refused"),
    CONFIG_INT("forward.waiting_max", S, forward_waiting_max, 1, 10000000, "65536",
               "requests that wait for that; then more are refused"),
    CONFIG_INT("forward.waiting_max_bytes", S, forward_waiting_max_bytes, 1 << 16, CONFIG_INT_MAX,
               "67108864", "their bytes"),

    CONFIG_INT("limits.clients_max", S, clients_max, 1, 1000000, "16384", "connected clients"),
    CONFIG_INT("limits.private_max", S, private_max, 0, 1000000, "8000",
               "links to Redis that one client has for itself (WATCH, BLPOP …)"),
    CONFIG_INT("limits.pending_max", S, pending_max, 1, 1000000, "4096",
               "requests of one client on their way; then it is not read"),
    CONFIG_INT("limits.pubsub_max_bytes", S, pubsub_max_bytes, 65536, CONFIG_INT_MAX, "33554432",
               "messages that a subscriber has not read; then it is closed"),
    CONFIG_INT("limits.pubsub_soft_bytes", S, pubsub_soft_bytes, 4096, CONFIG_INT_MAX, "8388608",
               "the same, if it lasts for limits.pubsub_soft_ms"),
    CONFIG_INT("limits.pubsub_soft_ms", S, pubsub_soft_ms, 100, 3600000, "60000",
               "how long limits.pubsub_soft_bytes may be exceeded"),
    CONFIG_INT("limits.withheld_client_max_bytes", S, withheld_client_max_bytes, 1024,
               CONFIG_INT_MAX, "16777216",
               "replies of one client not yet sent; then it is not read"),
    CONFIG_INT("limits.withheld_total_max_bytes", S, withheld_total_max_bytes, 1 << 20,
               CONFIG_INT_MAX, "1073741824", "replies of all clients; then nobody is read"),
    CONFIG_INT("limits.withheld_max_ms", S, withheld_max_ms, 100, 3600000, "30000",
               "a reply withheld for this long: its client is closed, the outcome being unknown"),
    CONFIG_INT("limits.query_client_max_bytes", S, query_client_max_bytes, 1 << 20, CONFIG_INT_MAX,
               "1073741824", "one client's unfinished request; then it is closed"),
    CONFIG_INT("limits.query_total_max_bytes", S, query_total_max_bytes, 1 << 20, CONFIG_INT_MAX,
               "2147483648",
               "unfinished requests and transactions of all clients; then large ones are ended"),
    CONFIG_INT("limits.bulk_max_bytes", S, bulk_max_bytes, 1 << 20, CONFIG_INT_MAX, "536870912",
               "one argument of a request, as Redis' proto-max-bulk-len"),
    CONFIG_INT("limits.transaction_max_bytes", S, transaction_max_bytes, 1 << 16, CONFIG_INT_MAX,
               "536870912", "commands queued between MULTI and EXEC"),
    CONFIG_INT("limits.async_max_age_ms", S, async_max_age_ms, 1, 3600000, "1000",
               "after HOLDFAST SYNC OFF: while a write waits for its commit for this long, no more "
               "are taken"),
    CONFIG_INT("limits.unlogged_max_bytes", S, unlogged_max_bytes, 1 << 16, CONFIG_INT_MAX,
               "67108864", "stream bytes not yet committed; then no writes are taken"),
};

const size_t settings_schema_count = sizeof settings_schema / sizeof *settings_schema;
