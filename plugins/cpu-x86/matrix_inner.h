/*
 * matrix_inner.h -- products of matrices for one instruction set; see x86.h for the order
 * of sums.
 *
 * Included with LANES, ROWS (of a panel of a), THIN and lanes.h in place. Panels of b are
 * two vectors wide. A thick tile packs, per block of K, its columns of b once and a's rows
 * group by group; a slim one reads b where it lies: along its columns, or by transposing
 * LANES x LANES pieces in registers. Packed weights (packed.h) in f32 are such panels of b
 * already, others become f32 on their way.
 */
#include <string.h>
enum { COLS = 2 * LANES, PANEL_A = ROWS * X86_DEPTH };

/* A load of its own, where compilers would make one operand of each use. */
INLINE vec v_load_once(const float *p)
{
    vec v = v_load(p);
    __asm__("" : "+v"(v));
    return v;
}

/* y[R][width] = or += a[R][depth] b[depth][C vectors]. some: width is less than C vectors,
 * and b may not be read beyond it. */
SIZED void micro(const int R, const int C, const int some, const float *a, int64_t a_row,
                 int64_t a_k, const float *b, int64_t b_k, int64_t depth, float *y,
                 int64_t y_row, int64_t width, int is_first)
{
    vec s[16][4], v[4];
    vmask m[4];
    UNROLL(4)
    for (int c = 0; c < C; c++) {
        if (some) m[c] = v_first(width <= c * LANES ? 0 : least(width - c * LANES, LANES));
        UNROLL(16)
        for (int r = 0; r < R; r++)
            s[r][c] = v_zero();
    }
    for (int64_t k = 0; k < depth; k++) {
        UNROLL(4)
        for (int c = 0; c < C; c++)
            v[c] = some ? v_load_some(b + c * LANES, m[c]) : v_load(b + c * LANES);
        UNROLL(16)
        for (int r = 0; r < R; r++) {
            vec x = v_all(a[r * a_row]);
            UNROLL(4)
            for (int c = 0; c < C; c++)
                s[r][c] = v_fma(x, v[c], s[r][c]);
        }
        a += a_k;
        b += b_k;
    }
    UNROLL(16)
    for (int r = 0; r < R; r++) {
        UNROLL(4)
        for (int c = 0; c < C; c++) {
            float *to = y + r * y_row + c * LANES;
            if (some)
                v_store_some(to, m[c],
                             is_first ? s[r][c] : v_add(v_load_some(to, m[c]), s[r][c]));
            else
                v_store(to, is_first ? s[r][c] : v_add(v_load(to), s[r][c]));
        }
    }
}

/* ---- packing ---- */

/* to[j * to_row + i] = from[i * from_row + j], rows i < n_i, columns j < n_j; rows of `to`
 * are filled with zeros up to the next multiple of LANES. */
static void pack_turned(const float *from, int64_t from_row, int64_t n_i, int64_t n_j,
                        float *to, int64_t to_row)
{
    for (int64_t i = 0; i < n_i; i += LANES)
        for (int64_t j = 0; j < n_j; j += LANES) {
            const float *at = from + i * from_row + j;
            float *out = to + j * to_row + i;
            vec t[LANES];
            if (i + LANES <= n_i && j + LANES <= n_j) {
                UNROLL(16)
                for (int l = 0; l < LANES; l++)
                    t[l] = v_load_once(at + l * from_row);
                v_transpose(t);
                UNROLL(16)
                for (int l = 0; l < LANES; l++)
                    v_store(out + l * to_row, t[l]);
                continue;
            }
            vmask m = v_first(least(n_j - j, LANES));
            for (int l = 0; l < LANES; l++)
                t[l] = i + l < n_i ? v_load_some(at + l * from_row, m) : v_zero();
            v_transpose(t);
            for (int l = 0; l < LANES && j + l < n_j; l++)
                v_store(out + l * to_row, t[l]);
        }
}

