/*
 * grad_shape.c -- derivatives of what moves elements about or adds them up: shapes, ids,
 * reductions; and pad, which slice's derivative needs.
 */
#include "grad.h"
#include "list.h"
#include <string.h>

/* ---- pad ---- */

typedef struct padding {
    int64_t before, row, head,
        tail; /* blocks; bytes of x, of the zeros in front and behind */
} padding;

static int32_t pad_infer(const evla_host *h, const evla_node *n, evla_type *in,
                         evla_type *out)
{
    const evla_pad_params *p = n->params;
    int32_t axis, st = types_movable(h, n, in, 0, "x");
    if (st < 0 || (st = types_axis(h, n, p->axis, in[0].rank, &axis)) < 0) return st;
    int64_t most = (int64_t)1 << 40;
    if (p->before < 0 || p->after < 0 || p->before > most || p->after > most)
        return types_fail(h, EVLA_E_ARG,
                          "%s: pad: before is %lld, after is %lld; want 0 to 2^40",
                          n->label, (long long)p->before, (long long)p->after);
    out[0] = in[0];
    out[0].shape[axis] += p->before + p->after;
    return EVLA_OK;
}

static int32_t pad_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                        evla_work *work)
{
    (void)h, (void)m, (void)n;
    work->blob_bytes = sizeof(padding);
    return types_tiles(work, 1);
}

static int32_t pad_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    const evla_pad_params *p = n->params;
    const evla_type *x = &n->in[0];
    int32_t axis, st = types_axis(h, n, p->axis, x->rank, &axis);
    if (st < 0) return st;
    int64_t one =
        types_span(x->shape, axis + 1, x->rank) * types_element_bytes(h, x->dtype);
    padding v = {.before = types_span(x->shape, 0, axis),
                 .row = x->shape[axis] * one,
                 .head = p->before * one,
                 .tail = p->after * one};
    memcpy(blob, &v, sizeof v);
    return EVLA_OK;
}

static int32_t pad_run(const evla_host *h, const evla_args *a, int32_t phase, int64_t tile)
{
    (void)h, (void)phase, (void)tile;
    const padding *v = a->blob;
    const char *x = a->in[0].data[0];
    char *y = a->out[0].data[0];
    for (int64_t i = 0; i < v->before; i++) {
        if (v->head) memset(y, 0, (size_t)v->head);
        y += v->head;
        if (v->row) memcpy(y, x + i * v->row, (size_t)v->row);
        y += v->row;
        if (v->tail) memset(y, 0, (size_t)v->tail);
        y += v->tail;
    }
    return EVLA_OK;
}

const evla_op pad_op = {.size = sizeof pad_op,
                        .inputs = "x",
                        .outputs = "y",
                        .source = "ONNX Pad, one axis, zeros",
                        .infer = pad_infer,
                        .grad = back_pad};
const evla_kernel pad_kernel = {.size = sizeof pad_kernel,
                                .op = "pad",
                                .accepts = types_exact,
                                .plan = pad_plan,
                                .prepare = pad_prepare,
                                .run = pad_run};

/* ---- shapes ---- */

/* x[start:stop] of an axis that has any elements there. */
static int32_t cut(chain *c, int32_t x, int64_t axis, int64_t start, int64_t stop)
{
    return chain_op(c, "slice",
                    &(evla_slice_params){.axis = axis, .start = start, .stop = stop}, x,
                    -1);
}

int32_t back_pad(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    const evla_pad_params *p = g->node->params;
    const evla_type *x = &g->node->in[0];
    int64_t axis = p->axis < 0 ? p->axis + x->rank : p->axis, extent = x->shape[axis];
    if (extent)
        chain_back(&c, 0, cut(&c, g->d_out[0], axis, p->before, p->before + extent));
    return c.st;
}

int32_t back_slice(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    const evla_slice_params *p = g->node->params;
    const evla_type *x = &g->node->in[0];
    int64_t axis = p->axis < 0 ? p->axis + x->rank : p->axis, extent = x->shape[axis];
    evla_pad_params around = {.axis = axis};
    around.before = p->start < 0 ? p->start + extent : p->start;
    around.after = p->stop <= 0 ? -p->stop : extent - p->stop;
    chain_back(&c, 0, chain_op(&c, "pad", &around, g->d_out[0], -1));
    return c.st;
}

int32_t back_concat(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    const evla_concat_params *p = g->node->params;
    const evla_type *in = g->node->in;
    int64_t axis = p->axis < 0 ? p->axis + in[0].rank : p->axis, at = 0;
    for (int32_t k = 0; k < g->node->n_in; k++) {
        int64_t extent = in[k].shape[axis];
        if (g->wanted[k] && extent)
            chain_back(&c, k, cut(&c, g->d_out[0], axis, at, at + extent));
        at += extent;
    }
    return c.st;
}

int32_t back_reshape(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    const evla_type *x = &g->node->in[0];
    chain_back(&c, 0, chain_reshape(&c, g->d_out[0], x->rank, x->shape));
    return c.st;
}

static int32_t transposed(chain *c, int32_t x, const int64_t *perm, int32_t n)
{
    return chain_op(c, "transpose", &(evla_transpose_params){.perm = {perm, n}}, x, -1);
}

