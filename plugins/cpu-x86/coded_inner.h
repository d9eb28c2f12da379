/*
 * coded_inner.h -- products of eight-bit codes with packed weights in blocks, for one
 * instruction set; see packed.h for how they lie.
 *
 * Included with LANES, lanes.h, CODED_ROWS (rows of a group), CODED_SIZES (X for 1 to that)
 * and, where there are instructions for it, VNNI in place.
 *
 * Lanes are columns of y. Codes of weights count from 0, so they are the unsigned operand;
 * what that adds to a block's sum is where the sum starts. Order of sums (numerics id
 * "f32.blocks"): a block, 32 terms or 16 for q6_k, adds up exactly, in 32 bits; then
 *     t = (float)sum * scale        t = fma(minimum, (float)sum of the activations' codes,
 * t) y = fma(t, scale of the activations, y) with blocks in ascending order. So a result
 * does not depend on anything but K.
 *
 * Per panel and some K, scales become f32 once for all rows. The codes stay in the first
 * cache meanwhile and are taken apart in registers, by instructions that run beside the
 * products.
 */
#include <string.h>

enum {
    CODED_VECTORS = 2, /* side by side in registers */
    CODED_WIDTH = CODED_VECTORS * LANES,
    CODED_AHEAD = 8192 /* bytes by which memory is asked before */
};

/* Formats whose codes take long to take apart become one of these first, where many rows
 * make that worth it: bytes in words as q8_0 has them, without a head. */
enum {
    CODED_WIDE = PACKED_BLOCKS,
    CODED_WIDE_MINIMUM, /* with minima */
    CODED_WIDE_SMALL,   /* 16 terms share a scale */
    CODED_KINDS
};

/* Of a format: terms that share a scale, whether there is a minimum, what codes count from,
 * and whether two products fit 16 bits. */
INLINE int f_terms(int f) { return f == PACKED_Q6_K || f == CODED_WIDE_SMALL ? 16 : 32; }
INLINE int f_has_minimum(int f)
{
    return f == PACKED_Q4_1 || f == PACKED_Q5_1 || f == PACKED_Q4_K || f == PACKED_Q5_K ||
           f == CODED_WIDE_MINIMUM;
}
INLINE int f_zero(int f)
{
    return f == PACKED_Q8_0   ? 128
           : f == PACKED_Q4_0 ? 8
           : f == PACKED_Q5_0 ? 16
           : f == PACKED_Q6_K ? 32
                              : 0;
}
/* Of a record: blocks, and bytes before, in and after the words of a panel. */
enum { HALF_STEP = 2 * PACKED_ROWS, WORD_STEP = 4 * PACKED_ROWS };
INLINE int f_blocks(int f)
{
    return f == PACKED_Q6_K ? 16 : f == PACKED_Q4_K || f == PACKED_Q5_K ? 8 : 1;
}
INLINE int f_head(int f)
{
    return f == PACKED_Q6_K || f >= PACKED_BLOCKS ? 0 : HALF_STEP << f_has_minimum(f);
}
INLINE int f_words(int f)
{
    int n = f == PACKED_Q8_0                       ? 8
            : f == PACKED_Q4_0 || f == PACKED_Q4_1 ? 4
            : f == PACKED_Q5_0 || f == PACKED_Q5_1 ? 5
            : f == PACKED_Q4_K                     ? 35
            : f == PACKED_Q5_K                     ? 43
            : f == PACKED_Q6_K                     ? 52
                                                   : f_terms(f) / 4;
    return n * WORD_STEP;
}
INLINE int f_record(int f)
{
    return f_head(f) + f_words(f) + (f == PACKED_Q6_K ? HALF_STEP : 0);
}
/* How many blocks a loop takes at once, so that shifts are constants. */
INLINE int f_unrolled(int f) { return f_blocks(f) > 1 ? 2 : 1; }
/* What a format becomes where many rows read it. */
INLINE int f_wide(int f)
{
    return f == PACKED_Q5_0                       ? CODED_WIDE
           : f == PACKED_Q5_1 || f == PACKED_Q5_K ? CODED_WIDE_MINIMUM
           : f == PACKED_Q6_K                     ? CODED_WIDE_SMALL
                                                  : f;
}

/* ---- instructions ---- */

