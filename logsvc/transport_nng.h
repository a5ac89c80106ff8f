/* What both sides of the transport do alike with nng; private to them, so that nobody else sees a
 * type of nng. The connections themselves are in logsvc/framed.h. */
#ifndef LOGSVC_TRANSPORT_NNG_H
#define LOGSVC_TRANSPORT_NNG_H

#include "common/err.h"

#include <nng/nng.h>
#include <stddef.h>

enum { TRANSPORT_URL_BYTES = 256 };

/* "tcp://ADDRESS"; ERR_INVALID: too long. */
int transport_url(const char *address, char out[TRANSPORT_URL_BYTES]) MUST_CHECK;

/* Our code for one of nng's. */
int transport_err(int nng_error);

/* Makes an aio; running out of memory ends the process as everywhere. */
nng_aio *transport_aio(void (*done)(void *), void *arg);

#endif
