/*
 * fmath.h -- exp, log, tanh, erf, sin and cos with the same bits on every machine.
 *
 * A C library picks its expf by the processor it finds, with or without FMA, so its last
 * bit differs from machine to machine. These use +, -, *, / on IEEE numbers in a fixed
 * order and nothing else; compile with -ffp-contract=off. Largest errors over all floats,
 * checked by tests/t_fmath.c against the C library in double: exp 1.0, log 0.9, tanh 1.4,
 * erf 1.1, sin and cos 0.51 units in the last place. No branches but selects in the first
 * four, so loops over them become vectors. The polynomials are weighted minimax fits
 * (Remez's problem, solved by Lawson's iteration).
 */
#ifndef OPS_FMATH_H
#define OPS_FMATH_H
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t fmath_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float fmath_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* e^x = 2^n e^r, |r| <= ln 2 / 2. Adding 1.5 * 2^23 rounds to an integer, found in the low
 * bits. */
static inline float fmath_exp(float x)
{
    const float round = 12582912.0f;
    float c = x > 90.0f ? 90.0f : x;
    c = c < -105.0f ? -105.0f : c;
    float t = c * 1.44269504f + round;
    float n = t - round;
    float r = (c - n * 0.693145752f) -
              n * 1.42860677e-6f; /* ln 2 = the sum, first 16 bits exact */
    float p = 0.000197902438f;
    p = p * r + 0.00139447581f;
    p = p * r + 0.00833349768f;
    p = p * r + 0.0416662954f;
    p = p * r + 0.166666657f;
    p = p * r + 0.5f;
    float y = (p * (r * r) + r) + 1.0f;
    /* n is in [-152, 130]: two halves, so that 2^n may be subnormal or infinite in the end
     */
    uint32_t k = fmath_bits(t) - fmath_bits(round) + 256u; /* n + 256 > 0 */
    uint32_t half = k >> 1;
    return y * fmath_float((half - 1u) << 23) * fmath_float((k - half - 1u) << 23);
}