/* to[i * COLS + j] = from[i * from_row + j], filled with zeros to COLS columns. */
static void pack_plain(const float *from, int64_t from_row, int64_t n_i, int64_t n_j,
                       float *to)
{
    vmask m0 = v_first(least(n_j, LANES)),
          m1 = v_first(n_j <= LANES ? 0 : least(n_j - LANES, LANES));
    for (int64_t i = 0; i < n_i; i++, from += from_row, to += COLS) {
        v_store(to, v_load_some(from, m0));
        v_store(to + LANES, v_load_some(from + LANES, m1));
    }
}

static void pack_a(const x86_product *p, int64_t r, int64_t rows, int64_t k, int64_t depth,
                   float *to)
{
    const float *from = p->a + r * p->a_row + k * p->a_k;
    if (p->a_k != 1)
        pack_turned(from, p->a_k, depth, rows, to, X86_DEPTH);
    else
        for (int64_t i = 0; i < rows; i++)
            memcpy(to + i * X86_DEPTH, from + i * p->a_row, (size_t)depth * sizeof *to);
}

/* ---- b in packed panels, in f32, f16 or pairs of bf16 ---- */

/* Row k, an even one in pairs, from column c on. */
INLINE const uint8_t *packed_at(const x86_product *p, int64_t k, int64_t c)
{
    int size = p->format == PACKED_F32 ? 4 : 2, pair = p->format == PACKED_BF16 ? 2 : 1;
    return p->panels + (c / PACKED_ROWS * p->k + k) * size * PACKED_ROWS +
           c % PACKED_ROWS * size * pair;
}

INLINE vec v_upper(vint pair) { return v_float(v_and(pair, v_int((int32_t)0xffff0000))); }
INLINE vec v_lower(vint pair) { return v_float(v_left(pair, 16)); }
INLINE vint v_words(const uint8_t *p)
{
    return v_bits(v_load((const float *)(const void *)p));
}

/* COLS columns of some rows as f32. */
static void packed_rows(int format, const uint8_t *from, int64_t n, float *to)
{
    for (int64_t i = 0; i < n; i++, from += 2 * PACKED_ROWS, to += COLS)
        for (int l = 0; l < COLS; l += LANES) {
            vint pair = format == PACKED_BF16
                            ? v_words(from - i % 2 * 2 * PACKED_ROWS + 4 * l)
                            : v_int(0);
            v_store(to + l, format == PACKED_F16 ? v_halves(from + 2 * l)
                            : i % 2              ? v_upper(pair)
                                                 : v_lower(pair));
        }
}

static void widen(int32_t format, const uint16_t *x, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t u = (uint32_t)x[i] << 16;
        if (format == PACKED_BF16) memcpy(out + i, &u, sizeof u);
    }
    for (int64_t i = 0; i < n && format == PACKED_F16; i += LANES) {
        uint16_t some[LANES] = {0};
        const uint16_t *from =
            n - i < LANES ? memcpy(some, x + i, (size_t)(n - i) * 2) : x + i;
        v_store_some(out + i, v_first(least(n - i, LANES)),
                     v_halves((const uint8_t *)from));
    }
}

