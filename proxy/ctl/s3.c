#include "proxy/ctl/s3.h"

#include "common/mem.h"
#include "proxy/ctl/ctl.h"
#include "proxy/ctl/ctl_bar.h"
#include "proxy/ctl/sha256.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    S3_TEXT_BYTES = 600,
    S3_URL_BYTES = 4 * S3_TEXT_BYTES,
    S3_ANSWER_BYTES = 4096, /* of an error's text */
    S3_PIECE_BYTES = 1 << 20,
    S3_ATTEMPTS = 7,
    S3_WAIT_MS = 200, /* before the second attempt; twice as long before each of the others */
    S3_CONNECT_S = 10,
    S3_SILENCE_S = 60,
};

struct s3 {
    CURL *curl;
    char url[S3_TEXT_BYTES];      /* as it was given, for people */
    char endpoint[S3_TEXT_BYTES]; /* http://HOST:PORT */
    char place[S3_TEXT_BYTES];    /* BUCKET[/PREFIX] */
    const char *key, *secret, *token, *region;
    struct ctl_bar bar;

    /* The request under way. */
    const char *what;
    int fd;
    bool put;
    uint64_t begin, size; /* of the bytes in the file: to be sent, or received so far */
    uint64_t at;          /* sent so far */
    uint64_t max_bytes;   /* that may be received */
    int io_errno;         /* of the file */
    char answer[S3_ANSWER_BYTES + 1];
    size_t answer_size;
};

bool s3_is_url(const char *text)
{
    return strncmp(text, "s3://", 5) == 0;
}

/* ---- opening ---- */

static bool s3_is_plain(const char *text)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./";

    return text[0] != '\0' && text[0] != '/' && strspn(text, good) == strlen(text) &&
           strstr(text, "//") == NULL && strstr(text, "..") == NULL;
}

static bool s3_take_url(struct s3 *s, const char *url, const char *endpoint)
{
    size_t len = strlen(url);

    len -= len > 0 && url[len - 1] == '/';
    (void)snprintf(s->url, sizeof s->url, "%.*s", (int)(len < sizeof s->url ? len : 0), url);
    (void)snprintf(s->place, sizeof s->place, "%s", s->url[0] != '\0' ? s->url + 5 : "");
    if (!s3_is_plain(s->place)) {
        ctl_complain("%s: not s3://BUCKET/PREFIX of letters, digits and -_./", url);
        return false;
    }
    if (endpoint == NULL) {
        (void)snprintf(s->endpoint, sizeof s->endpoint, "https://s3.%.60s.amazonaws.com",
                       s->region);
        return true;
    }
    len = strlen(endpoint);
    len -= len > 0 && endpoint[len - 1] == '/';
    bool web = strncmp(endpoint, "http://", 7) == 0 || strncmp(endpoint, "https://", 8) == 0;
    if (!web || len >= sizeof s->endpoint || strpbrk(endpoint, "@?# ") != NULL) {
        ctl_complain("--s3-endpoint: not http://HOST:PORT or https://HOST: %s", endpoint);
        return false;
    }
    (void)snprintf(s->endpoint, sizeof s->endpoint, "%.*s", (int)len, endpoint);
    return true;
}

static const char *s3_environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool s3_take_credentials(struct s3 *s)
{
    s->key = s3_environment("AWS_ACCESS_KEY_ID");
    s->secret = s3_environment("AWS_SECRET_ACCESS_KEY");
    s->token = s3_environment("AWS_SESSION_TOKEN");
    s->region = s3_environment("AWS_REGION");
    if (s->region == NULL) {
        s->region = s3_environment("AWS_DEFAULT_REGION");
    }
    if (s->region == NULL) {
        s->region = "us-east-1";
    }
    if (s->key == NULL || s->secret == NULL) {
        ctl_complain("an object store needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the "
                     "environment");
        return false;
    }
    return true;
}

struct s3 *s3_open(const char *url, const char *endpoint)
{
    struct s3 *s = mem_calloc(1, sizeof *s);