#if LANES == 16
typedef uint16_t i_short __attribute__((vector_size(64)));
INLINE vec v_halves(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
}
INLINE vint i_multiply_pairs(vint a, vint b) { return _mm512_madd_epi16(a, b); }
INLINE vint i_multiply_codes(vint u, vint s) { return _mm512_maddubs_epi16(u, s); }
INLINE vint i_all16(int v) { return _mm512_set1_epi16((short)v); }
#else
typedef uint16_t i_short __attribute__((vector_size(32)));
INLINE vec v_halves(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)p));
}
INLINE vint i_multiply_pairs(vint a, vint b) { return _mm256_madd_epi16(a, b); }
INLINE vint i_multiply_codes(vint u, vint s) { return _mm256_maddubs_epi16(u, s); }
INLINE vint i_all16(int v) { return _mm256_set1_epi16((short)v); }
#endif
typedef int16_t i_signed __attribute__((vector_size(4 * LANES)));

/* Bytes that move by n bits take their neighbour's; what is masked off afterwards. */
INLINE vint i_right(vint a, int n) { return (vint)((i_short)a >> n); }
INLINE vint i_left(vint a, int n) { return (vint)((i_short)a << n); }

/* sum += four products in each lane; u unsigned, s signed. */
INLINE vint i_mixed(vint sum, vint u, vint s, int is_wide)
{
#ifdef VNNI
    return (void)is_wide, i_dot(sum, u, s);
#else
    if (!is_wide) return v_iadd(sum, i_multiply_pairs(i_multiply_codes(u, s), i_all16(1)));
    vint odd = (vint)((i_signed)s >> 8), even = (vint)((i_signed)i_left(s, 8) >> 8);
    sum = v_iadd(sum, i_multiply_pairs(v_and(u, i_all16(0xff)), even));
    return v_iadd(sum, i_multiply_pairs(i_right(u, 8), odd));
#endif
}

/* ---- codes and scales ---- */

INLINE vint word(const uint8_t *w, int i)
{
    return i_load((const int8_t *)w + i * WORD_STEP);
}

/* Codes 4 i to 4 i + 3 of block j of a record; w: where its words start for these lanes. */
INLINE vint codes_of(const int f, const uint8_t *w, int j, int i)
{
    const vint low = i_all8(0x0f), bit = i_all8(0x10);
    if (f == PACKED_Q8_0 || f >= PACKED_BLOCKS) return word(w, i);
    if (f == PACKED_Q4_0 || f == PACKED_Q4_1)
        return v_and(i < 4 ? word(w, i) : i_right(word(w, i - 4), 4), low);
    if (f == PACKED_Q5_0 || f == PACKED_Q5_1) {
        vint h = i < 4 ? i_left(word(w, 0), 4 - i) : i_right(word(w, 0), i - 4);
        vint q = i < 4 ? word(w, 1 + i) : i_right(word(w, i - 3), 4);
        return v_or(v_and(q, low), v_and(h, bit));
    }
    if (f == PACKED_Q6_K) { /* blocks of 16: i to 3 */
        int half = j >> 3, group = j >> 1 & 3, at = (j & 1) * 4 + i;
        vint q = i_right(word(w, half * 16 + (group & 1) * 8 + at), group >> 1 << 2);
        vint h = word(w, 32 + half * 8 + at);
        h = group < 2 ? i_left(h, 4 - 2 * group) : i_right(h, 2 * group - 4);
        return v_or(v_and(q, low), v_and(h, i_all8(0x30)));
    }
    int first = f == PACKED_Q4_K ? 3 : 11;
    vint q = v_and(i_right(word(w, first + (j >> 1) * 8 + i), (j & 1) * 4), low);
    if (f == PACKED_Q4_K) return q;
    vint h = j < 4 ? i_left(word(w, 3 + i), 4 - j) : i_right(word(w, 3 + i), j - 4);
    return v_or(q, v_and(h, bit));
}

INLINE vec byte_of(vint words, int i) /* unsigned */
{
    return v_from_int(v_and(v_right(words, 8 * i), v_int(0xff)));
}

/* f32 scales of a record's blocks, then their minima, which count positive: [blocks][1 or
 * 2] [PACKED_ROWS]. */
