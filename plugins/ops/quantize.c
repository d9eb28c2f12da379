/*
 * quantize.c -- quantize, quantize_blocks, dequantize, quantized_linear: eight-bit codes
 * with f32 scales.
 *
 * Integer sums are exact, so their order does not matter; every f32 operation is rounded
 * in the order that ops.h names. So the numerics id of all four is "exact", and a faster
 * kernel has these bits.
 */
#include "list.h"
#include "order.h"
#include "tail.h"
#include "walk.h"
#include <math.h>
#include <string.h>

enum { ROWS = 16, COLS = 64, TILE = 16384 };

/* ---- what they share ---- */

/* Input i is there, typed, and in this format. */
static int32_t want(const evla_host *h, const evla_node *n, const evla_type *in, int32_t i,
                    const char *name, int32_t dtype)
{
    int32_t st = types_need(h, n, in, i, name);
    if (st < 0 || in[i].dtype == dtype) return st;
    return types_fail(h, EVLA_E_DTYPE, "%s: %s: %s is %s; want %s", n->label, n->op, name,
                      TEXT(h, &in[i]), h->dtype_name(h, dtype));
}

/* [...,1] with the leading extents of t. */
static evla_type per_row(const evla_type *t)
{
    evla_type s = types_make(EVLA_F32, t->rank, t->shape);
    if (s.rank) s.shape[s.rank - 1] = 1;
    return s;
}

/* ---- quantize ---- */

static int32_t quantize_infer(const evla_host *h, const evla_node *n, evla_type *in,
                              evla_type *out)
{
    int32_t st = want(h, n, in, 0, "x", EVLA_F32);
    if (st < 0) return st;
    if (in[0].rank < 1)
        return types_fail(h, EVLA_E_SHAPE, "%s: quantize: x is %s; want [...,D]", n->label,
                          TEXT(h, &in[0]));
    out[0] = types_make(EVLA_I8, in[0].rank, in[0].shape);
    out[1] = per_row(&in[0]);
    if (!types_present(n, in, 1)) return EVLA_OK;
    if ((st = want(h, n, in, 1, "scale", EVLA_F32)) < 0) return st;
    if (in[1].rank)
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: quantize: scale is %s; want a scalar, one for the tensor",
                          n->label, TEXT(h, &in[1]));
    out[1] = in[1];
    return EVLA_OK;
}

static double quantize_cost(const evla_node *n)
{
    return 4.0 * (double)types_count(&n->in[0]);
}

static int32_t quantize_accepts(const evla_host *h, const evla_machine *m,
                                const evla_node *n, evla_offer *offer)
{
    (void)h, (void)m;
    return n->n_tail ? EVLA_E_MISSING : types_offer(offer, -1, "exact");
}

/* Rows of one tile: a function of the row's length only. */
static int64_t tile_rows(const evla_type *x)
{
    int64_t d = types_last(x);
    return d >= TILE ? 1 : TILE / (d ? d : 1);
}

static int32_t quantize_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                             evla_work *work)
{
    (void)h, (void)m;
    /* one more tile writes the static scale, which has no rows */
    int is_static = types_present(n, n->in, 1);
    return types_tiles(work,
                       types_ceil(types_rows(&n->in[0]), tile_rows(&n->in[0])) + is_static);
}

/* The largest magnitude, as bits: for floats without sign their order is that of
 * integers, and Inf and NaN are the largest. */
static uint32_t largest(const float *x, int64_t n)
{
    uint32_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    return most;
}

static float scale_of(const float *x, int64_t n)
{
    uint32_t bits = largest(x, n);
    float m;
    memcpy(&m, &bits, sizeof m);
    if (bits >= 0x7f800000u) return NAN;
    m = m / 127.0f;
    return m > 0 ? m : 1.0f;
}

static void encode(const float *x, float scale, int64_t n, int8_t *q)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to nearest even */
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] / scale;
        v = v > 127.0f ? 127.0f : v;
        v = v < -127.0f ? -127.0f : v;
        v = v == v ? v : 0.0f;
        q[i] = (int8_t)(int32_t)((v + magic) - magic);
    }
}