    if (!s3_take_credentials(s) || !s3_take_url(s, url, endpoint)) {
        free(s);
        return NULL;
    }
    MUST(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    s->curl = curl_easy_init();
    MUST(s->curl != NULL);
    return s;
}

void s3_close(struct s3 *s)
{
    if (s != NULL) {
        ctl_bar_clear(&s->bar);
        curl_easy_cleanup(s->curl);
        curl_global_cleanup();
        free(s);
    }
}

/* ---- the bytes ---- */

static size_t s3_read_cb(char *out, size_t size, size_t count, void *arg)
{
    struct s3 *s = arg;
    uint64_t left = s->size - s->at;
    size_t want = size * count < left ? size * count : (size_t)left;
    ssize_t n;

    do {
        n = pread(s->fd, out, want, (off_t)(s->begin + s->at));
    } while (n < 0 && errno == EINTR);
    if (n < 0 || (n == 0 && want > 0)) {
        s->io_errno = n < 0 ? errno : EIO;
        return CURL_READFUNC_ABORT;
    }
    s->at += (uint64_t)n;
    return (size_t)n;
}

static int s3_seek_cb(void *arg, curl_off_t offset, int origin)
{
    struct s3 *s = arg;

    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > s->size) {
        return CURL_SEEKFUNC_FAIL;
    }
    s->at = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static void s3_keep_answer(struct s3 *s, const char *bytes, size_t size)
{
    size_t room = S3_ANSWER_BYTES - s->answer_size;

    size = size < room ? size : room;
    memcpy(s->answer + s->answer_size, bytes, size);
    s->answer_size += size;
    s->answer[s->answer_size] = '\0';
}

/* An object goes into the file; what else is said is kept, for people. */
static size_t s3_write_cb(char *bytes, size_t size, size_t count, void *arg)
{
    struct s3 *s = arg;
    long status = 0;
    size_t left = size * count;

    (void)curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    if (s->put || status != 200) {
        s3_keep_answer(s, bytes, left);
        return left;
    }
    if (left > s->max_bytes - s->size) {
        s->io_errno = EFBIG;
        return CURL_WRITEFUNC_ERROR;
    }
    while (left > 0) {
        ssize_t n = pwrite(s->fd, bytes, left, (off_t)(s->begin + s->size));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            s->io_errno = errno;
            return CURL_WRITEFUNC_ERROR;
        }
        bytes += n;
        s->size += (uint64_t)n;
        left -= (size_t)n;
    }
    return size * count;
}

static int s3_progress_cb(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                          curl_off_t up)
{
    struct s3 *s = arg;

    if (s->put && up_total > 0) {
        ctl_bar_show(&s->bar, "upload", (uint64_t)up, (uint64_t)up_total);
    } else if (!s->put && down_total > 0) {
        ctl_bar_show(&s->bar, "download", (uint64_t)down, (uint64_t)down_total);
    }
    return 0;
}

/* ---- a request ---- */

/* The text of an element of what the store says, "" if it has none. */
static void s3_element(const char *answer, const char *name, char *out, size_t size)
{
    char open[40];

    (void)snprintf(open, sizeof open, "<%s>", name);
    const char *at = strstr(answer, open);
    size_t len = at != NULL ? strcspn(at + strlen(open), "<") : 0;
    (void)snprintf(out, size, "%.*s", (int)(len < size ? len : size - 1),
                   at != NULL ? at + strlen(open) : "");
    for (char *c = out; *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' ? ' ' : *c;
    }
}

static struct curl_slist *s3_headers(const struct s3 *s, const char *hash)
{
    char header[S3_URL_BYTES];
    struct curl_slist *list = NULL;

    (void)snprintf(header, sizeof header, "x-amz-content-sha256: %s", hash);
    list = curl_slist_append(list, header);
    if (s->token != NULL) {
        size_t size = strlen(s->token) + 64;
        char *token = mem_alloc(size);
        (void)snprintf(token, size, "x-amz-security-token: %s", s->token);
        list = curl_slist_append(list, token);
        free(token);
    }
    MUST(list != NULL);
    return list;
}

