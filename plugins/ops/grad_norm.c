/*
 * grad_norm.c -- derivatives along the last axis: softmax_grad, log_softmax_grad,
 * rms_norm_grad, layer_norm_grad.
 *
 * A tile is some whole rows. Sums within a row run in the order of order.h; what a norm's
 * weights receive is added row after row within a tile, then tile after tile, so it depends
 * on the shape alone.
 */
#include "elementwise.h"
#include "grad.h"
#include "list.h"
#include "order.h"
#include <math.h>
#include <string.h>

enum { COLUMNS = 256 /* of the second phase's tiles */ };

static int64_t tile_rows(const evla_node *n)
{
    int64_t d = types_last(&n->in[0]);
    return d >= 16384 ? 1 : 16384 / (d ? d : 1);
}

static int64_t tiles_of(const evla_node *n)
{
    int64_t rows = types_count(&n->in[0]) ? types_rows(&n->in[0]) : 0;
    return types_ceil(rows, tile_rows(n));
}

static int32_t rows_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                            evla_offer *offer)
{
    (void)h, (void)m;
    if (!types_all_f32(n) || n->n_tail) return EVLA_E_MISSING;
    return types_offer(offer, 0, ORDER_NUMERICS);
}

static double rows_cost(const evla_node *n) { return 8.0 * (double)types_count(&n->in[0]); }

static int32_t same_rows(const evla_host *h, const evla_node *n, evla_type *in,
                         const char *other)
{
    int32_t st = types_real(h, n, in, 0, "dy");
    if (st < 0 || (st = types_real(h, n, in, 1, other)) < 0) return st;
    if (in[0].rank > 0 && types_equal(&in[0], &in[1])) return EVLA_OK;
    return types_fail(h, EVLA_E_SHAPE, "%s: %s: dy is %s, %s is %s; want [...,D] twice",
                      n->label, n->op, TEXT(h, &in[0]), other, TEXT(h, &in[1]));
}

/* ---- softmax ---- */

static int32_t softmax_infer(const evla_host *h, const evla_node *n, evla_type *in,
                             evla_type *out)
{
    int32_t st = same_rows(h, n, in, "y");
    if (st < 0) return st;
    out[0] = in[0];
    return EVLA_OK;
}

static int32_t softmax_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                            evla_work *work)
{
    (void)h, (void)m;
    return types_tiles(work, tiles_of(n));
}

static int32_t softmax_run(const evla_host *h, const evla_args *a, int32_t phase,
                           int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    int64_t d = types_last(&n->in[0]), step = tile_rows(n);
    int64_t from = tile * step, end = order_least(types_rows(&n->in[0]), from + step);
    int is_log = n->op[0] == 'l';
    for (int64_t r = from; r < end; r++) {
        const float *dy = (const float *)a->in[0].data[0] + r * d;
        const float *y = (const float *)a->in[1].data[0] + r * d;
        float *dx = (float *)a->out[0].data[0] + r * d;
        float sum = is_log ? order_sum(dy, d) : order_dot(dy, y, d);
        for (int64_t at = 0; is_log && at < d; at += ORDER_BLOCK) {
            float e[ORDER_BLOCK];
            int64_t m = order_least(d - at, ORDER_BLOCK);
            elementwise_exp(y + at, 0, e, m);
            for (int64_t i = 0; i < m; i++)
                dx[at + i] = dy[at + i] - e[i] * sum;
        }
        for (int64_t i = 0; !is_log && i < d; i++)
            dx[i] = y[i] * (dy[i] - sum);
    }
    return EVLA_OK;
}

int32_t back_softmax(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    chain_back(&c, 0, chain_op(&c, "softmax_grad", NULL, g->d_out[0], g->out[0]));
    return c.st;
}

int32_t back_log_softmax(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    chain_back(&c, 0, chain_op(&c, "log_softmax_grad", NULL, g->d_out[0], g->out[0]));
    return c.st;
}

/* ---- norms ---- */

static int32_t norm_infer(const evla_host *h, const evla_node *n, evla_type *in,
                          evla_type *out)
{
    const evla_norm_params *p = n->params;
    int32_t st = same_rows(h, n, in, "x");
    if (st < 0) return st;
    if (!(p->eps >= 0))
        return types_fail(h, EVLA_E_ARG, "%s: %s: eps is %g; want at least 0", n->label,
                          n->op, p->eps);
    int64_t d = types_last(&in[0]);
    if (types_present(n, in, 2) && (st = types_weight(h, n, in, 2, "w", 1, &d)) < 0)
        return st;
    out[0] = in[0];
    out[1] = types_make(in[0].dtype, 1, &d);
    if (n->op[0] == 'l') out[2] = out[1];
    return EVLA_OK;
}

/* Scratch: per worker a row of normalised values and one of weighted dy; shared, per tile
 * the sums for w and b. */
static int32_t norm_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                         evla_work *work)
{
    (void)h, (void)m;
    int64_t d = types_last(&n->in[0]), tiles = tiles_of(n);
    work->worker_bytes = 2 * (uint64_t)d * sizeof(float);
    work->shared_bytes = 2 * (uint64_t)(tiles * d) * sizeof(float);
    work->n_phases = 2;
    work->tiles[0] = tiles;
    work->tiles[1] = types_ceil(d, COLUMNS);
    return EVLA_OK;
}

