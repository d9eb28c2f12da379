/*
 * paged_inner.h -- what paged.c wants of an instruction set; included after element_inner.h
 * and matrix_inner.h, with PAGED the name of the table.
 */
#include "paged.h"

/* ---- numbers of formats that pools are made of ---- */

#if LANES == 16
INLINE vec v_half(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
INLINE vec v_upper_half(const void *p)
{
    return v_float(
        v_left(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
INLINE vec v_bytes(const void *p)
{
    return v_from_int(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
#else
INLINE vec v_half(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
INLINE vec v_upper_half(const void *p)
{
    return v_float(v_left(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
INLINE vec v_bytes(const void *p)
{
    return v_from_int(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
#endif

/* Codes of 16 bits; what fills no vector goes through a copy. */
#define READ_HALVES(id, lanes_of)                                                          \
    static void read_##id(const char *codes, int64_t apart, int64_t rows, int64_t n,       \
                          float *to, int64_t to_row)                                       \
    {                                                                                      \
        for (int64_t r = 0; r < rows; r++, codes += apart, to += to_row) {                 \
            int64_t i = 0;                                                                 \
            for (; i + LANES <= n; i += LANES)                                             \
                v_store(to + i, lanes_of(codes + 2 * i));                                  \
            if (i == n) continue;                                                          \
            uint16_t rest[LANES] = {0};                                                    \
            memcpy(rest, codes + 2 * i, (size_t)(n - i) * 2);                              \
            v_store_some(to + i, v_first(n - i), lanes_of(rest));                          \
        }                                                                                  \
    }
READ_HALVES(f16, v_half)
READ_HALVES(bf16, v_upper_half)

static void read_f32(const char *codes, int64_t apart, int64_t rows, int64_t n, float *to,
                     int64_t to_row)
{
    for (int64_t r = 0; r < rows; r++, codes += apart, to += to_row) {
        const float *x = (const float *)(const void *)codes;
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES)
            v_store(to + i, v_load(x + i));
        if (i < n) v_store_some(to + i, v_first(n - i), v_load_some(x + i, v_first(n - i)));
    }
}

/* Blocks of an f16 scale and 32 codes. */
static void read_q8_0(const char *codes, int64_t apart, int64_t rows, int64_t n, float *to,
                      int64_t to_row)
{
    for (int64_t r = 0; r < rows; r++, codes += apart, to += to_row) {
        const char *at = codes;
        for (int64_t i = 0; i < n; i += 32, at += 34) {
            uint16_t scale;
            memcpy(&scale, at, sizeof scale);
            vec d = v_all(_cvtsh_ss(scale));
            for (int64_t j = 0; j < 32; j += LANES)
                v_store(to + i + j, v_bytes(at + 2 + j) * d);
        }
    }
}

static x86_read *find_read(const char *format)
{
    static const struct {
        const char *format;
        x86_read *read;
    } all[] = {
        {"f32", read_f32}, {"f16", read_f16}, {"bf16", read_bf16}, {"q8_0", read_q8_0}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(format, all[i].format)) return all[i].read;
    return NULL;
}

/* ---- softmax as it goes ---- */

static void turn_keys(const float *from, int64_t from_row, int64_t n_i, int64_t n_j,
                      float *to, int64_t to_row)
{
    pack_turned(from, from_row, n_i, n_j, to, to_row);
    if (LANES == 16 || (n_i + LANES - 1) / LANES % 2 == 0) return;
    for (int64_t j = 0; j < n_j; j++)
        v_store(to + j * to_row + (n_i + LANES - 1) / LANES * LANES, v_zero());
}

INLINE float v_largest(vec v)
{
#if LANES == 16
    __m256 h = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
#else
    __m256 h = v;
#endif
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    q = _mm_max_ss(q, _mm_movehdup_ps(q));
    return _mm_cvtss_f32(q);
}

/* e^x for x <= 0, and 0 below -87: the polynomial of element_inner.h by fused
 * multiply-adds, with no need of results that are subnormal or large. */
INLINE vec v_weight(vec x)
{
    const vec round = v_all(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    vec t = v_fma(x, v_all(1.44269504f), round), n = t - round;
    vec r = v_fma(n, v_all(-1.42860677e-6f), v_fma(n, v_all(-0.693145752f), x));
    vec p = v_fma(v_all(0.000197902438f), r, v_all(0.00139447581f));
    p = v_fma(p, r, v_all(0.00833349768f));
    p = v_fma(p, r, v_all(0.0416662954f));
    p = v_fma(p, r, v_all(0.166666657f));
    p = v_fma(p, r, v_all(0.5f));
    vec y = v_fma(p, r * r, r) + v_all(1.0f);
    y = y * v_float(v_iadd(v_left(v_bits(t), 23), v_int(0x3f800000)));
    return v_pick(x, _CMP_LT_OQ, v_all(-87.0f), v_zero(), y);
}

static float weight(float x)
{
    float y[LANES];
    v_store(y, v_weight(v_all(x)));
    return *y;
}

/* A NaN among the scores leaves *top alone and becomes a weight. */
static float weigh(float *score, int64_t n, float *top, float *lanes)
{
    enum { VECTORS = PAGED_LANES / LANES };
    const float none = -__builtin_inff();
    for (int64_t i = n; i % PAGED_LANES; i++)
        score[i] = none;
    vec best = v_all(none);
    for (int64_t i = 0; i < n; i += LANES)
        best = v_max(v_load(score + i), best);
    float was = *top, most = v_largest(best), now = most > was ? most : was;
    vec base = v_all(now == none ? 0.0f : now);
    float keep = now == was ? 1.0f : weight(was - now);
    vec sum[VECTORS];
    for (int v = 0; v < VECTORS; v++)
        sum[v] = v_load(lanes + v * LANES) * v_all(keep);
    for (int64_t i = 0; i < n; i += PAGED_LANES)
        for (int v = 0; v < VECTORS; v++) {
            float *at = score + i + v * LANES;
            vec p = v_weight(v_load(at) - base);
            v_store(at, p);
            sum[v] = v_add(sum[v], p);
        }
    for (int v = 0; v < VECTORS; v++)
        v_store(lanes + v * LANES, sum[v]);
    *top = now;
    return keep;
}

static void blend(float *y, float keep, const float *x, float take, int64_t n)
{
    vec k = v_all(keep), t = v_all(take);
    for (int64_t i = 0; i < n; i += LANES)
        v_store(y + i, v_fma(v_load(x + i), t, v_load(y + i) * k));
}

const x86_paged PAGED = {
    .read = find_read, .turn = turn_keys, .weigh = weigh, .blend = blend, .weight = weight};
