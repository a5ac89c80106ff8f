#include "logsvc/transport_nng.h"

#include "common/mem.h"

#include <stdio.h>

int transport_url(const char *address, char out[TRANSPORT_URL_BYTES])
{
    int n = snprintf(out, TRANSPORT_URL_BYTES, "tcp://%s", address);
    return n > 0 && n < TRANSPORT_URL_BYTES ? ERR_OK : ERR_INVALID;
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

nng_aio *transport_aio(void (*done)(void *), void *arg)
{
    nng_aio *aio;
    int rv = nng_aio_alloc(&aio, done, arg);

    MUST(rv == 0);
    return aio;
}
