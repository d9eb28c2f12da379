/*
 * with_bf16.c -- products of bf16 by AVX-512's own instruction for pairs of them.
 *
 * Sums over K (numerics id "bf16.dot256"): K is cut into blocks of 256; a block's sum
 * starts from 0 and takes its pairs in ascending k, each by one vdpbf16ps, which rounds as
 * the processor does and takes subnormals as 0; the blocks' sums add up in ascending order.
 */
#include "packed.h"
#include "x86.h"
#define LANES 16
#include "lanes.h"
#include <string.h>

enum { ROWS = 12, AHEAD = 8192 };
#define SIZES(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)

/* Written out: from the intrinsic some compilers copy every accumulator. */
INLINE vec v_dot(vec sum, vint a, vint b)
{
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}

/* R rows, a panel's columns, depth terms. */
SIZED void micro(const int R, const uint16_t *a, int64_t a_row, const uint8_t *b,
                 int64_t depth, float *y, int64_t y_row, vmask m0, vmask m1, int is_first)
{
    vec s[ROWS][2];
    UNROLL(12)
    for (int r = 0; r < R; r++)
        s[r][0] = s[r][1] = v_zero();
    for (int64_t k = 0; k < depth; k += 2, a += 2, b += 4 * PACKED_ROWS) {
        vint w0 = _mm512_loadu_si512(b), w1 = _mm512_loadu_si512(b + 64);
        _mm_prefetch((const char *)b + AHEAD, _MM_HINT_T0);
        _mm_prefetch((const char *)b + AHEAD + 64, _MM_HINT_T0);
        UNROLL(12)
        for (int r = 0; r < R; r++) {
            int32_t pair;
            memcpy(&pair, a + r * a_row, sizeof pair);
            vint x = v_int(pair);
            s[r][0] = v_dot(s[r][0], w0, x);
            s[r][1] = v_dot(s[r][1], w1, x);
        }
    }
    if (!is_first) {
        UNROLL(12)
        for (int r = 0; r < R; r++) {
            s[r][0] = v_add(v_load_some(y + r * y_row, m0), s[r][0]);
            s[r][1] = v_add(v_load_some(y + r * y_row + LANES, m1), s[r][1]);
        }
    }
    UNROLL(12)
    for (int r = 0; r < R; r++, y += y_row) {
        v_store_some(y, m0, s[r][0]);
        v_store_some(y + LANES, m1, s[r][1]);
    }
}

#define MICRO(R)                                                                           \
    static __attribute__((noinline)) void micro_##R(                                       \
        const uint16_t *a, int64_t a_row, const uint8_t *b, int64_t depth, float *y,       \
        int64_t y_row, vmask m0, vmask m1, int is_first)                                   \
    {                                                                                      \
        micro(R, a, a_row, b, depth, y, y_row, m0, m1, is_first);                          \
    }
SIZES(MICRO)

static void (*const micros[])(const uint16_t *a, int64_t a_row, const uint8_t *b,
                              int64_t depth, float *y, int64_t y_row, vmask m0, vmask m1,
                              int is_first) = {
#define ENTRY(R) [R] = micro_##R,
    SIZES(ENTRY)};

static void packed(const x86_product *p, int64_t r0, int64_t r1, int64_t c0, int64_t c1)
{
    int64_t groups = (r1 - r0 + ROWS - 1) / ROWS;
    for (int64_t c = c0; c < c1; c += PACKED_ROWS) {
        const uint8_t *b = p->panels + c / PACKED_ROWS * p->k * 2 * PACKED_ROWS;
        int64_t width = least(c1 - c, PACKED_ROWS);
        vmask m0 = v_first(least(width, LANES)),
              m1 = v_first(width <= LANES ? 0 : width - LANES);
        for (int64_t k = 0; k < p->k; k += X86_DEPTH)
            for (int64_t g = 0; g < groups; g++) { /* of nearly equal size */
                int64_t r = r0 + (r1 - r0) * g / groups,
                        rows = r0 + (r1 - r0) * (g + 1) / groups - r;
                micros[rows](p->halves + r * p->a_row + k, p->a_row,
                             b + k * 2 * PACKED_ROWS, least(p->k - k, X86_DEPTH),
                             p->y + r * p->y_row + c, p->y_row, m0, m1, k == 0);
            }
    }
}

/* ---- from f32 ---- */

INLINE __m256i v_halve(vec v) { return (__m256i)_mm512_cvtneps_pbh(v); }

static void halve_row(const float *x, float scale, int64_t n, uint16_t *y)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        _mm256_storeu_si256((__m256i *)(void *)(y + i),
                            v_halve(v_load(x + i) * v_all(scale)));
    if (i == n) return;
    vmask m = v_first(n - i);
    _mm256_mask_storeu_epi16(y + i, m, v_halve(v_load_some(x + i, m) * v_all(scale)));
}

static void halve_pairs(const float *even, const float *odd, int64_t n, uint16_t *y)
{
    for (int64_t i = 0; i < PACKED_ROWS; i += LANES, y += 2 * LANES) {
        vmask m = v_first(n <= i ? 0 : least(n - i, LANES));
        vint pair = _mm512_cvtepu16_epi32(v_halve(v_load_some(even + i, m)));
        if (odd)
            pair = v_or(
                pair, v_left(_mm512_cvtepu16_epi32(v_halve(v_load_some(odd + i, m))), 16));
        v_store((float *)(void *)y, v_float(pair));
    }
}

const x86_halves x86_halves_bf16 = {.row = halve_row, .pairs = halve_pairs};

const x86_isa x86_bf16 = {.feature = "avx512_bf16",
                          .score = 50,
                          .thin = ROWS,
                          .rows = ROWS,
                          .cols = PACKED_ROWS,
                          .packed = packed,
                          .base = &x86_avx512};
