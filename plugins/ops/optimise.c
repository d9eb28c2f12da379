/*
 * optimise.c -- what a training step ends with: sum_squares, accumulate, clear, adamw.
 *
 * Loops over tiles of 16384 numbers that read and write memory once. No tile depends on
 * another but through sum_squares' partial sums, which are added in ascending order.
 */
#include "list.h"
#include "order.h"
#include "types.h"
#include <math.h>
#include <string.h>

enum { TILE = 16384, BLOCK = 64 };

static int32_t one_format(const evla_host *h, const evla_node *n, evla_type *in,
                          int32_t from, int32_t to, const char *const *names)
{
    for (int32_t i = from; i < to; i++) {
        int32_t st = types_real(h, n, in, i, names[i]);
        if (st < 0) return st;
        if (in[i].dtype != in[0].dtype)
            return types_fail(h, EVLA_E_DTYPE, "%s: %s: %s is %s, %s is %s", n->label,
                              n->op, names[0], TEXT(h, &in[0]), names[i], TEXT(h, &in[i]));
    }
    return EVLA_OK;
}

static int32_t same_shape(const evla_host *h, const evla_node *n, evla_type *in, int32_t to,
                          const char *const *names)
{
    for (int32_t i = 1; i < to; i++)
        if (!types_equal_shape(&in[0], &in[i]))
            return types_fail(h, EVLA_E_SHAPE, "%s: %s: %s is %s, %s is %s", n->label,
                              n->op, names[0], TEXT(h, &in[0]), names[i], TEXT(h, &in[i]));
    return EVLA_OK;
}

static int32_t f32_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                           evla_offer *offer)
{
    (void)h, (void)m;
    if (n->n_tail || n->in[0].dtype != EVLA_F32) return EVLA_E_MISSING;
    int is_sum = n->op[0] == 's';
    return types_offer(offer, is_sum ? -1 : 0, is_sum ? ORDER_NUMERICS : "f32.element");
}

static int32_t flat_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                         evla_work *work)
{
    (void)h, (void)m;
    return types_tiles(work, types_ceil(types_count(&n->in[0]), TILE));
}

/* ---- sum_squares ---- */

static int32_t squares_infer(const evla_host *h, const evla_node *n, evla_type *in,
                             evla_type *out)
{
    static const char *const names[EVLA_MAX_PORTS] = {
        "xs 1", "xs 2",  "xs 3",  "xs 4",  "xs 5",  "xs 6",  "xs 7",  "xs 8",
        "xs 9", "xs 10", "xs 11", "xs 12", "xs 13", "xs 14", "xs 15", "xs 16"};
    int32_t st = one_format(h, n, in, 0, n->n_in, names);
    out[0] = (evla_type){.dtype = in[0].dtype};
    return st;
}

static int64_t tiles_in(const evla_type *t) { return types_ceil(types_count(t), TILE); }

static int64_t all_tiles(const evla_node *n)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < n->n_in; i++)
        sum += tiles_in(&n->in[i]);
    return sum;
}

static int32_t squares_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                            evla_work *work)
{
    (void)h, (void)m;
    int64_t tiles = all_tiles(n);
    work->shared_bytes = (uint64_t)tiles * sizeof(float);
    work->n_phases = 2;
    work->tiles[0] = tiles;
    work->tiles[1] = 1;
    return EVLA_OK;
}

static int32_t squares_run(const evla_host *h, const evla_args *a, int32_t phase,
                           int64_t tile)
{
    (void)h;
    const evla_node *n = a->node;
    float *part = a->shared;
    if (phase == 1) {
        float total = 0;
        for (int64_t i = 0, tiles = all_tiles(n); i < tiles; i++)
            total += part[i];
        *(float *)a->out[0].data[0] = total;
        return EVLA_OK;
    }
    int32_t k = 0;
    int64_t at = tile;
    while (at >= tiles_in(&n->in[k]))
        at -= tiles_in(&n->in[k++]);
    const float *x = (const float *)a->in[k].data[0] + at * TILE;
    part[tile] = order_dot(x, x, order_least(TILE, types_count(&n->in[k]) - at * TILE));
    return EVLA_OK;
}

static double squares_cost(const evla_node *n)
{
    double sum = 0;
    for (int32_t i = 0; i < n->n_in; i++)
        sum += 2.0 * (double)types_count(&n->in[i]);
    return sum;
}

const evla_op sum_squares_op = {.size = sizeof sum_squares_op,
                                .inputs = "xs*",
                                .outputs = "y",
                                .source = "ONNX ReduceSumSquare, over several tensors",
                                .infer = squares_infer,
                                .cost = squares_cost};
