/*
 * loss.c -- mse_loss, mae_loss, huber_loss, cross_entropy.
 *
 * Without a reduction, one phase writes a loss per element. With one, phase 0 leaves the
 * sums of blocks of 512 losses in shared scratch and phase 1 adds them up: the order of
 * order.h, in parallel.
 */
#include "elementwise.h"
#include "fmath.h"
#include "grad.h"
#include "list.h"
#include "order.h"
#include "types.h"
#include <string.h>

enum { BLOCKS = 32 /* of 512, in one tile */, TARGETS = ORDER_BLOCK };

static int32_t reduction_of(const evla_node *n)
{
    if (!strcmp(n->op, "huber_loss"))
        return ((const evla_huber_loss_params *)n->params)->reduction;
    if (!strcmp(n->op, "cross_entropy"))
        return ((const evla_cross_entropy_params *)n->params)->reduction;
    return ((const evla_loss_params *)n->params)->reduction;
}

static int32_t loss_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                            evla_offer *offer)
{
    (void)h, (void)m;
    if (n->n_tail || n->in[0].dtype != EVLA_F32) return EVLA_E_MISSING;
    return types_offer(offer, -1, ORDER_NUMERICS);
}

/* ---- element by element: mse, mae, huber ---- */

static int32_t loss_infer(const evla_host *h, const evla_node *n, evla_type *in,
                          evla_type *out)
{
    int32_t st = types_real(h, n, in, 0, "pred");
    if (st < 0 || (st = types_real(h, n, in, 1, "target")) < 0) return st;
    if (!types_equal_shape(&in[0], &in[1]))
        return types_fail(h, EVLA_E_SHAPE, "%s: %s: pred is %s, target is %s", n->label,
                          n->op, TEXT(h, &in[0]), TEXT(h, &in[1]));
    if (in[0].dtype != in[1].dtype)
        return types_fail(h, EVLA_E_DTYPE, "%s: %s: pred is %s, target is %s", n->label,
                          n->op, TEXT(h, &in[0]), TEXT(h, &in[1]));
    if (!strcmp(n->op, "huber_loss")) {
        double delta = ((const evla_huber_loss_params *)n->params)->delta;
        if (!(delta > 0))
            return types_fail(h, EVLA_E_ARG,
                              "%s: huber_loss: delta is %g; want more than 0", n->label,
                              delta);
    }
    out[0] = in[0];
    if (reduction_of(n) != EVLA_REDUCTION_NONE) out[0].rank = 0;
    return EVLA_OK;
}

static double loss_cost(const evla_node *n) { return 3.0 * (double)types_count(&n->in[0]); }

static void losses(const evla_node *n, const float *p, const float *t, float *y, int64_t m)
{
    if (n->op[0] == 'h') {
        float delta = (float)((const evla_huber_loss_params *)n->params)->delta;
        for (int64_t i = 0; i < m; i++) {
            float d = fabsf(p[i] - t[i]);
            y[i] = d <= delta ? 0.5f * (d * d) : delta * (d - 0.5f * delta);
        }
    } else if (n->op[1] == 'a') {
        for (int64_t i = 0; i < m; i++)
            y[i] = fabsf(p[i] - t[i]);
    } else {
        for (int64_t i = 0; i < m; i++)
            y[i] = (p[i] - t[i]) * (p[i] - t[i]);
    }
}

static int32_t loss_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                         evla_work *work)
{
    (void)h, (void)m;
    int64_t blocks = types_ceil(types_count(&n->in[0]), ORDER_BLOCK);
    types_tiles(work, types_ceil(blocks, BLOCKS));
    if (reduction_of(n) == EVLA_REDUCTION_NONE) return EVLA_OK;
    work->shared_bytes = (uint64_t)blocks * sizeof(float);
    work->n_phases = 2;
    work->tiles[1] = 1;
    return EVLA_OK;
}

static int32_t loss_run(const evla_host *h, const evla_args *a, int32_t phase, int64_t tile)
{
    (void)h;
    const evla_node *n = a->node;
    int64_t all = types_count(&n->in[0]), blocks = types_ceil(all, ORDER_BLOCK);
    float *sums = a->shared, *y = a->out[0].data[0];
    int32_t reduction = reduction_of(n);
    if (phase == 1) {
        float total = 0;
        for (int64_t i = 0; i < blocks; i++)
            total += sums[i];
        *y = reduction == EVLA_REDUCTION_MEAN ? total / (float)all : total;
        return EVLA_OK;
    }
    for (int64_t i = tile * BLOCKS, end = order_least(blocks, i + BLOCKS); i < end; i++) {
        float e[ORDER_BLOCK];
        int64_t at = i * ORDER_BLOCK, m = order_least(all - at, ORDER_BLOCK);
        losses(n, (const float *)a->in[0].data[0] + at,
               (const float *)a->in[1].data[0] + at, e, m);
        if (reduction == EVLA_REDUCTION_NONE)
            memcpy(y + at, e, (size_t)m * sizeof *e);
        else
            sums[i] = order_sum(e, m);
    }
    return EVLA_OK;
}

/* ---- cross entropy ---- */

