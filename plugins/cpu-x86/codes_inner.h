/*
 * codes_inner.h -- products of eight-bit codes, for one instruction set.
 *
 * Included with LANES, lanes.h and, where there are instructions for it, VNNI in place.
 * Terms lie side by side on both sides, sums are exact in 32 bits (or wrap and come back:
 * arithmetic is modulo 2^32 and the true sum fits), so lanes are terms here, and a tree
 * adds them up at the end.
 *
 * VNNI multiplies unsigned by signed codes: w + 128 is unsigned, and 128 times the sum of
 * q's row is taken off again.
 */
#include <string.h>

enum { CODES = 4 * LANES /* of a vector */, SUMS = 16 /* accumulators of the kernel */ };

#if LANES == 16
typedef __mmask64 cmask;
INLINE vint i_load(const int8_t *p) { return _mm512_loadu_si512(p); }
INLINE cmask i_first(int64_t n) { return n < 64 ? (1ull << n) - 1 : ~0ull; }
INLINE vint i_load_some(const int8_t *p, cmask m) { return _mm512_maskz_loadu_epi8(m, p); }
INLINE vint i_zero(void) { return _mm512_setzero_si512(); }
INLINE vint i_all8(int v) { return _mm512_set1_epi8((char)v); }
#ifdef VNNI
/* Written out: from the intrinsic some compilers copy every accumulator. */
INLINE vint i_dot(vint sum, vint u, vint s)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u), "v"(s));
    return sum;
}
#else
INLINE vint i_wide(vint a, int half)
{
    return _mm512_cvtepi8_epi16(half ? _mm512_extracti64x4_epi64(a, 1)
                                     : _mm512_castsi512_si256(a));
}
INLINE vint i_dot(vint sum, vint a, vint b)
{
    vint low = _mm512_madd_epi16(i_wide(a, 0), i_wide(b, 0));
    return v_iadd(sum, v_iadd(low, _mm512_madd_epi16(i_wide(a, 1), i_wide(b, 1))));
}
#endif
/* out[i] = the sum of s[i]'s lanes */
INLINE void i_fold(vint s[16], int32_t out[16])
{
    UNROLL(8)
    for (int i = 0; i < 16; i += 2)
        s[i] = v_iadd(_mm512_unpacklo_epi32(s[i], s[i + 1]),
                      _mm512_unpackhi_epi32(s[i], s[i + 1]));
    UNROLL(4)
    for (int i = 0; i < 16; i += 4)
        s[i] = v_iadd(_mm512_unpacklo_epi64(s[i], s[i + 2]),
                      _mm512_unpackhi_epi64(s[i], s[i + 2]));
    vint a = v_iadd(_mm512_shuffle_i32x4(s[0], s[4], 0x88),
                    _mm512_shuffle_i32x4(s[0], s[4], 0xdd));
    vint b = v_iadd(_mm512_shuffle_i32x4(s[8], s[12], 0x88),
                    _mm512_shuffle_i32x4(s[8], s[12], 0xdd));
    _mm512_storeu_si512(
        out, v_iadd(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd)));
}
#else
typedef int64_t cmask; /* how many */
INLINE vint i_load(const int8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE cmask i_first(int64_t n) { return n; }
INLINE vint i_load_some(const int8_t *p, cmask n)
{
    int8_t all[32] = {0};
    memcpy(all, p, (size_t)n);
    return i_load(all);
}
INLINE vint i_zero(void) { return _mm256_setzero_si256(); }
INLINE vint i_all8(int v) { return _mm256_set1_epi8((char)v); }
#ifdef VNNI
INLINE vint i_dot(vint sum, vint u, vint s)
{
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(u), "x"(s));
    return sum;
}
#else
INLINE vint i_wide(vint a, int half)
{
    return _mm256_cvtepi8_epi16(half ? _mm256_extracti128_si256(a, 1)
                                     : _mm256_castsi256_si128(a));
}
INLINE vint i_dot(vint sum, vint a, vint b)
{
    vint low = _mm256_madd_epi16(i_wide(a, 0), i_wide(b, 0));
    return v_iadd(sum, v_iadd(low, _mm256_madd_epi16(i_wide(a, 1), i_wide(b, 1))));
}
#endif
INLINE void i_fold(vint s[16], int32_t out[16])
{
    UNROLL(2)
    for (int h = 0; h < 16; h += 8) {
        vint t[8];
        UNROLL(4)
        for (int i = 0; i < 8; i += 2)
            t[i] = v_iadd(_mm256_unpacklo_epi32(s[h + i], s[h + i + 1]),
                          _mm256_unpackhi_epi32(s[h + i], s[h + i + 1]));
        vint a =
            v_iadd(_mm256_unpacklo_epi64(t[0], t[2]), _mm256_unpackhi_epi64(t[0], t[2]));
        vint b =
            v_iadd(_mm256_unpacklo_epi64(t[4], t[6]), _mm256_unpackhi_epi64(t[4], t[6]));
        _mm256_storeu_si256((__m256i *)(out + h),
                            v_iadd(_mm256_permute2x128_si256(a, b, 0x20),
                                   _mm256_permute2x128_si256(a, b, 0x31)));
    }
}
#endif