const evla_kernel sum_squares_kernel = {.size = sizeof sum_squares_kernel,
                                        .op = "sum_squares",
                                        .accepts = f32_accepts,
                                        .plan = squares_plan,
                                        .run = squares_run};

/* ---- accumulate, clear ---- */

static int32_t accumulate_infer(const evla_host *h, const evla_node *n, evla_type *in,
                                evla_type *out)
{
    static const char *const names[] = {"state", "x"};
    int32_t st = one_format(h, n, in, 0, 2, names);
    if (st < 0 || (st = same_shape(h, n, in, 2, names)) < 0) return st;
    out[0] = in[0];
    return EVLA_OK;
}

static int32_t accumulate_run(const evla_host *h, const evla_args *a, int32_t phase,
                              int64_t tile)
{
    (void)h, (void)phase;
    int64_t from = tile * TILE, m = order_least(TILE, types_count(&a->node->in[0]) - from);
    const float *s = (const float *)a->in[0].data[0] + from;
    const float *x = (const float *)a->in[1].data[0] + from;
    float *y = (float *)a->out[0].data[0] + from, t[BLOCK];
    int64_t at = 0;
    for (; at + BLOCK <= m; at += BLOCK) {
        for (int i = 0; i < BLOCK; i++)
            t[i] = s[at + i] + x[at + i];
        memcpy(y + at, t, sizeof t);
    }
    for (; at < m; at++)
        y[at] = s[at] + x[at];
    return EVLA_OK;
}

static double flat_cost(const evla_node *n) { return (double)types_count(&n->in[0]); }

const evla_op accumulate_op = {.size = sizeof accumulate_op,
                               .effect = EVLA_WRITES,
                               .inputs = "state x",
                               .outputs = "y",
                               .source = "evla/ops.h",
                               .infer = accumulate_infer,
                               .cost = flat_cost};
const evla_kernel accumulate_kernel = {.size = sizeof accumulate_kernel,
                                       .op = "accumulate",
                                       .accepts = f32_accepts,
                                       .plan = flat_plan,
                                       .run = accumulate_run};

static int32_t clear_infer(const evla_host *h, const evla_node *n, evla_type *in,
                           evla_type *out)
{
    int32_t st = types_movable(h, n, in, 0, "state");
    if (st < 0) return st;
    out[0] = in[0];
    return EVLA_OK;
}

static int32_t clear_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                             evla_offer *offer)
{
    int32_t st = types_exact(h, m, n, offer);
    offer->alias_in = st < 0 ? -1 : 0;
    return st;
}

static int32_t clear_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                          evla_work *work)
{
    work->blob_bytes = sizeof(int64_t);
    return flat_plan(h, m, n, work);
}

static int32_t clear_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    *(int64_t *)blob = types_element_bytes(h, n->in[0].dtype);
    return EVLA_OK;
}

static int32_t clear_run(const evla_host *h, const evla_args *a, int32_t phase,
                         int64_t tile)
{
    (void)h, (void)phase;
    int64_t bytes = *(const int64_t *)a->blob, from = tile * TILE;
    int64_t m = order_least(TILE, types_count(&a->node->in[0]) - from);
    memset((char *)a->out[0].data[0] + from * bytes, 0, (size_t)(m * bytes));
    return EVLA_OK;
}

const evla_op clear_op = {.size = sizeof clear_op,
                          .effect = EVLA_WRITES,
                          .inputs = "state",
                          .outputs = "y",
                          .source = "evla/ops.h",
                          .infer = clear_infer};
const evla_kernel clear_kernel = {.size = sizeof clear_kernel,
                                  .op = "clear",
                                  .accepts = clear_accepts,
                                  .plan = clear_plan,
                                  .prepare = clear_prepare,
                                  .run = clear_run};

/* ---- adamw ---- */

static int32_t adamw_infer(const evla_host *h, const evla_node *n, evla_type *in,
                           evla_type *out)
{
    static const char *const names[] = {"w", "m", "v", "g", "lr", "t", "scale"};
    const evla_adamw_params *p = n->params;
    int32_t st = one_format(h, n, in, 0, 5, names);
    if (st < 0 || (st = same_shape(h, n, in, 4, names)) < 0 ||
        (st = types_index(h, n, in, 5, "t")) < 0)
        return st;
    if (types_present(n, in, 6) && (st = one_format(h, n, in, 6, 7, names)) < 0) return st;
    for (int32_t i = 4; i < 7; i++)
        if (types_present(n, in, i) && in[i].rank != 0)
            return types_fail(h, EVLA_E_SHAPE, "%s: adamw: %s is %s; want rank 0", n->label,
                              names[i], TEXT(h, &in[i]));
    if (!(p->beta1 >= 0 && p->beta1 < 1 && p->beta2 >= 0 && p->beta2 < 1))
        return types_fail(h, EVLA_E_ARG,
                          "%s: adamw: beta1 is %g, beta2 is %g; want 0 or more, below 1",
                          n->label, p->beta1, p->beta2);
    if (!(p->eps >= 0) || !(p->weight_decay >= 0))
        return types_fail(h, EVLA_E_ARG,
                          "%s: adamw: eps is %g, weight_decay is %g; want at least 0",
                          n->label, p->eps, p->weight_decay);
    for (int32_t i = 0; i < 3; i++)
        out[i] = in[0];
    return EVLA_OK;
}

