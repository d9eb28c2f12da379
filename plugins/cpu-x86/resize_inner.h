/*
 * resize_inner.h -- resize for one instruction set; included with RESIZE_TABLE the name of
 * the table. Nothing is fused: the bits are those of the portable kernel.
 */
#include "resize.h"

/* A pixel takes four lanes, so a vector holds PIXELS neighbours. */
enum { PIXELS = LANES / 4, HALF_UNIT = 1 << (WINDOWS_POINT - 1) };

#if LANES == 16
/* Sixteen bytes at p: the pixels' channels, each in a lane. */
INLINE vint v_pixels(const uint8_t *p, vint where)
{
    __m128i b = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(b), where);
}
/* Their weights, each four times. */
INLINE vint v_each_four(const int32_t *w)
{
    __m128i b = _mm_loadu_si128((const __m128i *)(const void *)w);
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
        _mm512_castsi128_si512(b));
}
INLINE vint v_imul(vint a, vint b) { return _mm512_mullo_epi32(a, b); }
INLINE vint v_izero(void) { return _mm512_setzero_si512(); }
INLINE vint v_widened(const uint8_t *p) /* LANES of them */
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
/* The pixels' sum. */
INLINE __m128i v_pixel(vint a)
{
    __m256i b =
        _mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
}
/* Sums as bytes, those beyond 0 and 255 cut off. */
INLINE void v_store_bytes(uint8_t *y, vint sum)
{
    vint v = _mm512_srai_epi32(sum, WINDOWS_POINT);
    v = _mm512_max_epi32(v, _mm512_setzero_si512());
    _mm_storeu_si128((__m128i *)(void *)y, _mm512_cvtusepi32_epi8(v));
}
#else
INLINE vint v_pixels(const uint8_t *p, vint where)
{
    __m128i b = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(b), where);
}
INLINE vint v_each_four(const int32_t *w)
{
    __m128i b = _mm_loadl_epi64((const __m128i *)(const void *)w);
    return _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(b),
                                       _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
}
INLINE vint v_imul(vint a, vint b) { return _mm256_mullo_epi32(a, b); }
INLINE vint v_izero(void) { return _mm256_setzero_si256(); }
INLINE vint v_widened(const uint8_t *p)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
INLINE __m128i v_pixel(vint a)
{
    return _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
}
INLINE void v_store_bytes(uint8_t *y, vint sum)
{
    vint v = _mm256_srai_epi32(sum, WINDOWS_POINT);
    __m128i two =
        _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storel_epi64((__m128i *)(void *)y, _mm_packus_epi16(two, two));
}
#endif

/* Which of sixteen bytes goes to which lane: c bytes a pixel, the others are 0. */
static vint pixel_places(int64_t c)
{
    _Alignas(64) uint8_t where[4 * LANES];
    for (int64_t i = 0; i < 4 * LANES; i++) {
        int64_t channel = i / 4 % 4, pixel = i / 16;
        where[i] = i % 4 == 0 && channel < c ? (uint8_t)(pixel * c + channel) : 0x80;
    }
    vint v;
    memcpy(&v, where, sizeof v);
    return v;
}

static void across_u8(const windows *a, int64_t c, const void *const *x_, void *const *y)
{
    const uint8_t *const x[RESIZE_ROWS] = {x_[0], x_[1], x_[2], x_[3]};
    const int32_t *start = windows_starts(a), *n = windows_counts(a),
                  *w = windows_weights(a);
    const __m128i half = _mm_set1_epi32(HALF_UNIT);
    const vint where = pixel_places(c);
    for (int64_t i = 0; i < a->out; i++, w += a->most) {
        vint sum[RESIZE_ROWS] = {v_izero(), v_izero(), v_izero(), v_izero()};
        __m128i pixel[RESIZE_ROWS];
        for (int64_t k = 0, at = start[i] * c; k < n[i]; k += PIXELS, at += PIXELS * c) {
            vint weight = v_each_four(w + k);
            UNROLL(4)
            for (int r = 0; r < RESIZE_ROWS; r++)
                sum[r] = v_iadd(sum[r], v_imul(v_pixels(x[r] + at, where), weight));
        }
        UNROLL(4)
        for (int r = 0; r < RESIZE_ROWS; r++)
            pixel[r] = _mm_srai_epi32(_mm_add_epi32(v_pixel(sum[r]), half), WINDOWS_POINT);
        /* the next pixel, or nobody, cares for bytes behind the last channel */
        __m128i all = _mm_packus_epi16(_mm_packs_epi32(pixel[0], pixel[1]),
                                       _mm_packs_epi32(pixel[2], pixel[3]));
        int32_t four[RESIZE_ROWS] = {_mm_extract_epi32(all, 0), _mm_extract_epi32(all, 1),
                                     _mm_extract_epi32(all, 2), _mm_extract_epi32(all, 3)};
        UNROLL(4)
        for (int r = 0; r < RESIZE_ROWS; r++)
            memcpy((uint8_t *)y[r] + i * c, &four[r], sizeof four[r]);
    }
}

