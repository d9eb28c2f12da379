/*
 * tail.c -- element-wise operators that linear and matmul apply to each finished piece of a
 * row.
 *
 * They call the rows of elementwise.c, so a tail has the bits of the operator standing
 * alone.
 */
#include "tail.h"
#include "elementwise.h"
#include <string.h>

static int takes(const char *op)
{
    static const char *const ops[] = {"relu", "gelu", "silu", "sigmoid",
                                      "tanh", "add",  "mul"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!strcmp(op, ops[i])) return 1;
    return 0;
}

int tail_accepts(const evla_node *n)
{
    if (n->n_tail > TAIL_MAX) return 0;
    for (int32_t i = 0; i < n->n_tail; i++) {
        const evla_tail *t = &n->tail[i];
        if (!takes(t->op) || (t->other < 0) != !!elementwise_find_unary(t->op)) return 0;
        if (t->other < 0) continue;
        evla_type both;
        if (t->other >= n->n_in || n->in[t->other].dtype != EVLA_F32) return 0;
        if (!types_broadcast(&n->in[t->other], &n->out[0], &both) ||
            !types_equal_shape(&both, &n->out[0]))
            return 0;
    }
    return 1;
}

int tail_owns(const evla_node *n, int32_t i)
{
    for (int32_t k = 0; k < n->n_tail; k++)
        if (n->tail[k].other == i) return 1;
    return 0;
}

/* Where the operand's row begins that meets a row of the output. */
static int64_t row_of(const evla_type *other, const evla_type *out, int64_t row)
{
    int64_t at = 0, stride = types_last(other);
    for (int32_t i = out->rank - 2; i >= 0; i--) {
        int32_t axis = i - (out->rank - other->rank);
        int64_t index = row % out->shape[i];
        row /= out->shape[i];
        if (axis < 0) break;
        if (other->shape[axis] != 1) at += index * stride;
        stride *= other->shape[axis];
    }
    return at;
}

void tail_apply(const evla_args *a, int64_t row, int64_t col, float *y, int64_t n)
{
    const evla_node *node = a->node;
    for (int32_t i = 0; i < node->n_tail; i++) {
        const evla_tail *t = &node->tail[i];
        if (t->other < 0) {
            elementwise_find_unary(t->op)(t->params, y, y, n);
            continue;
        }
        const evla_type *type = &node->in[t->other];
        int64_t step = types_last(type) != 1;
        const float *other = (const float *)a->in[t->other].data[0] +
                             row_of(type, &node->out[0], row) + col * step;
        elementwise_binary *pair = elementwise_find_binary(t->op, EVLA_F32);
        if (t->is_rhs)
            pair(other, step, y, 1, y, n);
        else
            pair(y, 1, other, step, y, n);
    }
}
