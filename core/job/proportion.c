/*
 * proportion.c -- exact confidence bounds for k of n. See proportion.h.
 */
#include "proportion.h"
#include <math.h>

static double continued_fraction(double a, double b, double x)
{
    const double TINY = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < TINY ? TINY : d);
    double f = d;
    for (int m = 1; m <= 10000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
               odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double step = 1;
        for (int k = 0; k < 2; k++) {
            double term = k ? odd : even;
            d = 1 + term * d;
            c = 1 + term / c;
            if (fabs(d) < TINY) d = TINY;
            if (fabs(c) < TINY) c = TINY;
            d = 1 / d;
            step = c * d;
            f *= step;
        }
        if (fabs(step - 1) < 1e-15) break;
    }
    return f;
}

double proportion_beta(double a, double b, double x)
{
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2)) return front * continued_fraction(a, b, x) / a;
    return 1 - front * continued_fraction(b, a, 1 - x) / b;
}

/* x with I_x(a, b) = p. */
static double quantile(double a, double b, double p)
{
    double lo = 0, hi = 1;
    for (int i = 0; i < 200 && hi - lo > 1e-17; i++) {
        double mid = (lo + hi) / 2;
        if (mid == lo || mid == hi) break;
        if (proportion_beta(a, b, mid) < p)
            lo = mid;
        else
            hi = mid;
    }
    return (lo + hi) / 2;
}

static double upper(int64_t k, int64_t n, double alpha)
{
    return k >= n ? 1 : quantile((double)k + 1, (double)(n - k), 1 - alpha);
}

proportion proportion_of(int64_t k, int64_t n, double confidence)
{
    double alpha = (1 - confidence) / 2;
    if (n < 1) return (proportion){0, 0, 1};
    return (proportion){.rate = (double)k / (double)n,
                        .lo = k <= 0 ? 0 : quantile((double)k, (double)(n - k + 1), alpha),
                        .hi = upper(k, n, alpha)};
}

double proportion_upper(int64_t k, int64_t n, double confidence)
{
    return n < 1 ? 1 : upper(k, n, 1 - confidence);
}
