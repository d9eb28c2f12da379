/*
 * node.h -- what kernels ask about a node: shapes, features, element-wise tails; and how
 * one function serves several instruction sets.
 */
#ifndef CPU_X86_NODE_H
#define CPU_X86_NODE_H
#include "x86.h"

int64_t node_span(const int64_t *shape, int32_t from, int32_t to); /* product of extents */
int64_t node_count(const evla_type *t);
int64_t node_last(const evla_type *t);           /* last extent, 1 for rank 0 */
int64_t node_rows(const evla_type *t);           /* product of the others */
int node_present(const evla_node *n, int32_t i); /* input i is there */
int node_all_f32(const evla_node *n);
/* The type broadcasts to the output's shape. */
int node_meets(const evla_type *t, const evla_type *out);
/* Elements from the start of a broadcast input to what meets matrix or row `index` of out,
 * whose last `inner` axes are the matrix or row. */
int64_t node_offset(const evla_type *t, const evla_type *out, int32_t inner, int64_t index);
/* The machine has the feature. */
int node_has(const evla_machine *m, const char *feature);

#define NODE_TAIL_OPS                                                                      \
    "relu gelu silu sigmoid tanh add sub mul div maximum minimum exp neg abs square sqrt " \
    "rsqrt"
enum { NODE_TAIL_MAX = 8 };
/* The node's tails can be applied; input i is a tail's operand. */
int node_takes_tails(const x86_isa *isa, const evla_node *n);
int node_is_operand(const evla_node *n, int32_t i);
/* The set whose element-wise functions go with this one. */
const x86_isa *node_base(const x86_isa *isa);
/* Rows [r0, r1), columns [c0, c1) of the output, taken as one matrix: adds input `bias`, if
 * it is there and no tail's operand (-1: it has been added), and applies the tails. */
void node_finish(const x86_isa *isa, const evla_args *a, int32_t bias, int64_t r0,
                 int64_t r1, int64_t c0, int64_t c1);

/* The functions of evla_kernel for one instruction set: f_id calls f, which serves all
 * sets, with this one's tables as second argument. Where f has no use for the machine, it
 * is left out. */
#define NODE_ACCEPTS(f, id, isa)                                                           \
    static int32_t f##_##id(const evla_host *h, const evla_machine *m, const evla_node *n, \
                            evla_offer *offer)                                             \
    {                                                                                      \
        return f(h, isa, m, n, offer);                                                     \
    }
#define NODE_PLAN(f, id, isa)                                                              \
    static int32_t f##_##id(const evla_host *h, const evla_machine *m, const evla_node *n, \
                            evla_work *work)                                               \
    {                                                                                      \
        return (void)m, f(h, isa, n, work);                                                \
    }
#define NODE_RUN(f, id, isa)                                                               \
    static int32_t f##_##id(const evla_host *h, const evla_args *a, int32_t phase,         \
                            int64_t tile)                                                  \
    {                                                                                      \
        return f(h, isa, a, phase, tile);                                                  \
    }
#define NODE_LAYOUT(f, id, isa)                                                            \
    static const evla_layout *f##_##id(const evla_host *h, const evla_machine *m,          \
                                       const evla_node *n, int32_t i)                      \
    {                                                                                      \
        return f(h, isa, m, n, i);                                                         \
    }

#endif
