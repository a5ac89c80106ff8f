/* What both sides of the transport do alike with nng; private to them, so that nobody else sees a
 * type of nng.
 *
 * The sockets are REQ and REP in raw mode, over TCP. Raw mode keeps no state for a request: any
 * number may be under way, nothing is ever sent twice, and a peer that is frozen locks out nobody.
 * On the wire each message has a 32-bit number in front whose highest bit is set; a reply carries
 * its request's. A raw REP socket puts the number of the connection in front of that. */
#ifndef LOGSVC_TRANSPORT_NNG_H
#define LOGSVC_TRANSPORT_NNG_H

#include "common/err.h"

#include <nng/nng.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRANSPORT_ID_BYTES = 4 };
/* Set in the number of a request: marks the last word of nng's header. */
#define TRANSPORT_REQUEST_BIT 0x80000000u

enum { TRANSPORT_URL_BYTES = 256 };

/* "tcp://ADDRESS"; ERR_INVALID: too long. */
int transport_url(const char *address, char out[TRANSPORT_URL_BYTES]) MUST_CHECK;

/* The options both sides need; the socket's dialers and listeners inherit them. An nng error. */
int transport_tune(nng_socket socket, size_t message_max_bytes) MUST_CHECK;

/* Our code for one of nng's. */
int transport_err(int nng_error);

/* A message of head and payload; the caller adds the header. */
nng_msg *transport_message(const void *head, size_t head_size, const void *payload,
                           size_t payload_size);

/* Makes an aio; running out of memory ends the process as everywhere. */
nng_aio *transport_aio(void (*done)(void *), void *arg);

#endif
