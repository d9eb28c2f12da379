/*
 * kblocks.c -- q4_k, q5_k and q6_k: 256 codes, small scales for each 16 or 32 of them, and
 * 16-bit scales of those. See blocks.h.
 *
 * encode looks for the least squared error, in three steps: each group's own scale and
 * minimum, from several ranges that a line is fitted to; the block's scales, which must
 * hold all groups'; then each group's integers again, with what the rounded scales leave.
 */
#include "blocks.h"
#include <float.h>
#include <math.h>
#include <string.h>

enum {
    N = 256,
    SMALL_GROUP = 16,
    GROUP = 32,
    N_SMALL = N / SMALL_GROUP,
    N_GROUPS = N / GROUP
};

/* Values as a line of their codes: x = step q + base, q from low to high. */
typedef struct line {
    float step, base, low, high;
} line;

/* ---- the least squared error of a group ---- */

/* Sums run in lanes, in which compilers vectorise them. */
enum { LANES = 8 };

static float total(const float *sum)
{
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) +
           ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

/* The nearest codes, and the squared error that they leave. */
static float nearest(const float *x, int n, line f, float *q)
{
    const float rounding = 0x1.8p23f; /* a sum with it has no bits below 1 */
    float inverse = fabsf(f.step) >= FLT_MIN ? 1.0f / f.step : 0, error[LANES] = {0};
    for (int i = 0; i < n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            float code = (x[i + k] - f.base) * inverse;
            code = code < f.low ? f.low : code;
            code = code > f.high ? f.high : code;
            code = (code + rounding) - rounding;
            float off = x[i + k] - (f.step * code + f.base);
            error[k] += off * off;
            q[i + k] = code;
        }
    return total(error);
}

/* The line through given codes that leaves the least; its base is 0 where has_base is 0,
 * and never above it. */
static line through(const float *x, int n, const float *q, line f, int has_base)
{
    float sx[LANES] = {0}, sq[LANES] = {0}, sqq[LANES] = {0}, sxq[LANES] = {0};
    for (int i = 0; i < n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            float code = q[i + k];
            sx[k] += x[i + k];
            sq[k] += code;
            sqq[k] += code * code;
            sxq[k] += x[i + k] * code;
        }
    float count = (float)n, x1 = total(sx), q1 = total(sq), qq = total(sqq),
          xq = total(sxq);
    float det = count * qq - q1 * q1;
    f.base = has_base && det > 0 ? (qq * x1 - q1 * xq) / det : 0;
    if (f.base < 0)
        f.step = (count * xq - x1 * q1) / det;
    else {
        f.base = 0;
        f.step = qq > 0 ? xq / qq : 0;
    }
    return f;
}

/* Follows codes and line in turn from f on; keeps the best in *best. */
static void follow(const float *x, int n, line f, int has_base, line *best, float *least)
{
    enum { TURNS = 3 }; /* a fourth gains next to nothing */
    float q[GROUP];
    for (int i = 0; i < TURNS; i++) {
        float error = nearest(x, n, f, q);
        if (error < *least) {
            *least = error;
            *best = f;
        }
        f = through(x, n, q, f, has_base);
    }
}

/* Ranges from narrower to wider than the group's: its extremes may be worth an error. */
enum { RANGES = 12 };
static float stretched(int i) { return 0.8f + 0.025f * (float)i; }

static line fit_range(const float *x, float top)
{
    float low = 0, high = x[0], least = FLT_MAX;
    for (int i = 0; i < GROUP; i++) {
        if (x[i] < low) low = x[i];
        if (x[i] > high) high = x[i];
    }
    line best = {.base = low, .high = top};
    if (!(high > low)) return best;
    for (int i = 0; i < RANGES; i++) {
        line f = {(high - low) * stretched(i) / top, low, 0, top};
        follow(x, GROUP, f, 1, &best, &least);
    }
    return best;
}

/* Codes from -32 to 31: the peak lies at the end that its opposite lacks, or not. */
static line fit_signed(const float *x)
{
    float peak = 0, least = FLT_MAX;
    for (int i = 0; i < SMALL_GROUP; i++)
        if (fabsf(x[i]) > fabsf(peak)) peak = x[i];
    line best = {0, 0, -32, 31};
    for (int i = 0; peak != 0 && i < RANGES; i++) {
        line f = {peak * stretched(i) / -32.0f, 0, -32, 31};
        follow(x, SMALL_GROUP, f, 0, &best, &least);
    }
    return best;
}

