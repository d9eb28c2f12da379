/*
 * blocks.c -- q8_0, q4_0, q4_1, q5_0 and q5_1: 32 codes and one scale, or scale and
 * minimum. See blocks.h.
 *
 * encode gives ggml's own bytes: the scale that spans the block, codes from the scale
 * before it is rounded to 16 bits. (Built with FMA ggml itself differs in rare ties.)
 */
#include "blocks.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N = 32, HALF = N / 2 };

#define SCALE_MOST 65504.0f /* the largest finite 16-bit float */

/* ---- scales and bounds ---- */

float block_scale(const uint8_t *at)
{
    uint32_t code = (uint32_t)at[0] | (uint32_t)at[1] << 8, sign = (code & 0x8000u) << 16,
             e = code >> 10 & 31u, m = code & 0x3ffu, u;
    float x = (float)m * 0x1p-24f; /* subnormal, or zero: exact */
    memcpy(&u, &x, sizeof u);
    if (e == 31)
        u = 0x7f800000u | m << 13;
    else if (e)
        u = (e + 112u) << 23 | m << 13;
    u |= sign;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* block_check was asked before, so d is finite and does not overflow. */
void block_set_scale(uint8_t *at, float d)
{
    uint32_t u, code;
    float a = fabsf(d), half;
    if (a < 0x1p-14f) {
        half = a + 0.5f; /* leaves units of 2^-24 in the low bits, rounded by the sum */
        memcpy(&u, &half, sizeof u);
        code = u - 0x3f000000u;
    } else {
        memcpy(&u, &a, sizeof u);
        code = ((u + 0xfffu + (u >> 13 & 1u)) >> 13) - (112u << 10);
    }
    if (signbit(d)) code |= 0x8000u;
    at[0] = (uint8_t)code;
    at[1] = (uint8_t)(code >> 8);
}

int32_t block_check(const evla_host *h, const char *format, const float *x, int64_t n,
                    float most)
{
    char line[160];
    for (int64_t i = 0; i < n; i++) {
        if (fabsf(x[i]) <= most) continue;
        if (isfinite(x[i]))
            snprintf(line, sizeof line,
                     "%s: value %lld is %.9g; its scales hold up to %.9g", format,
                     (long long)i, (double)x[i], (double)most);
        else
            snprintf(line, sizeof line, "%s: value %lld is %s; want finite numbers", format,
                     (long long)i, isnan(x[i]) ? "NaN" : "infinite");
        return h->fail(h, EVLA_E_RANGE, line);
    }
    return EVLA_OK;
}

/* ---- codes: value i in the low half of byte i, value i + 16 in the high one ---- */

static void put_codes(const uint8_t *q, uint8_t *low)
{
    for (int i = 0; i < HALF; i++)
        low[i] = (uint8_t)((q[i] & 15) | (q[i + HALF] & 15) << 4);
}

static void get_codes(const uint8_t *low, uint8_t *q)
{
    for (int i = 0; i < HALF; i++) {
        q[i] = low[i] & 15;
        q[i + HALF] = low[i] >> 4;
    }
}

/* The fifth bit of value i is bit i of four bytes. */
static void put_fifth(const uint8_t *q, uint8_t *high)
{
    memset(high, 0, 4);
    for (int i = 0; i < N; i++)
        high[i / 8] |= (uint8_t)((q[i] >> 4) << i % 8);
}

static void get_fifth(const uint8_t *high, uint8_t *q)
{
    for (int i = 0; i < N; i++)
        q[i] |= (uint8_t)((high[i / 8] >> i % 8 & 1) << 4);
}

/* ---- choosing codes ---- */

/* 0 for steps that no scale can hold anyway. */
static float reciprocal(float d) { return fabsf(d) >= FLT_MIN ? 1.0f / d : 0; }

/* The value of greatest magnitude, with its sign; the first of equals. */
static float peak(const float *x)
{
    float best = 0;
    for (int i = 0; i < N; i++)
        if (fabsf(x[i]) > fabsf(best)) best = x[i];
    return best;
}

/* The peak gets the code 0, the one end of the range that its opposite lacks. */
static float fit_signed(const float *x, int zero, uint8_t *q)
{
    float d = peak(x) / (float)-zero, inverse = reciprocal(d);
    for (int i = 0; i < N; i++) {
        int code = (int)(x[i] * inverse + ((float)zero + 0.5f));
        q[i] = (uint8_t)(code < 2 * zero ? code : 2 * zero - 1);
    }
    return d;
}

static float fit_range(const float *x, int top, float *least, uint8_t *q)
{
    float low = x[0], high = x[0];
    for (int i = 1; i < N; i++) {
        if (x[i] < low) low = x[i];
        if (x[i] > high) high = x[i];
    }
    float d = (high - low) / (float)top, inverse = reciprocal(d);
    for (int i = 0; i < N; i++) {
        int code = (int)((x[i] - low) * inverse + 0.5f);
        q[i] = (uint8_t)(code < top ? code : top);
    }
    *least = low;
    return d;
}

/* ---- formats ---- */

static void q8_0_decode(const uint8_t *b, float *out)
{
    float d = block_scale(b);
    for (int i = 0; i < N; i++)
        out[i] = d * (float)(int8_t)b[2 + i];
}

static void q8_0_encode(const float *x, uint8_t *b)
{
    float d = fabsf(peak(x)) / 127.0f, inverse = reciprocal(d);
    block_set_scale(b, d);
    for (int i = 0; i < N; i++)
        b[2 + i] = (uint8_t)(int8_t)roundf(x[i] * inverse);
}

static void q4_0_decode(const uint8_t *b, float *out)
{
    uint8_t q[N];
    float d = block_scale(b);
    get_codes(b + 2, q);
    for (int i = 0; i < N; i++)
        out[i] = d * (float)(q[i] - 8);
}

static void q4_0_encode(const float *x, uint8_t *b)
{
    uint8_t q[N];
    block_set_scale(b, fit_signed(x, 8, q));
    put_codes(q, b + 2);
}

static void q4_1_decode(const uint8_t *b, float *out)
{
    uint8_t q[N];
    float d = block_scale(b), m = block_scale(b + 2);
    get_codes(b + 4, q);
    for (int i = 0; i < N; i++)
        out[i] = d * (float)q[i] + m;
}

static void q4_1_encode(const float *x, uint8_t *b)
{
    uint8_t q[N];
    float least;
    block_set_scale(b, fit_range(x, 15, &least, q));
    block_set_scale(b + 2, least);
    put_codes(q, b + 4);
}

static void q5_0_decode(const uint8_t *b, float *out)
{
    uint8_t q[N];
    float d = block_scale(b);
    get_codes(b + 6, q);
    get_fifth(b + 2, q);
    for (int i = 0; i < N; i++)
        out[i] = d * (float)(q[i] - 16);
}

static void q5_0_encode(const float *x, uint8_t *b)
{
    uint8_t q[N];
    block_set_scale(b, fit_signed(x, 16, q));
    put_fifth(q, b + 2);
    put_codes(q, b + 6);
}

static void q5_1_decode(const uint8_t *b, float *out)
{
    uint8_t q[N];
    float d = block_scale(b), m = block_scale(b + 2);
    get_codes(b + 8, q);
    get_fifth(b + 4, q);
    for (int i = 0; i < N; i++)
        out[i] = d * (float)q[i] + m;
}

static void q5_1_encode(const float *x, uint8_t *b)
{
    uint8_t q[N];
    float least;
    block_set_scale(b, fit_range(x, 31, &least, q));
    block_set_scale(b + 2, least);
    put_fifth(q, b + 4);
    put_codes(q, b + 8);
}

/* The last number: magnitudes that the scale, or the minimum, can still hold. */
BLOCK_ROWS(q8_0, N, 34, SCALE_MOST * 127)
BLOCK_ROWS(q4_0, N, 18, SCALE_MOST * 8)
BLOCK_ROWS(q4_1, N, 20, SCALE_MOST)
BLOCK_ROWS(q5_0, N, 22, SCALE_MOST * 16)
BLOCK_ROWS(q5_1, N, 24, SCALE_MOST)

const evla_dtype blocks_q8_0 = BLOCK_DTYPE(q8_0, N, 34);
const evla_dtype blocks_q4_0 = BLOCK_DTYPE(q4_0, N, 18);
const evla_dtype blocks_q4_1 = BLOCK_DTYPE(q4_1, N, 20);
const evla_dtype blocks_q5_0 = BLOCK_DTYPE(q5_0, N, 22);
const evla_dtype blocks_q5_1 = BLOCK_DTYPE(q5_1, N, 24);
