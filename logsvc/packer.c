/* The states are atomic and there is no mutex: the log's thread must never wait for this one, which
 * may be held up by the disk at any time. Whoever has the state (the thread: WORKING and FREEING;
 * its owner: IDLE and DONE) has all the rest. */
#include "logsvc/packer.h"

#include "common/clock.h"
#include "common/mem.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { PACKER_STEP_BYTES = 128 * 1024, PACKER_NAP_MS = 20 };

enum packer_state { PACKER_IDLE, PACKER_WORKING, PACKER_DONE, PACKER_FREEING };

struct packer {
    struct packer_config config;
    atomic_int state;
    atomic_bool dropped;
    atomic_bool stopping;
    sem_t woken; /* there may be something to do */
    pthread_t thread;
    struct pack pack;
    int rc; /* DONE */
};

/* What is left of a job that has ended badly. It is no harm if it stays: it is emptied by the next
 * one, and removed when the log is opened. */
static void packer_remove(struct packer *p)
{
    struct disk *d = p->config.disk;
    int rc = d->ops->unlink(d, p->pack.job.target);

    (void)rc;
}

/* --- the thread --- */

static bool packer_unwanted(const struct packer *p)
{
    return atomic_load(&p->dropped) || atomic_load(&p->stopping);
}

/* As long as that many bytes take at its pace, or until nobody wants them any more. */
static void packer_pause(const struct packer *p, size_t bytes)
{
    uint64_t until_ns = clock_now_ns() + bytes * CLOCK_NS_PER_S / p->config.bytes_per_s;
    uint64_t now_ns;

    while ((now_ns = clock_now_ns()) < until_ns && !packer_unwanted(p)) {
        uint64_t left_ns = until_ns - now_ns, most_ns = PACKER_NAP_MS * CLOCK_NS_PER_MS;
        struct timespec nap = {.tv_nsec = (long)(left_ns < most_ns ? left_ns : most_ns)};
        (void)nanosleep(&nap, NULL);
    }
}

static int packer_work(struct packer *p)
{
    size_t used;

    for (;;) {
        int rc = pack_step(&p->pack, PACKER_STEP_BYTES, &used);
        if (packer_unwanted(p)) {
            return ERR_CLOSED;
        }
        if (rc != ERR_MORE) {
            return rc;
        }
        packer_pause(p, used);
    }
}

static void packer_free(struct packer *p)
{
    pack_end(&p->pack);
    atomic_store(&p->state, PACKER_IDLE);
}

static void *packer_main(void *arg)
{
    struct packer *p = arg;

    while (!atomic_load(&p->stopping)) {
        int state = atomic_load(&p->state);
        if (state == PACKER_WORKING) {
            p->rc = packer_work(p);
            atomic_store(&p->state, PACKER_DONE);
        } else if (state == PACKER_FREEING) {
            packer_free(p);
        } else {
            (void)sem_wait(&p->woken);
        }
    }
    return NULL;
}

/* --- its owner --- */

int packer_start(const struct packer_config *config, struct packer **out)
{
    struct packer *p = mem_calloc(1, sizeof *p);
    sigset_t all, old;
    int failed = 0;

    p->config = *config;
    MUST(sem_init(&p->woken, 0, 0) == 0);
    if (config->threaded) {
        MUST(config->bytes_per_s > 0);
        /* Signals are for the program's main thread. */
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &old);
        failed = pthread_create(&p->thread, NULL, packer_main, p);
        (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    if (failed != 0) {
        p->config.threaded = false;
        packer_stop(p);
        return ERR_IO;
    }
    *out = p;
    return ERR_OK;
}

static void packer_wake(struct packer *p)
{
    if (p->config.threaded) {
        MUST(sem_post(&p->woken) == 0);
    }
}

void packer_stop(struct packer *p)
{
    if (!p) {
        return;
    }
    atomic_store(&p->stopping, true);
    packer_wake(p);
    if (p->config.threaded) {
        (void)pthread_join(p->thread, NULL);
    }
    pack_end(&p->pack);
    (void)sem_destroy(&p->woken);
    free(p);
}

bool packer_busy(const struct packer *p)
{
    return atomic_load(&p->state) != PACKER_IDLE;
}

void packer_give(struct packer *p, const struct pack_job *job)
{
    MUST(!packer_busy(p));
    pack_begin(&p->pack, p->config.disk, job);
    atomic_store(&p->dropped, false);
    atomic_store(&p->state, PACKER_WORKING);
    packer_wake(p);
}

int packer_step(struct packer *p, size_t max_bytes, size_t *used, struct segment_header *header,
                struct segment_index *index)
{
    *used = 0;
    MUST(packer_busy(p));
    if (!p->config.threaded && atomic_load(&p->state) == PACKER_WORKING) {
        p->rc = atomic_load(&p->dropped) ? ERR_CLOSED : pack_step(&p->pack, max_bytes, used);
        atomic_store(&p->state, p->rc == ERR_MORE ? PACKER_WORKING : PACKER_DONE);
    }
    if (atomic_load(&p->state) != PACKER_DONE) {
        return ERR_MORE;
    }
    int rc = atomic_load(&p->dropped) ? ERR_CLOSED : p->rc;
    if (rc == ERR_OK) {
        *header = p->pack.header;
        *index = p->pack.index;
        p->pack.index = (struct segment_index){0};
    }
    if (rc != ERR_OK) {
        packer_remove(p);
    }
    return rc;
}

void packer_release(struct packer *p)
{
    MUST(atomic_load(&p->state) == PACKER_DONE);
    if (p->config.threaded) {
        atomic_store(&p->state, PACKER_FREEING);
        packer_wake(p);
    } else {
        packer_free(p);
    }
}

void packer_drop(struct packer *p)
{
    if (packer_busy(p)) {
        atomic_store(&p->dropped, true);
    }
}
