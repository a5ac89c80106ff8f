#include "tests/lib/cluster.h"

#include "common/clock.h"
#include "tests/lib/cluster_state.h"

#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Small segments: they fill up during a test, and make less for the disk to do. */
#define CLUSTER_LOG_JSON "\"segment_bytes\": 16777216"

struct cluster_process *cluster_process_of(const struct cluster *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++) {
        if (strcmp(c->processes[i].name, name) == 0) {
            return (struct cluster_process *)&c->processes[i];
        }
    }
    ck_abort_msg("there is no %s in this cluster", name);
}

void cluster_file_path(const struct cluster_process *p, const char *file, char *path, size_t size)
{
    int len = snprintf(path, size, "%s/%s", p->dir, file);
    ck_assert(len > 0 && (size_t)len < size);
}

static struct cluster_process *process_add(struct cluster *c, const char *name)
{
    struct cluster_process *p = &c->processes[c->count++];
    char data[CLUSTER_PATH_MAX + 8], base[401];

    ck_assert_uint_le(c->count, CLUSTER_PROCESSES_MAX);
    snprintf(base, sizeof base, "%.400s", c->dir);
    snprintf(p->name, sizeof p->name, "%s", name);
    int len = snprintf(p->dir, sizeof p->dir, "%s/%s", base, name);
    ck_assert(len > 0 && (size_t)len < sizeof p->dir);
    ck_assert_int_eq(mkdir(p->dir, 0700), 0);
    cluster_file_path(p, "data", data, sizeof data);
    ck_assert_int_eq(mkdir(data, 0700), 0);
    p->port = p->relay_port = cluster_free_port();
    return p;
}

static void process_relay(struct cluster *c, struct cluster_process *p)
{
    if (c->relay != NULL) {
        p->relay_port = cluster_free_port();
        relay_add(c->relay, p->name, p->relay_port, p->port);
    }
}

const char *cluster_name(const char *kind, unsigned i)
{
    static char names[4][16];
    static unsigned next;
    char *name = names[next++ % 4];

    snprintf(name, sizeof names[0], "%s%u", kind, i);
    return name;
}

void cluster_add_redis(struct cluster *c, const char *name, const char *const *args)
{
    struct cluster_process *p = process_add(c, name);
    p->redis = true;
    p->redis_args = args;
}

void cluster_set_redis_args(struct cluster *c, const char *name, const char *const *args)
{
    cluster_process_of(c, name)->redis_args = args;
}

void cluster_add_sentinel(struct cluster *c, const char *name, const char *master)
{
    struct cluster_process *p = process_add(c, name);
    char path[CLUSTER_PATH_MAX + 16];

    p->sentinel = true;
    cluster_file_path(p, "sentinel.conf", path, sizeof path);
    FILE *f = fopen(path, "we");
    ck_assert_msg(f != NULL, "open %s: %s", path, strerror(errno));
    fprintf(f,
            "port %d\nbind 127.0.0.1\ndir %s/data\nsentinel monitor mymaster 127.0.0.1 %d 2\n"
            "sentinel down-after-milliseconds mymaster 60000\n",
            p->port, p->dir, cluster_process_of(c, master)->port);
    ck_assert_int_eq(fclose(f), 0);
}

static FILE *config_open(const struct cluster_process *p)
{
    char path[CLUSTER_PATH_MAX + 16];
    cluster_file_path(p, "config.json", path, sizeof path);
    FILE *f = fopen(path, "we");
    ck_assert_msg(f != NULL, "open %s: %s", path, strerror(errno));
    return f;
}

static void config_lease(const struct cluster *c, FILE *f)
{
    if (c->options.lease_ms != 0) {
        fprintf(f, " \"lease_ms\": %u,\n", c->options.lease_ms);
    }
}

static void config_log(const struct cluster *c, const struct cluster_process *p)
{
    FILE *f = config_open(p);
    fprintf(f, "{\"node_id\": \"%s\", \"cluster_id\": \"%s\",\n", p->name, c->cluster_id);
    config_lease(c, f);
    fprintf(f, " \"host\": \"127.0.0.1\", \"port\": %d, \"data_dir\": \"%s/data\",\n %s}\n",
            p->port, p->dir, c->options.log_json ? c->options.log_json : CLUSTER_LOG_JSON);
    ck_assert_int_eq(fclose(f), 0);
}

static void config_proxy(const struct cluster *c, const struct cluster_process *p,
                         const char *redis)
{
    FILE *f = config_open(p);
    fprintf(f, "{\"name\": \"%s\", \"cluster_id\": \"%s\",\n", p->name, c->cluster_id);
    config_lease(c, f);
    fprintf(f,
            " \"host\": \"127.0.0.1\", \"port\": %d, "
            "\"data_dir\": \"%s/data\",\n \"redis\": {\"host\": \"127.0.0.1\", \"port\": %d, "
            "\"user\": \"\", \"password\": \"\"%s},\n \"log\": {\"id\": 1, \"nodes\": [",
            p->port, p->dir, cluster_process_of(c, redis)->relay_port,
            c->options.redis_json ? c->options.redis_json : "");
    for (unsigned i = 0; i < c->log_nodes; i++) {
        fprintf(f, "%s\"127.0.0.1:%d\"", i ? ", " : "", c->processes[i].relay_port);
    }
    fprintf(f, "]%s}", c->options.proxy_log_json ? c->options.proxy_log_json : "");
    if (p->relay_port != p->port) {
        fprintf(f, ",\n \"announce_port\": %d", p->relay_port);
    }
    if (p->sentinel_port != 0) {
        fprintf(f, ",\n \"sentinel\": {\"port\": %d, %s}", p->sentinel_port,
                c->options.sentinel_json);
    }
    fprintf(f, "%s%s}\n", c->options.proxy_json ? ",\n " : "",
            c->options.proxy_json ? c->options.proxy_json : "");
    ck_assert_int_eq(fclose(f), 0);
}