/* What a tile leaves behind: 512 targets at most. */
typedef struct block_sum {
    float loss;
    int32_t count; /* targets that were not ignored */
} block_sum;

static int32_t entropy_infer(const evla_host *h, const evla_node *n, evla_type *in,
                             evla_type *out)
{
    int32_t st = types_real(h, n, in, 0, "logits");
    if (st < 0 || (st = types_index(h, n, in, 1, "target")) < 0) return st;
    evla_type want = in[0];
    want.rank--;
    if (in[0].rank < 1 || !types_equal_shape(&in[1], &want))
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: cross_entropy: logits %s, target %s; want [...,C] and [...]",
                          n->label, TEXT(h, &in[0]), TEXT(h, &in[1]));
    out[0] = want;
    if (reduction_of(n) != EVLA_REDUCTION_NONE) out[0].rank = 0;
    return EVLA_OK;
}

static int32_t entropy_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                            evla_work *work)
{
    (void)h, (void)m;
    int64_t blocks = types_ceil(types_count(&n->in[1]), TARGETS);
    types_tiles(work, blocks);
    if (reduction_of(n) == EVLA_REDUCTION_NONE) return EVLA_OK;
    work->shared_bytes = (uint64_t)blocks * sizeof(block_sum);
    work->n_phases = 2;
    work->tiles[1] = 1;
    return EVLA_OK;
}

static int64_t target_at(const evla_args *a, int64_t k)
{
    return a->node->in[1].dtype == EVLA_I32 ? ((const int32_t *)a->in[1].data[0])[k]
                                            : ((const int64_t *)a->in[1].data[0])[k];
}

static float entropy_row(const float *x, int64_t classes, int64_t target)
{
    float most = x[0], sum = 0;
    for (int64_t i = 1; i < classes; i++)
        most = x[i] > most ? x[i] : most;
    for (int64_t at = 0; at < classes; at += ORDER_BLOCK) {
        float e[ORDER_BLOCK];
        int64_t m = order_least(classes - at, ORDER_BLOCK);
        elementwise_exp(x + at, most, e, m);
        sum += order_sum(e, m);
    }
    return fmath_log(sum) - (x[target] - most);
}

static int32_t entropy_run(const evla_host *h, const evla_args *a, int32_t phase,
                           int64_t tile)
{
    const evla_node *n = a->node;
    const evla_cross_entropy_params *p = n->params;
    int64_t all = types_count(&n->in[1]), classes = types_last(&n->in[0]);
    int64_t blocks = types_ceil(all, TARGETS);
    block_sum *sums = a->shared;
    float *y = a->out[0].data[0];
    if (phase == 1) {
        int64_t count = 0;
        float total = 0;
        for (int64_t i = 0; i < blocks; i++)
            total += sums[i].loss, count += sums[i].count;
        *y = p->reduction == EVLA_REDUCTION_MEAN && count ? total / (float)count : total;
        return EVLA_OK;
    }
    float e[TARGETS];
    int64_t from = tile * TARGETS, m = order_least(all - from, TARGETS);
    int32_t count = 0;
    for (int64_t i = 0; i < m; i++) {
        int64_t target = target_at(a, from + i);
        e[i] = 0;
        if (target == p->ignore_index) continue;
        if (target < 0 || target >= classes)
            return types_fail(
                h, EVLA_E_RANGE,
                "%s: cross_entropy: target %lld at place %lld; want 0 to %lld or "
                "ignore_index %lld",
                n->label, (long long)target, (long long)from + i, (long long)classes - 1,
                (long long)p->ignore_index);
        e[i] = entropy_row((const float *)a->in[0].data[0] + (from + i) * classes, classes,
                           target);
        count++;
    }
    if (p->reduction == EVLA_REDUCTION_NONE) {
        memcpy(y + from, e, (size_t)m * sizeof *e);
    } else {
        sums[tile].loss = order_sum(e, m);
        sums[tile].count = count;
    }
    return EVLA_OK;
}

/* ---- tables ---- */

#define LOSS(id, ports, from, infer_fn, plan_fn, run_fn)                                   \
    const evla_op id##_op = {.size = sizeof(evla_op),                                      \
                             .inputs = (ports),                                            \
                             .outputs = "y",                                               \
                             .source = (from),                                             \
                             .infer = (infer_fn),                                          \
                             .cost = loss_cost,                                            \
                             .grad = back_##id};                                           \
    const evla_kernel id##_kernel = {.size = sizeof(evla_kernel),                          \
                                     .op = #id,                                            \
                                     .accepts = loss_accepts,                              \
                                     .plan = (plan_fn),                                    \
                                     .run = (run_fn)};
LOSS(mse_loss, "pred target", "torch.nn.MSELoss", loss_infer, loss_plan, loss_run)
LOSS(mae_loss, "pred target", "torch.nn.L1Loss", loss_infer, loss_plan, loss_run)
LOSS(huber_loss, "pred target", "Huber 1964; torch.nn.HuberLoss", loss_infer, loss_plan,
     loss_run)
LOSS(cross_entropy, "logits target", "torch.nn.CrossEntropyLoss, classes last",
     entropy_infer, entropy_plan, entropy_run)
