/*
 * codes_packed_inner.h -- products of eight-bit codes with weights in panels that have one
 * scale per row, for one instruction set; see packed.h for how they lie.
 *
 * Included with LANES, CODES_ROWS (rows of a microkernel), CODES_SIZES (X for 1 to that),
 * codes_inner.h and coded_inner.h in place. Lanes are columns of y. Codes of weights count
 * from 0, so they are the unsigned operand; what that adds is where sums start. A sum stays
 * in its register for all of K.
 */
enum { CODES_AHEAD = 8192 /* bytes by which memory is asked before */ };

/* Some rows and up to a panel's columns. */
typedef struct codes_part {
    const int8_t *q;
    const uint8_t *w;
    const int32_t *excess; /* [rows] */
    const float *qs, *ws, *b;
    float *y;
    int64_t k, n, width;
    int per_token;
} codes_part;

/* y = (float)sum * (qs * ws) + b, each operation rounded. */
INLINE void codes_finish(vint sum, float qs, const codes_part *p, int64_t column, float *y)
{
    vmask m = v_first(p->width <= column ? 0 : least(p->width - column, LANES));
    vec v = v_from_int(sum) * (v_all(qs) * v_load_some(p->ws + column, m));
    if (p->b) v = v_add(v, v_load_some(p->b + column, m));
    v_store_some(y + column, m, v);
}

/* Few rows have sums of their own for CHAINS of K side by side, which do not wait for each
 * other. */
SIZED void codes_panel(const int R, const int CHAINS, const codes_part *p)
{
    for (int l = 0; l < PACKED_ROWS && l < p->width; l += CODED_WIDTH) {
        vint s[4 * CODES_ROWS][CODED_VECTORS], u[CODED_VECTORS];
        const uint8_t *w = p->w + 4 * l;
        UNROLL(16)
        for (int i = 0; i < R * CHAINS; i++) {
            UNROLL(2)
            for (int v = 0; v < CODED_VECTORS; v++)
                s[i][v] = v_int(i < R ? -p->excess[i] : 0);
        }
        int64_t k = 0;
        for (; k + 4 * CHAINS <= p->k; k += 4 * CHAINS) {
            UNROLL(4)
            for (int c = 0; c < CHAINS; c++, w += WORD_STEP) {
                UNROLL(2)
                for (int v = 0; v < CODED_VECTORS; v++) {
                    u[v] = word(w + v * LANES * 4, 0);
                    if (v * LANES % 16 == 0)
                        _mm_prefetch((const char *)w + CODES_AHEAD + v * LANES * 4,
                                     _MM_HINT_T0);
                }
                UNROLL(16)
                for (int r = 0; r < R; r++) {
                    int32_t four;
                    memcpy(&four, p->q + r * p->k + k + 4 * c, sizeof four);
                    UNROLL(2)
                    for (int v = 0; v < CODED_VECTORS; v++)
                        s[c * R + r][v] = i_mixed(s[c * R + r][v], u[v], v_int(four), 1);
                }
            }
        }
        for (; k < p->k; k += 4, w += WORD_STEP) {
            UNROLL(16)
            for (int r = 0; r < R; r++) {
                int32_t four;
                memcpy(&four, p->q + r * p->k + k, sizeof four);
                UNROLL(2)
                for (int v = 0; v < CODED_VECTORS; v++)
                    s[r][v] = i_mixed(s[r][v], word(w + v * LANES * 4, 0), v_int(four), 1);
            }
        }
        UNROLL(16)
        for (int r = 0; r < R; r++) {
            UNROLL(2)
            for (int v = 0; v < CODED_VECTORS; v++) {
                UNROLL(4)
                for (int c = 1; c < CHAINS; c++)
                    s[r][v] = v_iadd(s[r][v], s[c * R + r][v]);
                codes_finish(s[r][v], p->qs[p->per_token ? r : 0], p, l + v * LANES,
                             p->y + r * p->n);
            }
        }
    }
}

#define CODES_PANEL(R)                                                                     \
    static __attribute__((noinline)) void codes_panel_##R(const codes_part *p)             \
    {                                                                                      \
        codes_panel(R, (R) == 1 ? 4 : (R) < 4 ? 2 : 1, p);                                 \
    }
CODES_SIZES(CODES_PANEL)
#undef CODES_PANEL

/* See x86_isa. */
static void codes_packed(const x86_codes *p, int64_t r0, int64_t r1, int64_t c0, int64_t c1)
{
    static void (*const panels[])(const codes_part *p) = {
#define CODES_ENTRY(R) [R] = codes_panel_##R,
        CODES_SIZES(CODES_ENTRY)
#undef CODES_ENTRY
    };
    int64_t groups = (r1 - r0 + CODES_ROWS - 1) / CODES_ROWS;
    int32_t excess[X86_CODES_HIGH + SUMS];
    for (int64_t r = r0; r < r1; r += SUMS)
        codes_excess(p->q + r * p->k, p->k, least(r1 - r, SUMS), excess + (r - r0));
    for (int64_t c = c0; c < c1; c += PACKED_ROWS)
        for (int64_t g = 0; g < groups; g++) { /* of nearly equal size */
            int64_t r = r0 + (r1 - r0) * g / groups,
                    rows = r0 + (r1 - r0) * (g + 1) / groups - r;
            codes_part part = {.q = p->q + r * p->k,
                               .w = p->panels + c * p->k,
                               .excess = excess + (r - r0),
                               .qs = p->qs + (p->per_token ? r : 0),
                               .ws = p->ws + c,
                               .b = p->b ? p->b + c : NULL,
                               .y = p->y + r * p->n + c,
                               .k = p->k,
                               .n = p->n,
                               .width = least(c1 - c, PACKED_ROWS),
                               .per_token = p->per_token};
            panels[rows](&part);
        }
}
