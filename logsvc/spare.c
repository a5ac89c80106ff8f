/* States, guarded by the mutex:
 *
 *   MAKING ──done──▶ READY ──spare_take──▶ TAKEN ──spare_renew──▶ MAKING
 *     │                                                              ▲
 *     ├──no space──▶ FULL ──after a second, or spare_take────────────┘
 *     └──error─────▶ FAILED (for good)
 *
 * The thread works in MAKING and FULL only; spare_take waits for it. */
#include "logsvc/spare.h"

#include "common/log.h"
#include "common/mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SPARE_PIECE_BYTES = 256 * 1024, SPARE_PAUSE_MS = 8, SPARE_RETRY_MS = 1000 };

#define SPARE_TMP_NAME "spare.tmp"

enum spare_state { SPARE_MAKING, SPARE_READY, SPARE_TAKEN, SPARE_FULL, SPARE_FAILED };

struct spare {
    struct spare_config config;
    char path[DISK_PATH_BYTES];
    char tmp_path[DISK_PATH_BYTES];
    uint8_t *zeros;

    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum spare_state state;
    bool hurry;    /* no pauses */
    bool need;     /* the reserve may be used */
    bool stopping; /* the thread ends at the next piece */
    bool said_full;
};

/* Waits on the condition for at most ms. The mutex is held. */
static void spare_wait(struct spare *s, long ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    (void)pthread_cond_timedwait(&s->changed, &s->mutex, &until);
}

enum spare_pace { SPARE_STOP, SPARE_SLOW, SPARE_HURRY };

/* Before each piece. Called without the mutex. */
static enum spare_pace spare_pause(struct spare *s)
{
    if (!s->config.threaded) {
        return SPARE_HURRY; /* its caller waits, with the mutex */
    }
    pthread_mutex_lock(&s->mutex);
    if (!s->hurry && !s->stopping) {
        spare_wait(s, SPARE_PAUSE_MS);
    }
    enum spare_pace pace = s->stopping ? SPARE_STOP : s->hurry ? SPARE_HURRY : SPARE_SLOW;
    pthread_mutex_unlock(&s->mutex);
    return pace;
}

/* Once somebody waits for it, the rest is not written: 64 MiB can take a disk that is busy longer
 * than a lease, and nothing is acknowledged meanwhile. */
static int spare_fill(struct spare *s, struct disk_file *f)
{
    bool can_allocate = true;

    for (uint64_t at = 0; at < s->config.file_bytes; at += SPARE_PIECE_BYTES) {
        uint64_t left = s->config.file_bytes - at;
        size_t size = left < SPARE_PIECE_BYTES ? (size_t)left : SPARE_PIECE_BYTES;
        enum spare_pace pace = spare_pause(s);
        if (pace == SPARE_STOP) {
            return ERR_CLOSED;
        }
        if (pace == SPARE_HURRY && can_allocate) {
            int rc = f->disk->ops->allocate(f, at, left);
            can_allocate = rc != ERR_STATE;
            if (can_allocate) {
                return rc == ERR_OK ? disk_sync(f) : rc;
            }
        }
        int rc = disk_write(f, s->zeros, size, at);
        if (rc != ERR_OK) {
            return rc;
        }
    }
    return disk_sync(f);
}

