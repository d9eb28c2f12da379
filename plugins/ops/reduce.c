/*
 * reduce.c -- reduce_sum, reduce_mean, reduce_max over any set of axes.
 *
 * The k-th term of an output is its k-th element in row-major order of the reduced axes;
 * sums over k run in the order of order.h. A tile is 64 outputs. When the kept axes are
 * innermost, neighbouring outputs are summed side by side.
 */
#include "grad.h"
#include "list.h"
#include "order.h"
#include "types.h"
#include <math.h>
#include <string.h>

enum { OUTPUTS = 64 };

/* The axes in two groups, each merged where memory allows, outermost first. */
typedef struct groups {
    int32_t n_kept, n_gone;
    int64_t kept[8], kept_step[8], gone[8], gone_step[8];
    int64_t outputs, terms;
} groups;

static int marks(const evla_host *h, const evla_node *n, const evla_type *x, uint32_t *gone)
{
    const evla_reduce_params *p = n->params;
    const int64_t *axes = p->axes.items;
    *gone = p->axes.n ? 0 : (1u << x->rank) - 1;
    for (int64_t i = 0; i < p->axes.n; i++) {
        int32_t axis, st = types_axis(h, n, axes[i], x->rank, &axis);
        if (st < 0) return st;
        if (*gone >> axis & 1)
            return types_fail(h, EVLA_E_ARG, "%s: %s: axis %lld appears twice", n->label,
                              n->op, (long long)axes[i]);
        *gone |= 1u << axis;
    }
    return EVLA_OK;
}

static void add_axis(int32_t *n, int64_t *extent, int64_t *step, int64_t e, int64_t s)
{
    if (*n && step[*n - 1] == e * s) {
        extent[*n - 1] *= e;
        step[*n - 1] = s;
        return;
    }
    extent[*n] = e;
    step[(*n)++] = s;
}

static groups group(const evla_node *n, uint32_t gone)
{
    const evla_type *x = &n->in[0];
    groups g = {.outputs = 1, .terms = 1};
    for (int32_t i = 0; i < x->rank; i++) {
        int64_t e = x->shape[i], s = types_span(x->shape, i + 1, x->rank);
        if (gone >> i & 1)
            add_axis(&g.n_gone, g.gone, g.gone_step, e, s), g.terms *= e;
        else
            add_axis(&g.n_kept, g.kept, g.kept_step, e, s), g.outputs *= e;
    }
    return g;
}

static int32_t reduce_infer(const evla_host *h, const evla_node *n, evla_type *in,
                            evla_type *out)
{
    const evla_reduce_params *p = n->params;
    uint32_t gone;
    int32_t st = types_real(h, n, in, 0, "x");
    if (st < 0 || (st = marks(h, n, &in[0], &gone)) < 0) return st;
    out[0].dtype = in[0].dtype;
    out[0].rank = 0;
    for (int32_t i = 0; i < in[0].rank; i++) {
        if (gone >> i & 1 && !in[0].shape[i] && !strcmp(n->op, "reduce_max"))
            return types_fail(h, EVLA_E_SHAPE,
                              "%s: reduce_max: x is %s; nothing has no maximum", n->label,
                              TEXT(h, &in[0]));
        if (!(gone >> i & 1))
            out[0].shape[out[0].rank++] = in[0].shape[i];
        else if (p->keepdims)
            out[0].shape[out[0].rank++] = 1;
    }
    return EVLA_OK;
}

static double reduce_cost(const evla_node *n) { return (double)types_count(&n->in[0]); }

static int32_t reduce_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                              evla_offer *offer)
{
    (void)h, (void)m;
    if (!types_all_f32(n) || n->n_tail) return EVLA_E_MISSING;
    return types_offer(offer, -1, ORDER_NUMERICS);
}

static int32_t reduce_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                           evla_work *work)
{
    (void)m;
    uint32_t gone;
    int32_t st = marks(h, n, &n->in[0], &gone);
    if (st < 0) return st;
    work->blob_bytes = sizeof(groups);
    return types_tiles(work, types_ceil(types_count(&n->out[0]), OUTPUTS));
}