/* The side that must be unsigned. */
INLINE vint i_unsigned(vint w)
{
#ifdef VNNI
    return v_xor(w, i_all8(0x80));
#else
    return w;
#endif
}

/* out[r * 16 / R + c] = sum of q[r] w[c], w's row offset by 128 where VNNI is; R * C <= 16,
 * R a divisor of 16. */
SIZED void codes_micro(const int R, const int C, const int8_t *q, const int8_t *w,
                       int64_t k, int32_t out[SUMS])
{
    vint s[SUMS], a[4];
    UNROLL(16)
    for (int i = 0; i < SUMS; i++)
        s[i] = i_zero();
    int64_t i = 0;
    for (; i + CODES <= k; i += CODES) {
        UNROLL(4)
        for (int r = 0; r < R; r++)
            a[r] = i_load(q + r * k + i);
        UNROLL(16)
        for (int c = 0; c < C; c++) {
            vint b = i_unsigned(i_load(w + c * k + i));
            UNROLL(4)
            for (int r = 0; r < R; r++)
                s[r * (SUMS / R) + c] = i_dot(s[r * (SUMS / R) + c], b, a[r]);
        }
    }
    if (i < k) {
        cmask m = i_first(k - i);
        UNROLL(4)
        for (int r = 0; r < R; r++)
            a[r] = i_load_some(q + r * k + i, m);
        UNROLL(16)
        for (int c = 0; c < C; c++) {
            vint b = i_unsigned(i_load_some(w + c * k + i, m));
            UNROLL(4)
            for (int r = 0; r < R; r++)
                s[r * (SUMS / R) + c] = i_dot(s[r * (SUMS / R) + c], b, a[r]);
        }
    }
    i_fold(s, out);
}

/* The same for one row of q and up to 16 of w, which are read one after the other, as
 * memory likes it. */
static __attribute__((noinline)) void codes_line(const int8_t *q, const int8_t *w,
                                                 int64_t k, int64_t cols, int32_t out[SUMS])
{
    vint s[SUMS];
    for (int c = 0; c < SUMS; c++) {
        vint t[4] = {i_zero(), i_zero(), i_zero(), i_zero()};
        int64_t i = 0, end = c < cols ? k : 0;
        for (; i + 4 * CODES <= end; i += 4 * CODES) {
            UNROLL(4)
            for (int l = 0; l < 4; l++)
                t[l] = i_dot(t[l], i_unsigned(i_load(w + i + l * CODES)),
                             i_load(q + i + l * CODES));
        }
        for (; i + CODES <= end; i += CODES)
            t[0] = i_dot(t[0], i_unsigned(i_load(w + i)), i_load(q + i));
        if (i < end) {
            cmask m = i_first(end - i);
            t[0] = i_dot(t[0], i_unsigned(i_load_some(w + i, m)), i_load_some(q + i, m));
        }
        s[c] = v_iadd(v_iadd(t[0], t[1]), v_iadd(t[2], t[3]));
        w += k;
    }
    i_fold(s, out);
}

