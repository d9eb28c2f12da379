/*
 * histogram.c -- durations counted into bins. See histogram.h.
 */
#include "histogram.h"
#include <math.h>

/* Values below HISTOGRAM_STEPS have a bin each; then each doubling has HISTOGRAM_STEPS. */
static int32_t bin_of(int64_t ns)
{
    if (ns < HISTOGRAM_STEPS) return (int32_t)(ns < 0 ? 0 : ns);
    int octave = 63 - __builtin_clzll((unsigned long long)ns) - 6; /* log2(64) */
    int64_t bin =
        (int64_t)(octave + 1) * HISTOGRAM_STEPS + (ns >> octave) - HISTOGRAM_STEPS;
    return bin < HISTOGRAM_BINS ? (int32_t)bin : HISTOGRAM_BINS - 1;
}

void histogram_bin(int32_t bin, int64_t *low_ns, int64_t *high_ns)
{
    int octave = bin / HISTOGRAM_STEPS - 1, step = bin % HISTOGRAM_STEPS;
    if (octave < 0) {
        *low_ns = bin;
        *high_ns = bin + 1;
        return;
    }
    *low_ns = (int64_t)(HISTOGRAM_STEPS + step) << octave;
    *high_ns = (int64_t)(HISTOGRAM_STEPS + step + 1) << octave;
}

void histogram_add(histogram *h, int64_t ns)
{
    if (ns < 0) ns = 0;
    h->n++;
    h->sum_ns += ns;
    if (ns > h->max_ns) h->max_ns = ns;
    h->bins[bin_of(ns)]++;
}

void histogram_merge(histogram *h, const histogram *other)
{
    h->n += other->n;
    h->sum_ns += other->sum_ns;
    if (other->max_ns > h->max_ns) h->max_ns = other->max_ns;
    for (int32_t i = 0; i < HISTOGRAM_BINS; i++)
        h->bins[i] += other->bins[i];
}

int64_t histogram_at(const histogram *h, double q)
{
    int64_t rank = (int64_t)ceil(q * (double)h->n), seen = 0, low, high;
    if (rank < 1) rank = 1;
    for (int32_t i = 0; i < HISTOGRAM_BINS; i++) {
        seen += h->bins[i];
        if (seen < rank) continue;
        histogram_bin(i, &low, &high);
        return high - 1 < h->max_ns ? high - 1 : h->max_ns;
    }
    return h->max_ns;
}
