/*
 * graph.h -- declaring a graph: inputs, weights, states, constants, nodes, outputs.
 *
 * Nodes name wires that already exist, so a declared graph has no cycle. Extents may be
 * symbols; infer.h binds them. Texts and values are copied into the model.
 */
#ifndef EVLA_GRAPH_GRAPH_H
#define EVLA_GRAPH_GRAPH_H
#include "model.h"
#include "op.h"

/* All of these refuse duplicate names, wires that do not exist, texts that do not parse. */
int32_t graph_new(ctx *cx, model *m, const char *name, const char *where, graph **out);
/* rule: NULL or "exact", "bucket{1,32,512}", "upto 4096". A symbol in an input's or state's
 * type that nobody declares is exact. */
int32_t graph_symbol(ctx *cx, graph *g, const char *name, const char *rule,
                     const char *where);
int32_t graph_input(ctx *cx, graph *g, const char *name, const char *type,
                    const char *where, int32_t *out);
/* type and init may be NULL. The same name again is the same wire; in another graph of the
 * model it is the same weight. */
int32_t graph_weight(ctx *cx, graph *g, const char *name, const char *type,
                     const char *init, const char *where, int32_t *out);
/* May be called once per graph; graphs that declare the same state share it. */
int32_t graph_state(ctx *cx, graph *g, const char *name, const char *type, const char *init,
                    const char *where, int32_t *out);
/* Copies the bytes of a dense tensor. */
int32_t graph_const(ctx *cx, graph *g, const evla_type *type, const void *data,
                    const char *where, int32_t *out);
/* The same from numbers in nested tables; type such as "f32[2,3]", no symbols. */
int32_t graph_const_value(ctx *cx, graph *g, const char *type, const value *v,
                          const char *where, int32_t *out);

/* An input of a node: by the operator's name for it, or by position when name is NULL. */
typedef struct graph_arg {
    const char *name;
    int32_t wire;
} graph_arg;

/* Adds a node. params is a table of named values (or NULL), copied. *out is the wire of its
 * first output, the others follow; graph_n_out says how many there are. */
int32_t graph_add(ctx *cx, graph *g, const char *op, const graph_arg *args, int32_t n_args,
                  const value *params, const char *where, int32_t *out);
int32_t graph_output(ctx *cx, graph *g, const char *name, int32_t wire, const char *where);
/* What only the whole graph shows: there is an output, symbols have an origin, states'
 * versions form a line. Called by infer_bind. */
int32_t graph_check(ctx *cx, const graph *g);

#endif