/* All rows, at most R of them, of up to COLS columns, straight from a panel. */
SIZED void packed_slim(const int F, const int R, const x86_product *p, int64_t c,
                       int64_t width)
{
    enum { AHEAD = 8192 };
    const int step = F == PACKED_BF16 ? 2 : 1,
              bytes = (F == PACKED_F16 ? 2 : 4) * PACKED_ROWS;
    const uint8_t *b = packed_at(p, 0, c);
    vmask m[2] = {v_first(least(width, LANES)),
                  v_first(width <= LANES ? 0 : width - LANES)};
    for (int64_t k0 = 0; k0 < p->k; k0 += X86_DEPTH) {
        const float *a = p->a + k0 * p->a_k;
        vec s[8][2];
        UNROLL(8)
        for (int r = 0; r < R; r++)
            s[r][0] = s[r][1] = v_zero();
        for (int64_t k = k0; k < least(p->k, k0 + X86_DEPTH); k += step, b += bytes) {
            UNROLL(2)
            for (int v = 0; v < 2; v++) {
                vint pair = F == PACKED_F16 ? v_int(0) : v_words(b + v * LANES * 4);
                vec w = F == PACKED_F16    ? v_halves(b + v * LANES * 2)
                        : F == PACKED_BF16 ? v_lower(pair)
                                           : v_float(pair);
                UNROLL(8)
                for (int r = 0; r < R; r++)
                    s[r][v] = v_fma(v_all(a[r * p->a_row]), w, s[r][v]);
                UNROLL(8)
                for (int r = 0; r < R && F == PACKED_BF16; r++)
                    s[r][v] =
                        v_fma(v_all(a[r * p->a_row + p->a_k]), v_upper(pair), s[r][v]);
            }
            UNROLL(2)
            for (int i = 0; i < bytes; i += 64)
                _mm_prefetch((const char *)b + AHEAD + i, _MM_HINT_T0);
            a += step * p->a_k;
        }
        UNROLL(8)
        for (int r = 0; r < R; r++) {
            UNROLL(2)
            for (int v = 0; v < 2; v++) {
                float *y = p->y + r * p->y_row + c + v * LANES;
                v_store_some(y, m[v], k0 ? v_add(v_load_some(y, m[v]), s[r][v]) : s[r][v]);
            }
        }
    }
}

#define PACKED_SLIM(R)                                                                     \
    static __attribute__((noinline)) void packed_slim_##R(const x86_product *p,            \
                                                          int64_t c0, int64_t c1)          \
    {                                                                                      \
        for (int64_t c = c0; c < c1; c += COLS)                                            \
            if (p->format == PACKED_F32)                                                   \
                packed_slim(PACKED_F32, R, p, c, least(c1 - c, COLS));                     \
            else if (p->format == PACKED_F16)                                              \
                packed_slim(PACKED_F16, R, p, c, least(c1 - c, COLS));                     \
            else                                                                           \
                packed_slim(PACKED_BF16, R, p, c, least(c1 - c, COLS));                    \
    }
SLIMS(PACKED_SLIM)
#undef PACKED_SLIM

/* ---- thick tiles ---- */

SIZED void panel(const int R, const float *a, const float *b, int64_t b_k, int64_t depth,
                 float *y, int64_t y_row, int64_t width, int is_first)
{
    if (width == COLS)
        micro(R, 2, 0, a, X86_DEPTH, 1, b, b_k, depth, y, y_row, width, is_first);
    else if (width > LANES)
        micro(R, 2, 1, a, X86_DEPTH, 1, b, b_k, depth, y, y_row, width, is_first);
    else
        micro(R, 1, 1, a, X86_DEPTH, 1, b, b_k, depth, y, y_row, width, is_first);
}

#define PANEL(R)                                                                           \
    static __attribute__((noinline)) void panel_##R(                                       \
        const float *a, const float *b, int64_t b_k, int64_t depth, float *y,              \
        int64_t y_row, int64_t width, int is_first)                                        \
    {                                                                                      \
        panel(R, a, b, b_k, depth, y, y_row, width, is_first);                             \
    }
PANELS(PANEL)
#undef PANEL

static void (*const panels[])(const float *a, const float *b, int64_t b_k, int64_t depth,
                              float *y, int64_t y_row, int64_t width, int is_first) = {
#define PANEL(R) [R] = panel_##R,
    PANELS(PANEL)
#undef PANEL
};

