/*
 * codes.c -- the operators quantize, quantize_blocks and quantized_linear: tiles, scales,
 * tails.
 *
 * Integer sums are exact and every f32 operation is rounded in the order that ops.h names,
 * so these have the bits of the portable kernels: numerics "exact". Weights are read in
 * panels where they lie so, else in plain rows.
 */
#include "list.h"
#include "node.h"
#include "packed.h"
#include <string.h>

static int64_t ceil_div(int64_t n, int64_t d) { return (n + d - 1) / d; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int is_format(const evla_node *n, int32_t i, int32_t dtype)
{
    return node_present(n, i) && n->in[i].dtype == dtype;
}

/* ---- quantized_linear ---- */

enum { Q, QS, W, WS, BIAS };

typedef struct tiles {
    int64_t m, n, k, rows, cols, across, down;
} tiles;

static tiles tiles_of(const x86_isa *isa, const evla_node *n)
{
    enum { COLS = 128, FEW = 256 << 10 /* codes of w worth a tile */ };
    int64_t least = packed_is(n, W) ? PACKED_ROWS : 16;
    tiles t = {.m = node_rows(&n->out[0]),
               .n = node_last(&n->out[0]),
               .k = node_last(&n->in[Q]),
               .rows = X86_CODES_HIGH,
               .cols = COLS};
    if (packed_is(n, W)) t.rows = t.rows / isa->codes_rows * isa->codes_rows;
    if (t.m < 8) /* few rows: tiles are as large as they must be to be worth it */
        t.cols = least * ceil_div(t.k > 0 ? ceil_div(FEW, t.k) : 1, least);
    t.across = ceil_div(t.n, t.cols);
    t.down = ceil_div(t.m, t.rows);
    return t;
}

/* Panels, but where rows are no whole words, or a last panel would lack many. */
static const evla_layout *linear_layout(const evla_host *h, const x86_isa *isa,
                                        const evla_machine *m, const evla_node *n,
                                        int32_t i)
{
    if (i != W || !node_has(m, isa->feature) || n->in[W].rank != 2) return NULL;
    const packed_format *f = packed_of(h, n, W);
    return f && packed_id(f) == PACKED_I8 && packed_fills(&n->in[W]) ? &f->layout : NULL;
}

static int32_t linear_accepts(const evla_host *h, const x86_isa *isa, const evla_machine *m,
                              const evla_node *n, evla_offer *offer)
{
    if (!node_has(m, isa->feature) || !is_format(n, Q, EVLA_I8) ||
        !is_format(n, QS, EVLA_F32) || !is_format(n, W, EVLA_I8) ||
        !is_format(n, WS, EVLA_F32) || (packed_is(n, W) && !packed_of(h, n, W)) ||
        !node_takes_tails(isa, n))
        return EVLA_E_MISSING;
    offer->score = isa->score;
    offer->alias_in = -1;
    offer->numerics = "exact";
    return EVLA_OK;
}

static int32_t linear_plan(const evla_host *h, const x86_isa *isa, const evla_node *n,
                           evla_work *work)
{
    (void)h;
    tiles t = tiles_of(isa, n);
    work->n_phases = 1;
    work->tiles[0] = t.across * t.down;
    return EVLA_OK;
}

static int32_t linear_run(const evla_host *h, const x86_isa *isa, const evla_args *a,
                          int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    tiles t = tiles_of(isa, n);
    int64_t down = tile / t.across, c0 = tile % t.across * t.cols;
    int64_t r0 = t.m * down / t.down, r1 = t.m * (down + 1) / t.down;
    int64_t c1 = c0 + t.cols < t.n ? c0 + t.cols : t.n;
    int has_bias = node_present(n, BIAS) && !node_is_operand(n, BIAS);
    x86_codes p = {.q = a->in[Q].data[0],
                   .w = a->in[W].data[0],
                   .panels = a->in[W].data[0],
                   .qs = a->in[QS].data[0],
                   .ws = a->in[WS].data[0],
                   .b = has_bias ? a->in[BIAS].data[0] : NULL,
                   .y = a->out[0].data[0],
                   .m = t.m,
                   .n = t.n,
                   .k = t.k,
                   .per_token = n->in[QS].rank > 0};
    (packed_is(n, W) ? isa->codes_packed : isa->codes)(&p, r0, r1, c0, c1);
    node_finish(isa, a, -1, r0, r1, c0, c1);
    return EVLA_OK;
}

/* ---- quantize ---- */

enum { TILE = 16384 };

static int64_t tile_rows(const evla_type *x)
{
    int64_t d = node_last(x);
    return d >= TILE ? 1 : TILE / (d ? d : 1);
}

static int32_t quantize_accepts(const evla_host *h, const x86_isa *isa,
                                const evla_machine *m, const evla_node *n,
                                evla_offer *offer)
{
    (void)h;
    if (!node_has(m, isa->feature) || n->n_tail || !is_format(n, 0, EVLA_F32))
        return EVLA_E_MISSING;
    offer->score = isa->score;
    offer->alias_in = -1;
    offer->numerics = "exact";
    return EVLA_OK;
}

static int32_t quantize_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                             evla_work *work)
{
    (void)h, (void)m;
    /* one more tile writes the static scale, which has no rows */
    work->n_phases = 1;
    work->tiles[0] =
        ceil_div(node_rows(&n->in[0]), tile_rows(&n->in[0])) + node_present(n, 1);
    return EVLA_OK;
}

