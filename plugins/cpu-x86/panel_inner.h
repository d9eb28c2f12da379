/*
 * panel_inner.h -- products of f32 with packed weights in f32, f16 or pairs of bf16, for
 * one instruction set; see packed.h for how they lie, x86.h for the order of sums.
 *
 * Included with LANES, PANEL_SIZES (X for each number of rows, up to PANEL_MOST), lanes.h
 * and coded_inner.h in place. A block of K of a panel stays in the first cache while all
 * rows pass by, a few at a time, straight from where they lie.
 */
enum { PANEL_COLS = 2 * LANES, PANEL_AHEAD = 8192 /* bytes */ };

INLINE vec v_upper(vint pair) { return v_float(v_and(pair, v_int((int32_t)0xffff0000))); }
INLINE vec v_lower(vint pair) { return v_float(v_left(pair, 16)); }
INLINE vint v_words(const uint8_t *p)
{
    return v_bits(v_load((const float *)(const void *)p));
}

/* A block of K of a few rows and up to PANEL_COLS columns. wide, where there is one, gets
 * the block as it would lie in f32. */
typedef struct panel_part {
    const float *a;
    const uint8_t *b;
    float *y, *wide;
    int64_t a_row, depth, y_row, width;
    int is_first;
} panel_part;

SIZED void panel_micro(const int F, const int R, const panel_part *p)
{
    const int step = F == PACKED_BF16 ? 2 : 1,
              bytes = (F == PACKED_F16 ? 2 : 4) * PACKED_ROWS;
    const int64_t a_row = p->a_row;
    const float *a[(PANEL_MOST + 2) / 3]; /* every third row: an address reaches two more */
    UNROLL(4)
    for (int r = 0; r < R; r += 3) {
        a[r / 3] = p->a + r * a_row;
        __asm__("" : "+r"(a[r / 3]));
    }
    const uint8_t *b = p->b;
    float *wide = p->wide;
    vec s[PANEL_MOST][2];
    vmask m[2] = {v_first(least(p->width, LANES)),
                  v_first(p->width <= LANES ? 0 : p->width - LANES)};
    UNROLL(12)
    for (int r = 0; r < R; r++)
        s[r][0] = s[r][1] = v_zero();
    for (int64_t k = 0; k < p->depth; k += step, b += bytes) {
        vec w[2][2]; /* of k, and of k + 1 in pairs */
        UNROLL(2)
        for (int v = 0; v < 2; v++) {
            vint pair = F == PACKED_F16 ? v_int(0) : v_words(b + v * LANES * 4);
            w[0][v] = F == PACKED_F16    ? v_halves(b + v * LANES * 2)
                      : F == PACKED_BF16 ? v_lower(pair)
                                         : v_float(pair);
            w[1][v] = v_upper(pair);
        }
        if (F != PACKED_F32 && wide) {
            UNROLL(2)
            for (int i = 0; i < step; i++, wide += PACKED_ROWS) {
                v_store(wide, w[i][0]);
                v_store(wide + LANES, w[i][1]);
            }
        }
        UNROLL(2)
        for (int i = 0; i < step; i++) {
            UNROLL(12)
            for (int r = 0; r < R; r++) {
                vec x = v_all(a[r / 3][r % 3 * a_row + i]);
                s[r][0] = v_fma(x, w[i][0], s[r][0]);
                s[r][1] = v_fma(x, w[i][1], s[r][1]);
            }
        }
        UNROLL(4)
        for (int r = 0; r < R; r += 3)
            a[r / 3] += step;
        UNROLL(2)
        for (int i = 0; i < bytes; i += 64)
            _mm_prefetch((const char *)b + PANEL_AHEAD + i, _MM_HINT_T0);
    }
    UNROLL(12)
    for (int r = 0; r < R; r++) {
        UNROLL(2)
        for (int v = 0; v < 2; v++) {
            float *y = p->y + r * p->y_row + v * LANES;
            v_store_some(y, m[v],
                         p->is_first ? s[r][v] : v_add(v_load_some(y, m[v]), s[r][v]));
        }
    }
}

#define PANEL_MICRO(F, R)                                                                  \
    static __attribute__((noinline)) void panel_##F##_##R(const panel_part *p)             \
    {                                                                                      \
        panel_micro(F, R, p);                                                              \
    }
#define PANEL_MICROS(R)                                                                    \
    PANEL_MICRO(PACKED_F32, R) PANEL_MICRO(PACKED_F16, R) PANEL_MICRO(PACKED_BF16, R)
PANEL_SIZES(PANEL_MICROS)

/* See x86_isa. */
static void packed(const x86_product *p, int64_t r0, int64_t r1, int64_t c0, int64_t c1)
{
#define PANEL_ENTRY(F, R) [F - PACKED_F32][R] = panel_##F##_##R,
#define PANEL_ENTRIES(R)                                                                   \
    PANEL_ENTRY(PACKED_F32, R) PANEL_ENTRY(PACKED_F16, R) PANEL_ENTRY(PACKED_BF16, R)
    static void (*const micros[3][PANEL_MOST + 1])(const panel_part *p) = {
        PANEL_SIZES(PANEL_ENTRIES)};
#undef PANEL_ENTRIES
#undef PANEL_ENTRY
    int64_t size = p->format == PACKED_F32 ? 4 : 2, pair = p->format == PACKED_BF16 ? 2 : 1;
    int64_t groups = (r1 - r0 + PANEL_MOST - 1) / PANEL_MOST;
    _Alignas(64) float wide[X86_DEPTH * PACKED_ROWS];
    int widens =
        groups > 1 && p->format != PACKED_F32; /* once, for the groups after the first */
    for (int64_t c = c0; c < c1; c += PANEL_COLS)
        for (int64_t k = 0; k < p->k; k += X86_DEPTH)
            for (int64_t g = 0; g < groups; g++) { /* of nearly equal size */
                int64_t r = r0 + (r1 - r0) * g / groups,
                        rows = r0 + (r1 - r0) * (g + 1) / groups - r;
                panel_part part = {.a = p->a + r * p->a_row + k,
                                   .b = p->panels +
                                        (c / PACKED_ROWS * p->k + k) * size * PACKED_ROWS +
                                        c % PACKED_ROWS * size * pair,
                                   .wide = widens ? wide : NULL,
                                   .y = p->y + r * p->y_row + c,
                                   .a_row = p->a_row,
                                   .depth = least(p->k - k, X86_DEPTH),
                                   .y_row = p->y_row,
                                   .width = least(c1 - c, PANEL_COLS),
                                   .is_first = k == 0 && !p->adds};
                int is_wide = widens && g > 0;
                if (is_wide) part.b = (const uint8_t *)wide;
                micros[is_wide ? 0 : p->format - PACKED_F32][rows](&part);
            }
}
