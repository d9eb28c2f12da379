/*
 * grad.h -- short ways to write derivatives as nodes, for the grad slots of all families.
 *
 * A chain emits nodes until the first failure; after one its calls do nothing and answer
 * -1, so that a slot reads as a formula and returns chain.st.
 */
#ifndef OPS_GRAD_H
#define OPS_GRAD_H
#include "types.h"

typedef struct chain {
    const evla_host *h;
    evla_grad *g;
    int32_t st;
} chain;

/* A node of up to four inputs (-1: absent, in the end or between); the wire of its first
 * output, or all of them in out[0..n). */
int32_t chain_op(chain *c, const char *op, const void *params, int32_t a, int32_t b);
int32_t chain_all(chain *c, const char *op, const void *params, const int32_t *in,
                  int32_t n_in, int32_t *out, int32_t n);
/* A rank-0 number in the format of input k. */
int32_t chain_number(chain *c, int32_t k, double v);
/* a times a number, in the format of input k. */
int32_t chain_times(chain *c, int32_t k, int32_t a, double v);
int32_t chain_reshape(chain *c, int32_t a, int32_t rank, const int64_t *shape);
/* Sums over the axes along which an operand of type `to` was repeated. */
int32_t chain_reduce(chain *c, int32_t a, const evla_type *to);
evla_type chain_type(chain *c, int32_t a);
/* The answer for input k: w, summed to the input's shape. */
void chain_back(chain *c, int32_t k, int32_t w);

static inline int chain_wants(const evla_grad *g, int32_t k)
{
    return k < g->node->n_in && g->wanted[k];
}

// clang-format off
#define X(id) int32_t back_##id(const evla_host *h, evla_grad *g);
X(neg) X(abs) X(exp) X(log) X(sqrt) X(rsqrt) X(square) X(sin) X(cos) X(erf) X(relu) X(silu)
X(sigmoid) X(tanh) X(gelu) X(sign) X(clamp) X(add) X(sub) X(mul) X(div) X(maximum) X(minimum)
X(where) X(cast) X(assign) X(linear) X(matmul) X(solve) X(gru_cell) X(softmax) X(log_softmax)
X(rms_norm) X(layer_norm) X(reduce_sum) X(reduce_mean) X(reduce_max) X(reshape) X(transpose)
X(broadcast) X(concat) X(slice) X(pad) X(gather) X(embedding) X(scatter_add) X(attention) X(rope)
X(mse_loss) X(mae_loss) X(huber_loss) X(cross_entropy)
#undef X
// clang-format on

#endif
