/* A disk in memory that breaks as disks do. Every file has what the page cache shows, what the
 * device holds, and what survives a power failure; names become durable when their folder is
 * synced.
 *
 *   write ▶ cache and device, not durable      sync ▶ durable
 *   power failure ▶ each unsynced sector of 512 bytes is there or not, each on its own
 *   failed sync ▶ the cache goes on showing what the device has lost
 *
 * Operations that change something are counted; the test says at which one to fail or to die. */
#ifndef TESTS_LIB_FAKE_DISK_H
#define TESTS_LIB_FAKE_DISK_H

#include "logsvc/disk.h"

struct fake_disk;

struct fake_disk *fake_disk_create(void);
void fake_disk_destroy(struct fake_disk *f);
struct disk *fake_disk(struct fake_disk *f);

/* How many changing operations there have been so far. */
uint64_t fake_disk_ops(const struct fake_disk *f);
/* How many of them were syncs, of files or folders; what a slow disk is slow at. */
uint64_t fake_disk_syncs(const struct fake_disk *f);
/* The operation with that number (from fake_disk_ops on) fails once with ERR_IO. A sync that fails
 * so loses what it should have made durable. 0: none. */
void fake_disk_fail_at(struct fake_disk *f, uint64_t op);
/* From that operation on nothing reaches the disk any more and every call fails, as if the power
 * had gone in the middle of it (a write leaves any of its sectors). 0: never. */
void fake_disk_die_at(struct fake_disk *f, uint64_t op);
/* Whether that has happened. */
bool fake_disk_is_dead(const struct fake_disk *f);

/* How many reads of files there have been so far; the one with that number (from there on) fails
 * once with ERR_IO. 0: none. */
uint64_t fake_disk_reads(const struct fake_disk *f);
/* Whether that has happened since it was said last. */
bool fake_disk_read_failed(const struct fake_disk *f);
void fake_disk_fail_read_at(struct fake_disk *f, uint64_t read);
/* From now on that block of a file can't be read, until it is written anew; false: there is no such
 * block. */
bool fake_disk_spoil(struct fake_disk *f, const char *path, uint64_t at);

enum fake_disk_loss {
    FAKE_DISK_LOSE_ALL, /* nothing survives but what was synced */
    FAKE_DISK_LOSE_SOME,
    FAKE_DISK_KEEP_ALL, /* the process died, not the machine */
};
/* Ends the power failure: what survives is decided by the seed; open files are gone (their owner
 * must have closed them). */
void fake_disk_crash(struct fake_disk *f, enum fake_disk_loss loss, uint64_t seed);

/* Files opened past the cache go through it all the same, as on a filesystem without O_DIRECT. */
void fake_disk_set_buffered(struct fake_disk *f, bool buffered);

/* Room for all files together; new room past it is refused with ERR_NO_SPACE. */
void fake_disk_set_capacity(struct fake_disk *f, uint64_t bytes);
uint64_t fake_disk_used(const struct fake_disk *f);

/* A copy of a file's bytes, to look at or to damage; NULL: there is none. Valid until the next
 * call for that file. */
uint8_t *fake_disk_bytes(struct fake_disk *f, const char *path, size_t *size);
/* Call after changing them: the file follows, durably. */
void fake_disk_settle(struct fake_disk *f, const char *path);
/* Makes a file that holds these bytes, durably. */
void fake_disk_put(struct fake_disk *f, const char *path, const void *bytes, size_t size);
/* Flips bits of one byte wherever it is kept; false: there is no such byte. */
bool fake_disk_flip(struct fake_disk *f, const char *path, uint64_t at, uint8_t mask);
/* The position of one of the file's blocks that were ever written to with more than zeros; which
 * one, choice decides (UINT64_MAX: the last). UINT64_MAX: there is none. */
uint64_t fake_disk_written(const struct fake_disk *f, const char *path, uint64_t choice);
/* The path of the i-th file; NULL: there are not so many. Valid until the next change. */
const char *fake_disk_name(const struct fake_disk *f, size_t i);
/* Removes a name, durably; ERR_NOT_FOUND. */
int fake_disk_remove(struct fake_disk *f, const char *path);
/* The path of the last file in the order of names whose path begins so; NULL: there is none. Valid
 * until the next change. */
const char *fake_disk_last(const struct fake_disk *f, const char *prefix);

#endif