INLINE void scales_of(const int f, const uint8_t *record, float *out)
{
    const uint8_t *words = record + f_head(f);
    for (int l = 0; l < PACKED_ROWS; l += LANES) {
        const uint8_t *half = record + 2 * l, *w = words + 4 * l;
        float *to = out + l;
        if (f < PACKED_Q4_K) {
            v_store(to, v_halves(half));
            if (f_has_minimum(f)) v_store(to + PACKED_ROWS, v_halves(half + HALF_STEP));
        } else if (f == PACKED_Q6_K) {
            vec d = v_halves(words + f_words(f) + 2 * l);
            UNROLL(16)
            for (int j = 0; j < 16; j++, to += PACKED_ROWS)
                v_store(to, d * v_from_int(v_right_signed(
                                    v_left(word(w, 48 + j / 4), 24 - j % 4 * 8), 24)));
        } else {
            vec d = v_halves(half), least = v_zero() - v_halves(half + HALF_STEP);
            vint a = word(w, 0), b = word(w, 1), c = word(w, 2), six = i_all8(0x3f);
            vint high = i_all8(0x30), low = i_all8(0x0f);
            vint s[2] = {v_and(a, six), v_or(v_and(i_right(a, 2), high), v_and(c, low))};
            vint m[2] = {v_and(b, six),
                         v_or(v_and(i_right(b, 2), high), v_and(i_right(c, 4), low))};
            UNROLL(8)
            for (int j = 0; j < 8; j++, to += 2 * PACKED_ROWS) {
                v_store(to, d * byte_of(s[j / 4], j % 4));
                v_store(to + PACKED_ROWS, least * byte_of(m[j / 4], j % 4));
            }
        }
    }
}

/* ---- the activations' part ---- */

INLINE int32_t sum_of_16(const int8_t *q)
{
    __m128i all =
        _mm_xor_si128(_mm_loadu_si128((const void *)q), _mm_set1_epi8((char)0x80));
    all = _mm_sad_epu8(all, _mm_setzero_si128());
    return _mm_cvtsi128_si32(all) + _mm_extract_epi16(all, 4) - 16 * 128;
}

/* For each block of some rows: their scales, then where sums start, or, with minima, the
 * sums of their codes: [blocks][2][rows]. */
static void coded_sums(const x86_coded *p, int64_t r0, int64_t rows, float *side)
{
    int terms = f_terms(p->format), zero = f_zero(p->format);
    for (int64_t k = 0; k < p->k; k += terms, side += 2 * rows)
        for (int64_t r = 0; r < rows; r++) {
            const int8_t *q = p->q + (r0 + r) * p->k + k;
            int32_t sum = sum_of_16(q) + (terms == 32 ? sum_of_16(q + 16) : 0);
            int32_t start = -zero * sum;
            side[r] = p->s[(r0 + r) * (p->k / 32) + k / 32];
            if (f_has_minimum(p->format))
                side[rows + r] = (float)sum;
            else
                memcpy(&side[rows + r], &start, sizeof start);
        }
}

/* ---- codes, taken apart for many rows ---- */

/* Records into words of bytes. */
SIZED void coded_widen(const int F, const uint8_t *record, int64_t records, uint8_t *to)
{
    const uint8_t *end = record + records * f_record(F);
    for (; record < end; record += f_record(F))
        for (int j0 = 0; j0 < f_blocks(F); j0 += f_unrolled(F)) {
            UNROLL(8)
            for (int j = 0; j < f_unrolled(F); j++) {
                UNROLL(8)
                for (int i = 0; i < f_terms(F) / 4; i++, to += WORD_STEP) {
                    UNROLL(4)
                    for (int l = 0; l < WORD_STEP; l += 4 * LANES)
                        v_store((float *)(void *)(to + l),
                                v_float(codes_of(F, record + f_head(F) + l, j0 + j, i)));
                }
            }
        }
}

/* ---- products ---- */

/* Some K of some rows and one panel. */
typedef struct coded_part {
    const int8_t *q;
    const float *side;  /* [blocks][2][rows] */
    const float *scale; /* [blocks][1 or 2][PACKED_ROWS] */
    const uint8_t *w;
    const float *sum; /* [rows][PACKED_ROWS], of smaller K */
    float *to;        /* with it: sum's memory, or y itself */
    int64_t to_row;
    const uint8_t *next; /* what will be read after this; its lines that a block asks for */
    int64_t lines;
    int64_t q_row, records;
    int is_first;
} coded_part;

