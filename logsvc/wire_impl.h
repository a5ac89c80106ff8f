/* What wire.c (the envelope) and wire_body.c (the fields of each message) share. Nobody else
 * includes it. */
#ifndef LOGSVC_WIRE_IMPL_H
#define LOGSVC_WIRE_IMPL_H

#include "logsvc/wire.h"

/* The body's length. */
size_t wire_body_size(const struct wire_msg *msg);
/* Writes the body: wire_body_size bytes. */
void wire_body_put(const struct wire_msg *msg, uint8_t *out);
/* Reads the body of msg->type; what is long in msg points into bytes. False: it is not exactly size
 * bytes, or a field can't be; msg is undefined then. */
bool wire_body_get(const uint8_t *bytes, size_t size, struct wire_msg *msg);

#endif
