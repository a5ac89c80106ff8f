/* Faults of disks: what they lose, refuse, can't read, flip or bring back. */
#include "tests/sim/faults_impl.h"

#include "common/crc32c.h"
#include "common/le.h"
#include "common/mem.h"
#include "logsvc/slots.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void faults_disk(struct world *w, bool dies)
{
    unsigned node = faults_node(w);
    struct fake_disk *d = w->nodes[node].disk;
    uint64_t op = fake_disk_ops(d) + world_below(w, world_chance(w, 50) ? 6 : 40);

    if (dies) {
        world_count(w, FAULT_DISK_DIES);
        fake_disk_die_at(d, op);
    } else {
        world_count(w, FAULT_EIO);
        fake_disk_fail_at(d, op);
    }
}

void faults_no_space(struct world *w)
{
    unsigned node = faults_node(w);
    struct node *n = &w->nodes[node];

    world_count(w, FAULT_NO_SPACE);
    world_trace(w, "the disk of node %u is full", node);
    fake_disk_set_capacity(n->disk, fake_disk_used(n->disk) + world_below(w, 200000));
    n->full = true;
    faults_later(w, faults_log_uniform(w, world_ms(100), world_ms(5000)), SCENE_SPACE, node);
}

void faults_slow_sync(struct world *w)
{
    struct node *n = &w->nodes[faults_node(w)];

    n->slow_until = w->now + faults_log_uniform(w, world_ms(100), world_ms(10000));
    n->slow_ns = faults_log_uniform(w, world_ms(10), w->faults.slow_max_ns);
}

/* Whether the other slot of votes holds what was saved; a crash may have torn it. */
static bool faults_other_slot_is_good(struct node *n, const char *path)
{
    char other[sizeof((struct faults *)NULL)->old_path];
    size_t len = strlen(path), size = 0;

    MUST(len < sizeof other);
    memcpy(other, path, len + 1);
    other[len - 1] = path[len - 1] == 'a' ? 'b' : 'a';
    const uint8_t *bytes = fake_disk_bytes(n->disk, other, &size);
    if (bytes == NULL || size < SLOTS_HEADER_BYTES || le_get32(bytes) != SLOTS_MAGIC) {
        return false;
    }
    size_t body = le_get32(bytes + 16);
    return body <= size - SLOTS_HEADER_BYTES &&
           le_get32(bytes + 4) == crc32c_extend(0, bytes + 8, SLOTS_HEADER_BYTES - 8 + body);
}

/* An old copy of one slot of votes is seen by the other one; if that rots, too, what is left is a
 * promise forgotten without a trace. One node gets one of both. */
static bool faults_may_damage(struct node *n, const char *path, bool old)
{
    if (strstr(path, "/meta-") == NULL) {
        return true;
    }
    if (old ? n->votes_rotted || !faults_other_slot_is_good(n, path) : n->votes_old) {
        return false;
    }
    n->votes_rotted = n->votes_rotted || !old;
    n->votes_old = n->votes_old || old;
    return true;
}

/* A file of the node; NULL: it has none. */
static const char *faults_file(struct world *w, unsigned node)
{
    const struct fake_disk *d = w->nodes[node].disk;
    size_t count = 0;

    while (fake_disk_name(d, count) != NULL) {
        count++;
    }
    return count > 0 ? fake_disk_name(d, world_below(w, count)) : NULL;
}

/* One read of the next few fails, as cables and controllers have it; often one of a start. What
 * can't be read then is rotten to the node. */
void faults_read_eio(struct world *w)
{
    unsigned node = faults_victim(w);
    struct node *n = &w->nodes[node];

    if (!faults_may_lose(w) || n->votes_old) {
        return;
    }
    if (world_chance(w, 50)) {
        faults_kill_node(w, node, faults_loss(w), faults_back(w));
    }
    n->damaged = n->votes_rotted = true;
    world_count(w, FAULT_READ_EIO);
    fake_disk_fail_read_at(n->disk, 1 + fake_disk_reads(n->disk) + world_below(w, 20));
}

/* A block can't be read any more, until it is written anew. */
void faults_bad_sector(struct world *w)
{
    unsigned node = faults_victim(w);
    struct node *n = &w->nodes[node];

    if (!faults_may_lose(w)) {
        return;
    }
    if (world_chance(w, 60)) {
        faults_kill_node(w, node, faults_loss(w), faults_back(w));
    }
    const char *path =
        world_chance(w, 60) ? fake_disk_last(n->disk, "log-1/seg-") : faults_file(w, node);
    if (path == NULL || !faults_may_damage(n, path, false)) {
        return;
    }
    uint64_t at = fake_disk_written(n->disk, path,
                                    world_chance(w, 50) ? UINT64_MAX : random_next(&w->random));
    if (at != UINT64_MAX && fake_disk_spoil(n->disk, path, at)) {
        n->damaged = true;
        world_count(w, FAULT_BAD_SECTOR);
        world_trace(w, "node %u: the block at %" PRIu64 " of %s can't be read any more", node, at,
                    path);
    }
}

