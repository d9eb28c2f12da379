/*
 * encode_inner.h -- from f32 to eight-bit codes, for one instruction set: the bits of the
 * portable operator.
 */

#include <math.h>

#if LANES == 16
INLINE int32_t v_fold_max(vint a) { return _mm512_reduce_max_epi32(a); }
#else
INLINE int32_t v_fold_max(vint a)
{
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
    return _mm_cvtsi128_si32(m);
}
#endif

/* max|x| / 127, 1 for zeros, NaN where there is a NaN or Inf: as bits they are the largest.
 */
INLINE float scale_of(const float *x, int64_t n)
{
    vint most = v_int(0);
    for (int64_t i = 0; i < n; i += LANES) {
        vec v = n - i >= LANES ? v_load(x + i) : v_load_some(x + i, v_first(n - i));
        most = v_imax(most, v_and(v_bits(v), v_int(0x7fffffff)));
    }
    int32_t bits = v_fold_max(most);
    float size;
    memcpy(&size, &bits, sizeof size);
    if (bits >= 0x7f800000) return NAN;
    size /= 127.0f;
    return size > 0 ? size : 1.0f;
}

/* q = clamp(nearest_even(x / scale), -127, 127), NaN gives 0. */
static void encode(const float *x, float scale, int64_t n, int8_t *q)
{
    const vec magic = v_all(12582912.0f); /* 1.5 * 2^23: adding it rounds to nearest even */
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t have = least(n - i, LANES);
        vec v = have == LANES ? v_load(x + i) : v_load_some(x + i, v_first(have));
        v = v / v_all(scale);
        v = v_max(v_all(-127.0f), v_min(v_all(127.0f), v));
        v = v_pick(v, _CMP_ORD_Q, v, v, v_zero());
        int8_t codes[16];
        v_store_codes(have == LANES ? q + i : codes, v_to_int((v + magic) - magic));
        if (have < LANES) memcpy(q + i, codes, (size_t)have);
    }
}

/* The same for numbers within 127 scale, by a scale that is not so small that rounding it
 * took them beyond. */
static void encode_within(const float *x, float scale, int64_t n, int8_t *q)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store_codes(q + i, v_nearest(v_load(x + i) / v_all(scale)));
    if (i < n) encode(x + i, scale, n - i, q + i);
}

/* See x86_isa. */
static void encode_groups(const float *x, int64_t groups, int64_t group, float *scale,
                          int8_t *q)
{
    for (; groups > 0; groups--, x += group, q += group) {
        *scale = scale_of(x, group);
        (*scale > 0x1p-100f ? encode_within : encode)(x, *scale, group, q);
        scale++;
    }
}