static int32_t quantize_run(const evla_host *h, const evla_args *a, int32_t phase,
                            int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    int is_static = types_present(n, n->in, 1);
    int64_t d = types_last(&n->in[0]), step = tile_rows(&n->in[0]), from = tile * step;
    int64_t rows = types_rows(&n->in[0]), end = order_least(rows, from + step);
    float *scale = a->out[1].data[0];
    const float *given = is_static ? a->in[1].data[0] : NULL;
    if (is_static && tile == types_ceil(rows, step)) *scale = *given;
    for (int64_t r = from; r < end; r++) {
        const float *x = (const float *)a->in[0].data[0] + r * d;
        float s = is_static ? *given : scale_of(x, d);
        if (!is_static) scale[r] = s;
        encode(x, s, d, (int8_t *)a->out[0].data[0] + r * d);
    }
    return EVLA_OK;
}

const evla_op quantize_op = {.size = sizeof quantize_op,
                             .inputs = "x scale?",
                             .outputs = "q scale",
                             .source = "symmetric uniform codes: Jacob et al. 2018, eq. 1 "
                                       "with zero point 0",
                             .infer = quantize_infer,
                             .cost = quantize_cost};
const evla_kernel quantize_kernel = {.size = sizeof quantize_kernel,
                                     .op = "quantize",
                                     .accepts = quantize_accepts,
                                     .plan = quantize_plan,
                                     .run = quantize_run};

/* ---- quantize_blocks ---- */

static int64_t group_of(const evla_node *n)
{
    const evla_quantize_blocks_params *p = n->params;
    return p->group;
}

/* Groups of a row, the last of which may be a part of one. */
static int64_t row_groups(const evla_type *x, int64_t group)
{
    int64_t d = types_last(x);
    return d / group + (d % group > 0);
}

static int32_t quantize_blocks_infer(const evla_host *h, const evla_node *n, evla_type *in,
                                     evla_type *out)
{
    int32_t st = want(h, n, in, 0, "x", EVLA_F32);
    if (st < 0) return st;
    if (group_of(n) < 1)
        return types_fail(h, EVLA_E_ARG,
                          "%s: quantize_blocks: group is %lld; want at least 1", n->label,
                          (long long)group_of(n));
    int64_t groups = row_groups(&in[0], group_of(n)), codes;
    if (in[0].rank < 1 || __builtin_mul_overflow(groups, group_of(n), &codes))
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: quantize_blocks: x is %s; want [...,D], with groups of %lld",
                          n->label, TEXT(h, &in[0]), (long long)group_of(n));
    out[0] = types_make(EVLA_I8, in[0].rank, in[0].shape);
    out[1] = types_make(EVLA_F32, in[0].rank, in[0].shape);
    out[0].shape[out[0].rank - 1] = codes;
    out[1].shape[out[1].rank - 1] = groups;
    return EVLA_OK;
}

/* Groups of one tile: a function of their length only. */
static int64_t tile_groups(const evla_node *n)
{
    int64_t group = group_of(n);
    return group >= TILE ? 1 : TILE / group;
}

static int32_t quantize_blocks_plan(const evla_host *h, const evla_machine *m,
                                    const evla_node *n, evla_work *work)
{
    (void)h, (void)m;
    return types_tiles(work, types_ceil(types_count(&n->out[1]), tile_groups(n)));
}

static int32_t quantize_blocks_run(const evla_host *h, const evla_args *a, int32_t phase,
                                   int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    int64_t group = group_of(n), step = tile_groups(n), from = tile * step;
    int64_t end = order_least(types_count(&n->out[1]), from + step);
    int64_t d = types_last(&n->in[0]), groups = row_groups(&n->in[0], group);
    float *scale = a->out[1].data[0];
    for (int64_t i = from; i < end; i++) {
        int64_t at = i % groups * group, count = order_least(d - at, group);
        const float *x = (const float *)a->in[0].data[0] + i / groups * d + at;
        int8_t *q = (int8_t *)a->out[0].data[0] + i * group;
        scale[i] = scale_of(x, count);
        encode(x, scale[i], count, q);
        memset(q + count, 0, (size_t)(group - count));
    }
    return EVLA_OK;
}

const evla_op quantize_blocks_op = {.size = sizeof quantize_blocks_op,
                                    .inputs = "x",
                                    .outputs = "q s",
                                    .source = "Dettmers et al. 2022, section 2.1",
                                    .infer = quantize_blocks_infer,
                                    .cost = quantize_cost};
