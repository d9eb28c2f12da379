/*
 * rng.c -- splitmix64 used as a counter-based generator.
 *
 * Reads and writes: the two integers of the caller's rng.  Not here: what is drawn (the
 * scenes).
 */
#include "rng.h"

uint64_t rng_bits(rng *r)
{
    uint64_t z = r->seed + ++r->n * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    /* A second round separates neighbouring seeds, which a single one leaves as shifted
     * copies. */
    z += r->seed ^ UINT64_C(0xD1B54A32D192ED03);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

double rng_uniform(rng *r, double lo, double hi)
{
    return lo + (hi - lo) * ((double)(rng_bits(r) >> 11) * 0x1p-53);
}

int32_t rng_below(rng *r, int32_t n)
{
    return (int32_t)(((rng_bits(r) >> 32) * (uint64_t)n) >> 32);
}
