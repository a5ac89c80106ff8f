/* What the proxy can be told: the fields behind the keys of its configuration file. */
#ifndef PROXY_NODE_SETTINGS_H
#define PROXY_NODE_SETTINGS_H

#include "common/config.h"

#include <stdbool.h>

struct settings {
    const char *path; /* of the file itself; main sets it */
    char *name;
    uint8_t cluster_id[16];
    char *host;
    int64_t port;
    int64_t replica_port;
    char *announce_host;
    int64_t announce_port;
    char *data_dir;
    char *log_level;
    int64_t lease_ms;
    bool sync;

    char *redis_host;
    int64_t redis_port;
    char *redis_user;
    char *redis_password;
    int64_t redis_connect_timeout_ms;
    int64_t redis_stall_ms;
    int64_t redis_handover_ms;
    int64_t redis_backlog_bytes;
    int64_t redis_batches_in_flight;

    int64_t log_id;
    struct config_strings log_nodes;
    int64_t log_heartbeat_ms;
    int64_t log_append_max_bytes;
    int64_t log_appends_in_flight;
    int64_t log_window_max_bytes;

    int64_t feed_port;
    int64_t feed_queue_max_bytes;
    int64_t feed_ahead_max_bytes;

    char *snapshot_redis_server;
    char *snapshot_program;
    bool snapshot_schedule;
    int64_t snapshot_log_percent;
    int64_t snapshot_hurry_percent;
    int64_t snapshot_log_min_bytes;
    int64_t snapshot_rate_max_bytes;
    int64_t snapshot_store_rate_max_bytes;
    int64_t snapshot_nice;
    int64_t snapshot_memory_reserve_bytes;
    int64_t snapshot_retry_ms;
    bool snapshot_trim;
    int64_t snapshot_keep, snapshot_keep_age_ms, snapshot_pitr_ms;

    int64_t sentinel_port;
    char *sentinel_master_name;
    char *sentinel_password;
    int64_t sentinel_down_after_ms;
    int64_t sentinel_clients_max;
    int64_t forward_links;
    int64_t forward_wait_ms;
    int64_t forward_waiting_max;
    int64_t forward_waiting_max_bytes;

    int64_t clients_max;
    int64_t private_max;
    int64_t pending_max;
    int64_t pubsub_max_bytes;
    int64_t pubsub_soft_bytes;
    int64_t pubsub_soft_ms;
    int64_t withheld_client_max_bytes;
    int64_t withheld_total_max_bytes;
    bool watchdog;
    int64_t withheld_max_ms;
    int64_t query_client_max_bytes;
    int64_t query_total_max_bytes;
    int64_t bulk_max_bytes;
    int64_t transaction_max_bytes;
    int64_t async_max_age_ms;
    int64_t unlogged_max_bytes;
};

extern const struct config_row settings_schema[];
extern const size_t settings_schema_count;

#endif