/* ---- the block's scales ---- */

static int clamped(float k, int low, int high)
{
    return k < (float)low ? low : k > (float)high ? high : (int)lrintf(k);
}

static int times(float x, float scale, int low, int high)
{
    return fabsf(scale) >= FLT_MIN ? clamped(x / scale, low, high) : 0;
}

/* Rounds a scale to what 16 bits hold. */
static float set_scale(uint8_t *at, float d)
{
    enum { SCALE_MOST = 65504 };
    block_set_scale(at, fminf(fmaxf(d, -SCALE_MOST), SCALE_MOST) + 0.0f); /* never -0 */
    return block_scale(at);
}

/* Each group's scale s and minimum m, in 6 bits: of groups 0 to 3 in the low bits of bytes
 * 0 to 3 and 4 to 7; of 4 to 7 in halves of bytes 8 to 11, their upper bits on top of the
 * others. */
static void put_group(uint8_t *b, int g, int s, int m)
{
    if (g < 4) {
        b[g] = (uint8_t)((b[g] & 0xc0) | s);
        b[g + 4] = (uint8_t)((b[g + 4] & 0xc0) | m);
    } else {
        b[g + 4] = (uint8_t)((s & 15) | (m & 15) << 4);
        b[g - 4] = (uint8_t)((b[g - 4] & 63) | (s >> 4) << 6);
        b[g] = (uint8_t)((b[g] & 63) | (m >> 4) << 6);
    }
}

static void get_group(const uint8_t *b, int g, int *s, int *m)
{
    *s = g < 4 ? b[g] & 63 : (b[g + 4] & 15) | b[g - 4] >> 6 << 4;
    *m = g < 4 ? b[g + 4] & 63 : b[g + 4] >> 4 | b[g] >> 6 << 4;
}

static float mean(const float *x)
{
    float sum = 0;
    for (int i = 0; i < GROUP; i++)
        sum += x[i];
    return sum / (float)GROUP;
}

/* Writes d, dmin and the groups' 12 bytes; q gets all codes, from 0 to top. */
static void fit_block(const float *x, float top, uint8_t *b, float *q)
{
    line fit[N_GROUPS];
    float d = 0, dmin = 0;
    for (int g = 0; g < N_GROUPS; g++) {
        fit[g] = fit_range(x + g * GROUP, top);
        d = fmaxf(d, fit[g].step);
        dmin = fmaxf(dmin, -fit[g].base);
    }
    d = set_scale(b, d / 63);
    dmin = set_scale(b + 2, dmin / 63);
    for (int g = 0; g < N_GROUPS; g++, x += GROUP, q += GROUP) {
        int s0 = times(fit[g].step, d, 0, 63), s_best = 0, m_best = 0;
        float least = FLT_MAX;
        for (int s = s0 ? s0 - 1 : 0; s <= s0 + 1 && s < 64; s++) {
            int m0 = times(s ? -fit[g].base : -mean(x), dmin, 0, 63);
            for (int m = m0 ? m0 - 1 : 0; m <= m0 + 1 && m < 64; m++) {
                line f = {d * (float)s, -dmin * (float)m, 0, top};
                float error = nearest(x, GROUP, f, q);
                if (error < least) least = error, s_best = s, m_best = m;
            }
        }
        nearest(x, GROUP, (line){d * (float)s_best, -dmin * (float)m_best, 0, top}, q);
        put_group(b + 4, g, s_best, m_best);
    }
}

/* Values d s q - dmin m; q from 0 on. */
static void read_block(const uint8_t *b, const uint8_t *q, float *out)
{
    float d = block_scale(b), dmin = block_scale(b + 2);
    for (int g = 0; g < N_GROUPS; g++) {
        int s, m;
        get_group(b + 4, g, &s, &m);
        float step = d * (float)s, least = dmin * (float)m;
        for (int i = g * GROUP; i < (g + 1) * GROUP; i++)
            out[i] = step * (float)q[i] - least;
    }
}

/* ---- q4_k, q5_k: groups 2k and 2k + 1 share 32 bytes, low halves and high ---- */

static void put_halves(const float *q, uint8_t *low)
{
    for (int i = 0; i < N / 2; i++) {
        const float *pair = q + i / GROUP * 2 * GROUP + i % GROUP;
        low[i] = (uint8_t)(((int)pair[0] & 15) | ((int)pair[GROUP] & 15) << 4);
    }
}

