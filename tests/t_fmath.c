/*
 * t_fmath.c -- plugins/ops/fmath.h against the C library in double, over all exponents.
 *
 * Error is in units in the last place of the exact result, with subnormals' spacing at the
 * bottom.
 */
#include "../plugins/ops/fmath.h"
#include "tap.h"

/* Every STEP-th bit pattern: a prime, so that mantissas vary. STEP=1 walks all floats. */
#ifndef STEP
enum { STEP = 3001 };
#endif

static double ulps(float got, double want)
{
    if (want != want) return got != got ? 0 : 1e9;
    if (fabs(want) >= 3.4028235677973366e38) return got == (float)want ? 0 : 1e9;
    int e;
    frexp(want, &e);
    if (e < -125) e = -125;
    return fabs((double)got - want) / ldexp(1, e - 24);
}

typedef struct row {
    const char *name;
    float (*mine)(float);
    double (*want)(double);
    double most;
} row;

static float m_exp(float x) { return fmath_exp(x); }
static float m_log(float x) { return fmath_log(x); }
static float m_tanh(float x) { return fmath_tanh(x); }
static float m_erf(float x) { return fmath_erf(x); }
static float m_sin(float x) { return fmath_sin(x); }
static float m_cos(float x) { return fmath_cos(x); }

int main(void)
{
    static const row rows[] = {
        {"exp", m_exp, exp, 1.0}, {"log", m_log, log, 0.9},  {"tanh", m_tanh, tanh, 1.4},
        {"erf", m_erf, erf, 1.1}, {"sin", m_sin, sin, 0.51}, {"cos", m_cos, cos, 0.51},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double worst = 0;
        float at = 0;
        for (uint64_t u = 0; u <= UINT32_MAX; u += STEP) {
            float x = fmath_float((uint32_t)u);
            double e = ulps(rows[i].mine(x), rows[i].want((double)x));
            if (e > worst) worst = e, at = x;
        }
        ok(worst <= rows[i].most, "%s errs by at most %.2f ulp: %.4f at %a", rows[i].name,
           rows[i].most, worst, (double)at);
    }
    ok(fmath_exp(0) == 1 && fmath_log(1) == 0 && fmath_cos(0) == 1, "exact where it shows");
    ok(fmath_exp(-INFINITY) == 0 && fmath_exp(INFINITY) == INFINITY, "exp of infinities");
    ok(fmath_log(0) == -INFINITY && fmath_log(-1) != fmath_log(-1), "log of 0 and below");
    ok(fmath_tanh(-INFINITY) == -1 && fmath_erf(INFINITY) == 1, "tanh and erf saturate");
    ok(signbit(fmath_tanh(-0.0f)) && signbit(fmath_erf(-0.0f)) && signbit(fmath_sin(-0.0f)),
       "odd functions keep the sign of zero");
    ok(fmath_sin(INFINITY) != fmath_sin(INFINITY), "sin of infinity is NaN");
    return tap_done();
}