/* log x = e ln 2 + log(1 + f), sqrt(1/2) <= 1 + f < sqrt 2. */
static inline float fmath_log(float x)
{
    float s = x < 1.17549435e-38f ? x * 8388608.0f : x; /* subnormals: times 2^23 */
    uint32_t u = fmath_bits(s) - 0x3f3504f3u;           /* sqrt(1/2) */
    float e = (float)((int32_t)u >> 23) - (x < 1.17549435e-38f ? 23.0f : 0.0f);
    float f = fmath_float((u & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
    float p = 0.0674773082f;
    p = p * f + -0.116775155f;
    p = p * f + 0.11888697f;
    p = p * f + -0.124053404f;
    p = p * f + 0.142194524f;
    p = p * f + -0.166680053f;
    p = p * f + 0.200021237f;
    p = p * f + -0.250000089f;
    p = p * f + 0.333333135f;
    float f2 = f * f;
    float y = (f2 * f) * p + e * 1.42860677e-6f;
    y = ((y - 0.5f * f2) + f) + e * 0.693145752f;
    y = x < INFINITY ? y : x;
    y = x == 0.0f ? -INFINITY : y;
    return x < 0.0f ? NAN : y;
}

static inline float fmath_tanh(float x)
{
    float a = fabsf(x), x2 = x * x;
    float p = 0.00214296207f;
    p = p * x2 + -0.0081773987f;
    p = p * x2 + 0.0217007026f;
    p = p * x2 + -0.0539467633f;
    p = p * x2 + 0.133332059f;
    p = p * x2 + -0.333333313f;
    float small = (p * x2) * x + x;
    float large = 1.0f - 2.0f / (fmath_exp(a + a) + 1.0f);
    float y = copysignf(a < 0.625f ? small : large, x);
    return x != x ? x : y;
}

static inline float fmath_erf(float x)
{
    float a = fabsf(x), x2 = x * x;
    float p = -1.02413587e-5f;
    p = p * x2 + 0.000114397568f;
    p = p * x2 + -0.000850466138f;
    p = p * x2 + 0.00522223441f;
    p = p * x2 + -0.0268657897f;
    p = p * x2 + 0.112837873f;
    p = p * x2 + -0.376126379f;
    p = p * x2 + 0.128379166f;
    float small = p * x + x;
    float t = a > 3.95f ? 3.95f : a; /* 1 - erf(3.95) < 2^-25 */
    float q = 1.14878894e-5f;        /* erfc t = e^-(t + t q) */
    q = q * t + -0.000325373752f;
    q = q * t + 0.00365291559f;
    q = q * t + -0.023784196f;
    q = q * t + 0.106262594f;
    q = q * t + 0.63513577f;
    q = q * t + 0.128652319f;
    float large = 1.0f - fmath_exp(-(q * t + t));
    float y = copysignf(a < 0.9277f ? small : large, x);
    return x != x ? x : y;
}

/* x = n pi/2 + r, |r| <= pi/4, n mod 4. */
static inline double fmath_quadrant(float x, int *n)
{
    /* 2/pi = 0.a2f9... in units of 2^-32, -64, ...; the leading 0 lets the window start
     * early */
    static const uint32_t two_over_pi[] = {0,          0xa2f9836e, 0x4e441529, 0xfc2757d1,
                                           0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab};
    uint32_t u = fmath_bits(x), e = u >> 23 & 255;
    if (e < 127 + 20) {
        const double round = 6755399441055744.0; /* 1.5 * 2^52 */
        double t = (double)x * 0.63661977236758134 + round, k = t - round;
        *n = (int)((int64_t)k & 3);
        return ((double)x - k * 1.5707963267341256) - k * 6.0771005065061922e-11;
    }
    /* Payne and Hanek 1983: |x| = m 2^s. Of m * 2/pi only the two bits above the point and
     * what is below it matter, so take 96 bits of 2/pi from two bits above the point on. */
    uint32_t m = (u & 0x7fffffu) | 0x800000u, s = e - 150 + 30; /* s >= 27 */
    uint32_t word = s / 32, bit = s % 32, w[3];
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t pair = (uint64_t)two_over_pi[word + i] << 32 | two_over_pi[word + i + 1];
        w[i] = (uint32_t)(pair << bit >> 32);
    }
    uint64_t f =
        ((uint64_t)m * w[0] << 32) + (uint64_t)m * w[1] + ((uint64_t)m * w[2] >> 32);
    uint64_t k = (f + (UINT64_C(1) << 61)) >> 62; /* units of 2^-62: nearest integer */
    double r = (double)(int64_t)(f - (k << 62)) * 3.4061215800865545e-19; /* pi/2 * 2^-62 */
    *n = (int)(u >> 31 ? (0 - k) & 3 : k & 3);
    return u >> 31 ? -r : r;
}

/* Taylor to r^13 and r^12: below 1e-11 on |r| <= pi/4. */
static inline float fmath_wave(double r, int n)
{
    double r2 = r * r, y;
    if (n & 1)
        y = 1 + r2 * (-1.0 / 2 +
                      r2 * (1.0 / 24 + r2 * (-1.0 / 720 +
                                             r2 * (1.0 / 40320 + r2 * (-1.0 / 3628800 +
                                                                       r2 / 479001600)))));
    else
        y = r * (1 + r2 * (-1.0 / 6 +
                           r2 * (1.0 / 120 +
                                 r2 * (-1.0 / 5040 +
                                       r2 * (1.0 / 362880 +
                                             r2 * (-1.0 / 39916800 + r2 / 6227020800))))));
    return (float)(n & 2 ? -y : y);
}

static inline float fmath_sin(float x)
{
    int n;
    if (!(fabsf(x) < INFINITY)) return x - x; /* NaN */
    double r = fmath_quadrant(x, &n);
    return fmath_wave(r, n);
}

static inline float fmath_cos(float x)
{
    int n;
    if (!(fabsf(x) < INFINITY)) return x - x;
    double r = fmath_quadrant(x, &n);
    return fmath_wave(r, n + 1);
}

/* Cosine and sine of an angle in f64, |x| < FMATH_TURNS, rounded to f32: for angles that
 * f32 could not hold. pi/2 in three parts: 22 bits of it times k, below 2^31, are exact. */
#define FMATH_TURNS 2147483648.0
static inline void fmath_turn(double x, float *cosine, float *sine)
{
    const double round = 6755399441055744.0; /* 1.5 * 2^52 */
    double k = (x * 0.63661977236758134 + round) - round;
    double r = ((x - k * 1.570796012878418) - k * 3.139164164167596e-07) -
               k * 6.223372171896613e-14;
    int n = (int)((int64_t)k & 3);
    *sine = fmath_wave(r, n);
    *cosine = fmath_wave(r, n + 1);
}

#endif
