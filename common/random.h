/* Randomness: from the kernel, and a generator that repeats itself from a seed.
 *
 * Pure code takes a struct random; the world seeds it with random_seed, a test or the simulator
 * with a number that it prints. Not for secrets: those come from random_bytes alone. */
#ifndef COMMON_RANDOM_H
#define COMMON_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fills size bytes from the kernel (getrandom(2)); waits at boot until it has entropy. */
void random_bytes(void *bytes, size_t size);

/* So many lower-case hexadecimal digits (an even number) that are a secret, and a NUL. */
void random_hex(char *out, size_t digits);

/* 64 bits from the kernel. */
uint64_t random_seed(void);

/* xoshiro256** by Blackman and Vigna, its state filled from the seed by splitmix64 as its authors
 * advise. */
struct random {
    uint64_t state[4];
};

/* Equal seeds give equal sequences, on every machine. */
void random_init(struct random *r, uint64_t seed);

uint64_t random_next(struct random *r);

/* Evenly distributed in 0 … limit - 1; limit is not 0. */
uint64_t random_below(struct random *r, uint64_t limit);

#endif
