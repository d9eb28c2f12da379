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
 * multiply-adds, with no need of results that are subnormal or large. Step by step for N
 * vectors: one alone waits for itself. */
INLINE void v_weights(const int N, vec *x)
{
    const vec round = v_all(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    static const float c[] = {0.00139447581f, 0.00833349768f, 0.0416662954f, 0.166666657f,
                              0.5f};
    vec t[4], r[4], p[4];
#define EACH                                                                               \
    UNROLL(4)                                                                              \
    for (int i = 0; i < N; i++)
    EACH t[i] = v_fma(x[i], v_all(1.44269504f), round);
    EACH r[i] = v_fma(t[i] - round, v_all(-0.693145752f), x[i]);
    EACH r[i] = v_fma(t[i] - round, v_all(-1.42860677e-6f), r[i]);
    EACH p[i] = v_all(0.000197902438f);
    UNROLL(5)
    for (int j = 0; j < 5; j++)
        EACH p[i] = v_fma(p[i], r[i], v_all(c[j]));
    EACH p[i] = v_fma(p[i], r[i] * r[i], r[i]) + v_all(1.0f);
    EACH p[i] = p[i] * v_float(v_iadd(v_left(v_bits(t[i]), 23), v_int(0x3f800000)));
    EACH x[i] = v_pick(x[i], _CMP_LT_OQ, v_all(-87.0f), v_zero(), p[i]);
#undef EACH
}

INLINE vec v_weight(vec x) { return v_weights(1, &x), x; }

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
    vec best[4] = {v_all(none), v_all(none), v_all(none), v_all(none)};
    int64_t at = 0;
    for (; at + 4 * LANES <= n; at += 4 * LANES)
        for (int v = 0; v < 4; v++)
            best[v] = v_max(v_load(score + at + v * LANES), best[v]);
    for (; at < n; at += LANES)
        best[0] = v_max(v_load(score + at), best[0]);
    float most = v_largest(v_max(v_max(best[0], best[1]), v_max(best[2], best[3])));
    float was = *top, now = most > was ? most : was;
    vec base = v_all(now == none ? 0.0f : now);
    float keep = now == was ? 1.0f : was == none ? 0.0f : weight(was - now);
    vec sum[VECTORS];
    for (int v = 0; v < VECTORS; v++)
        sum[v] = v_load(lanes + v * LANES) * v_all(keep);
    for (at = 0; at + 4 * LANES <= n; at += 4 * LANES) {
        vec p[4];
        UNROLL(4)
        for (int v = 0; v < 4; v++)
            p[v] = v_load(score + at + v * LANES) - base;
        v_weights(4, p);
        UNROLL(4)
        for (int v = 0; v < 4; v++) {
            v_store(score + at + v * LANES, p[v]);
            sum[v % VECTORS] = v_add(sum[v % VECTORS], p[v]);
        }
    }
    for (int v = 0; at < n || v % VECTORS; at += LANES, v++) {
        vec p = v_weight(v_load(score + at) - base);
        v_store(score + at, p);
        sum[v % VECTORS] = v_add(sum[v % VECTORS], p);
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

static void round_all(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        vmask m = v_first(least(n - i, LANES));
        vint near = v_half_of(v_load_some(x + i, m));
        v_store_some(x + i, m, v_float(v_and(near, v_int((int32_t)0xffff0000))));
    }
}

static void divide(float *y, float by, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        vmask m = v_first(least(n - i, LANES));
        v_store_some(y + i, m, v_load_some(y + i, m) / v_all(by));
    }
}

static void score_grad(float *p, float *d, float sum, int64_t n)
{
    enum { VECTORS = PAGED_LANES / LANES };
    vec s[VECTORS], by = v_all(sum);
    float lanes[PAGED_LANES];
    for (int v = 0; v < VECTORS; v++)
        s[v] = v_zero();
    for (int64_t i = 0; i < n; i += PAGED_LANES)
        for (int v = 0; v < VECTORS; v++) {
            int64_t at = i + v * LANES;
            vec w = v_load(p + at), g = v_load(d + at);
            w = v_pick(w, _CMP_EQ_OQ, v_zero(), v_zero(), w / by);
            g = v_pick(w, _CMP_EQ_OQ, v_zero(), v_zero(), g);
            v_store(p + at, w);
            v_store(d + at, g);
            s[v] = v_fma(w, g, s[v]);
        }
    for (int v = 0; v < VECTORS; v++)
        v_store(lanes + v * LANES, s[v]);
    vec along = v_all(paged_fold(lanes));
    for (int64_t i = 0; i < n; i += LANES) {
        vec w = v_load(p + i);
        v_store(d + i,
                v_pick(w, _CMP_EQ_OQ, v_zero(), v_zero(), w * (v_load(d + i) - along)));
    }
}

const x86_paged PAGED = {.read = find_read,
                         .turn = turn_keys,
                         .weigh = weigh,
                         .blend = blend,
                         .weight = weight,
                         .divide = divide,
                         .score_grad = score_grad,
                         .round = round_all};
