/*
 * grad_loss.c -- derivatives of the losses, and the kernel cross_entropy_grad.
 */
#include "elementwise.h"
#include "grad.h"
#include "list.h"
#include "order.h"

/* ---- mse, mae, huber ---- */

/* d loss / d pred is `slope` of the difference, times this: dy, shared out by the
 * reduction. */
static int32_t share(chain *c, int32_t reduction, double factor)
{
    int64_t n = types_count(&c->g->node->in[0]);
    if (reduction == EVLA_REDUCTION_MEAN) factor = n ? factor / (double)n : 0;
    return factor == 1 ? c->g->d_out[0] : chain_times(c, 0, c->g->d_out[0], factor);
}

static int32_t back_difference(chain *c, int32_t slope, int32_t reduction, double factor)
{
    evla_grad *g = c->g;
    int32_t d = chain_op(c, "mul", NULL, slope, share(c, reduction, factor));
    if (g->wanted[0]) chain_back(c, 0, d);
    if (g->wanted[1]) chain_back(c, 1, chain_op(c, "neg", NULL, d, -1));
    return c->st;
}

static int32_t difference(chain *c)
{
    return chain_op(c, "sub", NULL, c->g->in[0], c->g->in[1]);
}

int32_t back_mse_loss(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    const evla_loss_params *p = g->node->params;
    return back_difference(&c, difference(&c), p->reduction, 2);
}

int32_t back_mae_loss(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    const evla_loss_params *p = g->node->params;
    return back_difference(&c, chain_op(&c, "sign", NULL, difference(&c), -1), p->reduction,
                           1);
}

int32_t back_huber_loss(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    const evla_huber_loss_params *p = g->node->params;
    evla_clamp_params to = {.min = -p->delta, .max = p->delta};
    return back_difference(&c, chain_op(&c, "clamp", &to, difference(&c), -1), p->reduction,
                           1);
}

/* ---- cross entropy ---- */

enum { ROWS = 64 /* of one tile */ };

static int32_t entropy_infer(const evla_host *h, const evla_node *n, evla_type *in,
                             evla_type *out)
{
    const evla_cross_entropy_params *p = n->params;
    int32_t st = types_real(h, n, in, 0, "dy");
    if (st < 0 || (st = types_real(h, n, in, 1, "logits")) < 0 ||
        (st = types_index(h, n, in, 2, "target")) < 0)
        return st;
    evla_type want = in[1], one = in[1];
    want.rank--;
    one.rank = 0;
    const evla_type *dy = p->reduction == EVLA_REDUCTION_NONE ? &want : &one;
    if (in[1].rank < 1 || !types_equal_shape(&in[2], &want) || !types_equal(&in[0], dy))
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: cross_entropy_grad: dy %s, logits %s, target %s; want %s, "
                          "[...,C] and [...]",
                          n->label, TEXT(h, &in[0]), TEXT(h, &in[1]), TEXT(h, &in[2]),
                          p->reduction == EVLA_REDUCTION_NONE ? "[...]" : "rank 0");
    out[0] = in[1];
    return EVLA_OK;
}

static int32_t entropy_accepts(const evla_host *h, const evla_machine *m,
                               const evla_node *n, evla_offer *offer)
{
    (void)h, (void)m;
    if (n->n_tail || n->in[1].dtype != EVLA_F32) return EVLA_E_MISSING;
    return types_offer(offer, 1, ORDER_NUMERICS);
}

/* Phase 0 counts the targets that are not ignored; phase 1 writes rows. */
static int32_t entropy_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                            evla_work *work)
{
    (void)h, (void)m;
    work->shared_bytes = sizeof(int64_t);
    work->n_phases = 2;
    work->tiles[0] = 1;
    work->tiles[1] = types_ceil(types_count(&n->in[2]), ROWS);
    return EVLA_OK;
}

static int64_t target_at(const evla_args *a, int64_t k)
{
    return a->node->in[2].dtype == EVLA_I32 ? ((const int32_t *)a->in[2].data[0])[k]
                                            : ((const int64_t *)a->in[2].data[0])[k];
}

static void entropy_row(const float *x, float dy, int64_t classes, int64_t target,
                        float *dx)
{
    float most = x[0];
    for (int64_t i = 1; i < classes; i++)
        most = x[i] > most ? x[i] : most;
    elementwise_exp(x, most, dx, classes);
    float sum = order_sum(dx, classes);
    for (int64_t i = 0; i < classes; i++)
        dx[i] = dy * (dx[i] / sum - (i == target ? 1.0f : 0.0f));
}

static int32_t entropy_run(const evla_host *h, const evla_args *a, int32_t phase,
                           int64_t tile)
{
    const evla_node *n = a->node;
    const evla_cross_entropy_params *p = n->params;
    int64_t all = types_count(&n->in[2]), classes = types_last(&n->in[1]);
    int64_t *count = a->shared;
    const float *dy = a->in[0].data[0];
    if (phase == 0) {
        *count = 0;
        for (int64_t k = 0; k < all; k++)
            *count += target_at(a, k) != p->ignore_index;
        return EVLA_OK;
    }
    for (int64_t k = tile * ROWS, end = order_least(all, k + ROWS); k < end; k++) {
        int64_t target = target_at(a, k);
        float *dx = (float *)a->out[0].data[0] + k * classes, d = *dy;
        if (target == p->ignore_index) {
            for (int64_t i = 0; i < classes; i++)
                dx[i] = 0;
            continue;
        }
        if (target < 0 || target >= classes)
            return types_fail(
                h, EVLA_E_RANGE,
                "%s: cross_entropy_grad: target %lld at place %lld; want 0 to "
                "%lld or ignore_index %lld",
                n->label, (long long)target, (long long)k, (long long)classes - 1,
                (long long)p->ignore_index);
        if (p->reduction == EVLA_REDUCTION_NONE) d = dy[k];
        if (p->reduction == EVLA_REDUCTION_MEAN) d = d / (float)*count;
        entropy_row((const float *)a->in[1].data[0] + k * classes, d, classes, target, dx);
    }
    return EVLA_OK;
}

static double entropy_cost(const evla_node *n)
{
    return 8.0 * (double)types_count(&n->in[1]);
}

const evla_op cross_entropy_grad_op = {.size = sizeof cross_entropy_grad_op,
                                       .inputs = "dy logits target",
                                       .outputs = "dlogits",
                                       .source = "the derivative of cross_entropy",
                                       .infer = entropy_infer,
                                       .cost = entropy_cost};
const evla_kernel cross_entropy_grad_kernel = {.size = sizeof cross_entropy_grad_kernel,
                                               .op = "cross_entropy_grad",
                                               .accepts = entropy_accepts,
                                               .plan = entropy_plan,
                                               .run = entropy_run};

int32_t back_cross_entropy(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    int32_t d;
    chain_all(&c, "cross_entropy_grad", g->node->params,
              (int32_t[]){g->d_out[0], g->in[0], g->in[1]}, 3, &d, 1);
    chain_back(&c, 0, d);
    return c.st;
}
