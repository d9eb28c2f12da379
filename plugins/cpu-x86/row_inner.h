/*
 * row_inner.h -- rms_norm, layer_norm and rope for one instruction set; included with
 * ROW_TABLE the name of the table. Nothing is fused: the bits are those of the portable
 * kernels.
 */
#include "row.h"

enum { ROW_GROUP = 4 }; /* rows at once: a sum waits for itself */

/* Sums in the order of the portable operators: blocks of 512 from the first to the last,
 * term k of a block in lane k mod 8, lanes folded as ((0+4)+(2+6)) + ((1+5)+(3+7)). Of R
 * rows of n numbers that lie one after the other; TERM makes the terms of eight numbers. */
#define SUM_OF(name, TERM)                                                                 \
    SIZED void name(const int R, const float *x, int64_t n, float *total)                  \
    {                                                                                      \
        enum { BLOCK = 512 };                                                              \
        for (int r = 0; r < R; r++)                                                        \
            total[r] = 0;                                                                  \
        for (int64_t at = 0; at < n; at += BLOCK) {                                        \
            int64_t m = least(n - at, BLOCK), k = 0;                                       \
            __m256 s[ROW_GROUP];                                                           \
            UNROLL(4)                                                                      \
            for (int r = 0; r < R; r++)                                                    \
                s[r] = _mm256_setzero_ps();                                                \
            for (; k + 8 <= m; k += 8) {                                                   \
                UNROLL(4)                                                                  \
                for (int r = 0; r < R; r++)                                                \
                    s[r] = _mm256_add_ps(s[r], TERM(_mm256_loadu_ps(x + r * n + at + k))); \
            }                                                                              \
            UNROLL(4)                                                                      \
            for (int r = 0; r < R; r++) {                                                  \
                if (k < m) {                                                               \
                    float rest[8] = {0};                                                   \
                    memcpy(rest, x + r * n + at + k, (size_t)(m - k) * sizeof *rest);      \
                    s[r] = _mm256_add_ps(s[r], TERM(_mm256_loadu_ps(rest)));               \
                }                                                                          \
                __m128 four = _mm_add_ps(_mm256_castps256_ps128(s[r]),                     \
                                         _mm256_extractf128_ps(s[r], 1));                  \
                __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));                  \
                total[r] += _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));          \
            }                                                                              \
        }                                                                                  \
    }
#define ITSELF(v) (v)
#define SQUARE(v) _mm256_mul_ps(v, v)
SUM_OF(sums, ITSELF)
SUM_OF(sums_of_squares, SQUARE)

/* 1 / sqrt(mean + eps) */
INLINE vec v_scale(float sum, int64_t d, float eps)
{
    float mean = sum / (float)d + eps;
    return v_all(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean))));
}

SIZED void rms_norm_group(const int R, const float *x, const float *w, float eps, float *y,
                          int64_t d)
{
    float sum[ROW_GROUP];
    sums_of_squares(R, x, d, sum);
    for (int r = 0; r < R; r++, x += d, y += d) {
        vec scale = v_scale(sum[r], d, eps);
        for (int64_t i = 0; i < d; i += LANES) {
            vmask m = v_first(least(d - i, LANES));
            vec v = v_load_some(x + i, m) * scale;
            if (w) v = v * v_load_some(w + i, m);
            v_store_some(y + i, m, v);
        }
    }
}

SIZED void layer_norm_group(const int R, const float *x, const float *w, const float *b,
                            float eps, float *y, int64_t d)
{
    float sum[ROW_GROUP];
    sums(R, x, d, sum);
    for (int r = 0; r < R; r++) {
        vec mean = v_all(sum[r] / (float)d);
        for (int64_t i = 0; i < d; i += LANES) {
            vmask m = v_first(least(d - i, LANES));
            v_store_some(y + r * d + i, m, v_load_some(x + r * d + i, m) - mean);
        }
    }
    sums_of_squares(R, y, d, sum);
    for (int r = 0; r < R; r++, y += d) {
        vec scale = v_scale(sum[r], d, eps);
        for (int64_t i = 0; i < d; i += LANES) {
            vmask m = v_first(least(d - i, LANES));
            vec v = v_load_some(y + i, m) * scale;
            if (w) v = v * v_load_some(w + i, m);
            if (b) v = v + v_load_some(b + i, m);
            v_store_some(y + i, m, v);
        }
    }
}

static void rms_norm_rows(const float *x, int64_t rows, const float *w, float eps, float *y,
                          int64_t d)
{
    int64_t r = 0;
    for (; r + ROW_GROUP <= rows; r += ROW_GROUP)
        rms_norm_group(ROW_GROUP, x + r * d, w, eps, y + r * d, d);
    for (; r < rows; r++)
        rms_norm_group(1, x + r * d, w, eps, y + r * d, d);
}

static void layer_norm_rows(const float *x, int64_t rows, const float *w, const float *b,
                            float eps, float *y, int64_t d)
{
    int64_t r = 0;
    for (; r + ROW_GROUP <= rows; r += ROW_GROUP)
        layer_norm_group(ROW_GROUP, x + r * d, w, b, eps, y + r * d, d);
    for (; r < rows; r++)
        layer_norm_group(1, x + r * d, w, b, eps, y + r * d, d);
}

static void turn_half(const float *x, const float *cosine, const float *sine, int64_t pairs,
                      float *y)
{
    for (int64_t i = 0; i < pairs; i += LANES) {
        vmask m = v_first(least(pairs - i, LANES));
        vec a = v_load_some(x + i, m), b = v_load_some(x + pairs + i, m);
        vec c = v_load_some(cosine + i, m), s = v_load_some(sine + i, m);
        v_store_some(y + i, m, a * c - b * s);
        v_store_some(y + pairs + i, m, a * s + b * c);
    }
}

/* Each number twice: lanes 0 0 1 1 ... of the lower half. */
INLINE vec v_twice(vec v)
{
#if LANES == 16
    return _mm512_permutexvar_ps(
        _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), v);
#else
    return _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
#endif
}

/* Neighbours change places. */
INLINE vec v_swap(vec v)
{
#if LANES == 16
    return _mm512_permute_ps(v, 0xb1);
#else
    return _mm256_permute_ps(v, 0xb1);
#endif
}

static void turn_interleaved(const float *x, const float *cosine, const float *sine,
                             int64_t pairs, float *y)
{
    enum { PAIRS = LANES / 2 };
    static const uint32_t signs[16] = {1u << 31, 0, 1u << 31, 0, 1u << 31, 0, 1u << 31, 0,
                                       1u << 31, 0, 1u << 31, 0, 1u << 31, 0, 1u << 31, 0};
    vint minus = v_bits(v_load((const float *)(const void *)signs));
    for (int64_t i = 0; i < pairs; i += PAIRS) {
        int64_t n = least(pairs - i, PAIRS);
        vmask half = v_first(n), all = v_first(2 * n);
        vec v = v_load_some(x + 2 * i, all), c = v_twice(v_load_some(cosine + i, half));
        vec s = v_float(v_xor(v_bits(v_twice(v_load_some(sine + i, half))), minus));
        v_store_some(y + 2 * i, all, v * c + v_swap(v) * s);
    }
}

const x86_row ROW_TABLE = {.rms_norm = rms_norm_rows,
                           .layer_norm = layer_norm_rows,
                           .turn_half = turn_half,
                           .turn_interleaved = turn_interleaved};
