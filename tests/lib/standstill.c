#include "tests/lib/standstill.h"

#include "common/clock.h"
#include "common/mem.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STANDSTILL_PAUSE_US = 5000 };

struct standstill {
    int fd;
    pthread_t thread;
    atomic_bool ends;
    _Atomic uint64_t began_ns; /* of the turn that is under way */
    _Atomic uint64_t longest_ns;
};

/* A turn that began then is as long as this, but for its pause. */
static uint64_t standstill_held_up_ns(uint64_t began_ns)
{
    uint64_t took_ns = clock_now_ns() - began_ns, pause_ns = STANDSTILL_PAUSE_US * CLOCK_NS_PER_US;

    return took_ns > pause_ns ? took_ns - pause_ns : 0;
}

static void standstill_note(struct standstill *s, uint64_t held_up_ns)
{
    uint64_t longest_ns = s->longest_ns;

    while (held_up_ns > longest_ns &&
           !atomic_compare_exchange_weak(&s->longest_ns, &longest_ns, held_up_ns)) {
    }
}

static void *standstill_main(void *arg)
{
    struct standstill *s = arg;
    char bytes[512] = "";

    while (!s->ends) {
        s->began_ns = clock_now_ns();
        (void)usleep(STANDSTILL_PAUSE_US);
        MUST(pwrite(s->fd, bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes);
        MUST(fdatasync(s->fd) == 0);
        standstill_note(s, standstill_held_up_ns(s->began_ns));
    }
    return NULL;
}

struct standstill *standstill_create(const char *folder)
{
    struct standstill *s = mem_calloc(1, sizeof *s);
    char path[512];

    (void)snprintf(path, sizeof path, "%s/standstill-XXXXXX", folder);
    s->fd = mkstemp(path);
    ck_assert_msg(s->fd >= 0, "no file can be made in %s", folder);
    ck_assert_int_eq(unlink(path), 0);
    s->began_ns = clock_now_ns();
    ck_assert_int_eq(pthread_create(&s->thread, NULL, standstill_main, s), 0);
    return s;
}

void standstill_destroy(struct standstill *s)
{
    s->ends = true;
    ck_assert_int_eq(pthread_join(s->thread, NULL), 0);
    ck_assert_int_eq(close(s->fd), 0);
    free(s);
}

uint64_t standstill_longest_us(struct standstill *s)
{
    standstill_note(s, standstill_held_up_ns(s->began_ns));
    return atomic_exchange(&s->longest_ns, 0) / CLOCK_NS_PER_US;
}

uint64_t standstill_delay_us(struct standstill *s)
{
    return STANDSTILL_HELD_UP * standstill_longest_us(s);
}