static int spare_remove(struct spare *s, const char *path)
{
    int rc = s->config.disk->ops->unlink(s->config.disk, path);

    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* Makes the file. Called without the mutex. */
static int spare_make(struct spare *s, bool need)
{
    struct disk *d = s->config.disk;
    struct disk_file *f;
    uint64_t space;

    int rc = d->ops->free_space(d, s->config.folder, &space);
    if (rc != ERR_OK) {
        return rc;
    }
    uint64_t leave = need ? 0 : s->config.reserve_bytes;
    if (space < s->config.file_bytes || space - s->config.file_bytes < leave) {
        return ERR_NO_SPACE;
    }
    rc = disk_open(d, s->tmp_path, DISK_WRITE | DISK_CREATE | DISK_DIRECT, &f);
    if (rc != ERR_OK) {
        return rc;
    }
    rc = spare_fill(s, f);
    disk_close(f);
    if (rc == ERR_OK) {
        rc = d->ops->rename(d, s->tmp_path, s->path);
    }
    if (rc == ERR_NO_SPACE || rc == ERR_CLOSED) {
        int removed = spare_remove(s, s->tmp_path);
        rc = removed == ERR_OK ? rc : removed;
    }
    return rc;
}

/* Puts the outcome of spare_make into the state. The mutex is held. */
static void spare_made(struct spare *s, int rc)
{
    if (rc == ERR_OK) {
        s->state = SPARE_READY;
        s->said_full = false;
    } else if (rc == ERR_NO_SPACE) {
        s->state = SPARE_FULL;
        if (!s->said_full) {
            log_warn("%s: no space for the next segment of %llu bytes", s->config.folder,
                     (unsigned long long)s->config.file_bytes);
        }
        s->said_full = true;
    } else if (rc != ERR_CLOSED) {
        s->state = SPARE_FAILED;
    }
    s->hurry = false;
    s->need = false;
}

static void *spare_main(void *arg)
{
    struct spare *s = arg;

    pthread_mutex_lock(&s->mutex);
    while (!s->stopping) {
        if (s->state == SPARE_FULL && !s->hurry) {
            spare_wait(s, SPARE_RETRY_MS);
            if (!s->hurry && !s->stopping) {
                s->state = SPARE_MAKING;
            }
        } else if (s->state == SPARE_FULL || s->state == SPARE_MAKING) {
            bool need = s->need;
            s->state = SPARE_MAKING;
            pthread_mutex_unlock(&s->mutex);
            int rc = spare_make(s, need);
            pthread_mutex_lock(&s->mutex);
            spare_made(s, rc);
            pthread_cond_broadcast(&s->changed);
        } else {
            pthread_cond_wait(&s->changed, &s->mutex);
        }
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

static int spare_start_thread(struct spare *s)
{
    sigset_t all, old;

    /* Signals are for the program's main thread. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&s->thread, NULL, spare_main, s);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed == 0 ? ERR_OK : ERR_IO;
}

int spare_start(const struct spare_config *config, struct spare **out)
{
    struct spare *s = mem_calloc(1, sizeof *s);
    pthread_condattr_t attr;

    s->config = *config;
    s->zeros = disk_memory(SPARE_PIECE_BYTES);
    memset(s->zeros, 0, SPARE_PIECE_BYTES);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&s->mutex, NULL);
    int rc = disk_path(s->path, config->folder, SPARE_NAME);
    if (rc == ERR_OK) {
        rc = disk_path(s->tmp_path, config->folder, SPARE_TMP_NAME);
    }
    if (rc == ERR_OK) {
        rc = spare_remove(s, s->path);
    }
    if (rc == ERR_OK) {
        rc = spare_remove(s, s->tmp_path);
    }
    if (rc == ERR_OK && config->threaded) {
        rc = spare_start_thread(s);
    }
    if (rc != ERR_OK) {
        s->config.threaded = false;
        spare_stop(s);
        return rc;
    }
    *out = s;
    return ERR_OK;
}

void spare_stop(struct spare *s)
{
    if (!s) {
        return;
    }
    if (s->config.threaded) {
        pthread_mutex_lock(&s->mutex);
        s->stopping = true;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->mutex);
        (void)pthread_join(s->thread, NULL);
    }
    (void)pthread_cond_destroy(&s->changed);
    (void)pthread_mutex_destroy(&s->mutex);
    free(s->zeros);
    free(s);
}

int spare_take(struct spare *s, bool need)
{
    int rc;

    pthread_mutex_lock(&s->mutex);
    MUST(s->state != SPARE_TAKEN);
    /* Two rounds: the one under way may have been begun before the caller's need was known. */
    for (int round = 0; round < 2 && s->state != SPARE_READY && s->state != SPARE_FAILED; round++) {
        s->hurry = true;
        s->need = need;
        if (!s->config.threaded) {
            spare_made(s, spare_make(s, need));
            continue;
        }
        pthread_cond_broadcast(&s->changed);
        while (s->hurry) { /* until the outcome of a round is there */
            pthread_cond_wait(&s->changed, &s->mutex);
        }
    }
    if (s->state == SPARE_READY) {
        s->state = SPARE_TAKEN;
        rc = ERR_OK;
    } else {
        rc = s->state == SPARE_FAILED ? ERR_IO : ERR_NO_SPACE;
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

void spare_renew(struct spare *s)
{
    pthread_mutex_lock(&s->mutex);
    MUST(s->state == SPARE_TAKEN);
    s->state = SPARE_MAKING;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}
