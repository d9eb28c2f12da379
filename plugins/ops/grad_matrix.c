/*
 * grad_matrix.c -- derivatives of linear, matmul and gru_cell: matrix products with
 * transposes, so that a fast matmul kernel serves the backward pass; and the kernel
 * gru_gates_grad.
 */
#include "fmath.h"
#include "grad.h"
#include "list.h"

static int32_t product(chain *c, int32_t a, int32_t b, int ta, int tb)
{
    return chain_op(c, "matmul",
                    &(evla_matmul_params){.transpose_a = ta, .transpose_b = tb}, a, b);
}

/* [...,D] as [rows,D] */
static int32_t flat(chain *c, int32_t w, const evla_type *t)
{
    int64_t shape[2] = {types_rows(t), types_last(t)};
    return chain_reshape(c, w, 2, shape);
}

/* A weight as plain rows in the format of x: one in codes, or in a layout that another
 * kernel likes, is decoded where it is needed, a matrix at a time, so that a fast matmul
 * serves it, too. */
static int32_t decoded(chain *c, int32_t k, const evla_type *x)
{
    int32_t w = c->g->in[k];
    if (c->g->node->in[k].dtype == x->dtype && !c->g->may_pack(c->h, c->g, w)) return w;
    evla_cast_params p = {.to = c->h->dtype_name(c->h, x->dtype)};
    return chain_op(c, "cast", &p, w, -1);
}

/* y = x w^T + b over rows: dx = dy w, dw = dy^T x, db = sum of dy. */
static void back_affine(chain *c, int32_t dy, const evla_type *y, int32_t k_x, int32_t k_w,
                        int32_t k_b)
{
    evla_grad *g = c->g;
    const evla_type *x = &g->node->in[k_x];
    int32_t rows = flat(c, dy, y);
    if (chain_wants(g, k_x)) {
        int32_t dx = product(c, rows, decoded(c, k_w, x), 0, 0);
        dx = chain_reshape(c, dx, x->rank, x->shape);
        /* the hidden state of a cell has a second way back */
        if (c->st >= 0 && g->d_in[k_x] >= 0)
            dx = chain_op(c, "add", NULL, dx, g->d_in[k_x]);
        chain_back(c, k_x, dx);
    }
    if (chain_wants(g, k_w))
        chain_back(c, k_w, product(c, rows, flat(c, g->in[k_x], x), 1, 0));
    if (chain_wants(g, k_b)) chain_back(c, k_b, rows); /* summed over its rows */
}

int32_t back_linear(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    back_affine(&c, g->d_out[0], &g->node->out[0], 0, 1, 2);
    return c.st;
}

/* Each transpose flag swaps the factors of its own gradient. */
int32_t back_matmul(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    const evla_matmul_params *p = g->node->params;
    const evla_type *a = &g->node->in[0], *b = &g->node->in[1], *y = &g->node->out[0];
    int ta = p->transpose_a, tb = p->transpose_b;
    int32_t dy = g->d_out[0];
    if (g->wanted[0])
        chain_back(&c, 0,
                   ta ? product(&c, g->in[1], dy, tb, 1)
                      : product(&c, dy, g->in[1], 0, !tb));
    if (!g->wanted[1]) return c.st;
    int32_t left = g->in[0];
    if (b->rank == 2 && a->rank > 2 && !ta) { /* one product instead of one per matrix */
        left = flat(&c, left, a);
        dy = flat(&c, dy, y);
    }
    chain_back(&c, 1, tb ? product(&c, dy, left, 1, ta) : product(&c, left, dy, !ta, 0));
    return c.st;
}

/* ---- gru_cell ---- */

enum { GATE_TILE = 4096 /* units of one tile, whole rows */ };

static int64_t tile_rows(const evla_node *n)
{
    int64_t d = types_last(&n->in[0]);
    return d >= GATE_TILE ? 1 : GATE_TILE / (d ? d : 1);
}

static int32_t gates_infer(const evla_host *h, const evla_node *n, evla_type *in,
                           evla_type *out)
{
    static const char *const names[] = {"dy", "gi", "gh", "h"};
    for (int32_t i = 0; i < 4; i++) {
        int32_t st = types_real(h, n, in, i, names[i]);
        if (st < 0) return st;
        evla_type want = in[0];
        if (want.rank > 0 && (i == 1 || i == 2)) want.shape[want.rank - 1] *= 3;
        if (want.rank < 1 || !types_equal(&in[i], &want))
            return types_fail(h, EVLA_E_SHAPE,
                              "%s: gru_gates_grad: dy is %s, %s is %s; want %s", n->label,
                              TEXT(h, &in[0]), names[i], TEXT(h, &in[i]),
                              want.rank < 1 ? "[...,H]" : TEXT(h, &want));
    }
    out[0] = in[1];
    out[1] = in[1];
    out[2] = in[0];
    return EVLA_OK;
}

