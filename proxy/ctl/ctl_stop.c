#include "proxy/ctl/ctl_stop.h"

#include "common/mem.h"

#include <signal.h>

static volatile sig_atomic_t stop_asked;

static void stop_cb(int signal)
{
    (void)signal;
    stop_asked = 1;
}

void ctl_stop_catch(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action = {.sa_handler = stop_cb, .sa_flags = (int)SA_RESETHAND};
        MUST(sigaction(signals[i], &action, NULL) == 0);
    }
}

bool ctl_stop_asked(void)
{
    return stop_asked != 0;
}
