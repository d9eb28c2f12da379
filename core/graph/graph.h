/*
 * graph.h -- what a script declares: named graphs of operators over one table of weights.
 *
 * A model owns its graphs, weights' names and states; everything declared is copied into it. A wire
 * is a value that flows in a graph: an input, a weight, a state, a constant, or what a node makes;
 * wires are numbers, valid in their own graph only. Nodes name wires that already exist, so a
 * declared graph has no cycle. Extents may be symbols; infer.h binds them.
 *
 * `where` is "mlp.lua:7" or NULL; it goes in front of every sentence about that declaration.
 */
#ifndef EVLA_GRAPH_GRAPH_H
#define EVLA_GRAPH_GRAPH_H
#include "../param.h"
#include <stdatomic.h>

enum { WIRE_ABSENT = -1 };

typedef enum wire_kind {
    WIRE_INPUT,
    WIRE_WEIGHT,
    WIRE_STATE, /* a state, or the new version that a node with EVLA_WRITES makes of it */
    WIRE_CONST,
    WIRE_RESULT
} wire_kind;

typedef struct wire {
    wire_kind kind;
    int32_t slot;      /* INPUT: of the graph; WEIGHT, STATE: of the model; else -1 */
    const char *name;  /* "linear.3", "blk.0.w" */
    const char *type;  /* as text; NULL: infer finds it */
    const void *data;  /* CONST: its bytes */
    int32_t node;      /* who makes it, -1: nobody */
    int32_t port;      /* as its which output */
    const char *where;
} wire;

typedef struct node {
    const evla_item *op;
    const char *label; /* "policy/linear.3" */
    const char *where;
    value given; /* parameters as declared, checked */
    int32_t n_in, n_out;
    int32_t in[EVLA_MAX_PORTS]; /* wires; WIRE_ABSENT where optional and not given */
    int32_t out[EVLA_MAX_PORTS];
} node;

typedef struct output {
    const char *name;
    int32_t wire;
} output;

/* How a symbol varies between bindings. */
typedef enum symbol_rule {
    SYMBOL_EXACT,  /* a plan per extent */
    SYMBOL_BUCKET, /* rounded up to one of a few */
    SYMBOL_UPTO    /* one plan at capacity; the true extent is an input of the graph */
} symbol_rule;

typedef struct symbol {
    const char *name;
    symbol_rule rule;
    int32_t n_bucket;
    int64_t bucket[16]; /* ascending; UPTO: the capacity alone */
} symbol;

typedef struct weight {
    const char *name;
    const char *type_text;  /* as declared, or NULL */
    const char *init;       /* see model_fill */
    const char *where;
    evla_type type;         /* rank -1 until a binding or a file tells */
    const char *typed_by;   /* who told, for messages */
    const void *data;       /* dense rows; NULL: not there yet. Shared by all sessions */
} weight;

typedef struct state {
    const char *name;
    const char *type;
    const char *init;
    const char *where;
    const struct graph *writer; /* the one graph that writes it, or NULL */
} state;

typedef struct model model;

typedef struct graph {
    model *of;
    const char *name;
    const char *where;
    wire *wires;
    node *nodes;
    output *outputs;
    symbol *symbols;
    int32_t *inputs; /* wires, by slot */
    int32_t n_wires, n_nodes, n_outputs, n_symbols, n_inputs;
    int32_t cap_wires, cap_nodes, cap_outputs, cap_symbols, cap_inputs;
} graph;

struct model {
    arena mem;
    const char *name;
    graph **graphs;
    weight *weights;
    state *states;
    int32_t n_graphs, n_weights, n_states;
    int32_t cap_graphs, cap_weights, cap_states;
    atomic_int refs;
    void *map; /* the mapped file that weights' data points into, or NULL */
    size_t map_bytes;
};

/* ---- models ---- */

int32_t model_new(ctx *cx, const char *name, model **out); /* one reference */
void model_keep(model *m);
void model_drop(model *m);
graph *model_graph(const model *m, const char *name); /* NULL: none of that name */
int32_t model_weight(const model *m, const char *name); /* slot, or -1 */
int32_t model_state(const model *m, const char *name);
/* Like the above, with a sentence and the nearest name when there is none. */
int32_t model_want_graph(ctx *cx, const model *m, const char *name, graph **out);
/* Gives a weight its bytes: copied when copy is 1, else borrowed for the model's life. The type
 * must agree with what is known. */
int32_t model_set_weight(ctx *cx, model *m, int32_t slot, const evla_type *type,
                         const void *data, int copy);
/* Gives every weight that is typed and has no data its first values, from hash(seed, name, i):
 * init is "zeros", "ones", "uniform:A", "normal:S" or NULL: uniform within 1/sqrt(last extent) for
 * rank >= 2, else zeros. The same bits on every machine. */
int32_t model_fill(ctx *cx, model *m, uint64_t seed);
/* One tensor by the same rule (states start as zeros when init is NULL). */
int32_t model_fill_one(ctx *cx, const char *name, const char *init, const evla_type *type,
                       uint64_t seed, void *data);

/* ---- declaring ---- */

/* All of these refuse duplicate names, wires that do not exist, texts that do not parse. */
int32_t graph_new(ctx *cx, model *m, const char *name, const char *where, graph **out);
/* rule: NULL or "exact", "bucket{1,32,512}", "upto 4096". A symbol in an input's or state's type
 * that nobody declares is exact. */
int32_t graph_symbol(ctx *cx, graph *g, const char *name, const char *rule, const char *where);
int32_t graph_input(ctx *cx, graph *g, const char *name, const char *type, const char *where,
                    int32_t *out);
/* type and init may be NULL. The same name again is the same wire; in another graph of the model it
 * is the same weight. */
int32_t graph_weight(ctx *cx, graph *g, const char *name, const char *type, const char *init,
                     const char *where, int32_t *out);
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

/* Adds a node. params is a table of named values (or NULL), copied. *out is the wire of its first
 * output, the others follow; graph_n_out says how many there are. */
int32_t graph_add(ctx *cx, graph *g, const char *op, const graph_arg *args, int32_t n_args,
                  const value *params, const char *where, int32_t *out);
int32_t graph_output(ctx *cx, graph *g, const char *name, int32_t wire, const char *where);
/* What only the whole graph shows: there is an output, symbols have an origin, states' versions
 * form a line. Called by infer_bind. */
int32_t graph_check(ctx *cx, const graph *g);

/* ---- an operator's ports ---- */

typedef struct op_port {
    const char *name;
    int32_t n; /* length of the name */
    int optional, variadic;
} op_port;

/* Splits "x w b?" or "xs*". Returns how many, at most EVLA_MAX_PORTS; -1 when the text is bad. */
int32_t op_ports(const char *text, op_port ports[EVLA_MAX_PORTS]);
/* 1 when the operator has an input of that name, so that a host can tell inputs from parameters. */
int op_has_input(const evla_op *op, const char *name);
static inline const evla_op *op_of(const evla_item *item) { return item->table; }

#endif