static int32_t gates_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                             evla_offer *offer)
{
    (void)h, (void)m;
    if (!types_all_f32(n) || n->n_tail) return EVLA_E_MISSING;
    return types_offer(offer, -1, "f32.element");
}

static int32_t gates_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                          evla_work *work)
{
    (void)h, (void)m;
    int64_t rows = types_count(&n->in[0]) ? types_rows(&n->in[0]) : 0;
    return types_tiles(work, types_ceil(rows, tile_rows(n)));
}

static int32_t gates_run(const evla_host *host, const evla_args *a, int32_t phase,
                         int64_t tile)
{
    (void)host, (void)phase;
    const evla_node *n = a->node;
    int64_t d = types_last(&n->in[0]), step = tile_rows(n), rows = types_rows(&n->in[0]);
    int64_t end = tile * step + step < rows ? tile * step + step : rows;
    for (int64_t row = tile * step; row < end; row++) {
        const float *dy = (const float *)a->in[0].data[0] + row * d;
        const float *gi = (const float *)a->in[1].data[0] + row * 3 * d;
        const float *gh = (const float *)a->in[2].data[0] + row * 3 * d;
        const float *h = (const float *)a->in[3].data[0] + row * d;
        float *di = (float *)a->out[0].data[0] + row * 3 * d;
        float *dg = (float *)a->out[1].data[0] + row * 3 * d;
        float *dh = (float *)a->out[2].data[0] + row * d;
        for (int64_t i = 0; i < d; i++) {
            float r = 1.0f / (1.0f + fmath_exp(-(gi[i] + gh[i])));
            float z = 1.0f / (1.0f + fmath_exp(-(gi[d + i] + gh[d + i])));
            float fresh = fmath_tanh(gi[2 * d + i] + r * gh[2 * d + i]);
            float d_fresh = dy[i] * (1.0f - z) * (1.0f - fresh * fresh);
            float d_z = dy[i] * (h[i] - fresh) * (z * (1.0f - z));
            float d_r = d_fresh * gh[2 * d + i] * (r * (1.0f - r));
            di[i] = dg[i] = d_r;
            di[d + i] = dg[d + i] = d_z;
            di[2 * d + i] = d_fresh;
            dg[2 * d + i] = d_fresh * r;
            dh[i] = dy[i] * z;
        }
    }
    return EVLA_OK;
}

static double gates_cost(const evla_node *n)
{
    return 40.0 * (double)types_count(&n->in[0]);
}

const evla_op gru_gates_grad_op = {.size = sizeof gru_gates_grad_op,
                                   .inputs = "dy gi gh h",
                                   .outputs = "dgi dgh dh",
                                   .source = "the derivative of gru_cell by its gates",
                                   .infer = gates_infer,
                                   .cost = gates_cost};
const evla_kernel gru_gates_grad_kernel = {.size = sizeof gru_gates_grad_kernel,
                                           .op = "gru_gates_grad",
                                           .accepts = gates_accepts,
                                           .plan = gates_plan,
                                           .run = gates_run};

/* The gates' inputs are computed again. */
int32_t back_gru_cell(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    enum { X, H, W_IH, W_HH, B_IH, B_HH };
    int32_t in[6], gate[2], d[3];
    for (int32_t i = 0; i < 6; i++)
        in[i] = i < g->node->n_in ? g->in[i] : -1;
    const evla_linear_params taken = {0};
    for (int32_t i = 0; i < 2; i++)
        chain_all(&c, "linear", &taken, (int32_t[]){in[X + i], in[W_IH + i], in[B_IH + i]},
                  in[B_IH + i] < 0 ? 2 : 3, &gate[i], 1);
    chain_all(&c, "gru_gates_grad", NULL, (int32_t[]){g->d_out[0], gate[0], gate[1], in[H]},
              4, d, 3);
    evla_type t = chain_type(&c, d[0]);
    if (c.st < 0) return c.st;
    back_affine(&c, d[0], &t, X, W_IH, B_IH);
    if (c.st >= 0 && g->wanted[H]) g->d_in[H] = d[2];
    back_affine(&c, d[1], &t, H, W_HH, B_HH);
    return c.st;
}