static void across_f32(const windows *a, int64_t c, const void *const *x_, void *const *y)
{
    const float *const x[RESIZE_ROWS] = {x_[0], x_[1], x_[2], x_[3]};
    const int32_t *start = windows_starts(a), *n = windows_counts(a);
    const float *w = (const float *)(const void *)windows_weights(a);
    for (int64_t i = 0; i < a->out; i++, w += a->most) {
        __m128 sum[RESIZE_ROWS] = {_mm_setzero_ps(), _mm_setzero_ps(), _mm_setzero_ps(),
                                   _mm_setzero_ps()};
        for (int64_t k = 0, at = start[i] * c; k < n[i]; k++, at += c) {
            __m128 weight = _mm_set1_ps(w[k]);
            UNROLL(4)
            for (int r = 0; r < RESIZE_ROWS; r++)
                sum[r] = sum[r] + _mm_loadu_ps(x[r] + at) * weight;
        }
        UNROLL(4)
        for (int r = 0; r < RESIZE_ROWS; r++)
            _mm_storeu_ps((float *)y[r] + i * c, sum[r]);
    }
}

enum { SIDE = 4 /* vectors side by side */ };

static void down_u8(const void *x_, int64_t step, const void *w_, int64_t taps, int64_t n,
                    void *y_)
{
    const uint8_t *x = x_;
    const int32_t *w = w_;
    uint8_t *y = y_;
    const vint half = v_int(HALF_UNIT);
    int64_t i = 0;
    for (; i + SIDE * LANES <= n; i += SIDE * LANES) {
        vint sum[SIDE] = {half, half, half, half};
        for (int64_t k = 0; k < taps; k++) {
            vint weight = v_int(w[k]);
            UNROLL(4)
            for (int s = 0; s < SIDE; s++)
                sum[s] =
                    v_iadd(sum[s], v_imul(v_widened(x + k * step + i + s * LANES), weight));
        }
        UNROLL(4)
        for (int s = 0; s < SIDE; s++)
            v_store_bytes(y + i + s * LANES, sum[s]);
    }
    for (; i < n; i += LANES) {
        uint8_t last[LANES];
        vint sum = half;
        for (int64_t k = 0; k < taps; k++)
            sum = v_iadd(sum, v_imul(v_widened(x + k * step + i), v_int(w[k])));
        v_store_bytes(last, sum);
        memcpy(y + i, last, (size_t)least(n - i, LANES));
    }
}

static void down_f32(const void *x_, int64_t step, const void *w_, int64_t taps, int64_t n,
                     void *y_)
{
    const float *x = x_, *w = w_;
    float *y = y_;
    step /= (int64_t)sizeof *x;
    int64_t i = 0;
    for (; i + SIDE * LANES <= n; i += SIDE * LANES) {
        vec sum[SIDE] = {v_zero(), v_zero(), v_zero(), v_zero()};
        for (int64_t k = 0; k < taps; k++) {
            vec weight = v_all(w[k]);
            UNROLL(4)
            for (int s = 0; s < SIDE; s++)
                sum[s] = sum[s] + v_load(x + k * step + i + s * LANES) * weight;
        }
        UNROLL(4)
        for (int s = 0; s < SIDE; s++)
            v_store(y + i + s * LANES, sum[s]);
    }
    for (; i < n; i += LANES) {
        vec sum = v_zero();
        for (int64_t k = 0; k < taps; k++)
            sum = sum + v_load(x + k * step + i) * v_all(w[k]);
        v_store_some(y + i, v_first(least(n - i, LANES)), sum);
    }
}

const x86_resize RESIZE_TABLE = {.across_u8 = across_u8,
                                 .across_f32 = across_f32,
                                 .down_u8 = down_u8,
                                 .down_f32 = down_f32};
