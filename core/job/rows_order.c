/*
 * rows_order.c -- the order in which training sees rows. See rows.h.
 */
#include "../mix.h"
#include "rows.h"

/* A keyed permutation of [0, n): a Feistel network over the next power of 4, walked until
 * it lands inside (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"). It
 * needs no memory, and any place of it can be computed, so a place is all that a checkpoint
 * keeps. */
int64_t rows_shuffled(uint64_t seed, int64_t n, int64_t at)
{
    uint64_t key = mix(seed * MIX_STEP + (uint64_t)(at / n) + 1), x;
    int half = 1;
    while (half < 31 && (uint64_t)1 << (2 * half) < (uint64_t)n)
        half++;
    const uint64_t low = ((uint64_t)1 << half) - 1;
    x = (uint64_t)(at % n);
    do {
        uint64_t left = x >> half, right = x & low;
        for (uint64_t round = 1; round <= 6; round++) {
            uint64_t next = left ^ (mix(right + key + round * 0xd1342543de82ef95u) & low);
            left = right;
            right = next;
        }
        x = left << half | right;
    } while (x >= (uint64_t)n);
    return (int64_t)x;
}
