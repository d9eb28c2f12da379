/*
 * gradient.c -- gradient: the derivative of one value of a graph by another, as a node. The
 * core puts the nodes of the derivative in its place; there is nothing to run.
 */
#include "list.h"
#include "types.h"

static int32_t gradient_infer(const evla_host *h, const evla_node *n, evla_type *in,
                              evla_type *out)
{
    int32_t st = types_real(h, n, in, 0, "y");
    if (st < 0 || (st = types_real(h, n, in, 1, "x")) < 0) return st;
    if (types_present(n, in, 2) && !types_equal(&in[2], &in[0]))
        return types_fail(h, EVLA_E_SHAPE, "%s: gradient: dy is %s; want %s, as y is",
                          n->label, TEXT(h, &in[2]), TEXT(h, &in[0]));
    if (!types_present(n, in, 2) && in[0].rank != 0)
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: gradient: y is %s; want one number, or a dy of y's type",
                          n->label, TEXT(h, &in[0]));
    out[0] = in[1];
    return EVLA_OK;
}

const evla_op gradient_op = {.size = sizeof gradient_op,
                             .inputs = "y x dy?",
                             .outputs = "dx",
                             .source = "torch.autograd.grad",
                             .infer = gradient_infer,
                             .is_gradient = 1};
