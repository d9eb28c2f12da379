/*
 * order.h -- the one order in which this plugin adds: numerics id "f32.lane8".
 *
 * K terms are cut into blocks of 512. In a block, term k goes to lane k mod 8 (eight
 * running sums from 0, in ascending k); the lanes fold as ((0+4)+(2+6)) + ((1+5)+(3+7));
 * the blocks' sums add up in ascending order from 0. Every product is rounded before it is
 * added: no FMA. So a result is a function of K alone, whatever the tile, the row or the
 * thread; eight lanes let a compiler use vectors without reordering anything; blocks keep
 * the error near 64 + K/512 roundings.
 */
#ifndef OPS_ORDER_H
#define OPS_ORDER_H
#include <stdint.h>

#define ORDER_NUMERICS "f32.lane8"
enum { ORDER_LANES = 8, ORDER_BLOCK = 512, ORDER_WIDTH = 16 };

static inline float order_fold(const float *s)
{
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static inline int64_t order_least(int64_t a, int64_t b) { return a < b ? a : b; }

/* sum of x[k] */
static inline float order_sum(const float *x, int64_t n)
{
    float total = 0;
    for (int64_t at = 0; at < n; at += ORDER_BLOCK) {
        int64_t m = order_least(n - at, ORDER_BLOCK), k = 0;
        float s[ORDER_LANES] = {0};
        for (; k + ORDER_LANES <= m; k += ORDER_LANES)
            for (int l = 0; l < ORDER_LANES; l++)
                s[l] += x[at + k + l];
        for (int l = 0; k + l < m; l++)
            s[l] += x[at + k + l];
        total += order_fold(s);
    }
    return total;
}

/* sum of x[k] * w[k] */
static inline float order_dot(const float *x, const float *w, int64_t n)
{
    float total = 0;
    for (int64_t at = 0; at < n; at += ORDER_BLOCK) {
        int64_t m = order_least(n - at, ORDER_BLOCK), k = 0;
        float s[ORDER_LANES] = {0};
        for (; k + ORDER_LANES <= m; k += ORDER_LANES)
            for (int l = 0; l < ORDER_LANES; l++)
                s[l] += x[at + k + l] * w[at + k + l];
        for (int l = 0; k + l < m; l++)
            s[l] += x[at + k + l] * w[at + k + l];
        total += order_fold(s);
    }
    return total;
}

/* Four dot products at a time, with rows of w `stride` floats apart: same bits as
 * order_dot. */
static inline void order_dot4(const float *restrict x, const float *restrict w,
                              int64_t stride, int64_t n, float *restrict out)
{
    float total[4] = {0};
    for (int64_t at = 0; at < n; at += ORDER_BLOCK) {
        int64_t m = order_least(n - at, ORDER_BLOCK), k = 0;
        float s0[ORDER_LANES] = {0}, s1[ORDER_LANES] = {0}, s2[ORDER_LANES] = {0},
              s3[ORDER_LANES] = {0};
        const float *p = x + at, *a = w + at, *b = a + stride, *c = b + stride,
                    *d = c + stride;
        for (; k + ORDER_LANES <= m; k += ORDER_LANES) {
            for (int l = 0; l < ORDER_LANES; l++)
                s0[l] += p[k + l] * a[k + l];
            for (int l = 0; l < ORDER_LANES; l++)
                s1[l] += p[k + l] * b[k + l];
            for (int l = 0; l < ORDER_LANES; l++)
                s2[l] += p[k + l] * c[k + l];
            for (int l = 0; l < ORDER_LANES; l++)
                s3[l] += p[k + l] * d[k + l];
        }
        for (int l = 0; k + l < m; l++) {
            s0[l] += p[k + l] * a[k + l];
            s1[l] += p[k + l] * b[k + l];
            s2[l] += p[k + l] * c[k + l];
            s3[l] += p[k + l] * d[k + l];
        }
        total[0] += order_fold(s0);
        total[1] += order_fold(s1);
        total[2] += order_fold(s2);
        total[3] += order_fold(s3);
    }
    for (int i = 0; i < 4; i++)
        out[i] = total[i];
}

/* Two lanes of 8 columns, `apart` rows of b from each other: m terms each. */
static inline void order_mix_lanes(const float *restrict x, const float *restrict b,
                                   int64_t stride, int64_t apart, int64_t m,
                                   float *restrict t0, float *restrict t1)
{
    float p[8] = {0}, q[8] = {0}, r[8] = {0}, s[8] = {0};
    for (int64_t k = 0; k < m; k++) {
        const float *b0 = b + k * ORDER_LANES * stride, *b1 = b0 + apart * stride;
        float v = x[k * ORDER_LANES], w = x[k * ORDER_LANES + apart];
        for (int c = 0; c < 8; c++)
            p[c] += v * b0[c];
        for (int c = 0; c < 8; c++)
            q[c] += v * b0[8 + c];
        for (int c = 0; c < 8; c++)
            r[c] += w * b1[c];
        for (int c = 0; c < 8; c++)
            s[c] += w * b1[8 + c];
    }
    for (int c = 0; c < 8; c++) {
        t0[c] = p[c], t0[8 + c] = q[c];
        t1[c] = r[c], t1[8 + c] = s[c];
    }
}

/* Adds one block (n <= 512) of a row vector times a matrix to neighbouring columns of sums,
 * at most 16: sum[c] += sum of x[k] * b[k][c], rows of b `stride` floats apart. full: 16
 * columns of b may be read although fewer are wanted. skip: terms whose x is 0 are left
 * out, so that b may hold anything there; finite terms of 0 never change a sum that starts
 * from +0. */
static inline void order_mix_block(const float *restrict x, const float *restrict b,
                                   int64_t stride, int64_t n, int64_t width, int full,
                                   int skip, float *restrict sum)
{
    float s[ORDER_LANES][ORDER_WIDTH] = {{0}};
    int64_t whole = full && !skip ? n / ORDER_LANES : 0;
    for (int l = 0; whole && l < ORDER_LANES / 2; l++)
        order_mix_lanes(x + l, b + l * stride, stride, ORDER_LANES / 2, whole, s[l],
                        s[l + ORDER_LANES / 2]);
    for (int64_t k = whole * ORDER_LANES; k < n; k++) {
        float v = x[k], *t = s[k % ORDER_LANES];
        const float *row = b + k * stride;
        for (int64_t c = 0; c < width && !(skip && v == 0); c++)
            t[c] += v * row[c];
    }
    for (int64_t c = 0; c < width; c++)
        sum[c] += ((s[0][c] + s[4][c]) + (s[2][c] + s[6][c])) +
                  ((s[1][c] + s[5][c]) + (s[3][c] + s[7][c]));
}

/* The same over all n terms, from 0. */
static inline void order_mix(const float *restrict x, const float *restrict b,
                             int64_t stride, int64_t n, int64_t width, int skip,
                             float *restrict out)
{
    for (int64_t c = 0; c < width; c++)
        out[c] = 0;
    for (int64_t at = 0; at < n; at += ORDER_BLOCK)
        order_mix_block(x + at, b + at * stride, stride, order_least(n - at, ORDER_BLOCK),
                        width, width == ORDER_WIDTH, skip, out);
}

#endif