/* COLS columns from c on and some rows of b, side by side in `to`. */
static void pack_b(const x86_product *p, int64_t k, int64_t depth, int64_t c, int64_t cols,
                   float *to)
{
    const float *from = p->b + k * p->b_k + c * p->b_col;
    if (p->panels)
        packed_rows(p->format, packed_at(p, k, c), depth, to);
    else if (p->b_k == 1)
        pack_turned(from, p->b_col, cols, depth, to, COLS);
    else
        pack_plain(from, p->b_k, depth, cols, to);
}

static void thick(const x86_product *p, float *scratch, int64_t r0, int64_t r1, int64_t c0,
                  int64_t c1)
{
    int64_t groups = (r1 - r0 + ROWS - 1) / ROWS;
    float *packed_a = scratch, *packed_b = scratch + PANEL_A;
    int in_place = p->panels && p->format == PACKED_F32;
    for (int64_t k = 0; k < p->k; k += X86_DEPTH) {
        int64_t depth = least(p->k - k, X86_DEPTH);
        for (int64_t c = c0; c < c1 && !in_place; c += COLS)
            pack_b(p, k, depth, c, least(c1 - c, COLS), packed_b + (c - c0) * depth);
        for (int64_t g = 0; g < groups; g++) { /* of nearly equal size */
            int64_t r = r0 + (r1 - r0) * g / groups,
                    rows = r0 + (r1 - r0) * (g + 1) / groups - r;
            pack_a(p, r, rows, k, depth, packed_a);
            for (int64_t c = c0; c < c1; c += COLS)
                panels[rows](packed_a,
                             in_place ? (const float *)(const void *)packed_at(p, k, c)
                                      : packed_b + (c - c0) * depth,
                             in_place ? PACKED_ROWS : COLS, depth, p->y + r * p->y_row + c,
                             p->y_row, least(c1 - c, COLS), k == 0);
        }
    }
}

/* ---- slim tiles ---- */

/* b's columns lie side by side: C vectors of them at a time. */
SIZED void along(const int R, const int C, const x86_product *p, int64_t c0, int64_t c1)
{
    for (int64_t c = c0; c < c1; c += C * LANES) {
        int64_t width = least(c1 - c, C * LANES);
        for (int64_t k = 0; k < p->k; k += X86_DEPTH) {
            int64_t depth = least(p->k - k, X86_DEPTH);
            const float *a = p->a + k * p->a_k, *b = p->b + k * p->b_k + c;
            if (width == C * LANES)
                micro(R, C, 0, a, p->a_row, p->a_k, b, p->b_k, depth, p->y + c, p->y_row,
                      width, k == 0);
            else
                micro(R, C, 1, a, p->a_row, p->a_k, b, p->b_k, depth, p->y + c, p->y_row,
                      width, k == 0);
        }
    }
}

/* One LANES x LANES piece of b, n terms of it, added to s[R]. */
SIZED void piece(const int R, const float *a, int64_t a_row, int64_t a_k, vec t[LANES],
                 int64_t n, vec s[R])
{
    v_transpose(t);
    if (n == LANES) {
        UNROLL(16)
        for (int l = 0; l < LANES; l++) {
            UNROLL(8)
            for (int r = 0; r < R; r++)
                s[r] = v_fma(v_all(a[r * a_row + l * a_k]), t[l], s[r]);
        }
    } else
        for (int l = 0; l < n; l++) {
            UNROLL(8)
            for (int r = 0; r < R; r++)
                s[r] = v_fma(v_all(a[r * a_row + l * a_k]), t[l], s[r]);
        }
}

/* Asks for the part of the block of b at `next` that belongs to this step: its rows one
 * after the other, as memory likes it, though they are then read side by side. */
INLINE void ahead(const float *next, int64_t b_col, int64_t step)
{
    enum { LINE = 16, EACH = LANES * LANES / LINE, LINES = X86_DEPTH / LINE };
    const float *row = next + step * EACH / LINES * b_col + step * EACH % LINES * LINE;
    UNROLL(16)
    for (int i = 0; i < EACH; i++)
        _mm_prefetch((const char *)(row + i * LINE), _MM_HINT_NTA);
}