/* Block j of a record, whose words for these lanes start at w. */
SIZED void coded_block(const int F, const int R, const uint8_t *w, int j, const int8_t *q,
                       int64_t q_row, const float *side, const float *scale,
                       vec y[CODED_ROWS][CODED_VECTORS])
{
    vint s[CODED_ROWS][CODED_VECTORS], u[CODED_VECTORS];
    UNROLL(8)
    for (int r = 0; r < R; r++) {
        int32_t start = 0;
        if (!f_has_minimum(F)) memcpy(&start, &side[R + r], sizeof start);
        UNROLL(2)
        for (int v = 0; v < CODED_VECTORS; v++)
            s[r][v] = v_int(start);
    }
    UNROLL(8)
    for (int i = 0; i < f_terms(F) / 4; i++) {
        UNROLL(2)
        for (int v = 0; v < CODED_VECTORS; v++)
            u[v] = codes_of(F, w + v * LANES * 4, j, i);
        UNROLL(8)
        for (int r = 0; r < R; r++) {
            int32_t four;
            memcpy(&four, q + r * q_row + 4 * i, sizeof four);
            vint x = v_int(four);
            UNROLL(2)
            for (int v = 0; v < CODED_VECTORS; v++)
                s[r][v] = i_mixed(s[r][v], u[v], x, F == PACKED_Q8_0);
        }
    }
    UNROLL(8)
    for (int r = 0; r < R; r++) {
        UNROLL(2)
        for (int v = 0; v < CODED_VECTORS; v++) {
            vec t = v_from_int(s[r][v]) * v_load(scale + v * LANES);
            if (f_has_minimum(F))
                t = v_fma(v_load(scale + PACKED_ROWS + v * LANES), v_all(side[R + r]), t);
            y[r][v] = v_fma(t, v_all(side[r]), y[r][v]);
        }
    }
}

SIZED void coded_micro(const int F, const int R, const coded_part *p)
{
    const int terms = f_terms(F), scales = (1 + f_has_minimum(F)) * PACKED_ROWS;
    for (int l = 0; l < PACKED_ROWS; l += CODED_WIDTH) {
        vec y[CODED_ROWS][CODED_VECTORS];
        UNROLL(8)
        for (int r = 0; r < R; r++) {
            UNROLL(2)
            for (int v = 0; v < CODED_VECTORS; v++)
                y[r][v] = p->is_first ? v_zero()
                                      : v_load(p->sum + r * PACKED_ROWS + l + v * LANES);
        }
        const uint8_t *w = p->w + f_head(F) + 4 * l, *next = p->next;
        const int8_t *q = p->q;
        const float *side = p->side, *scale = p->scale + l;
        for (int64_t n = 0; n < p->records; n++, w += f_record(F))
            for (int j0 = 0; j0 < f_blocks(F); j0 += f_unrolled(F)) {
                UNROLL(8)
                for (int j = 0; j < f_unrolled(F); j++) {
                    for (int64_t i = 0; i < p->lines && l == 0; i++, next += 64)
                        _mm_prefetch((const char *)next, _MM_HINT_T0);
                    coded_block(F, R, w, j0 + j, q, p->q_row, side, scale, y);
                    q += terms;
                    side += 2 * R;
                    scale += scales;
                }
            }
        UNROLL(8)
        for (int r = 0; r < R; r++) {
            UNROLL(2)
            for (int v = 0; v < CODED_VECTORS; v++)
                v_store(p->to + r * p->to_row + l + v * LANES, y[r][v]);
        }
    }
}

// clang-format off
#define CODED_FORMATS(X)                                                                   \
    X(PACKED_Q8_0) X(PACKED_Q4_0) X(PACKED_Q4_1) X(PACKED_Q5_0) X(PACKED_Q5_1)             \
    X(PACKED_Q4_K) X(PACKED_Q5_K) X(PACKED_Q6_K)
#define CODED_WIDES(X) X(CODED_WIDE) X(CODED_WIDE_MINIMUM) X(CODED_WIDE_SMALL)
// clang-format on

#define MICRO(F, R)                                                                        \
    static __attribute__((noinline)) void micro_##F##_##R(const coded_part *p)             \
    {                                                                                      \
        coded_micro(F, R, p);                                                              \
    }
