/*
 * lanes.h -- vectors of LANES floats, 16 with AVX-512 or 8 with AVX2, under one set of
 * names.
 *
 * Included by the files that may use these instructions, after LANES is defined. min, max
 * and blends have the processor's rules, which the comments state.
 */
#include <immintrin.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define X86_CHECKED
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define X86_CHECKED
#endif
/* Kernels are made once per size. With sanitizers one function serves all sizes: its loops
 * stay loops, which compile in seconds, and its arrays are checked. */
#ifdef X86_CHECKED
#define SIZED static __attribute__((noinline))
#define UNROLL(n)
#else
#define SIZED         INLINE
#define UNROLL(n)     UNROLL_(GCC unroll n)
#define UNROLL_(text) _Pragma(#text)
#endif
INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

#if LANES == 16
typedef __m512 vec;
typedef __m512i vint;
typedef __mmask16 vmask;

static inline vec v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, vec v) { _mm512_storeu_ps(p, v); }
static inline vmask v_first(int64_t n) /* the first n lanes, n in [0, LANES] */
{
    return (vmask)((1u << n) - 1);
}
static inline vec v_load_some(const float *p, vmask m)
{
    return _mm512_maskz_loadu_ps(m, p);
}
static inline void v_store_some(float *p, vmask m, vec v)
{
    _mm512_mask_storeu_ps(p, m, v);
}
static inline vec v_all(float x) { return _mm512_set1_ps(x); }
static inline vec v_zero(void) { return _mm512_setzero_ps(); }
static inline vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
static inline vec v_add(vec a, vec b) { return _mm512_add_ps(a, b); }
static inline vec v_min(vec a, vec b) { return _mm512_min_ps(a, b); } /* a < b ? a : b */
static inline vec v_max(vec a, vec b) { return _mm512_max_ps(a, b); } /* a > b ? a : b */
static inline vec v_sqrt(vec a) { return _mm512_sqrt_ps(a); }
static inline vint v_bits(vec a) { return _mm512_castps_si512(a); }
static inline vec v_float(vint a) { return _mm512_castsi512_ps(a); }
static inline vint v_int(int32_t x) { return _mm512_set1_epi32(x); }
static inline vint v_iadd(vint a, vint b) { return _mm512_add_epi32(a, b); }
static inline vint v_isub(vint a, vint b) { return _mm512_sub_epi32(a, b); }
static inline vint v_and(vint a, vint b) { return _mm512_and_si512(a, b); }
static inline vint v_or(vint a, vint b) { return _mm512_or_si512(a, b); }
static inline vint v_xor(vint a, vint b) { return _mm512_xor_si512(a, b); }
#define v_left(a, n)         _mm512_slli_epi32(a, n)
#define v_right(a, n)        _mm512_srli_epi32(a, n)
#define v_right_signed(a, n) _mm512_srai_epi32(a, n)
static inline vec v_from_int(vint a) { return _mm512_cvtepi32_ps(a); }
static inline vint v_to_int(vec a) { return _mm512_cvttps_epi32(a); }
static inline vint v_nearest(vec a) { return _mm512_cvtps_epi32(a); } /* even */
static inline vint v_imax(vint a, vint b) { return _mm512_max_epi32(a, b); }
/* 16 codes from numbers in [-128, 127] */
static inline void v_store_codes(int8_t *to, vint a)
{
    _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8(a));
}
/* comparison ? x : y, comparison one of _CMP_* */
#define v_pick(a, comparison, b, x, y)                                                     \
    _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, comparison), y, x)