/* x - mean (layer_norm) or x, times 1 / deviation, into u; returns that factor. */
static float normalise(const float *x, float eps, int is_layer, float *u, int64_t d)
{
    float mean = is_layer ? order_sum(x, d) / (float)d : 0.0f;
    for (int64_t i = 0; i < d; i++)
        u[i] = x[i] - mean;
    float scale = 1.0f / sqrtf(order_dot(u, u, d) / (float)d + eps);
    for (int64_t i = 0; i < d; i++)
        u[i] = u[i] * scale;
    return scale;
}

static void norm_row(const float *dy, const float *x, const float *w, float eps,
                     int is_layer, float *restrict u, float *restrict t, float *restrict dw,
                     float *restrict db, float *dx, int64_t d)
{
    float scale = normalise(x, eps, is_layer, u, d);
    for (int64_t i = 0; i < d; i++) {
        dw[i] += dy[i] * u[i];
        db[i] += dy[i];
        t[i] = w ? dy[i] * w[i] : dy[i];
    }
    float mean = is_layer ? order_sum(t, d) / (float)d : 0.0f;
    float along = order_dot(t, u, d) / (float)d;
    for (int64_t i = 0; i < d; i++)
        dx[i] = scale * ((t[i] - mean) - u[i] * along);
}

static void norm_sums(const evla_args *a, int64_t tile, int64_t d)
{
    const evla_node *n = a->node;
    int64_t from = tile * COLUMNS, end = order_least(d, from + COLUMNS),
            tiles = tiles_of(n);
    for (int32_t k = 1; k < n->n_out; k++) {
        float *y = a->out[k].data[0];
        for (int64_t i = from; i < end; i++)
            y[i] = 0;
        for (int64_t p = 0; p < tiles; p++) {
            const float *part = (const float *)a->shared + (2 * p + k - 1) * d;
            for (int64_t i = from; i < end; i++)
                y[i] += part[i];
        }
    }
}

static int32_t norm_run(const evla_host *h, const evla_args *a, int32_t phase, int64_t tile)
{
    (void)h;
    const evla_node *n = a->node;
    const evla_norm_params *p = n->params;
    int64_t d = types_last(&n->in[0]), step = tile_rows(n);
    if (phase == 1) return norm_sums(a, tile, d), EVLA_OK;
    const float *w = types_present(n, n->in, 2) ? a->in[2].data[0] : NULL;
    int64_t from = tile * step, end = order_least(types_rows(&n->in[0]), from + step);
    float *dw = (float *)a->shared + 2 * tile * d, *db = dw + d, *u = a->scratch,
          *t = u + d;
    memset(dw, 0, 2 * (size_t)d * sizeof *dw);
    for (int64_t r = from; r < end; r++)
        norm_row((const float *)a->in[0].data[0] + r * d,
                 (const float *)a->in[1].data[0] + r * d, w, (float)p->eps, n->op[0] == 'l',
                 u, t, dw, db, (float *)a->out[0].data[0] + r * d, d);
    return EVLA_OK;
}

static int32_t back_norm(const evla_host *h, evla_grad *g, const char *op, int32_t n_out)
{
    chain c = {h, g, 0};
    int32_t w = g->node->n_in > 1 ? g->in[1] : -1, d[3];
    chain_all(&c, op, g->node->params, (int32_t[]){g->d_out[0], g->in[0], w}, w < 0 ? 2 : 3,
              d, n_out);
    for (int32_t k = 0; k < n_out; k++)
        if (chain_wants(g, k)) chain_back(&c, k, d[k]);
    return c.st;
}

int32_t back_rms_norm(const evla_host *h, evla_grad *g)
{
    return back_norm(h, g, "rms_norm_grad", 2);
}

int32_t back_layer_norm(const evla_host *h, evla_grad *g)
{
    return back_norm(h, g, "layer_norm_grad", 3);
}

/* ---- tables ---- */

#define ROWS(id, ports, results, from, infer_fn, plan_fn, run_fn)                          \
    const evla_op id##_op = {.size = sizeof(evla_op),                                      \
                             .inputs = (ports),                                            \
                             .outputs = (results),                                         \
                             .source = (from),                                             \
                             .infer = (infer_fn),                                          \
                             .cost = rows_cost};                                           \
    const evla_kernel id##_kernel = {.size = sizeof(evla_kernel),                          \
                                     .op = #id,                                            \
                                     .accepts = rows_accepts,                              \
                                     .plan = (plan_fn),                                    \
                                     .run = (run_fn)};
ROWS(softmax_grad, "dy y", "dx", "the derivative of softmax", softmax_infer, softmax_plan,
     softmax_run)
ROWS(log_softmax_grad, "dy y", "dx", "the derivative of log_softmax", softmax_infer,
     softmax_plan, softmax_run)
ROWS(rms_norm_grad, "dy x w?", "dx dw", "the derivative of rms_norm", norm_infer, norm_plan,
     norm_run)
ROWS(layer_norm_grad, "dy x w?", "dx dw db", "the derivative of layer_norm", norm_infer,
     norm_plan, norm_run)