/* Flips bits in one or two places of one file, mostly where something was written, and often in
 * what was written last, of which nothing else on that disk tells. */
void faults_bit_flip(struct world *w, unsigned node)
{
    struct node *n = &w->nodes[node];
    bool newest = world_chance(w, 50), last = world_chance(w, 60);
    const char *path = newest ? fake_disk_last(n->disk, "log-1/seg-") : faults_file(w, node);

    if (path == NULL || !faults_may_damage(n, path, false)) {
        return;
    }
    for (uint64_t i = 0, flips = 1 + world_below(w, 2); i < flips; i++) {
        uint64_t choice = last ? UINT64_MAX : random_next(&w->random);
        uint64_t block = fake_disk_written(n->disk, path, choice);
        if (block == UINT64_MAX) {
            return;
        }
        /* Records begin a block, and are mostly short. */
        uint64_t at = block + world_below(w, world_chance(w, 70) ? 128 : DISK_BLOCK_BYTES);
        if (fake_disk_flip(n->disk, path, at, (uint8_t)(1u << world_below(w, 8)))) {
            n->damaged = true;
            world_count(w, FAULT_BIT_FLIP);
            world_trace(w, "node %u: a bit flips in %s at %" PRIu64, node, path, at);
        }
    }
}

void faults_damage(struct world *w)
{
    unsigned node = faults_victim(w);

    if (!faults_may_lose(w)) {
        return;
    }
    if (world_chance(w, 60)) {
        faults_kill_node(w, node, faults_loss(w), faults_back(w));
    }
    faults_bit_flip(w, node);
}

/* An old copy of a file comes back. Only where a node can see it: one of the two slots of votes, a
 * segment that was closed since, the identity. An old newest segment, or both slots, would be a
 * promise forgotten without a trace, which no protocol of this kind survives. */
void faults_old_file(struct world *w)
{
    struct faults *f = &w->faults;
    unsigned node = faults_victim(w);
    const char *path = faults_file(w, node);

    if (!faults_may_lose(w) || f->old_bytes != NULL || path == NULL ||
        strstr(path, ".tmp") != NULL || strstr(path, "spare") != NULL ||
        strlen(path) >= sizeof f->old_path) {
        return;
    }
    memcpy(f->old_path, path, strlen(path) + 1);
    f->old_node = node;
    const uint8_t *bytes = fake_disk_bytes(w->nodes[node].disk, path, &f->old_size);
    f->old_bytes = mem_alloc(f->old_size + 1);
    memcpy(f->old_bytes, bytes, f->old_size);
    faults_later(w, faults_log_uniform(w, world_ms(100), world_ms(10000)), SCENE_PUT_BACK, 0);
}

void faults_put_back(struct world *w)
{
    struct faults *f = &w->faults;
    struct node *n = &w->nodes[f->old_node];
    const char *last = fake_disk_last(n->disk, "log-1/seg-");
    size_t size;

    /* The files of a machine change while it is off. */
    bool newest = last != NULL && strcmp(last, f->old_path) == 0;
    if (f->old_bytes == NULL) {
        return;
    }
    if (f->on && !newest && fake_disk_bytes(n->disk, f->old_path, &size) != NULL) {
        faults_kill_node(w, f->old_node, faults_loss(w), faults_back(w));
        last = fake_disk_last(n->disk, "log-1/seg-");
        newest = last != NULL && strcmp(last, f->old_path) == 0;
        if (!newest && fake_disk_bytes(n->disk, f->old_path, &size) != NULL &&
            faults_may_damage(n, f->old_path, true)) {
            world_count(w, FAULT_OLD_FILE);
            world_trace(w, "node %u: an old copy of %s is put back", f->old_node, f->old_path);
            n->damaged = true;
            fake_disk_put(n->disk, f->old_path, f->old_bytes, f->old_size);
        }
    }
    free(f->old_bytes);
    f->old_bytes = NULL;
}

/* A machine is put up again with an empty disk, but under its old name. Nobody may believe it. */
void faults_empty_disk(struct world *w)
{
    unsigned node = faults_victim(w);

    if (!faults_may_lose(w)) {
        return;
    }
    faults_kill_node(w, node, FAKE_DISK_KEEP_ALL, faults_back(w));
    if (!w->procs[node].up) {
        bool was_lost = w->nodes[node].lost;
        world_count(w, FAULT_EMPTY_DISK);
        world_trace(w, "node %u gets an empty disk", node);
        truth_disk_lost(w, node);
        node_lose_disk(w, node);
        if (w->faults.old_node == node) { /* an old slot of votes there would be a forgery */
            free(w->faults.old_bytes);
            w->faults.old_bytes = NULL;
        }
        if (was_lost) {
            world_later(w, faults_back(w), EVENT_RESTART, node, 0, 0);
        }
    }
}
