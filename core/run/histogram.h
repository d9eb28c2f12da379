/*
 * histogram.h -- durations counted into a fixed number of bins: adding one allocates
 * nothing and takes a few instructions.
 *
 * Bins grow with what they count: 64 to each doubling, so a quantile is within 1/64 of the
 * true one; the largest value is kept exactly.
 */
#ifndef EVLA_RUN_HISTOGRAM_H
#define EVLA_RUN_HISTOGRAM_H
#include <stdint.h>

enum { HISTOGRAM_STEPS = 64, HISTOGRAM_BINS = 64 * 36 }; /* up to 2^41 ns, 36 minutes */

typedef struct histogram {
    int64_t n, sum_ns, max_ns;
    uint32_t bins[HISTOGRAM_BINS];
} histogram;

void histogram_add(histogram *h, int64_t ns); /* below 0 counts as 0 */
void histogram_merge(histogram *h, const histogram *other);
/* The q-quantile by nearest rank, at the upper end of its bin but never above the maximum.
 */
int64_t histogram_at(const histogram *h, double q);
/* [low, high) of a bin, in ns. */
void histogram_bin(int32_t bin, int64_t *low_ns, int64_t *high_ns);

#endif