/* What an offset of 128 adds to every sum with each of these rows of q. */
static void codes_excess(const int8_t *q, int64_t k, int64_t rows, int32_t out[SUMS])
{
    vint s[SUMS];
    for (int r = 0; r < SUMS; r++) {
        s[r] = i_zero();
        int64_t i = 0, end = r < rows ? k : 0;
        for (; i + CODES <= end; i += CODES)
            s[r] = i_dot(s[r], i_all8(1), i_load(q + i));
        if (i < end) s[r] = i_dot(s[r], i_all8(1), i_load_some(q + i, i_first(end - i)));
        s[r] = v_left(s[r], 7);
        q += k;
    }
    i_fold(s, out);
}

/* y[c] = (float)(sum[c] - excess) * (qs * ws[c]) + b[c], each operation rounded. y may be
 * sum. */
static void codes_scale(const int32_t *sum, int32_t excess, float qs, const float *ws,
                        const float *b, float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        vmask m = v_first(least(n - i, LANES));
        vint s = v_bits(v_load_some((const float *)(const void *)(sum + i), m));
        vec v = v_from_int(v_isub(s, v_int(excess)));
        v = v * (v_all(qs) * v_load_some(ws + i, m));
        if (b) v = v_add(v, v_load_some(b + i, m));
        v_store_some(y + i, m, v);
    }
}

/* ---- tiles ---- */

#define ROWS_BY_COLUMNS(R, C)                                                              \
    static __attribute__((noinline)) void codes_##R##_##C(                                 \
        const int8_t *q, const int8_t *w, int64_t k, int32_t out[SUMS])                    \
    {                                                                                      \
        codes_micro(R, C, q, w, k, out);                                                   \
    }
#define PAIRS(X) X(1, 16) X(2, 1) X(2, 2) X(2, 3) X(2, 4) X(4, 1) X(4, 2) X(4, 3) X(4, 4)
PAIRS(ROWS_BY_COLUMNS)
#undef ROWS_BY_COLUMNS

static void codes(const x86_codes *p, int64_t r0, int64_t r1, int64_t c0, int64_t c1)
{
    static void (*const by_size[5][5])(const int8_t *q, const int8_t *w, int64_t k,
                                       int32_t out[SUMS]) = {
#define ENTRY(R, C) [R][(C) % 16] = codes_##R##_##C,
        PAIRS(ENTRY)
#undef ENTRY
    };
    enum { NEAR = 256 << 10 /* codes that the second cache holds */ };
    int64_t k = p->k;
    int is_far = k >= 1024 || k * p->n > NEAR;
    for (int64_t r = r0; r < r1;) {
        int64_t left = r1 - r, rows = left >= 4 ? 4 : left >= 2 ? 2 : 1;
        for (int64_t c = c0; c < c1;) {
            int32_t out[SUMS];
            int64_t cols = least(c1 - c, rows == 1 ? SUMS : 4);
            if (rows == 1 && (is_far || cols < SUMS))
                codes_line(p->q + r * k, p->w + c * k, k, cols, out);
            else
                by_size[rows][cols % 16](p->q + r * k, p->w + c * k, k, out);
            for (int64_t i = 0; i < rows; i++)
                memcpy(p->y + (r + i) * p->n + c, out + i * (SUMS / rows),
                       (size_t)cols * sizeof *out);
            c += cols;
        }
        int32_t excess[SUMS] = {0};
#ifdef VNNI
        codes_excess(p->q + r * k, k, rows, excess);
#endif
        for (int64_t i = 0; i < rows; i++, r++) {
            float *y = p->y + r * p->n + c0;
            codes_scale((const int32_t *)(const void *)y, excess[i],
                        p->qs[p->per_token ? r : 0], p->ws + c0, p->b ? p->b + c0 : NULL, y,
                        c1 - c0);
        }
    }
}