/* So many whole pieces, one after the other. */
SIZED void pieces(const int R, const int is_far, int64_t steps, const float *a,
                  int64_t a_row, int64_t a_k, const float *b, int64_t b_col,
                  const float *next, vec s[R])
{
    vec t[LANES];
    for (int64_t step = 0; step < steps; step++) {
        if (is_far) ahead(next, b_col, step);
        UNROLL(16)
        for (int l = 0; l < LANES; l++)
            t[l] = v_load_once(b + l * b_col + step * LANES);
        piece(R, a + step * LANES * a_k, a_row, a_k, t, LANES, s);
    }
}

/* b's terms lie side by side: LANES columns at a time. */
SIZED void across(const int R, const x86_product *p, int64_t a_k, int64_t c0, int64_t c1)
{
    enum { NEAR = 128 << 10 }; /* numbers that the second cache holds */
    int is_far = p->k * p->n > NEAR;
    for (int64_t c = c0; c < c1; c += LANES) {
        int64_t have = least(c1 - c, LANES);
        for (int64_t k0 = 0; k0 < p->k; k0 += X86_DEPTH) {
            int64_t end = least(p->k, k0 + X86_DEPTH), k = k0;
            vec s[8], t[LANES];
            UNROLL(8)
            for (int r = 0; r < R; r++)
                s[r] = v_zero();
            const float *a = p->a + k0 * a_k, *b = p->b + c * p->b_col + k0;
            const float *next =
                k0 + X86_DEPTH < p->k ? b + X86_DEPTH : p->b + (c + LANES) * p->b_col;
            enum { STEPS = X86_DEPTH / LANES };
            int64_t whole = have == LANES ? (end - k) / LANES : 0;
            if (is_far && whole == STEPS)
                pieces(R, 1, STEPS, a, p->a_row, a_k, b, p->b_col, next, s);
            else
                pieces(R, 0, whole, a, p->a_row, a_k, b, p->b_col, next, s);
            k += whole * LANES;
            a += whole * LANES * a_k;
            b += whole * LANES;
            for (; k < end; k += LANES) {
                vmask m = v_first(least(end - k, LANES));
                for (int l = 0; l < LANES; l++)
                    t[l] = l < have ? v_load_some(b + l * p->b_col, m) : v_zero();
                piece(R, a, p->a_row, a_k, t, least(end - k, LANES), s);
                a += LANES * a_k;
                b += LANES;
            }
            vmask m = v_first(have);
            for (int r = 0; r < R; r++) {
                float *to = p->y + r * p->y_row + c;
                v_store_some(to, m, k0 ? v_add(v_load_some(to, m), s[r]) : s[r]);
            }
        }
    }
}

#define SLIM(R)                                                                            \
    static __attribute__((noinline)) void slim_##R(const x86_product *p, int64_t c0,       \
                                                   int64_t c1)                             \
    {                                                                                      \
        if (p->b_k == 1 && p->a_k == 1)                                                    \
            across(R, p, 1, c0, c1);                                                       \
        else if (p->b_k == 1)                                                              \
            across(R, p, p->a_k, c0, c1);                                                  \
        else                                                                               \
            along(R, LANES == 16 && (R) <= 4 ? 4 : 2, p, c0, c1);                          \
    }
SLIMS(SLIM)
#undef SLIM

static void slim(const x86_product *p, int64_t c0, int64_t c1)
{
    static void (*const by_rows[])(const x86_product *p, int64_t c0, int64_t c1) = {
#define SLIM(R) [R] = slim_##R,
        SLIMS(SLIM)
#undef SLIM
    };
    static void (*const packed_by_rows[])(const x86_product *p, int64_t c0, int64_t c1) = {
#define SLIM(R) [R] = packed_slim_##R,
        SLIMS(SLIM)
#undef SLIM
    };
    (p->panels ? packed_by_rows : by_rows)[p->m](p, c0, c1);
}