/* Rows become columns. */
static inline __attribute__((always_inline)) void v_transpose(vec t[16])
{
    vec u[16];
    UNROLL(16)
    for (int i = 0; i < 16; i += 4) {
        vec a = _mm512_unpacklo_ps(t[i], t[i + 1]), b = _mm512_unpackhi_ps(t[i], t[i + 1]);
        vec c = _mm512_unpacklo_ps(t[i + 2], t[i + 3]),
            d = _mm512_unpackhi_ps(t[i + 2], t[i + 3]);
        u[i] = _mm512_shuffle_ps(a, c, 0x44);
        u[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
        u[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        u[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
    UNROLL(16)
    for (int i = 0; i < 4; i++) {
        vec a = _mm512_shuffle_f32x4(u[i], u[i + 4], 0x88),
            b = _mm512_shuffle_f32x4(u[i], u[i + 4], 0xdd),
            c = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0x88),
            d = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0xdd);
        t[i] = _mm512_shuffle_f32x4(a, c, 0x88);
        t[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
        t[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}
#else
typedef __m256 vec;
typedef __m256i vint;
typedef __m256i vmask;

static inline vec v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, vec v) { _mm256_storeu_ps(p, v); }
static inline vmask v_first(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)n),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vec v_load_some(const float *p, vmask m) { return _mm256_maskload_ps(p, m); }
static inline void v_store_some(float *p, vmask m, vec v) { _mm256_maskstore_ps(p, m, v); }
static inline vec v_all(float x) { return _mm256_set1_ps(x); }
static inline vec v_zero(void) { return _mm256_setzero_ps(); }
static inline vec v_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline vec v_add(vec a, vec b) { return _mm256_add_ps(a, b); }
static inline vec v_min(vec a, vec b) { return _mm256_min_ps(a, b); } /* a < b ? a : b */
static inline vec v_max(vec a, vec b) { return _mm256_max_ps(a, b); } /* a > b ? a : b */
static inline vec v_sqrt(vec a) { return _mm256_sqrt_ps(a); }
static inline vint v_bits(vec a) { return _mm256_castps_si256(a); }
static inline vec v_float(vint a) { return _mm256_castsi256_ps(a); }
static inline vint v_int(int32_t x) { return _mm256_set1_epi32(x); }
static inline vint v_iadd(vint a, vint b) { return _mm256_add_epi32(a, b); }
static inline vint v_isub(vint a, vint b) { return _mm256_sub_epi32(a, b); }
static inline vint v_and(vint a, vint b) { return _mm256_and_si256(a, b); }
static inline vint v_or(vint a, vint b) { return _mm256_or_si256(a, b); }
static inline vint v_xor(vint a, vint b) { return _mm256_xor_si256(a, b); }
#define v_left(a, n)         _mm256_slli_epi32(a, n)
#define v_right(a, n)        _mm256_srli_epi32(a, n)
#define v_right_signed(a, n) _mm256_srai_epi32(a, n)
static inline vec v_from_int(vint a) { return _mm256_cvtepi32_ps(a); }
static inline vint v_to_int(vec a) { return _mm256_cvttps_epi32(a); }
static inline vint v_nearest(vec a) { return _mm256_cvtps_epi32(a); }
static inline vint v_imax(vint a, vint b) { return _mm256_max_epi32(a, b); }
/* 8 codes from numbers in [-128, 127] */
static inline void v_store_codes(int8_t *to, vint a)
{
    __m128i two =
        _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    _mm_storel_epi64((__m128i *)to, _mm_packs_epi16(two, two));
}
#define v_pick(a, comparison, b, x, y)                                                     \
    _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, comparison))

static inline __attribute__((always_inline)) void v_transpose(vec t[8])
{
    vec u[8];
    UNROLL(8)
    for (int i = 0; i < 8; i += 4) {
        vec a = _mm256_unpacklo_ps(t[i], t[i + 1]), b = _mm256_unpackhi_ps(t[i], t[i + 1]);
        vec c = _mm256_unpacklo_ps(t[i + 2], t[i + 3]),
            d = _mm256_unpackhi_ps(t[i + 2], t[i + 3]);
        u[i] = _mm256_shuffle_ps(a, c, 0x44);
        u[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        u[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        u[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
    UNROLL(8)
    for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
}
#endif
