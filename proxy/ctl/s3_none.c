/* For a build without libcurl: there is no object store. */
#include "proxy/ctl/ctl.h"
#include "proxy/ctl/s3.h"

#include <string.h>

bool s3_is_url(const char *text)
{
    return strncmp(text, "s3://", 5) == 0;
}

struct s3 *s3_open(const char *url, const char *endpoint)
{
    (void)endpoint;
    ctl_complain("%s: this holdfast-ctl was built without libcurl, and knows folders only", url);
    return NULL;
}

void s3_close(struct s3 *s)
{
    (void)s;
}

int s3_put(struct s3 *s, const char *name, int fd, uint64_t at, uint64_t size, bool look)
{
    (void)s;
    (void)name;
    (void)fd;
    (void)at;
    (void)size;
    (void)look;
    return ERR_IO;
}

int s3_get(struct s3 *s, const char *name, int fd, uint64_t at, uint64_t max_bytes, uint64_t *size)
{
    (void)s;
    (void)name;
    (void)fd;
    (void)at;
    (void)max_bytes;
    (void)size;
    return ERR_IO;
}
