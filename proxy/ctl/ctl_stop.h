/* Being told to stop (SIGINT, SIGTERM, SIGHUP) in a verb that must tidy up: it looks now and then.
 */
#ifndef PROXY_CTL_CTL_STOP_H
#define PROXY_CTL_CTL_STOP_H

#include <stdbool.h>

/* From now on these signals only set the flag. A second one of them ends the process as ever. */
void ctl_stop_catch(void);
bool ctl_stop_asked(void);

#endif