void cluster_add_log(struct cluster *c, const char *name)
{
    config_log(c, process_add(c, name));
}

struct cluster *cluster_create(const struct cluster_options *options)
{
    struct cluster *c =
        mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(c != MAP_FAILED);
    if (options != NULL) {
        c->options = *options;
    }
    c->log_nodes = c->options.log_nodes ? c->options.log_nodes : 3;
    ck_assert_uint_le(c->log_nodes, CLUSTER_LOG_NODES_MAX);
    c->pairs = c->options.pairs ? c->options.pairs : 1;
    ck_assert_uint_le(c->pairs, CLUSTER_PAIRS_MAX);

    /* Not in /tmp: that may be a tmpfs, which knows neither fsync nor O_DIRECT. */
    const char *base = getenv("HOLDFAST_TEST_DIR");
    char here[300];
    ck_assert(getcwd(here, sizeof here) != NULL);
    snprintf(c->dir, sizeof c->dir, "%s/test-run-XXXXXX", base ? base : here);
    ck_assert_msg(mkdtemp(c->dir) != NULL, "mkdtemp %s: %s", c->dir, strerror(errno));
    snprintf(c->cluster_id, sizeof c->cluster_id, "%016llx%016x",
             (unsigned long long)clock_now_ns(), (unsigned)getpid());

    c->relay = c->options.relays ? relay_create() : NULL;
    for (unsigned i = 1; i <= c->log_nodes; i++) {
        struct cluster_process *p = process_add(c, cluster_name("log", i));
        process_relay(c, p);
        config_log(c, p);
    }
    for (unsigned i = 1; i <= c->pairs; i++) {
        cluster_add_redis(c, cluster_name("redis", i), c->options.redis_args);
        if (c->options.redis_relays) {
            process_relay(c, &c->processes[c->count - 1]);
        }
    }
    if (c->options.plain) {
        cluster_add_redis(c, "plain1", c->options.redis_args);
    }
    for (unsigned i = 1; i <= c->pairs; i++) {
        struct cluster_process *p = process_add(c, cluster_name("proxy", i));
        p->sentinel_port = c->options.sentinel_json != NULL ? cluster_free_port() : 0;
        process_relay(c, p);
        config_proxy(c, p, cluster_name("redis", i));
    }
    if (c->relay != NULL) {
        relay_start(c->relay);
    }
    return c;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void cluster_wipe(struct cluster *c, const char *name)
{
    const struct cluster_process *p = cluster_process_of(c, name);
    char data[CLUSTER_PATH_MAX + 8];

    cluster_file_path(p, "data", data, sizeof data);
    ck_assert_int_eq(nftw(data, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    ck_assert_int_eq(mkdir(data, 0700), 0);
}

/* The end of a log, whole lines, on standard error. */
static void log_print_tail(const struct cluster_process *p)
{
    enum { TAIL_BYTES = 4000 };
    char path[CLUSTER_PATH_MAX + 16], bytes[TAIL_BYTES + 1];

    cluster_file_path(p, "log", path, sizeof path);
    FILE *f = fopen(path, "re");
    fprintf(stderr, "--- %s (port %d): the end of its log\n", p->name, p->port);
    if (f == NULL) {
        return;
    }
    if (fseek(f, -TAIL_BYTES, SEEK_END) != 0) {
        rewind(f);
    }
    size_t len = fread(bytes, 1, TAIL_BYTES, f);
    bytes[len] = '\0';
    const char *text = bytes;
    if (len == TAIL_BYTES && strchr(bytes, '\n') != NULL) {
        text = strchr(bytes, '\n') + 1;
    }
    fprintf(stderr, "%s\n", text);
    fclose(f);
}

void cluster_test_begins(struct cluster *c)
{
    c->tests_begun++;
}

void cluster_test_passed(struct cluster *c)
{
    c->tests_passed++;
}

void cluster_destroy(struct cluster *c)
{
    if (c == NULL) {
        return;
    }
    cluster_kill_all(c);
    relay_destroy(c->relay);
    for (size_t i = 0; c->tests_passed != c->tests_begun && i < c->count; i++) {
        log_print_tail(&c->processes[i]);
    }
    if (getenv("HOLDFAST_KEEP") == NULL) {
        nftw(c->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    } else {
        fprintf(stderr, "kept: %s\n", c->dir);
    }
    munmap(c, sizeof *c);
}