/* b^t by squaring: the same bits everywhere, as pow need not be. */
static double power(double b, int64_t t)
{
    double y = 1;
    for (; t > 0; t >>= 1, b *= b)
        if (t & 1) y *= b;
    return y;
}

typedef struct rates {
    float beta1, rest1, beta2, rest2, eps, keep, step, root, scale;
} rates;

static void adamw_block(const rates *r, const float *g, const float *w0, const float *m0,
                        const float *v0, float *restrict w, float *restrict m,
                        float *restrict v, int n)
{
    for (int i = 0; i < n; i++) {
        float d = g[i] * r->scale;
        m[i] = r->beta1 * m0[i] + r->rest1 * d;
        v[i] = r->beta2 * v0[i] + r->rest2 * (d * d);
        w[i] = r->keep * w0[i] - r->step * (m[i] / (sqrtf(v[i]) * r->root + r->eps));
    }
}

static int32_t adamw_run(const evla_host *h, const evla_args *a, int32_t phase,
                         int64_t tile)
{
    (void)phase;
    const evla_node *n = a->node;
    const evla_adamw_params *p = n->params;
    int64_t t = n->in[5].dtype == EVLA_I32 ? *(const int32_t *)a->in[5].data[0]
                                           : *(const int64_t *)a->in[5].data[0];
    double lr = *(const float *)a->in[4].data[0];
    if (t < 1)
        return types_fail(h, EVLA_E_RANGE,
                          "%s: adamw: t is %lld; want 1 at the first update", n->label,
                          (long long)t);
    rates r = {.beta1 = (float)p->beta1,
               .rest1 = (float)(1 - p->beta1),
               .beta2 = (float)p->beta2,
               .rest2 = (float)(1 - p->beta2),
               .eps = (float)p->eps,
               .keep = (float)(1 - lr * p->weight_decay),
               .step = (float)(lr / (1 - power(p->beta1, t))),
               .root = (float)(1 / sqrt(1 - power(p->beta2, t))),
               .scale =
                   types_present(n, n->in, 6) ? *(const float *)a->in[6].data[0] : 1.0f};
    const float *in[4];
    float *out[3];
    int64_t from = tile * TILE, m = order_least(TILE, types_count(&n->in[0]) - from);
    for (int k = 0; k < 4; k++)
        in[k] = (const float *)a->in[k].data[0] + from;
    for (int k = 0; k < 3; k++)
        out[k] = (float *)a->out[k].data[0] + from;
    for (int64_t at = 0; at < m; at += BLOCK) {
        float w[BLOCK], m1[BLOCK], v[BLOCK];
        size_t bytes = sizeof w;
        if (at + BLOCK <= m) /* a length the compiler knows */
            adamw_block(&r, in[3] + at, in[0] + at, in[1] + at, in[2] + at, w, m1, v,
                        BLOCK);
        else {
            bytes = (size_t)(m - at) * sizeof *w;
            adamw_block(&r, in[3] + at, in[0] + at, in[1] + at, in[2] + at, w, m1, v,
                        (int)(m - at));
        }
        memcpy(out[0] + at, w, bytes);
        memcpy(out[1] + at, m1, bytes);
        memcpy(out[2] + at, v, bytes);
    }
    return EVLA_OK;
}

static double adamw_cost(const evla_node *n)
{
    return 13.0 * (double)types_count(&n->in[0]);
}

const evla_op adamw_op = {.size = sizeof adamw_op,
                          .effect = EVLA_WRITES,
                          .inputs = "w m v g lr t scale?",
                          .outputs = "w m v",
                          .source = "Loshchilov and Hutter 2019, algorithm 2",
                          .infer = adamw_infer,
                          .cost = adamw_cost,
                          .n_writes = 3};
const evla_kernel adamw_kernel = {.size = sizeof adamw_kernel,
                                  .op = "adamw",
                                  .accepts = f32_accepts,
                                  .plan = flat_plan,
                                  .run = adamw_run};
