/*
 * core/job/proportion: Clopper and Pearson's bounds against known values and against the
 * binomial sums that define them.
 */
#include "job/proportion.h"
#include "tap.h"
#include <math.h>

/* P(X <= k) of n trials, summed term by term. */
static double at_most(int64_t k, int64_t n, double p)
{
    double sum = 0;
    for (int64_t i = 0; i <= k; i++)
        sum += exp(lgamma((double)n + 1) - lgamma((double)i + 1) -
                   lgamma((double)(n - i) + 1) + (double)i * log(p) +
                   (double)(n - i) * log1p(-p));
    return sum;
}

int main(void)
{
    /* closed forms: 0 of n gives 1 - (alpha / 2)^(1 / n), and the rule of three */
    proportion p = proportion_of(0, 10, 0.95);
    ok(p.lo == 0 && fabs(p.hi - 0.30849710781876) < 1e-12, "0 of 10: [0, 0.3085] (%.6f)",
       p.hi);
    p = proportion_of(10, 10, 0.95);
    ok(p.hi == 1 && fabs(p.lo - 0.69150289218124) < 1e-12, "10 of 10: [0.6915, 1]");
    ok(fabs(proportion_upper(0, 3000, 0.95) - (1 - pow(0.05, 1.0 / 3000))) < 1e-12,
       "0 of 3000: no more than 0.0998 %% with 95 %%");
    ok(fabs(proportion_upper(2, 3000, 0.95) - 0.002097095855532) < 1e-12,
       "2 of 3000: no more than 0.2097 %%");
    p = proportion_of(5, 10, 0.95);
    ok(fabs(p.lo - 0.187086028447398) < 1e-12 && fabs(p.hi - 0.812913971552602) < 1e-12 &&
           p.rate == 0.5,
       "5 of 10: [0.1871, 0.8129], as in the tables");
    p = proportion_of(0, 0, 0.95);
    ok(p.rate == 0 && p.lo == 0 && p.hi == 1, "nothing tried, nothing known");
    ok(proportion_upper(7, 7, 0.95) == 1, "all of all: no upper bound below 1");

    double worst = 0;
    for (int64_t n = 1; n <= 400; n = n * 2 + 1)
        for (int64_t k = 0; k <= n; k += 1 + n / 9) {
            p = proportion_of(k, n, 0.9);
            if (k < n) worst = fmax(worst, fabs(at_most(k, n, p.hi) - 0.05));
            if (k > 0) worst = fmax(worst, fabs(at_most(k - 1, n, p.lo) - 0.95));
            if (k < n)
                worst =
                    fmax(worst, fabs(at_most(k, n, proportion_upper(k, n, 0.99)) - 0.01));
        }
    ok(worst < 1e-9, "at its bounds the binomial's tails are as small as asked (%.1e)",
       worst);
    worst = 0;
    for (double x = 0; x <= 1; x += 1.0 / 64) /* I_x(a, b) + I_(1-x)(b, a) = 1 */
        for (double a = 0.5; a < 3000; a *= 5)
            worst = fmax(worst,
                         fabs(proportion_beta(a, 7, x) + proportion_beta(7, a, 1 - x) - 1));
    ok(worst < 1e-12, "the beta integral and its mirror add up (%.1e)", worst);
    return tap_done();
}
