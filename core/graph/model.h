/*
 * model.h -- a model: named graphs over one table of weights and one of states.
 *
 * A model owns everything declared in it. A wire is a value that flows in a graph: an
 * input, a weight, a state, a constant, or what a node makes; wires are numbers, valid in
 * their own graph.
 *
 * `where` is "mlp.lua:7" or NULL; it goes in front of every sentence about that
 * declaration.
 */
#ifndef EVLA_GRAPH_MODEL_H
#define EVLA_GRAPH_MODEL_H
#include "../param.h"
#include <pthread.h>
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
    int32_t slot;     /* INPUT: of the graph; WEIGHT, STATE: of the model; else -1 */
    const char *name; /* "linear.3", "blk.0.w" */
    const char *type; /* as text; NULL: infer finds it */
    const void *data; /* CONST: its bytes */
    int32_t node;     /* who makes it, -1: nobody */
    int32_t port;     /* as its which output */
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

typedef struct output_info {
    const char *name;
    int32_t wire;
} output_info;

/* How a symbol varies between bindings. */
typedef enum symbol_rule {
    SYMBOL_EXACT,  /* a plan per extent */
    SYMBOL_BUCKET, /* rounded up to one of a few */
    SYMBOL_UPTO    /* one plan at capacity; the true extent is an input of the graph */
} symbol_rule;

typedef struct symbol_info {
    const char *name;
    symbol_rule rule;
    int32_t n_bucket;
    int32_t is_declared; /* 0: it only stands in a type */
    int64_t bucket[16];  /* ascending; UPTO: the capacity alone */
} symbol_info;

typedef struct weight_info {
    const char *name;
    const char *type_text; /* as declared, or NULL */
    int is_open;      /* declared "[16,16]": f32, or the format that a file has it in */
    const char *init; /* see model_fill */
    const char *where;
    evla_type type;       /* rank -1 until a binding or a file tells */
    const char *typed_by; /* who told, for messages */
    const void *data;     /* dense rows; NULL: not there yet. Shared by all sessions */
    int is_own;           /* data lies in the model's memory and may be overwritten */
    int is_lent;          /* a session or another model reads data where it lies */
    /* How kernels read it. Planning decides once, see layout.h; then it stays. */
    const evla_layout *layout; /* NULL: plain rows */
    int is_settled;            /* a plan reads it as layout says */
    const void *packed;        /* its bytes in that layout; NULL: not made yet */
    const char *packed_as; /* not NULL: packed lies in a file, in the layout of this name,
                              and there are no plain rows */
    int64_t packed_bytes;  /* how many there are then */
} weight_info;

/* Any graph may write it: a session runs its plans one after the other. A policy keeps
 * states away from graphs that run at different rates. */
typedef struct state_info {
    const char *name;
    const char *type;
    const char *init;
    const char *where;
} state_info;

typedef struct model model;

typedef struct graph {
    model *of;
    const char *name;
    const char *where;
    wire *wires;
    node *nodes;
    output_info *outputs;
    symbol_info *symbols;
    int32_t *inputs; /* wires, by slot */
    int32_t n_wires, n_nodes, n_outputs, n_symbols, n_inputs;
    int32_t cap_wires, cap_nodes, cap_outputs, cap_symbols, cap_inputs;
} graph;

struct model {
    arena mem;
    const char *name;
    graph **graphs;
    weight_info *weights;
    state_info *states;
    int32_t n_graphs, n_weights, n_states;
    int32_t cap_graphs, cap_weights, cap_states;
    atomic_int refs;
    pthread_mutex_t
        opening; /* held by who lays weights out, or takes them, for a session */
    model *base; /* kept for its texts and weights: this one was derived from it; or NULL */
    void *map;   /* the mapped file that weights' data points into, or NULL */
    size_t map_bytes;
    /* Another file that weights' data points into, and how to close it; or NULL. */
    void *file;
    void (*close_file)(void *file);
    int packs;              /* 1: kernels may have weights in layouts of their own */
    const evla_attr *attrs; /* what a file says beside its tensors; in its memory or ours */
    int32_t n_attrs;
};

int32_t model_new(ctx *cx, const char *name, model **out); /* one reference */
void model_keep(model *m);
void model_drop(model *m);
graph *model_graph(const model *m, const char *name);   /* NULL: none of that name */
int32_t model_weight(const model *m, const char *name); /* slot, or -1 */
int32_t model_state(const model *m, const char *name);
/* Like the above, with a sentence and the nearest name when there is none. */
int32_t model_want_graph(ctx *cx, const model *m, const char *name, graph **out);
/* Gives a weight its bytes: copied when copy is 1, else borrowed for the model's life. The
 * type must agree with what is known. */
int32_t model_set_weight(ctx *cx, model *m, int32_t slot, const evla_type *type,
                         const void *data, int copy);
/* Gives every weight that is typed and has no data its first values, from hash(seed, name,
 * i): init is "zeros", "ones", "uniform:A", "normal:S" or NULL: uniform within 1/sqrt(last
 * extent) for rank >= 2, else zeros. "mean:FIELD" starts as zeros, "std:FIELD" as ones,
 * until training fills them from its data. The same bits on every machine. */
int32_t model_fill(ctx *cx, model *m, uint64_t seed);
/* One tensor by the same rule (states start as zeros when init is NULL). */
int32_t model_fill_one(ctx *cx, const char *name, const char *init, const evla_type *type,
                       uint64_t seed, void *data);

#endif
