/*
 * rng.h -- a small counter-based random generator: value n of seed s is a pure function of
 * both.
 *
 * No state beyond two integers, so a seed means the same episode on every machine and
 * worker.
 */
#ifndef MUJOCO_RNG_H
#define MUJOCO_RNG_H

#include <stdint.h>

typedef struct rng {
    uint64_t seed;
    uint64_t n; /* draws made so far */
} rng;

/* Next 64 random bits. Source: splitmix64, Steele, Lea and Flood 2014 (Vigna's constants).
 */
uint64_t rng_bits(rng *r);

/* Uniform in [lo, hi), 53 bits. */
double rng_uniform(rng *r, double lo, double hi);

/* Uniform integer in [0, n); n > 0 and small, so the bias of the multiply is below 2^-32.
 */
int32_t rng_below(rng *r, int32_t n);

#endif