#define S3_SET(s, option, value)                                                                   \
    MUST(curl_easy_setopt((s)->curl, CURLOPT_##option, (value)) == CURLE_OK)

/* One attempt. *status 0: the store has not answered. */
static CURLcode s3_ask(struct s3 *s, const char *name, const char *hash, long *status)
{
    char url[S3_URL_BYTES], sign[100];
    struct curl_slist *headers = s3_headers(s, hash);

    (void)snprintf(url, sizeof url, "%s/%s/%s", s->endpoint, s->place, name);
    (void)snprintf(sign, sizeof sign, "aws:amz:%.60s:s3", s->region);
    curl_easy_reset(s->curl);
    S3_SET(s, URL, url);
    S3_SET(s, PROTOCOLS_STR, "http,https");
    S3_SET(s, NOSIGNAL, 1L);
    S3_SET(s, AWS_SIGV4, sign);
    S3_SET(s, USERNAME, s->key);
    S3_SET(s, PASSWORD, s->secret);
    S3_SET(s, HTTPHEADER, headers);
    S3_SET(s, CONNECTTIMEOUT, (long)S3_CONNECT_S);
    S3_SET(s, LOW_SPEED_LIMIT, 1L);
    S3_SET(s, LOW_SPEED_TIME, (long)S3_SILENCE_S);
    S3_SET(s, WRITEFUNCTION, s3_write_cb);
    S3_SET(s, WRITEDATA, s);
    S3_SET(s, NOPROGRESS, 0L);
    S3_SET(s, XFERINFOFUNCTION, s3_progress_cb);
    S3_SET(s, XFERINFODATA, s);
    if (s->put) {
        S3_SET(s, UPLOAD, 1L);
        S3_SET(s, INFILESIZE_LARGE, (curl_off_t)s->size);
        S3_SET(s, READFUNCTION, s3_read_cb);
        S3_SET(s, READDATA, s);
        S3_SET(s, SEEKFUNCTION, s3_seek_cb);
        S3_SET(s, SEEKDATA, s);
    }
    s->at = 0;
    s->io_errno = 0;
    s->answer_size = 0;
    s->answer[0] = '\0';
    *status = 0;
    CURLcode code = curl_easy_perform(s->curl);
    (void)curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, status);
    curl_slist_free_all(headers);
    ctl_bar_clear(&s->bar);
    return code;
}

static void s3_say(const struct s3 *s, const char *name, CURLcode code, long status)
{
    char what[100], why[300];

    if (s->io_errno != 0) {
        ctl_complain("%s/%s: %s", s->url, name, strerror(s->io_errno));
        return;
    }
    if (code != CURLE_OK && status < 300) {
        ctl_complain("%s/%s: %s: %s", s->url, name, s->endpoint, curl_easy_strerror(code));
        return;
    }
    s3_element(s->answer, "Code", what, sizeof what);
    s3_element(s->answer, "Message", why, sizeof why);
    ctl_complain("%s/%s: the store %s (%ld%s%s%s%s)", s->url, name,
                 status == 403                    ? "refuses these credentials"
                 : status == 404                  ? "has no such bucket"
                 : status == 301 || status == 307 ? "has the bucket in another region: AWS_REGION"
                                                  : "fails",
                 status, what[0] != '\0' ? " " : "", what, why[0] != '\0' ? ": " : "", why);
}

static bool s3_may_pass(const struct s3 *s, CURLcode code, long status)
{
    if (s->io_errno != 0) {
        return false;
    }
    return code != CURLE_OK ? code != CURLE_URL_MALFORMAT && code != CURLE_PEER_FAILED_VERIFICATION
                            : status >= 500 || status == 429 || status == 408;
}

static int s3_request(struct s3 *s, const char *name, const char *hash)
{
    uint64_t wait_ms = S3_WAIT_MS, size = s->size;
    char what[40];
    long status;

    for (int attempt = 1;; attempt++) {
        s->size = size;
        CURLcode code = s3_ask(s, name, hash, &status);
        if (code == CURLE_OK && status == 200) {
            return ERR_OK;
        }
        s3_element(s->answer, "Code", what, sizeof what);
        if (code == CURLE_OK && status == 404 && !s->put && strcmp(what, "NoSuchBucket") != 0) {
            return ERR_NOT_FOUND;
        }
        if (attempt == S3_ATTEMPTS || !s3_may_pass(s, code, status)) {
            s3_say(s, name, code, status);
            return ERR_IO;
        }
        (void)nanosleep(&(struct timespec){.tv_sec = (time_t)(wait_ms / 1000),
                                           .tv_nsec = (long)(wait_ms % 1000) * 1000000},
                        NULL);
        wait_ms *= 2;
    }
}

static bool s3_hash(struct s3 *s, char out[SHA256_HEX_BYTES])
{
    uint8_t *piece = mem_alloc(S3_PIECE_BYTES);
    struct sha256 sum;
    uint64_t at = 0;

    sha256_init(&sum);
    while (at < s->size) {
        size_t want = s->size - at < S3_PIECE_BYTES ? (size_t)(s->size - at) : S3_PIECE_BYTES;
        ssize_t n = pread(s->fd, piece, want, (off_t)(s->begin + at));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            s->io_errno = n < 0 ? errno : EIO;
            break;
        }
        sha256_add(&sum, piece, (size_t)n);
        at += (uint64_t)n;
    }
    sha256_end(&sum, out);
    free(piece);
    return at == s->size;
}

int s3_put(struct s3 *s, const char *name, int fd, uint64_t at, uint64_t size)
{
    char hash[SHA256_HEX_BYTES];

    s->fd = fd;
    s->put = true;
    s->begin = at;
    s->size = size;
    s->io_errno = 0;
    if (!s3_hash(s, hash)) {
        s3_say(s, name, CURLE_OK, 0);
        return ERR_IO;
    }
    return s3_request(s, name, hash);
}

int s3_get(struct s3 *s, const char *name, int fd, uint64_t at, uint64_t max_bytes, uint64_t *size)
{
    char hash[SHA256_HEX_BYTES];
    struct sha256 nothing;

    sha256_init(&nothing);
    sha256_end(&nothing, hash);
    s->fd = fd;
    s->put = false;
    s->begin = at;
    s->size = 0;
    s->max_bytes = max_bytes;
    int err = s3_request(s, name, hash);
    *size = s->size;
    if (err == ERR_OK && ftruncate(fd, (off_t)(at + s->size)) != 0) {
        s->io_errno = errno;
        s3_say(s, name, CURLE_OK, 0);
        err = ERR_IO;
    }
    return err;
}
