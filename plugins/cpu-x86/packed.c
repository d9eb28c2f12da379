/*
 * packed.c -- packing panels, and single rows of them decoded. See packed.h.
 *
 * Packing is a transposition, but for two: codes of eight bits get an offset, which makes
 * them unsigned, and the fifth bits of q5_0 and q5_1 change places within their word, so
 * that one shift serves four codes.
 */
#include "packed.h"
#include <string.h>

enum { ROWS = PACKED_ROWS, TURN_NONE = 0, TURN_SIGN, TURN_FIFTH, BLOCK_MOST = 256 };

/* ---- numbers ---- */

static uint32_t word_at(const uint8_t *p)
{
    uint32_t u;
    memcpy(&u, p, sizeof u);
    return u;
}

static uint16_t half_at(const uint8_t *p)
{
    uint16_t u;
    memcpy(&u, p, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* IEEE 754 binary16 */
static float scale_at(const uint8_t *p)
{
    uint32_t code = half_at(p), sign = (code & 0x8000u) << 16, e = code >> 10 & 31u,
             m = code & 0x3ffu;
    if (e == 31) return float_of(sign | 0x7f800000u | m << 13);
    if (e) return float_of(sign | (e + 112u) << 23 | m << 13);
    float x = (float)m * 0x1p-24f;
    return sign ? -x : x;
}

/* ---- plain blocks, decoded ---- */

static void q8_0_decode(const uint8_t *b, float *out)
{
    float d = scale_at(b);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)(int8_t)b[2 + i];
}

static int low_high(const uint8_t *q, int i) { return i < 16 ? q[i] & 15 : q[i - 16] >> 4; }

static int fifth(const uint8_t *h, int i) { return (h[i / 8] >> i % 8 & 1) << 4; }

static void q4_0_decode(const uint8_t *b, float *out)
{
    float d = scale_at(b);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)(low_high(b + 2, i) - 8);
}

static void q4_1_decode(const uint8_t *b, float *out)
{
    float d = scale_at(b), m = scale_at(b + 2);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)low_high(b + 4, i) + m;
}

static void q5_0_decode(const uint8_t *b, float *out)
{
    float d = scale_at(b);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)((low_high(b + 6, i) | fifth(b + 2, i)) - 16);
}

static void q5_1_decode(const uint8_t *b, float *out)
{
    float d = scale_at(b), m = scale_at(b + 2);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)(low_high(b + 8, i) | fifth(b + 4, i)) + m;
}

/* Groups of 32: six bits of scale and minimum each, in 12 bytes. */
static void k_decode(const uint8_t *b, const uint8_t *h, const uint8_t *q, float *out)
{
    float d = scale_at(b), dmin = scale_at(b + 2);
    const uint8_t *s = b + 4;
    for (int j = 0; j < 8; j++) {
        int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        int least = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
        for (int i = 0; i < 32; i++) {
            int code = q[j / 2 * 32 + i] >> j % 2 * 4 & 15;
            if (h) code |= (h[i] >> j & 1) << 4;
            out[j * 32 + i] = d * (float)scale * (float)code - dmin * (float)least;
        }
    }
}

static void q4_k_decode(const uint8_t *b, float *out) { k_decode(b, NULL, b + 16, out); }

static void q5_k_decode(const uint8_t *b, float *out) { k_decode(b, b + 16, b + 48, out); }

static void q6_k_decode(const uint8_t *b, float *out)
{
    const uint8_t *h = b + 128;
    const int8_t *s = (const int8_t *)b + 192;
    float d = scale_at(b + 208);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, part = i / 32 % 4, at = i % 32, group = i / 16;
        int code = b[half * 64 + part % 2 * 32 + at] >> part / 2 * 4 & 15;
        code |= (h[half * 32 + at] >> part * 2 & 3) << 4;
        out[i] = d * (float)s[group] * (float)(code - 32);
    }
}

static void f32_decode(const uint8_t *b, float *out) { *out = float_of(word_at(b)); }

static void f16_decode(const uint8_t *b, float *out) { *out = scale_at(b); }

static void bf16_decode(const uint8_t *b, float *out)
{
    out[0] = float_of(word_at(b) << 16);
    out[1] = float_of(word_at(b) & 0xffff0000u);
}

static void i8_decode(const uint8_t *b, float *out)
{
    for (int i = 0; i < 4; i++)
        out[i] = (float)(int8_t)b[i];
}

/* ---- words on their way into a panel, and back ---- */

static const uint32_t SIGNS = 0x80808080;

/* Bit 4 i + b becomes bit 8 b + i: four rows of eight bits from eight of four. */
static uint32_t fifths(uint32_t u)
{
    uint32_t to = 0;
    for (int e = 0; e < 32; e++)
        to |= (u >> e & 1) << (e % 4 * 8 + e / 4);
    return to;
}

