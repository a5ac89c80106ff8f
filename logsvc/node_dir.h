/* The data folder of a log node: one process uses it, and it belongs to one node of one cluster,
 * which the file node.json in it says:
 *
 *     {"format": 1, "node_id": "log1", "cluster_id": "32 hexadecimal digits"}
 */
#ifndef LOGSVC_NODE_DIR_H
#define LOGSVC_NODE_DIR_H

#include "logsvc/disk.h"

/* Takes the folder (made if it is not there) for the node. *lock is held until it is closed.
 * ERR_EXISTS: another process has it. ERR_REFUSED: it belongs to another node or cluster.
 * ERR_CORRUPT: node.json can't be read. Each is logged by name. */
int node_dir_open(struct disk *d, const char *folder, const char *node_id,
                  const uint8_t cluster_id[16], struct disk_file **lock) MUST_CHECK;

/* Calls each with the number of every log that has a folder there. */
int node_dir_logs(struct disk *d, const char *folder, void (*each)(void *ctx, uint64_t log_id),
                  void *ctx) MUST_CHECK;

/* Where a log is: "FOLDER/log-<id>". */
int node_dir_log_path(char out[DISK_PATH_BYTES], const char *folder, uint64_t log_id) MUST_CHECK;

#endif
