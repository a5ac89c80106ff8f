/* What tests of big and slow things share: connections that wait, and witnesses: while a thing goes
 * on, others read and write a small key, or ask what a proxy answers itself, and how long that
 * takes is printed beside what it takes with a plain Redis doing the same (figures, not judged:
 * machines differ).
 *
 * BIG=1 in the environment: things at their full size, and a Redis with `appendfsync always` beside
 * the plain one. */
#ifndef TESTS_SYSTEM_BIG_H
#define TESTS_SYSTEM_BIG_H

#include "tests/lib/cluster.h"

enum { BIG_MIB = 1 << 20 };

/* For log nodes: segments of the default size. */
#define BIG_LOG "\"segment_bytes\": 67108864"

/* Whether BIG is set. */
bool big_full(void);
/* Before cluster_start: the servers that big_side_by_side compares with, besides plain1. */
void big_prepare(struct cluster *c);

/* A connection whose reads and writes wait, for two minutes at most. */
int big_dial(int port);
void big_put(int fd, const void *bytes, size_t size);
void big_put_text(int fd, const char *text);
void big_get(int fd, void *bytes, size_t size);
/* The next bytes must be this text. */
void big_expect(int fd, const char *text);
/* Whether the other side closes the connection, whatever it says before. */
bool big_is_closed(int fd);
/* Reads so many bytes and returns their hash. */
uint64_t big_digest(int fd, size_t size);
/* The number in a line like "*12" or "$12", which comes next. */
long long big_header(int fd, char type);
/* Sends a line and returns the integer that answers it. */
long long big_number(int port, const char *line);

/* What its pieces hold shows any byte that is lost or out of place. piece: BIG_MIB bytes. */
void big_fill_piece(uint64_t *piece, uint64_t number);
/* Sends size bytes of such pieces. */
void big_put_pieces(int fd, size_t size);
/* Reads size bytes, which must be those. */
void big_expect_pieces(int fd, size_t size);

/* Of so many durations in µs, which are sorted. */
struct big_figures {
    double p50_ms, p99_ms, max_ms;
};
struct big_figures big_figures(uint32_t *us, size_t count);

/* Does it with every server, one after the other, while others are served; what it returns must be
 * the same for all, and the proxy must lead in the same term as before: no lease may run out. */
void big_side_by_side(struct cluster *c, const char *what, uint64_t (*doing)(int port));
/* Does it with every server, unwatched. */
void big_everywhere(struct cluster *c, void (*doing)(int port));

/* The largest memory that the process has had. */
size_t big_peak_bytes(struct cluster *c, const char *name);

#endif