static uint32_t fifths_back(uint32_t u)
{
    uint32_t to = 0;
    for (int e = 0; e < 32; e++)
        to |= (u >> (e % 4 * 8 + e / 4) & 1) << e;
    return to;
}

static uint32_t turned_back(const packed_format *f, int32_t i, uint32_t u)
{
    if (f->turn == TURN_SIGN) return u ^ SIGNS;
    return f->turn == TURN_FIFTH && i == 0 ? fifths_back(u) : u;
}

/* ---- layouts ---- */

/* A row may end inside a block where a block is what the activations' codes go in: those
 * are filled up with zeros. */
static int is_ragged(const packed_format *f) { return f->elements == 32; }

static int64_t layout_bytes(const packed_format *f, const evla_type *t)
{
    if (t->rank != 2 || t->shape[0] < 1 || t->shape[1] < 1 ||
        (t->shape[1] % f->elements && !is_ragged(f)))
        return -1;
    int64_t panels = (t->shape[0] - 1) / ROWS + 1;
    if (t->shape[1] > INT64_MAX / (ROWS * f->bytes) ||
        panels > INT64_MAX / packed_panel(f, t->shape[1]))
        return -1;
    return panels * packed_panel(f, t->shape[1]);
}

/* Where row r's field i of a panel's block is; fields of both sizes count from 0. */
static size_t half_place(const packed_format *f, int32_t i, int64_t r)
{
    size_t words = i < f->head ? 0 : (size_t)f->words * 4 * ROWS;
    return words + (size_t)(i * ROWS + r) * 2;
}

static size_t word_place(const packed_format *f, int32_t i, int64_t r)
{
    return (size_t)f->head * 2 * ROWS + (size_t)(i * ROWS + r) * 4;
}

static int has_last(const packed_format *f)
{
    return f->bytes > 2 * f->head + 4 * f->words;
}

/* A field of a block of n rows that lie `row` bytes apart. */
static void pack_halves(const uint8_t *from, int64_t row, int64_t n, uint8_t *to)
{
    for (int64_t r = 0; r < n; r++)
        memcpy(to + 2 * r, from + r * row, 2);
}

static void pack_words(const uint8_t *from, int64_t row, int64_t n, uint32_t flip,
                       uint8_t *to)
{
    for (int64_t r = 0; r < n; r++) {
        uint32_t u = word_at(from + r * row) ^ flip;
        memcpy(to + 4 * r, &u, sizeof u);
    }
}

static void pack_fifths(const uint8_t *from, int64_t row, int64_t n, uint8_t *to)
{
    for (int64_t r = 0; r < n; r++) {
        uint32_t u = fifths(word_at(from + r * row));
        memcpy(to + 4 * r, &u, sizeof u);
    }
}

static void pack_block(const packed_format *f, const uint8_t *from, int64_t row, int64_t n,
                       uint8_t *to)
{
    for (int32_t i = 0; i < f->head; i++, from += 2)
        pack_halves(from, row, n, to + half_place(f, i, 0));
    for (int32_t i = 0; i < f->words; i++, from += 4)
        if (f->turn == TURN_FIFTH && i == 0)
            pack_fifths(from, row, n, to + word_place(f, i, 0));
        else
            pack_words(from, row, n, f->turn == TURN_SIGN ? SIGNS : 0,
                       to + word_place(f, i, 0));
    if (has_last(f)) pack_halves(from, row, n, to + half_place(f, f->head, 0));
}

static void unpack_block(const packed_format *f, const uint8_t *from, int64_t r,
                         uint8_t *to)
{
    for (int32_t i = 0; i < f->head; i++, to += 2)
        memcpy(to, from + half_place(f, i, r), 2);
    for (int32_t i = 0; i < f->words; i++, to += 4) {
        uint32_t u = turned_back(f, i, word_at(from + word_place(f, i, r)));
        memcpy(to, &u, sizeof u);
    }
    if (has_last(f)) memcpy(to, from + half_place(f, f->head, r), 2);
}

static int32_t layout_pack(const evla_host *h, const packed_format *f, const evla_type *t,
                           int64_t n, const void *rows, void *panel)
{
    if (n < 1 || n > ROWS || layout_bytes(f, t) < 0)
        return h->fail(h, EVLA_E_BUG,
                       "a panel of packed weights takes 1 to 32 rows of its blocks");
    int64_t blocks = packed_blocks(f, t->shape[1]);
    if (n < ROWS) memset(panel, 0, (size_t)packed_panel(f, t->shape[1]));
    for (int64_t b = 0; b < blocks; b++)
        pack_block(f, (const uint8_t *)rows + b * f->bytes, blocks * f->bytes, n,
                   (uint8_t *)panel + b * f->bytes * ROWS);
    return EVLA_OK;
}

