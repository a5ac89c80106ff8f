#include "logsvc/node_dir.h"

#include "common/hex.h"
#include "common/log.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE_DIR_FILE "node.json"

enum { NODE_DIR_FILE_BYTES_MAX = 4096, NODE_DIR_FORMAT = 1, CLUSTER_HEX_BYTES = 33 };

static const char *node_dir_text(const cJSON *json, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));

    return text ? text : "";
}

/* Whether node.json names this node and cluster. */
static int node_dir_check(const char *folder, const char *text, size_t size, const char *node_id,
                          const char *cluster)
{
    cJSON *json = cJSON_ParseWithLength(text, size);
    const cJSON *format = cJSON_GetObjectItemCaseSensitive(json, "format");
    int rc = ERR_OK;

    if (!cJSON_IsNumber(format) || format->valueint != NODE_DIR_FORMAT) {
        log_error("%s/%s is damaged or of another version", folder, NODE_DIR_FILE);
        rc = ERR_CORRUPT;
    } else if (strcmp(node_dir_text(json, "cluster_id"), cluster) != 0) {
        log_error("%s belongs to cluster %.64s, not to %s", folder,
                  node_dir_text(json, "cluster_id"), cluster);
        rc = ERR_REFUSED;
    } else if (strcmp(node_dir_text(json, "node_id"), node_id) != 0) {
        log_error("%s belongs to node %.64s, not to %s", folder, node_dir_text(json, "node_id"),
                  node_id);
        rc = ERR_REFUSED;
    }
    cJSON_Delete(json);
    return rc;
}

static int node_dir_write(struct disk *d, const char *folder, const char *node_id,
                          const char *cluster)
{
    cJSON *json = cJSON_CreateObject();
    int rc = ERR_IO;

    if (cJSON_AddNumberToObject(json, "format", NODE_DIR_FORMAT) &&
        cJSON_AddStringToObject(json, "node_id", node_id) &&
        cJSON_AddStringToObject(json, "cluster_id", cluster)) {
        char *text = cJSON_Print(json);
        if (text) {
            rc = disk_write_file(d, folder, NODE_DIR_FILE, text, strlen(text));
        }
        cJSON_free(text);
    }
    cJSON_Delete(json);
    return rc;
}

/* Reads node.json and judges it, or makes it. */
static int node_dir_identify(struct disk *d, const char *folder, const char *node_id,
                             const char *cluster)
{
    char path[DISK_PATH_BYTES], text[NODE_DIR_FILE_BYTES_MAX];
    struct disk_file *f;
    size_t got = 0;

    int rc = disk_path(path, folder, NODE_DIR_FILE);
    if (rc == ERR_OK) {
        rc = disk_open(d, path, 0, &f);
    }
    if (rc == ERR_NOT_FOUND) {
        return node_dir_write(d, folder, node_id, cluster);
    }
    if (rc == ERR_OK) {
        rc = disk_read(f, text, sizeof text, 0, &got);
        disk_close(f);
    }
    return rc == ERR_OK ? node_dir_check(folder, text, got, node_id, cluster) : rc;
}

int node_dir_open(struct disk *d, const char *folder, const char *node_id,
                  const uint8_t cluster_id[16], struct disk_file **lock)
{
    char path[DISK_PATH_BYTES], cluster[CLUSTER_HEX_BYTES];

    hex_print(cluster, cluster_id, 16);
    *lock = NULL;
    int rc = d->ops->make_folder(d, folder);
    if (rc == ERR_OK) {
        rc = disk_path(path, folder, "lock");
    }
    if (rc == ERR_OK) {
        rc = d->ops->lock(d, path, lock);
    }
    if (rc == ERR_EXISTS) {
        log_error("%s is in use by another process", folder);
    }
    if (rc == ERR_OK) {
        rc = d->ops->sync_folder(d, folder); /* as disk_settle_names; its own name is its owner's */
    }
    if (rc == ERR_OK) {
        rc = node_dir_identify(d, folder, node_id, cluster);
    }
    if (rc != ERR_OK) {
        disk_close(*lock);
        *lock = NULL;
    }
    return rc;
}

struct node_dir_listing {
    void (*each)(void *ctx, uint64_t log_id);
    void *ctx;
};

static void node_dir_name_cb(void *ctx, const char *name)
{
    struct node_dir_listing *l = ctx;
    char again[32];
    char *end;

    if (strncmp(name, "log-", 4) != 0) {
        return;
    }
    unsigned long long id = strtoull(name + 4, &end, 10);
    (void)snprintf(again, sizeof again, "log-%llu", id);
    if (strcmp(name, again) == 0) {
        l->each(l->ctx, id);
    }
}

int node_dir_logs(struct disk *d, const char *folder, void (*each)(void *ctx, uint64_t log_id),
                  void *ctx)
{
    struct node_dir_listing l = {each, ctx};

    return d->ops->list(d, folder, node_dir_name_cb, &l);
}

int node_dir_log_path(char out[DISK_PATH_BYTES], const char *folder, uint64_t log_id)
{
    char name[32];

    (void)snprintf(name, sizeof name, "log-%llu", (unsigned long long)log_id);
    return disk_path(out, folder, name);
}