static int32_t quantize_run(const evla_host *h, const x86_isa *isa, const evla_args *a,
                            int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    int is_static = node_present(n, 1);
    int64_t d = node_last(&n->in[0]), step = tile_rows(&n->in[0]), from = tile * step;
    int64_t rows = node_rows(&n->in[0]), end = from + step < rows ? from + step : rows;
    float *scale = a->out[1].data[0];
    const float *given = is_static ? a->in[1].data[0] : NULL;
    if (is_static && tile == ceil_div(rows, step)) *scale = *given;
    for (int64_t r = from; r < end; r++) {
        const float *x = (const float *)a->in[0].data[0] + r * d;
        int8_t *q = (int8_t *)a->out[0].data[0] + r * d;
        if (is_static)
            isa->encode(x, *given, d, q);
        else
            isa->encode_groups(x, 1, d, scale + r, q);
    }
    return EVLA_OK;
}

/* ---- quantize_blocks ---- */

static int64_t group_of(const evla_node *n)
{
    const evla_quantize_blocks_params *p = n->params;
    return p->group;
}

static int64_t tile_groups(const evla_node *n)
{
    return group_of(n) >= TILE ? 1 : TILE / group_of(n);
}

static int32_t blocks_accepts(const evla_host *h, const x86_isa *isa, const evla_machine *m,
                              const evla_node *n, evla_offer *offer)
{
    (void)h;
    if (!node_has(m, isa->feature) || n->n_tail || !is_format(n, 0, EVLA_F32) ||
        group_of(n) < 1)
        return EVLA_E_MISSING;
    *offer = (evla_offer){.score = isa->score, .alias_in = -1, .numerics = "exact"};
    return EVLA_OK;
}

static int32_t blocks_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                           evla_work *work)
{
    (void)h, (void)m;
    work->n_phases = 1;
    work->tiles[0] = ceil_div(node_count(&n->out[1]), tile_groups(n));
    return EVLA_OK;
}

static int32_t blocks_run(const evla_host *h, const x86_isa *isa, const evla_args *a,
                          int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    int64_t group = group_of(a->node), step = tile_groups(a->node), from = tile * step;
    int64_t all = node_count(&a->node->out[1]), end = least(all, from + step);
    int64_t d = node_last(&a->node->in[0]), whole = d / group, rest = d % group;
    if (!rest) whole = all, d = whole * group; /* one long row */
    int64_t groups = whole + (rest > 0);
    for (int64_t g = from, n; g < end; g += n) { /* never across the end of a row */
        int64_t at = g % groups;
        const float *x = (const float *)a->in[0].data[0] + g / groups * d + at * group;
        float *scale = (float *)a->out[1].data[0] + g;
        int8_t *q = (int8_t *)a->out[0].data[0] + g * group;
        n = at < whole ? least(end - g, whole - at) : 1;
        isa->encode_groups(x, n, at < whole ? group : rest, scale, q);
        if (at == whole) memset(q + rest, 0, (size_t)(group - rest));
    }
    return EVLA_OK;
}

/* ---- tables ---- */

#define LINEAR(id)                                                                         \
    NODE_ACCEPTS(linear_accepts, id, &x86_##id)                                            \
    NODE_PLAN(linear_plan, id, &x86_##id)                                                  \
    NODE_RUN(linear_run, id, &x86_##id)                                                    \
    NODE_LAYOUT(linear_layout, id, &x86_##id)                                              \
    const evla_kernel quantized_linear_##id = {.size = sizeof(evla_kernel),                \
                                               .max_tail = NODE_TAIL_MAX,                  \
                                               .op = "quantized_linear",                   \
                                               .tail_ops = NODE_TAIL_OPS,                  \
                                               .accepts = linear_accepts_##id,             \
                                               .plan = linear_plan_##id,                   \
                                               .run = linear_run_##id,                     \
                                               .layout = linear_layout_##id};
LINEAR(avx2)
LINEAR(avx2_vnni)
LINEAR(avx512)
LINEAR(vnni)

#define QUANTIZE(name, id, start)                                                          \
    NODE_ACCEPTS(start##_accepts, id, &x86_##id)                                           \
    NODE_RUN(start##_run, id, &x86_##id)                                                   \
    const evla_kernel name##_##id = {.size = sizeof(evla_kernel),                          \
                                     .op = #name,                                          \
                                     .accepts = start##_accepts_##id,                      \
                                     .plan = start##_plan,                                 \
                                     .run = start##_run_##id};
QUANTIZE(quantize, avx2, quantize)
QUANTIZE(quantize, avx512, quantize)
QUANTIZE(quantize_blocks, avx2, blocks)
QUANTIZE(quantize_blocks, avx512, blocks)