static void layout_row(const packed_format *f, const evla_type *t, const void *packed,
                       int64_t row, float *out)
{
    uint8_t block[BLOCK_MOST];
    const uint8_t *panel =
        (const uint8_t *)packed + row / ROWS * packed_panel(f, t->shape[1]);
    float last[BLOCK_MOST] = {0};
    for (int64_t k = 0; k < t->shape[1]; k += f->elements, panel += f->bytes * ROWS) {
        int64_t left = t->shape[1] - k;
        unpack_block(f, panel, row % ROWS, block);
        f->decode(block, left < f->elements ? last : out + k);
        if (left < f->elements) memcpy(out + k, last, (size_t)left * sizeof *out);
    }
}

/* ---- tables ---- */

// clang-format off
/* X(name, NAME, elements, bytes, terms of a scale, head, words, turn) */
#define FORMATS(X)                                                                         \
    X(q8_0, Q8_0, 32, 34, 32, 1, 8, TURN_SIGN)                                             \
    X(q4_0, Q4_0, 32, 18, 32, 1, 4, TURN_NONE)                                             \
    X(q4_1, Q4_1, 32, 20, 32, 2, 4, TURN_NONE)                                             \
    X(q5_0, Q5_0, 32, 22, 32, 1, 5, TURN_FIFTH)                                            \
    X(q5_1, Q5_1, 32, 24, 32, 2, 5, TURN_FIFTH)                                            \
    X(q4_k, Q4_K, 256, 144, 32, 2, 35, TURN_NONE)                                          \
    X(q5_k, Q5_K, 256, 176, 32, 2, 43, TURN_NONE)                                          \
    X(q6_k, Q6_K, 256, 210, 16, 0, 52, TURN_NONE)                                          \
    X(f32, F32, 1, 4, 1, 0, 1, TURN_NONE)                                                  \
    X(bf16, BF16, 2, 4, 1, 0, 1, TURN_NONE)                                                \
    X(f16, F16, 1, 2, 1, 1, 0, TURN_NONE)                                                  \
    X(i8, I8, 4, 4, 1, 0, 1, TURN_SIGN)
// clang-format on

#define FUNCTIONS(id, ID, ...)                                                             \
    static int64_t id##_bytes(const evla_host *h, const evla_type *t)                      \
    {                                                                                      \
        return (void)h, layout_bytes(&packed_formats[PACKED_##ID], t);                     \
    }                                                                                      \
    static int32_t id##_pack(const evla_host *h, const evla_type *t, int64_t n,            \
                             const void *rows, void *panel)                                \
    {                                                                                      \
        return layout_pack(h, &packed_formats[PACKED_##ID], t, n, rows, panel);            \
    }                                                                                      \
    static void id##_row(const evla_type *t, const void *packed, int64_t row, float *out)  \
    {                                                                                      \
        layout_row(&packed_formats[PACKED_##ID], t, packed, row, out);                     \
    }
FORMATS(FUNCTIONS)

#define FORMAT(id, ID, n_elements, n_bytes, n_terms, n_head, n_words, what)                \
    [PACKED_##ID] = {.layout = {.size = sizeof(evla_layout),                               \
                                .panel = ROWS,                                             \
                                .name = "rows32." #id ".1",                                \
                                .bytes = id##_bytes,                                       \
                                .pack = id##_pack,                                         \
                                .row = id##_row},                                          \
                     .dtype = #id,                                                         \
                     .elements = (n_elements),                                             \
                     .bytes = (n_bytes),                                                   \
                     .terms = (n_terms),                                                   \
                     .head = (n_head),                                                     \
                     .words = (n_words),                                                   \
                     .turn = (what),                                                       \
                     .decode = id##_decode},
const packed_format packed_formats[PACKED_FORMATS] = {FORMATS(FORMAT)};

int packed_is(const evla_node *n, int32_t i)
{
    return n->layout && i < n->n_in && n->layout[i];
}

const packed_format *packed_of(const evla_host *h, const evla_node *n, int32_t i)
{
    const char *name = i < n->n_in ? h->dtype_name(h, n->in[i].dtype) : NULL;
    for (int f = 0; name && f < PACKED_FORMATS; f++) {
        const packed_format *is = &packed_formats[f];
        if (strcmp(is->dtype, name) != 0) continue;
        return (!packed_is(n, i) || n->layout[i] == &is->layout) &&
                       is->layout.bytes(h, &n->in[i]) >= 0
                   ? is
                   : NULL;
    }
    return NULL;
}

int packed_fills(const evla_type *t)
{
    int64_t lacks = -t->shape[0] & (PACKED_ROWS - 1);
    return lacks * 8 <= t->shape[0];
}

int32_t packed_id(const packed_format *f) { return (int32_t)(f - packed_formats); }

int64_t packed_blocks(const packed_format *f, int64_t k)
{
    return k / f->elements + (k % f->elements > 0);
}

int64_t packed_panel(const packed_format *f, int64_t k)
{
    return packed_blocks(f, k) * f->bytes * ROWS;
}