const evla_kernel quantize_blocks_kernel = {.size = sizeof quantize_blocks_kernel,
                                            .op = "quantize_blocks",
                                            .accepts = quantize_accepts,
                                            .plan = quantize_blocks_plan,
                                            .run = quantize_blocks_run};

/* ---- dequantize ---- */

static int32_t dequantize_infer(const evla_host *h, const evla_node *n, evla_type *in,
                                evla_type *out)
{
    int32_t st = want(h, n, in, 0, "q", EVLA_I8);
    if (st >= 0) st = want(h, n, in, 1, "scale", EVLA_F32);
    if (st < 0) return st;
    evla_type both;
    out[0] = types_make(EVLA_F32, in[0].rank, in[0].shape);
    if (!types_broadcast(&in[0], &in[1], &both) || !types_equal_shape(&both, &in[0]))
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: dequantize: scale is %s, which does not broadcast to q %s",
                          n->label, TEXT(h, &in[1]), TEXT(h, &in[0]));
    return EVLA_OK;
}

static double dequantize_cost(const evla_node *n)
{
    return (double)types_count(&n->out[0]);
}

static int32_t dequantize_plan(const evla_host *h, const evla_machine *m,
                               const evla_node *n, evla_work *work)
{
    (void)h, (void)m;
    return types_tiles(work, types_ceil(types_count(&n->out[0]), WALK_TILE));
}

static int32_t dequantize_run(const evla_host *h, const evla_args *a, int32_t phase,
                              int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    const int8_t *q = a->in[0].data[0];
    const float *scale = a->in[1].data[0];
    float *x = a->out[0].data[0];
    walk w;
    walk_run run;
    walk_plan(&w, &n->out[0], (const evla_type *const[]){&n->in[0], &n->in[1]}, 2);
    int64_t at = tile * WALK_TILE,
            end = order_least(types_count(&n->out[0]), at + WALK_TILE);
    while (walk_next(&w, &at, end, &run))
        for (int64_t i = 0; i < run.n; i++)
            x[run.at + i] = (float)q[run.from[0] + i * run.step[0]] *
                            scale[run.from[1] + i * run.step[1]];
    return EVLA_OK;
}

const evla_op dequantize_op = {.size = sizeof dequantize_op,
                               .inputs = "q scale",
                               .outputs = "x",
                               .source = "Jacob et al. 2018, eq. 1 with zero point 0",
                               .infer = dequantize_infer,
                               .cost = dequantize_cost};
const evla_kernel dequantize_kernel = {.size = sizeof dequantize_kernel,
                                       .op = "dequantize",
                                       .accepts = quantize_accepts,
                                       .plan = dequantize_plan,
                                       .run = dequantize_run};

/* ---- quantized_linear ---- */

static int32_t quantized_linear_infer(const evla_host *h, const evla_node *n, evla_type *in,
                                      evla_type *out)
{
    static const char *const names[] = {"q", "qs", "w", "ws", "b"};
    static const int32_t dtypes[] = {EVLA_I8, EVLA_F32, EVLA_I8, EVLA_F32, EVLA_F32};
    int has_bias = types_present(n, in, 4) && !tail_owns(n, 4);
    for (int32_t i = 0; i < 4 + has_bias; i++) {
        /* a bias may be a weight nobody has typed; the others come from a quantiser */
        if (i == 4 && in[i].rank < 0) break;
        int32_t st = want(h, n, in, i, names[i], dtypes[i]);
        if (st < 0) return st;
    }
    if (in[0].rank < 1)
        return types_fail(h, EVLA_E_SHAPE, "%s: quantized_linear: q is %s; want [...,in]",
                          n->label, TEXT(h, &in[0]));
    int64_t k = types_last(&in[0]);
    if (in[2].rank != 2 || in[2].shape[1] != k)
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: quantized_linear: w is %s, q %s wants i8[out,%lld]",
                          n->label, TEXT(h, &in[2]), TEXT(h, &in[0]), (long long)k);
    if (k > EVLA_QUANTIZED_MAX)
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: quantized_linear: rows of %lld; sums of more than %d "
                          "products may leave 32 bits",
                          n->label, (long long)k, EVLA_QUANTIZED_MAX);
    evla_type rows = per_row(&in[0]);
    if (in[1].rank && !types_equal_shape(&in[1], &rows))
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: quantized_linear: qs is %s, q %s wants a scalar or %s",
                          n->label, TEXT(h, &in[1]), TEXT(h, &in[0]), TEXT(h, &rows));
    int64_t features = in[2].shape[0];
    evla_type channels = types_make(EVLA_F32, 2, (const int64_t[]){features, 1});
    if (!types_equal_shape(&in[3], &channels))
        return types_fail(h, EVLA_E_SHAPE, "%s: quantized_linear: ws is %s, w %s wants %s",
                          n->label, TEXT(h, &in[3]), TEXT(h, &in[2]), TEXT(h, &channels));
    int32_t st = has_bias ? types_weight(h, n, in, 4, "b", 1, &features) : EVLA_OK;
    if (st < 0) return st;
    out[0] = types_make(EVLA_F32, in[0].rank, in[0].shape);
    out[0].shape[out[0].rank - 1] = features;
    return EVLA_OK;
}

