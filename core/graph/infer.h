/*
 * infer.h -- binds a graph's symbols to extents and finds the type of every wire.
 *
 * The result is a bound graph: flat lists that the rewrites change and the planner reads.
 * It lives in an arena and points into the model it came from. Nodes whose inputs are all
 * constants are computed on the way (rewrite "fold"), so that infer of the nodes behind
 * them sees values.
 */
#ifndef EVLA_GRAPH_INFER_H
#define EVLA_GRAPH_INFER_H
#include "choose.h"
#include "graph.h"

typedef struct bound_wire {
    evla_type type;
    wire_kind kind;
    int32_t slot;
    const char *name;
    const void *data; /* CONST */
    int32_t node;     /* who makes it, an index into nodes; -1: nobody */
    int32_t port;
} bound_wire;

typedef struct bound_node bound_node;
struct bound_node {
    const evla_item *op;
    const void *params; /* the operator's struct, filled */
    const char *label, *where;
    int32_t n_in, n_out;
    int32_t in[EVLA_MAX_PORTS], out[EVLA_MAX_PORTS];
    /* A fused node: the anchor's operator with tails, and the nodes it stands for, anchor
     * first. They use wires of the same graph and run when no kernel takes the fused node.
     */
    const evla_tail *tail;
    const bound_node *body;
    int32_t n_tail, n_body;
    int is_gone; /* removed by a rewrite */
};

typedef struct bound {
    const graph *from;
    symbols asked;   /* as bound */
    symbols planned; /* after bucket and upto */
    bound_wire *wires;
    bound_node *nodes; /* in an order that respects inputs */
    output_info *outputs;
    int32_t *inputs; /* wires, by slot of the graph; -1: nobody uses it */
    int32_t n_wires, n_nodes, n_outputs, n_inputs;
    int32_t cap_wires, cap_nodes, cap_outputs, cap_inputs;
    int32_t n_folded, n_coded, n_dead, n_fused; /* what rewrites did */
} bound;

/* Finds the graph's symbols from the types of all its inputs, in slot order. */
int32_t infer_symbols(ctx *cx, const graph *g, const evla_type *inputs, symbols *s);
/* Binds and infers. s names the extent of every symbol. Types weights of the model that had
 * none. */
int32_t infer_bind(ctx *cx, arena *a, const graph *g, const symbols *s,
                   const plan_options *o, bound **out);
/* For rewrites that add: lists may move, so indices stay and pointers do not. */
int32_t infer_add_wire(ctx *cx, arena *a, bound *b, const bound_wire *w, int32_t *out);
/* name is borrowed. */
int32_t infer_add_input(ctx *cx, arena *a, bound *b, const char *name,
                        const evla_type *type, int32_t *out);
int32_t infer_add_output(ctx *cx, arena *a, bound *b, const char *name, int32_t w);
/* Appends a node whose op, params, label, where and inputs are set; makes its output wires,
 * infers their types and folds it when its inputs are constants. n->out tells the wires. */
int32_t infer_add_node(ctx *cx, arena *a, const plan_options *o, bound *b, bound_node *n);
/* The evla_node that plugins see of a bound node; arrays are pushed on `a`. */
int32_t infer_node(ctx *cx, arena *a, const bound *b, const bound_node *n, evla_node *out);
/* FLOPs of a node, as its operator or its body's operators say. 0: nobody says, and then
 * nothing is written. */
int infer_cost(ctx *cx, const bound *b, const bound_node *n, double *flops);

#endif