#define MICROS(F) CODED_SIZES(MICRO, F)
CODED_FORMATS(MICROS)
CODED_WIDES(MICROS)
#define READERS(F)                                                                         \
    static __attribute__((noinline)) void scales_##F(const uint8_t *w, int64_t records,    \
                                                     float *out)                           \
    {                                                                                      \
        const int step = f_blocks(F) * (1 + f_has_minimum(F)) * PACKED_ROWS;               \
        for (int64_t i = 0; i < records; i++)                                              \
            scales_of(F, w + i * f_record(F), out + i * step);                             \
    }                                                                                      \
    static __attribute__((noinline)) void widen_##F(const uint8_t *w, int64_t records,     \
                                                    uint8_t *to)                           \
    {                                                                                      \
        coded_widen(F, w, records, to);                                                    \
    }
CODED_FORMATS(READERS)

static void (*const coded_micros[CODED_KINDS][CODED_ROWS + 1])(const coded_part *p) = {
#define ENTRY(F, R) [R] = micro_##F##_##R,
#define ENTRIES(F)  [F] = {CODED_SIZES(ENTRY, F)},
    CODED_FORMATS(ENTRIES) CODED_WIDES(ENTRIES)};
static const struct {
    void (*scales)(const uint8_t *w, int64_t records, float *out);
    void (*widen)(const uint8_t *w, int64_t records, uint8_t *to);
} coded_readers[PACKED_BLOCKS] = {
#define READER(F) [F] = {scales_##F, widen_##F},
    CODED_FORMATS(READER)};

/* Some K of one panel and all groups. y: where its last K goes, or NULL. */
static void coded_panel(const x86_coded *p, const float *side, x86_coded_scratch *to,
                        const uint8_t *w, int64_t k, int64_t depth, int64_t g0, int64_t g1,
                        float *y)
{
    enum { WORTH = 3 /* groups */ };
    int f = p->format, kind = g1 - g0 >= WORTH ? f_wide(f) : f, terms = f_terms(f);
    int64_t blocks = depth / terms;
    int64_t records = blocks / f_blocks(f), bytes = records * f_record(f);
    int64_t lines = (bytes / blocks + 63) / 64, first = p->m * g0 / p->groups;
    coded_readers[f].scales(w, records, to->scale);
    if (kind != f) coded_readers[f].widen(w, records, to->codes);
    coded_part part = {.w = kind != f ? to->codes : w,
                       .scale = to->scale,
                       .q_row = p->k,
                       .records = blocks / f_blocks(kind),
                       .to_row = y ? p->n : PACKED_ROWS,
                       .is_first = k == 0,
                       .next = w + CODED_AHEAD,
                       .lines = lines};
    if (g1 - g0 > 1) {
        part.next = w + bytes;
        part.lines = (lines + g1 - g0 - 1) / (g1 - g0);
    }
    for (int64_t g = g0; g < g1; g++) {
        int64_t r = p->m * g / p->groups, rows = p->m * (g + 1) / p->groups - r;
        part.q = p->q + r * p->k + k;
        part.side = side + 2 * (r * (p->k / terms) + k / terms * rows);
        float *sum = to->sum + (r - first) * PACKED_ROWS;
        part.sum = sum;
        part.to = y ? y + r * p->n : sum;
        coded_micros[kind][rows](&part);
        part.next += blocks * part.lines * 64;
    }
}

/* See x86_isa. */
static void coded(const x86_coded *p, const float *side, x86_coded_scratch *to, int64_t g0,
                  int64_t g1, int64_t c0, int64_t c1)
{
    const int per = f_terms(p->format) * f_blocks(p->format);
    int64_t step = p->k / per * f_record(p->format);
    int64_t r0 = p->m * g0 / p->groups, r1 = p->m * g1 / p->groups;
    int64_t depth = g1 - g0 > 1 ? X86_CODED_DEPTH : X86_CODED_DEPTH / 2; /* memory's pace */
    for (int64_t c = c0; c < c1; c += PACKED_ROWS) {
        const uint8_t *w = p->w + c / PACKED_ROWS * step;
        float *y = c1 - c >= PACKED_ROWS ? p->y + c : NULL;
        for (int64_t k = 0; k < p->k; k += depth)
            coded_panel(p, side, to, w + k / per * f_record(p->format), k,
                        least(p->k - k, depth), g0, g1, p->k - k <= depth ? y : NULL);
        for (int64_t r = r0; !y && r < r1; r++)
            memcpy(p->y + r * p->n + c, to->sum + (r - r0) * PACKED_ROWS,
                   (size_t)(c1 - c) * sizeof *to->sum);
    }
}