static void get_halves(const uint8_t *low, uint8_t *q)
{
    for (int i = 0; i < N / 2; i++) {
        uint8_t *pair = q + i / GROUP * 2 * GROUP + i % GROUP;
        pair[0] = low[i] & 15;
        pair[GROUP] = low[i] >> 4;
    }
}

static void q4_k_decode(const uint8_t *b, float *out)
{
    uint8_t q[N];
    get_halves(b + 16, q);
    read_block(b, q, out);
}

static void q4_k_encode(const float *x, uint8_t *b)
{
    float q[N];
    memset(b, 0, 16);
    fit_block(x, 15, b, q);
    put_halves(q, b + 16);
}

/* The fifth bit of value i of group g is bit g of byte i. */
static void q5_k_decode(const uint8_t *b, float *out)
{
    uint8_t q[N];
    get_halves(b + 48, q);
    for (int i = 0; i < N; i++)
        q[i] |= (uint8_t)((b[16 + i % GROUP] >> i / GROUP & 1) << 4);
    read_block(b, q, out);
}

static void q5_k_encode(const float *x, uint8_t *b)
{
    float q[N];
    memset(b, 0, 48);
    fit_block(x, 31, b, q);
    for (int i = 0; i < N; i++)
        b[16 + i % GROUP] |= (uint8_t)((int)q[i] >> 4 << i / GROUP);
    put_halves(q, b + 48);
}

/* ---- q6_k: for each half block 64 bytes of low bits, 32 of high ones ---- */

enum { HALF = 128, HIGH = HALF, SCALES = 192, SCALE = 208 };

/* Where value i of 256 keeps its low 4 bits and its high 2 bits. */
typedef struct place {
    int low, low_shift, high, high_shift;
} place;

static place place_of(int i)
{
    int half = i / HALF, quarter = i % HALF / GROUP, lane = i % GROUP;
    return (place){half * 64 + quarter % 2 * GROUP + lane, quarter / 2 * 4,
                   HIGH + half * GROUP + lane, quarter * 2};
}

static void q6_k_decode(const uint8_t *b, float *out)
{
    float d = block_scale(b + SCALE);
    for (int i = 0; i < N; i++) {
        place p = place_of(i);
        int q = (b[p.low] >> p.low_shift & 15) | (b[p.high] >> p.high_shift & 3) << 4;
        out[i] = d * (float)(int8_t)b[SCALES + i / SMALL_GROUP] * (float)(q - 32);
    }
}

static void q6_k_encode(const float *x, uint8_t *b)
{
    line fit[N_SMALL];
    float q[N];
    float widest = 0;
    for (int g = 0; g < N_SMALL; g++) {
        fit[g] = fit_signed(x + g * SMALL_GROUP);
        if (fabsf(fit[g].step) > fabsf(widest)) widest = fit[g].step;
    }
    memset(b, 0, SCALE);
    float d = set_scale(b + SCALE, widest / -128);
    for (int g = 0; g < N_SMALL; g++) {
        const float *at = x + g * SMALL_GROUP;
        int s0 = times(fit[g].step, d, -128, 127), best = s0;
        float least = FLT_MAX;
        for (int s = s0 - 1; s <= s0 + 1; s++) {
            if (s < -128 || s > 127) continue;
            float error = nearest(at, SMALL_GROUP, (line){d * (float)s, 0, -32, 31},
                                  q + g * SMALL_GROUP);
            if (error < least) least = error, best = s;
        }
        nearest(at, SMALL_GROUP, (line){d * (float)best, 0, -32, 31}, q + g * SMALL_GROUP);
        b[SCALES + g] = (uint8_t)(int8_t)best;
    }
    for (int i = 0; i < N; i++) {
        place p = place_of(i);
        int code = (int)q[i] + 32;
        b[p.low] |= (uint8_t)((code & 15) << p.low_shift);
        b[p.high] |= (uint8_t)(code >> 4 << p.high_shift);
    }
}

/* The last number: a minimum of 63 times the largest scale, or -128 times -32 times it. */
BLOCK_ROWS(q4_k, N, 144, 65504.0f * 63)
BLOCK_ROWS(q5_k, N, 176, 65504.0f * 63)
BLOCK_ROWS(q6_k, N, 210, 65504.0f * 128 * 32)

const evla_dtype kblocks_q4_k = BLOCK_DTYPE(q4_k, N, 144);
const evla_dtype kblocks_q5_k = BLOCK_DTYPE(q5_k, N, 176);
const evla_dtype kblocks_q6_k = BLOCK_DTYPE(q6_k, N, 210);
