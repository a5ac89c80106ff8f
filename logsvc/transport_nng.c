#include "logsvc/transport_nng.h"

#include "common/mem.h"

#include <stdio.h>
#include <string.h>

int transport_url(const char *address, char out[TRANSPORT_URL_BYTES])
{
    int n = snprintf(out, TRANSPORT_URL_BYTES, "tcp://%s", address);
    return n > 0 && n < TRANSPORT_URL_BYTES ? ERR_OK : ERR_INVALID;
}

int transport_tune(nng_socket socket, size_t message_max_bytes)
{
    int rv = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, message_max_bytes + TRANSPORT_ID_BYTES);
    if (rv == 0) {
        rv = nng_socket_set_bool(socket, NNG_OPT_TCP_NODELAY, true);
    }
    if (rv == 0) {
        rv = nng_socket_set_bool(socket, NNG_OPT_TCP_KEEPALIVE, true);
    }
    return rv;
}

int transport_err(int nng_error)
{
    switch (nng_error) {
    case 0:
        return ERR_OK;
    case NNG_EINVAL:
    case NNG_EADDRINVAL:
    case NNG_ENOTSUP:
        return ERR_INVALID;
    case NNG_EADDRINUSE:
        return ERR_EXISTS;
    case NNG_ECLOSED:
        return ERR_CLOSED;
    case NNG_ETIMEDOUT:
        return ERR_TIMEOUT;
    default:
        return ERR_IO;
    }
}

nng_msg *transport_message(const void *head, size_t head_size, const void *payload,
                           size_t payload_size)
{
    nng_msg *msg;
    int rv = nng_msg_alloc(&msg, head_size + payload_size);

    MUST(rv == 0);
    if (head_size > 0) {
        memcpy(nng_msg_body(msg), head, head_size);
    }
    if (payload_size > 0) {
        memcpy((uint8_t *)nng_msg_body(msg) + head_size, payload, payload_size);
    }
    return msg;
}

nng_aio *transport_aio(void (*done)(void *), void *arg)
{
    nng_aio *aio;
    int rv = nng_aio_alloc(&aio, done, arg);

    MUST(rv == 0);
    return aio;
}
