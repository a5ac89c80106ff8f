#include "proxy/ctl/s3.h"

#include "common/base64.h"
#include "common/mem.h"
#include "proxy/ctl/ctl.h"
#include "proxy/ctl/ctl_bar.h"
#include "proxy/ctl/ctl_stop.h"
#include "proxy/ctl/md5.h"
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
    S3_WAIT_MS = 200,       /* before the second attempt; twice as long before each of the others */
    S3_WAIT_MAX_MS = 30000, /* that a store may ask for */
    S3_CONNECT_S = 10,
    S3_SILENCE_S = 60,
};

enum s3_verb { S3_GET, S3_PUT, S3_HEAD };

/* What an object bears, to be known again by. */
static const char s3_meta_sha256[] = "x-amz-meta-sha256";

struct s3 {
    CURL *curl;
    char url[S3_TEXT_BYTES];      /* as it was given, for people */
    char endpoint[S3_TEXT_BYTES]; /* http://HOST:PORT */
    char place[S3_TEXT_BYTES];    /* BUCKET[/PREFIX] */
    const char *key, *secret, *token, *region;
    const char *ca_bundle; /* NULL: the system's */
    struct ctl_bar bar;

    /* The request under way. */
    enum s3_verb verb;
    int fd;
    char sha256[SHA256_HEX_BYTES]; /* of what is sent */
    struct buf md5;                /* in base64, as a text */
    uint64_t begin, size;          /* of the bytes in the file: to be sent, or received so far */
    uint64_t at;                   /* sent so far */
    uint64_t max_bytes;            /* that may be received */
    int io_errno;                  /* of the file */
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

static const char *s3_environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Of AWS, or what stands in for it. */
static bool s3_take_endpoint(struct s3 *s, const char *endpoint)
{
    const char *where = "--s3-endpoint";

    if (endpoint == NULL) {
        where = "AWS_ENDPOINT_URL_S3";
        endpoint = s3_environment(where);
    }
    if (endpoint == NULL) {
        where = "AWS_ENDPOINT_URL";
        endpoint = s3_environment(where);
    }
    if (endpoint == NULL) {
        (void)snprintf(s->endpoint, sizeof s->endpoint, "https://s3.%.60s.amazonaws.com%s",
                       s->region, strncmp(s->region, "cn-", 3) == 0 ? ".cn" : "");
        return true;
    }
    size_t len = strlen(endpoint);
    len -= len > 0 && endpoint[len - 1] == '/';
    bool web = strncmp(endpoint, "http://", 7) == 0 || strncmp(endpoint, "https://", 8) == 0;
    if (!web || len >= sizeof s->endpoint || strpbrk(endpoint, "@?# ") != NULL) {
        ctl_complain("%s: not http://HOST:PORT or https://HOST: %s", where, endpoint);
        return false;
    }
    (void)snprintf(s->endpoint, sizeof s->endpoint, "%.*s", (int)len, endpoint);
    return true;
}

static bool s3_take_url(struct s3 *s, const char *url)
{
    size_t len = strlen(url);

    len -= len > 0 && url[len - 1] == '/';
    (void)snprintf(s->url, sizeof s->url, "%.*s", (int)(len < sizeof s->url ? len : 0), url);
    (void)snprintf(s->place, sizeof s->place, "%s", s->url[0] != '\0' ? s->url + 5 : "");
    if (!s3_is_plain(s->place)) {
        ctl_complain("%s: not s3://BUCKET/PREFIX of letters, digits and -_./", url);
        return false;
    }
    return true;
}

static bool s3_take_credentials(struct s3 *s)
{
    s->key = s3_environment("AWS_ACCESS_KEY_ID");
    s->secret = s3_environment("AWS_SECRET_ACCESS_KEY");
    s->token = s3_environment("AWS_SESSION_TOKEN");
    s->ca_bundle = s3_environment("AWS_CA_BUNDLE");
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

    if (!s3_take_credentials(s) || !s3_take_url(s, url) || !s3_take_endpoint(s, endpoint)) {
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
        buf_release(&s->md5);
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
    if (s->verb != S3_GET || status != 200) {
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

    if (s->verb == S3_PUT && up_total > 0) {
        ctl_bar_show(&s->bar, "upload", (uint64_t)up, (uint64_t)up_total);
    } else if (s->verb == S3_GET && down_total > 0) {
        ctl_bar_show(&s->bar, "download", (uint64_t)down, (uint64_t)down_total);
    }
    return ctl_stop_asked() ? 1 : 0;
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

static struct curl_slist *s3_header(struct curl_slist *list, const char *name, const char *value)
{
    size_t size = strlen(name) + strlen(value) + sizeof ": ";
    char *header = mem_alloc(size);

    (void)snprintf(header, size, "%s: %s", name, value);
    list = curl_slist_append(list, header);
    MUST(list != NULL);
    free(header);
    return list;
}

/* All of them are signed. */
static struct curl_slist *s3_headers(const struct s3 *s)
{
    struct curl_slist *list = s3_header(NULL, "x-amz-content-sha256", s->sha256);

    if (s->token != NULL) {
        list = s3_header(list, "x-amz-security-token", s->token);
    }
    if (s->verb == S3_PUT) { /* a bucket whose objects are locked wants the first */
        list = s3_header(list, "content-md5", (const char *)buf_head(&s->md5));
        list = s3_header(list, s3_meta_sha256, s->sha256);
    }
    return list;
}

#define S3_SET(s, option, value)                                                                   \
    MUST(curl_easy_setopt((s)->curl, CURLOPT_##option, (value)) == CURLE_OK)

/* One attempt. *status 0: the store has not answered. */
static CURLcode s3_ask(struct s3 *s, const char *name, long *status)
{
    char url[S3_URL_BYTES], sign[100];
    struct curl_slist *headers = s3_headers(s);

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
    if (s->ca_bundle != NULL) {
        S3_SET(s, CAINFO, s->ca_bundle);
    }
    if (s->verb == S3_HEAD) {
        S3_SET(s, NOBODY, 1L);
    } else if (s->verb == S3_PUT) {
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

/* Where the store says that the bucket is; "": it does not. */
static void s3_other_region(const struct s3 *s, char *out, size_t size)
{
    struct curl_header *header;

    s3_element(s->answer, "Region", out, size);
    if (out[0] == '\0' && curl_easy_header(s->curl, "x-amz-bucket-region", 0, CURLH_HEADER, -1,
                                           &header) == CURLHE_OK) {
        (void)snprintf(out, size, "%s", header->value);
    }
    if (strcmp(out, s->region) == 0) {
        out[0] = '\0';
    }
}

static void s3_say_status(const struct s3 *s, const char *name, long status)
{
    char what[100], why[300], region[60];
    const char *verdict = "fails", *place = NULL;

    s3_element(s->answer, "Code", what, sizeof what);
    s3_element(s->answer, "Message", why, sizeof why);
    s3_other_region(s, region, sizeof region);
    if (region[0] != '\0') {
        verdict = "has the bucket in another region: AWS_REGION=";
        place = region;
    } else if (status >= 300 && status < 400) {
        verdict = "sends us elsewhere: ";
        (void)curl_easy_getinfo(s->curl, CURLINFO_REDIRECT_URL, &place);
    } else if (strcmp(what, "RequestTimeTooSkewed") == 0) {
        verdict = "says that this machine's clock is wrong";
    } else if (status == 403 || status == 401) {
        verdict = "refuses these credentials";
    } else if (status == 404) {
        verdict = "has no such bucket";
    }
    ctl_complain("%s/%s: the store %s%s (%ld%s%s%s%s)", s->url, name, verdict,
                 place != NULL ? place : "", status, what[0] != '\0' ? " " : "", what,
                 why[0] != '\0' ? ": " : "", why);
}

static void s3_say(const struct s3 *s, const char *name, CURLcode code, long status)
{
    if (ctl_stop_asked()) {
        ctl_complain("%s/%s: told to stop", s->url, name);
    } else if (s->io_errno != 0) {
        ctl_complain("%s/%s: %s", s->url, name, strerror(s->io_errno));
    } else if (code != CURLE_OK && status < 300) {
        ctl_complain("%s/%s: %s: %s", s->url, name, s->endpoint, curl_easy_strerror(code));
    } else {
        s3_say_status(s, name, status);
    }
}

static bool s3_may_pass(const struct s3 *s, CURLcode code, long status, const char *what)
{
    if (s->io_errno != 0 || ctl_stop_asked()) {
        return false;
    }
    if (code != CURLE_OK) {
        return code != CURLE_URL_MALFORMAT && code != CURLE_PEER_FAILED_VERIFICATION &&
               code != CURLE_SSL_CACERT_BADFILE;
    }
    return (status >= 500 && status != 501) || status == 429 || status == 408 || status == 409 ||
           strcmp(what, "RequestTimeout") == 0;
}

/* Longer, if the store says so. */
static void s3_wait(struct s3 *s, uint64_t wait_ms)
{
    curl_off_t asked_s = 0;

    (void)curl_easy_getinfo(s->curl, CURLINFO_RETRY_AFTER, &asked_s);
    if (asked_s > S3_WAIT_MAX_MS / 1000) {
        asked_s = S3_WAIT_MAX_MS / 1000;
    }
    if (asked_s > 0 && (uint64_t)asked_s * 1000 > wait_ms) {
        wait_ms = (uint64_t)asked_s * 1000;
    }
    (void)nanosleep(&(struct timespec){.tv_sec = (time_t)(wait_ms / 1000),
                                       .tv_nsec = (long)(wait_ms % 1000) * 1000000},
                    NULL);
}

static int s3_request(struct s3 *s, const char *name)
{
    uint64_t wait_ms = S3_WAIT_MS, size = s->size;
    char what[40];
    long status;

    for (int attempt = 1;; attempt++) {
        s->size = size;
        CURLcode code = s3_ask(s, name, &status);
        if (code == CURLE_OK && status == 200) {
            return ERR_OK;
        }
        s3_element(s->answer, "Code", what, sizeof what);
        if (code == CURLE_OK && status == 404 && s->verb == S3_GET &&
            strcmp(what, "NoSuchBucket") != 0) {
            return ERR_NOT_FOUND;
        }
        if (attempt == S3_ATTEMPTS || !s3_may_pass(s, code, status, what)) {
            s3_say(s, name, code, status);
            return ERR_IO;
        }
        s3_wait(s, wait_ms);
        wait_ms *= 2;
    }
}

static void s3_sum_nothing(struct s3 *s)
{
    struct sha256 nothing;

    sha256_init(&nothing);
    sha256_end(&nothing, s->sha256);
}

/* The sums of what is to be sent. */
static bool s3_sums(struct s3 *s)
{
    uint8_t *piece = mem_alloc(S3_PIECE_BYTES), digest[MD5_BYTES];
    struct sha256 sha256;
    struct md5 md5;
    uint64_t at = 0;

    sha256_init(&sha256);
    md5_init(&md5);
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
        sha256_add(&sha256, piece, (size_t)n);
        md5_add(&md5, piece, (size_t)n);
        at += (uint64_t)n;
    }
    sha256_end(&sha256, s->sha256);
    md5_end(&md5, digest);
    buf_clear(&s->md5);
    base64_put(&s->md5, digest, sizeof digest);
    buf_append(&s->md5, "", 1);
    free(piece);
    return at == s->size;
}

/* Whether the store has it already, the same. What goes wrong does so again when it is sent. */
static bool s3_has(struct s3 *s, const char *name)
{
    struct curl_header *header;
    char sent[SHA256_HEX_BYTES];
    curl_off_t length = -1;
    long status;

    memcpy(sent, s->sha256, sizeof sent);
    s3_sum_nothing(s);
    s->verb = S3_HEAD;
    bool has =
        s3_ask(s, name, &status) == CURLE_OK && status == 200 &&
        curl_easy_getinfo(s->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length) == CURLE_OK &&
        length >= 0 && (uint64_t)length == s->size &&
        curl_easy_header(s->curl, s3_meta_sha256, 0, CURLH_HEADER, -1, &header) == CURLHE_OK &&
        strcmp(header->value, sent) == 0;
    memcpy(s->sha256, sent, sizeof sent);
    return has;
}

int s3_put(struct s3 *s, const char *name, int fd, uint64_t at, uint64_t size, bool look)
{
    s->fd = fd;
    s->begin = at;
    s->size = size;
    s->io_errno = 0;
    if (!s3_sums(s)) {
        s3_say(s, name, CURLE_OK, 0);
        return ERR_IO;
    }
    if (look && s3_has(s, name)) {
        return ERR_OK;
    }
    s->verb = S3_PUT;
    return s3_request(s, name);
}

int s3_get(struct s3 *s, const char *name, int fd, uint64_t at, uint64_t max_bytes, uint64_t *size)
{
    s->fd = fd;
    s->verb = S3_GET;
    s->begin = at;
    s->size = 0;
    s->max_bytes = max_bytes;
    s3_sum_nothing(s);
    int err = s3_request(s, name);
    *size = s->size;
    if (err == ERR_OK && ftruncate(fd, (off_t)(at + s->size)) != 0) {
        s->io_errno = errno;
        s3_say(s, name, CURLE_OK, 0);
        err = ERR_IO;
    }
    return err;
}
