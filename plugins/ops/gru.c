/*
 * gru.c -- one step of a gated recurrent unit, in PyTorch's form. A tile is 64 units of one
 * row.
 */
#include "fmath.h"
#include "grad.h"
#include "list.h"
#include "order.h"
#include "types.h"

enum { UNITS = 64 };

static int32_t gru_infer(const evla_host *h, const evla_node *n, evla_type *in,
                         evla_type *out)
{
    static const char *const names[] = {"w_ih", "w_hh", "b_ih", "b_hh"};
    int32_t st = types_real(h, n, in, 0, "x");
    if (st < 0 || (st = types_real(h, n, in, 1, "h")) < 0) return st;
    evla_type rows = in[0];
    if (rows.rank > 0) rows.shape[rows.rank - 1] = types_last(&in[1]);
    if (rows.rank < 1 || !types_equal_shape(&rows, &in[1]))
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: gru_cell: x %s and h %s; want [...,I] and [...,H]", n->label,
                          TEXT(h, &in[0]), TEXT(h, &in[1]));
    if (in[0].dtype != in[1].dtype)
        return types_fail(h, EVLA_E_DTYPE, "%s: gru_cell: x is %s, h is %s", n->label,
                          TEXT(h, &in[0]), TEXT(h, &in[1]));
    int64_t w_ih[2] = {3 * types_last(&in[1]), types_last(&in[0])};
    int64_t w_hh[2] = {3 * types_last(&in[1]), types_last(&in[1])};
    for (int32_t i = 2; i < 6; i++)
        if ((i < 4 || types_present(n, in, i)) &&
            (st = types_weight(h, n, in, i, names[i - 2], i < 4 ? 2 : 1,
                               i == 2 ? w_ih : w_hh)) < 0)
            return st;
    out[0] = in[1];
    return EVLA_OK;
}

static double gru_cost(const evla_node *n)
{
    return 6.0 * (double)types_count(&n->in[1]) *
           (double)(types_last(&n->in[0]) + types_last(&n->in[1]));
}

static int32_t gru_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                           evla_offer *offer)
{
    (void)h, (void)m;
    if (!types_all_f32(n) || n->n_tail) return EVLA_E_MISSING;
    return types_offer(offer, -1, ORDER_NUMERICS);
}

static int32_t gru_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                        evla_work *work)
{
    (void)h, (void)m;
    return types_tiles(work,
                       types_rows(&n->in[1]) * types_ceil(types_last(&n->in[1]), UNITS));
}

static int32_t gru_run(const evla_host *host, const evla_args *a, int32_t phase,
                       int64_t tile)
{
    (void)host, (void)phase;
    const evla_node *n = a->node;
    int64_t n_x = types_last(&n->in[0]), n_h = types_last(&n->in[1]);
    int64_t across = types_ceil(n_h, UNITS), row = tile / across;
    int64_t from = tile % across * UNITS, end = order_least(n_h, from + UNITS);
    const float *x = (const float *)a->in[0].data[0] + row * n_x;
    const float *h = (const float *)a->in[1].data[0] + row * n_h;
    const float *w_ih = a->in[2].data[0], *w_hh = a->in[3].data[0];
    const float *b_ih = types_present(n, n->in, 4) ? a->in[4].data[0] : NULL;
    const float *b_hh = types_present(n, n->in, 5) ? a->in[5].data[0] : NULL;
    float *y = (float *)a->out[0].data[0] + row * n_h;
    for (int64_t i = from; i < end; i++) {
        float gi[3], gh[3]; /* gates r, z, n: what x brings and what h brings */
        for (int g = 0; g < 3; g++) {
            int64_t at = g * n_h + i;
            gi[g] = order_dot(x, w_ih + at * n_x, n_x) + (b_ih ? b_ih[at] : 0.0f);
            gh[g] = order_dot(h, w_hh + at * n_h, n_h) + (b_hh ? b_hh[at] : 0.0f);
        }
        float r = 1.0f / (1.0f + fmath_exp(-(gi[0] + gh[0])));
        float z = 1.0f / (1.0f + fmath_exp(-(gi[1] + gh[1])));
        float fresh = fmath_tanh(gi[2] + r * gh[2]);
        y[i] = (1.0f - z) * fresh + z * h[i];
    }
    return EVLA_OK;
}

const evla_op gru_cell_op = {.size = sizeof gru_cell_op,
                             .inputs = "x h w_ih w_hh b_ih? b_hh?",
                             .outputs = "y",
                             .source = "Cho et al. 2014, as in torch.nn.GRUCell",
                             .infer = gru_infer,
                             .cost = gru_cost,
                             .grad = back_gru_cell};
const evla_kernel gru_cell_kernel = {.size = sizeof gru_cell_kernel,
                                     .op = "gru_cell",
                                     .accepts = gru_accepts,
                                     .plan = gru_plan,
                                     .run = gru_run};