static int32_t reduce_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    uint32_t gone;
    int32_t st = marks(h, n, &n->in[0], &gone);
    if (st < 0) return st;
    groups g = group(n, gone);
    memcpy(blob, &g, sizeof g);
    return EVLA_OK;
}

static int64_t place(int64_t index, int32_t n, const int64_t *extent, const int64_t *step)
{
    int64_t at = 0;
    for (int32_t i = n - 1; i >= 0; i--) {
        at += index % extent[i] * step[i];
        index /= extent[i];
    }
    return at;
}

/* Adds or maximises `width` neighbouring columns over all terms. */
static void reduce_columns(const groups *g, const float *x, int64_t width, int is_max,
                           float *y)
{
    float total[ORDER_WIDTH], s[ORDER_LANES][ORDER_WIDTH];
    for (int c = 0; c < ORDER_WIDTH; c++)
        total[c] = is_max ? -INFINITY : 0;
    for (int64_t at = 0; at < g->terms; at += ORDER_BLOCK) {
        memset(s, 0, sizeof s);
        int64_t end = order_least(g->terms, at + ORDER_BLOCK);
        for (int64_t k = at; k < end; k++) {
            const float *row = x + place(k, g->n_gone, g->gone, g->gone_step);
            float *to = is_max ? total : s[k % ORDER_LANES];
            for (int64_t c = 0; c < width; c++)
                to[c] = !is_max                              ? to[c] + row[c]
                        : row[c] != row[c] || row[c] > to[c] ? row[c]
                                                             : to[c];
        }
        for (int c = 0; !is_max && c < ORDER_WIDTH; c++)
            total[c] += ((s[0][c] + s[4][c]) + (s[2][c] + s[6][c])) +
                        ((s[1][c] + s[5][c]) + (s[3][c] + s[7][c]));
    }
    for (int64_t c = 0; c < width; c++)
        y[c] = total[c];
}

static float maximum_of(const float *x, int64_t n)
{
    float most = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        most = x[i] != x[i] || x[i] > most ? x[i] : most;
    return most;
}

static int32_t reduce_run(const evla_host *h, const evla_args *a, int32_t phase,
                          int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    const groups *g = a->blob;
    const float *x = a->in[0].data[0];
    float *y = a->out[0].data[0];
    int is_max = !strcmp(n->op, "reduce_max"), is_mean = !strcmp(n->op, "reduce_mean");
    int64_t from = tile * OUTPUTS, end = order_least(g->outputs, from + OUTPUTS);
    /* terms that lie side by side in memory, or outputs that do, or neither */
    int is_row = g->n_gone == 1 && g->gone_step[0] == 1;
    int is_column = g->n_kept && g->kept_step[g->n_kept - 1] == 1;
    int64_t inner = is_column ? g->kept[g->n_kept - 1] : 1;
    for (int64_t i = from; i < end;) {
        const float *at = x + place(i, g->n_kept, g->kept, g->kept_step);
        int64_t width = 1;
        if (is_row && is_max)
            y[i] = maximum_of(at, g->terms);
        else if (is_row)
            y[i] = order_sum(at, g->terms);
        else {
            width = order_least(order_least(inner - i % inner, end - i), ORDER_WIDTH);
            reduce_columns(g, at, width, is_max, y + i);
        }
        i += width;
    }
    for (int64_t i = from; is_mean && i < end; i++)
        y[i] /= (float)g->terms;
    return EVLA_OK;
}

#define REDUCE(id, from)                                                                   \
    const evla_op id##_op = {.size = sizeof(evla_op),                                      \
                             .inputs = "x",                                                \
                             .outputs = "y",                                               \
                             .source = (from),                                             \
                             .infer = reduce_infer,                                        \
                             .cost = reduce_cost,                                          \
                             .grad = back_##id};                                           \
    const evla_kernel id##_kernel = {.size = sizeof(evla_kernel),                          \
                                     .op = #id,                                            \
                                     .accepts = reduce_accepts,                            \
                                     .plan = reduce_plan,                                  \
                                     .prepare = reduce_prepare,                            \
                                     .run = reduce_run};
REDUCE(reduce_sum, "ONNX ReduceSum")
REDUCE(reduce_mean, "ONNX ReduceMean")
REDUCE(reduce_max, "ONNX ReduceMax")
