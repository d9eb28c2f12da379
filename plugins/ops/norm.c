/*
 * norm.c -- operators along the last axis: rms_norm, layer_norm, softmax, log_softmax.
 *
 * A tile is some whole rows. Sums run in the order of order.h, variance in two passes.
 */
#include "elementwise.h"
#include "fmath.h"
#include "grad.h"
#include "list.h"
#include "order.h"
#include "types.h"

/* ---- what they share ---- */

/* Rows of one tile: about 16k elements, a function of the row's length only. */
static int64_t tile_rows(const evla_node *n)
{
    int64_t d = types_last(&n->in[0]);
    return d >= 16384 ? 1 : 16384 / (d ? d : 1);
}

static int32_t rows_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                         evla_work *work)
{
    (void)h, (void)m;
    int64_t rows = types_count(&n->in[0]) ? types_rows(&n->in[0]) : 0;
    return types_tiles(work, types_ceil(rows, tile_rows(n)));
}

static int32_t rows_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                            evla_offer *offer)
{
    (void)h, (void)m;
    if (!types_all_f32(n) || n->n_tail) return EVLA_E_MISSING;
    return types_offer(offer, 0, ORDER_NUMERICS);
}

static double rows_cost(const evla_node *n) { return 5.0 * (double)types_count(&n->in[0]); }

static int32_t last_axis(const evla_host *h, const evla_node *n, const evla_type *in)
{
    int32_t st = types_real(h, n, in, 0, "x");
    if (st < 0 || in[0].rank > 0) return st;
    return types_fail(h, EVLA_E_SHAPE, "%s: %s: x is %s; want [...,D]", n->label, n->op,
                      TEXT(h, &in[0]));
}

/* ---- norms ---- */

static int32_t norm_infer(const evla_host *h, const evla_node *n, evla_type *in,
                          evla_type *out)
{
    static const char *const names[] = {"x", "w", "b"};
    const evla_norm_params *p = n->params;
    int32_t st = last_axis(h, n, in);
    if (st < 0) return st;
    if (!(p->eps >= 0))
        return types_fail(h, EVLA_E_ARG, "%s: %s: eps is %g; want at least 0", n->label,
                          n->op, p->eps);
    int64_t d = types_last(&in[0]);
    for (int32_t i = 1; i < 3; i++)
        if (types_present(n, in, i) &&
            (st = types_weight(h, n, in, i, names[i], 1, &d)) < 0)
            return st;
    out[0] = in[0];
    return EVLA_OK;
}

static void rms_row(const float *x, const float *w, float eps, float *y, int64_t d)
{
    float scale = 1.0f / sqrtf(order_dot(x, x, d) / (float)d + eps);
    for (int64_t i = 0; i < d; i++)
        y[i] = w ? x[i] * scale * w[i] : x[i] * scale;
}

static void layer_row(const float *x, const float *w, const float *b, float eps, float *y,
                      int64_t d)
{
    float mean = order_sum(x, d) / (float)d;
    for (int64_t i = 0; i < d; i++)
        y[i] = x[i] - mean;
    float scale = 1.0f / sqrtf(order_dot(y, y, d) / (float)d + eps);
    for (int64_t i = 0; i < d; i++) {
        float v = y[i] * scale;
        if (w) v = v * w[i];
        y[i] = b ? v + b[i] : v;
    }
}

static int32_t norm_run(const evla_host *h, const evla_args *a, int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    const evla_norm_params *p = n->params;
    const float *w = types_present(n, n->in, 1) ? a->in[1].data[0] : NULL;
    const float *b = types_present(n, n->in, 2) ? a->in[2].data[0] : NULL;
    int64_t d = types_last(&n->in[0]), step = tile_rows(n);
    int64_t from = tile * step, end = order_least(types_rows(&n->in[0]), from + step);
    int is_rms = n->op[0] == 'r';
    for (int64_t r = from; r < end; r++) {
        const float *x = (const float *)a->in[0].data[0] + r * d;
        float *y = (float *)a->out[0].data[0] + r * d;
        if (is_rms)
            rms_row(x, w, (float)p->eps, y, d);
        else
            layer_row(x, w, b, (float)p->eps, y, d);
    }
    return EVLA_OK;
}

/* ---- softmax ---- */

static int32_t softmax_infer(const evla_host *h, const evla_node *n, evla_type *in,
                             evla_type *out)
{
    int32_t st = last_axis(h, n, in);
    if (st < 0) return st;
    out[0] = in[0];
    return EVLA_OK;
}

static float largest(const float *x, int64_t d)
{
    float most = -INFINITY;
    for (int64_t i = 0; i < d; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

static int32_t softmax_run(const evla_host *h, const evla_args *a, int32_t phase,
                           int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    int64_t d = types_last(&n->in[0]), step = tile_rows(n);
    int64_t from = tile * step, end = order_least(types_rows(&n->in[0]), from + step);
    for (int64_t r = from; r < end; r++) {
        const float *x = (const float *)a->in[0].data[0] + r * d;
        float *y = (float *)a->out[0].data[0] + r * d, most = largest(x, d);
        elementwise_exp(x, most, y, d);
        float sum = order_sum(y, d);
        for (int64_t i = 0; i < d; i++)
            y[i] = y[i] / sum;
    }
    return EVLA_OK;
}

static int32_t log_softmax_run(const evla_host *h, const evla_args *a, int32_t phase,
                               int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    int64_t d = types_last(&n->in[0]), step = tile_rows(n);
    int64_t from = tile * step, end = order_least(types_rows(&n->in[0]), from + step);
    for (int64_t r = from; r < end; r++) {
        const float *x = (const float *)a->in[0].data[0] + r * d;
        float *y = (float *)a->out[0].data[0] + r * d, most = largest(x, d), sum = 0;
        /* the same blocks and lanes as order_sum over the whole row */
        for (int64_t at = 0; at < d; at += ORDER_BLOCK) {
            float e[ORDER_BLOCK];
            int64_t m = order_least(d - at, ORDER_BLOCK);
            elementwise_exp(x + at, most, e, m);
            sum += order_sum(e, m);
        }
        float norm = fmath_log(sum);
        for (int64_t i = 0; i < d; i++)
            y[i] = (x[i] - most) - norm;
    }
    return EVLA_OK;
}

/* ---- tables ---- */

#define ROWS(id, ports, from, infer_fn, run_fn)                                            \
    const evla_op id##_op = {.size = sizeof(evla_op),                                      \
                             .inputs = (ports),                                            \
                             .outputs = "y",                                               \
                             .source = (from),                                             \
                             .infer = (infer_fn),                                          \
                             .cost = rows_cost,                                            \
                             .grad = back_##id};                                           \
    const evla_kernel id##_kernel = {.size = sizeof(evla_kernel),                          \
                                     .op = #id,                                            \
                                     .accepts = rows_accepts,                              \
                                     .plan = rows_plan,                                    \
                                     .run = (run_fn)};
ROWS(rms_norm, "x w?", "Zhang and Sennrich 2019, eq. 4", norm_infer, norm_run)
ROWS(layer_norm, "x w? b?", "Ba, Kiros and Hinton 2016, eq. 4", norm_infer, norm_run)
ROWS(softmax, "x", "ONNX Softmax, axis = -1", softmax_infer, softmax_run)
ROWS(log_softmax, "x", "ONNX LogSoftmax, axis = -1", softmax_infer, log_softmax_run)