int32_t back_transpose(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    const evla_transpose_params *p = g->node->params;
    const int64_t *perm = p->perm.items;
    int32_t rank = g->node->in[0].rank;
    int64_t *back = h->hold(h, sizeof(int64_t) * EVLA_MAX_RANK);
    if (!back) return EVLA_E_NOMEM;
    for (int32_t i = 0; i < rank; i++) {
        int64_t from = p->perm.n ? perm[i] : rank - 1 - i;
        back[from < 0 ? from + rank : from] = i;
    }
    if (rank)
        chain_back(&c, 0, transposed(&c, g->d_out[0], back, rank));
    else
        g->d_in[0] = g->d_out[0];
    return c.st;
}

int32_t back_broadcast(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    chain_back(&c, 0, g->d_out[0]);
    return c.st;
}

/* ---- reductions ---- */

/* x's shape with the reduced axes as extent 1; *terms: how many numbers one output saw. */
static evla_type kept(const evla_node *n, int64_t *terms)
{
    const evla_reduce_params *p = n->params;
    const int64_t *axes = p->axes.items;
    evla_type t = n->in[0];
    *terms = 1;
    for (int32_t i = 0; i < t.rank; i++) {
        int gone = !p->axes.n;
        for (int64_t k = 0; k < p->axes.n; k++)
            gone |= (axes[k] < 0 ? axes[k] + t.rank : axes[k]) == i;
        if (!gone) continue;
        *terms *= t.shape[i];
        t.shape[i] = 1;
    }
    return t;
}

static int32_t spread(chain *c, int32_t w)
{
    const evla_type *x = &c->g->node->in[0];
    evla_broadcast_params p = {.shape = {.rank = x->rank}};
    memcpy(p.shape.dim, x->shape, sizeof x->shape);
    evla_type t = chain_type(c, w);
    if (c->st < 0 || types_equal_shape(&t, x)) return w;
    return chain_op(c, "broadcast", &p, w, -1);
}

int32_t back_reduce_sum(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    int64_t terms;
    evla_type t = kept(g->node, &terms);
    chain_back(&c, 0, spread(&c, chain_reshape(&c, g->d_out[0], t.rank, t.shape)));
    return c.st;
}

int32_t back_reduce_mean(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    int64_t terms;
    evla_type t = kept(g->node, &terms);
    int32_t w = chain_times(&c, 0, g->d_out[0], terms ? 1.0 / (double)terms : 0);
    chain_back(&c, 0, spread(&c, chain_reshape(&c, w, t.rank, t.shape)));
    return c.st;
}

/* Equal largest values share the gradient. */
int32_t back_reduce_max(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    const evla_reduce_params *p = g->node->params;
    int64_t terms;
    evla_type t = kept(g->node, &terms);
    int32_t most = chain_reshape(&c, g->out[0], t.rank, t.shape), w;
    int32_t is = chain_op(&c, "equal", NULL, g->in[0], most);
    evla_cast_params to = {.to = h->dtype_name(h, t.dtype)};
    evla_reduce_params count = {.axes = p->axes, .keepdims = 1};
    int32_t many =
        chain_op(&c, "reduce_sum", &count, chain_op(&c, "cast", &to, is, -1), -1);
    int32_t share =
        chain_op(&c, "div", NULL, chain_reshape(&c, g->d_out[0], t.rank, t.shape), many);
    chain_all(&c, "where", NULL, (int32_t[]){is, share, chain_number(&c, 0, 0)}, 3, &w, 1);
    chain_back(&c, 0, w);
    return c.st;
}

/* ---- ids ---- */

static int32_t scattered(chain *c, int32_t dy, int32_t ids, int64_t rows)
{
    return chain_op(c, "scatter_add", &(evla_scatter_add_params){.rows = rows}, dy, ids);
}

int32_t back_embedding(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    if (g->wanted[0])
        chain_back(&c, 0, scattered(&c, g->d_out[0], g->in[1], g->node->in[0].shape[0]));
    return c.st;
}

/* Rows of the gathered axis come first, are added up, and go back to their place. */
int32_t back_gather(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    const evla_gather_params *p = g->node->params;
    const evla_type *x = &g->node->in[0], *ids = &g->node->in[1], *y = &g->node->out[0];
    int64_t axis = p->axis < 0 ? p->axis + x->rank : p->axis, rows = x->shape[axis];
    if (!g->wanted[0]) return EVLA_OK;
    if (axis == 0) {
        chain_back(&c, 0, scattered(&c, g->d_out[0], g->in[1], rows));
        return c.st;
    }
    int64_t *perm = h->hold(h, 2 * sizeof(int64_t) * EVLA_MAX_RANK);
    if (!perm) return EVLA_E_NOMEM;
    int64_t *back = perm + EVLA_MAX_RANK;
    int32_t n = 0;
    for (int32_t i = 0; i < ids->rank; i++)
        perm[n++] = axis + i;
    for (int32_t i = 0; i < y->rank; i++)
        if (i < axis || i >= axis + ids->rank) perm[n++] = i;
    for (int32_t i = 0; i < x->rank; i++) /* scattered: rows, then the other axes of x */
        back[i] = i < axis ? i + 1 : i == axis ? 0 : i;
    int32_t w = scattered(&c, transposed(&c, g->d_out[0], perm, n), g->in[1], rows);
    chain_back(&c, 0, transposed(&c, w, back, x->rank));
    return c.st;
}

int32_t back_scatter_add(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    if (g->wanted[0])
        chain_back(&c, 0,
                   chain_op(&c, "gather", &(evla_gather_params){.axis = 0}, g->d_out[0],
                            g->in[1]));
    return c.st;
}
