/*
 * matrix_inner.h -- products of matrices for one instruction set; see x86.h for the order
 * of sums.
 *
 * Included with LANES, ROWS (of a panel of a), THIN and lanes.h in place. Panels of b are
 * two vectors wide. A thick tile packs, per block of K, its columns of b once and a's rows
 * group by group; a slim one reads b where it lies: along its columns, or by transposing
 * LANES x LANES pieces in registers.
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

/* ---- thick tiles ---- */

SIZED void panel(const int R, const float *a, const float *b, int64_t depth, float *y,
                 int64_t y_row, int64_t width, int is_first)
{
    if (width == COLS)
        micro(R, 2, 0, a, X86_DEPTH, 1, b, COLS, depth, y, y_row, width, is_first);
    else if (width > LANES)
        micro(R, 2, 1, a, X86_DEPTH, 1, b, COLS, depth, y, y_row, width, is_first);
    else
        micro(R, 1, 1, a, X86_DEPTH, 1, b, COLS, depth, y, y_row, width, is_first);
}

#define PANEL(R)                                                                           \
    static __attribute__((noinline)) void panel_##R(                                       \
        const float *a, const float *b, int64_t depth, float *y, int64_t y_row,            \
        int64_t width, int is_first)                                                       \
    {                                                                                      \
        panel(R, a, b, depth, y, y_row, width, is_first);                                  \
    }
PANELS(PANEL)
#undef PANEL

static void (*const panels[])(const float *a, const float *b, int64_t depth, float *y,
                              int64_t y_row, int64_t width, int is_first) = {
#define PANEL(R) [R] = panel_##R,
    PANELS(PANEL)
#undef PANEL
};

static void thick(const x86_product *p, float *scratch, int64_t r0, int64_t r1, int64_t c0,
                  int64_t c1)
{
    int64_t groups = (r1 - r0 + ROWS - 1) / ROWS;
    float *packed_a = scratch, *packed_b = scratch + PANEL_A;
    for (int64_t k = 0; k < p->k; k += X86_DEPTH) {
        int64_t depth = least(p->k - k, X86_DEPTH);
        for (int64_t c = c0; c < c1; c += COLS) {
            const float *from = p->b + k * p->b_k + c * p->b_col;
            float *to = packed_b + (c - c0) * depth;
            if (p->b_k == 1)
                pack_turned(from, p->b_col, least(c1 - c, COLS), depth, to, COLS);
            else
                pack_plain(from, p->b_k, depth, least(c1 - c, COLS), to);
        }
        for (int64_t g = 0; g < groups; g++) { /* of nearly equal size */
            int64_t r = r0 + (r1 - r0) * g / groups,
                    rows = r0 + (r1 - r0) * (g + 1) / groups - r;
            pack_a(p, r, rows, k, depth, packed_a);
            for (int64_t c = c0; c < c1; c += COLS)
                panels[rows](packed_a, packed_b + (c - c0) * depth, depth,
                             p->y + r * p->y_row + c, p->y_row, least(c1 - c, COLS),
                             k == 0);
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
    by_rows[p->m](p, c0, c1);
}
