/*
 * proportion.h -- what k of n says about a probability: exact confidence bounds.
 *
 * Source: Clopper and Pearson 1934, Biometrika 26. The bounds are quantiles of the beta
 * distribution, found by bisection on its regularised incomplete integral (continued
 * fraction of Press et al., Numerical Recipes, section 6.4, after Lentz).
 */
#ifndef EVLA_JOB_PROPORTION_H
#define EVLA_JOB_PROPORTION_H
#include <stdint.h>

typedef struct proportion {
    double rate, lo, hi;
} proportion;

/* k of n, 0 <= k <= n, with two-sided confidence in (0, 1), e.g. 0.95. n 0: rate 0 in
 * [0, 1]. */
proportion proportion_of(int64_t k, int64_t n, double confidence);
/* The one-sided upper bound: with this confidence the probability is no higher. */
double proportion_upper(int64_t k, int64_t n, double confidence);
/* I_x(a, b) for a, b > 0 and x in [0, 1]; error below 1e-12. */
double proportion_beta(double a, double b, double x);

#endif
