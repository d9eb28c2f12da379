/*
 * grad.c -- short ways to write derivatives as nodes. See grad.h.
 */
#include "grad.h"

int32_t chain_all(chain *c, const char *op, const void *params, const int32_t *in,
                  int32_t n_in, int32_t *out, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        out[i] = -1;
    if (c->st >= 0) c->st = c->g->emit(c->h, c->g, op, params, in, n_in, out, n);
    return c->st < 0 ? -1 : out[0];
}

int32_t chain_op(chain *c, const char *op, const void *params, int32_t a, int32_t b)
{
    int32_t out;
    return chain_all(c, op, params, (int32_t[]){a, b}, b >= 0 ? 2 : a >= 0, &out, 1);
}

evla_type chain_type(chain *c, int32_t a)
{
    evla_type t = {.rank = 0};
    if (c->st >= 0) c->st = c->g->type(c->h, c->g, a, &t);
    return t;
}

int32_t chain_number(chain *c, int32_t k, double v)
{
    int32_t dtype = c->g->node->in[k].dtype;
    int own = dtype == EVLA_F32 || dtype == EVLA_F64;
    evla_fill_params p = {.value = v, .dtype = dtype == EVLA_F64 ? "f64" : "f32"};
    int32_t w = chain_op(c, "fill", &p, -1, -1);
    if (own || c->st < 0) return w;
    return chain_op(c, "cast", &(evla_cast_params){.to = c->h->dtype_name(c->h, dtype)}, w,
                    -1);
}

int32_t chain_times(chain *c, int32_t k, int32_t a, double v)
{
    return chain_op(c, "mul", NULL, a, chain_number(c, k, v));
}

int32_t chain_reshape(chain *c, int32_t a, int32_t rank, const int64_t *shape)
{
    evla_type t = chain_type(c, a);
    if (c->st < 0 || types_is_weight(&t, rank, shape)) return a;
    evla_reshape_params p = {.shape = {.rank = rank}};
    for (int32_t i = 0; i < rank; i++)
        p.shape.dim[i] = shape[i];
    return chain_op(c, "reshape", &p, a, -1);
}

int32_t chain_reduce(chain *c, int32_t a, const evla_type *to)
{
    evla_type t = chain_type(c, a);
    if (c->st < 0 || types_equal_shape(&t, to)) return a;
    int64_t *axes = c->h->hold(c->h, sizeof(int64_t) * EVLA_MAX_RANK);
    if (!axes) return c->st = EVLA_E_NOMEM, -1;
    evla_reduce_params p = {.axes = {.items = axes}};
    for (int32_t i = 0; i < t.rank; i++) {
        int32_t at = i - (t.rank - to->rank);
        if (at < 0 || to->shape[at] != t.shape[i]) axes[p.axes.n++] = i;
    }
    if (p.axes.n) a = chain_op(c, "reduce_sum", &p, a, -1);
    return chain_reshape(c, a, to->rank, to->shape);
}

void chain_back(chain *c, int32_t k, int32_t w)
{
    w = chain_reduce(c, w, &c->g->node->in[k]);
    if (c->st >= 0) c->g->d_in[k] = w;
}