static double quantized_linear_cost(const evla_node *n)
{
    return 2.0 * (double)types_count(&n->out[0]) * (double)types_last(&n->in[0]);
}

static int32_t quantized_linear_accepts(const evla_host *h, const evla_machine *m,
                                        const evla_node *n, evla_offer *offer)
{
    (void)h, (void)m;
    if (!tail_accepts(n)) return EVLA_E_MISSING;
    return types_offer(offer, -1, "exact");
}

static int32_t quantized_linear_plan(const evla_host *h, const evla_machine *m,
                                     const evla_node *n, evla_work *work)
{
    (void)h, (void)m;
    return types_tiles(work, types_ceil(types_rows(&n->out[0]), ROWS) *
                                 types_ceil(types_last(&n->out[0]), COLS));
}

/* In lanes, so that a compiler may use vectors; the sum is exact in any order. */
static int32_t sum_of_products(const int8_t *restrict q, const int8_t *restrict w,
                               int64_t n)
{
    enum { LANES = 16 };
    int32_t lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += (int16_t)(q[i + l] * w[i + l]);
    for (; i < n; i++)
        sum += q[i] * w[i];
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

static int32_t quantized_linear_run(const evla_host *h, const evla_args *a, int32_t phase,
                                    int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    int64_t k = types_last(&n->in[0]), cols = types_last(&n->out[0]);
    int64_t rows = types_rows(&n->out[0]), across = types_ceil(cols, COLS);
    int64_t r0 = tile / across * ROWS, r1 = order_least(rows, r0 + ROWS);
    int64_t c0 = tile % across * COLS, c1 = order_least(cols, c0 + COLS);
    const int8_t *q = a->in[0].data[0], *w = a->in[2].data[0];
    const float *qs = a->in[1].data[0], *ws = a->in[3].data[0];
    const float *b =
        types_present(n, n->in, 4) && !tail_owns(n, 4) ? a->in[4].data[0] : NULL;
    float *y = a->out[0].data[0];
    int64_t per_token = n->in[1].rank > 0;
    for (int64_t r = r0; r < r1; r++) {
        float *row = y + r * cols, scale = qs[r * per_token];
        for (int64_t c = c0; c < c1; c++)
            row[c] = (float)sum_of_products(q + r * k, w + c * k, k) * (scale * ws[c]);
        for (int64_t c = c0; b && c < c1; c++)
            row[c] += b[c];
        tail_apply(a, r, c0, row + c0, c1 - c0);
    }
    return EVLA_OK;
}

const evla_op quantized_linear_op = {
    .size = sizeof quantized_linear_op,
    .inputs = "q qs w ws b?",
    .outputs = "y",
    .source =
        "Jacob et al. 2018, section 2.2 with zero points 0; scales per output channel",
    .infer = quantized_linear_infer,
    .cost = quantized_linear_cost};
const evla_kernel quantized_linear_kernel = {.size = sizeof quantized_linear_kernel,
                                             .max_tail = TAIL_MAX,
                                             .op = "quantized_linear",
                                             .tail_ops = TAIL_OPS,
                                             .accepts = quantized_linear_accepts,
                                             .plan = quantized_linear_plan,
                                             .run = quantized_linear_run};
