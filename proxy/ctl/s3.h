/* An S3-compatible object store: objects under s3://BUCKET/PREFIX are put and fetched whole. Each
 * request is signed (AWS Signature Version 4, by libcurl) with what the environment says, and made
 * again, later and later, where the store or the network fails.
 *
 * s3_none.c stands for it where Holdfast was built without libcurl. */
#ifndef PROXY_CTL_S3_H
#define PROXY_CTL_S3_H

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

struct s3;

/* Whether that names a place in a store. */
bool s3_is_url(const char *text);

/* "s3://BUCKET[/PREFIX]"; endpoint "http[s]://HOST[:PORT][/PATH]", NULL: what AWS_ENDPOINT_URL_S3
 * or AWS_ENDPOINT_URL says, else AWS'. Credentials and region are taken from AWS_ACCESS_KEY_ID,
 * AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION (or AWS_DEFAULT_REGION; us-east-1); whose
 * certificates are trusted from AWS_CA_BUNDLE (a file), else as the system has it. NULL:
 * complained. */
struct s3 *s3_open(const char *url, const char *endpoint);
void s3_close(struct s3 *s); /* NULL is allowed */

/* size bytes of the file from `at` on become the object. look: they may be there already, from an
 * attempt that was broken off; then they are not sent. ERR_IO: complained. */
int s3_put(struct s3 *s, const char *name, int fd, uint64_t at, uint64_t size,
           bool look) MUST_CHECK;
/* The object, written into the file from `at` on; nothing is behind it then. ERR_NOT_FOUND; ERR_IO:
 * complained; also if it has more than max_bytes. */
int s3_get(struct s3 *s, const char *name, int fd, uint64_t at, uint64_t max_bytes,
           uint64_t *size) MUST_CHECK;

#endif
