/*
 * grad.h -- gradients as a rewrite of a bound graph, and the training step as one static
 * plan.
 *
 * grad_make binds a graph that computes a loss, appends the nodes of d loss / d weight
 * (each operator's grad slot emits its own), clipping by global norm and adamw, and plans
 * the whole: no tape, no allocation in the loop. Written tensors must be states, so the
 * result belongs to a derived model in which every trained weight is a state of the same
 * name. Use:
 *
 *   grad_make(cx, graph, &symbols, &(grad_options){.clip_norm = 1}, &plan_options, &g);
 *   grad_frozen(cx, g);                              // statistics have their data by now
 *   session_open(cx, g->plans, g->n_plans, &so, &s);
 *   learn_begin(cx, g, s);                           // run/learn.h: weights into states
 *   repeat:
 *     g->accumulate times: write the batch into plan g->batch's inputs;
 *                          session_run(cx, s, g->batch); read its output `loss`
 *     write `lr` and `t` (1, 2, ...) into plan g->update's inputs
 *     session_run(cx, s, g->update) unless it is g->batch; read its output `grad_norm`
 *   learn_end(cx, g, s);                             // states back into the model's
 * weights
 *
 * Without accumulation batch and update are the same plan: set everything, run once. The
 * session's states (weights, moments) are all that a checkpoint needs: session_save and
 * session_load go by name. Schedules live in the caller, since lr is an input.
 */
#ifndef EVLA_GRAPH_GRAD_H
#define EVLA_GRAPH_GRAD_H
#include "plan.h"

/* All zero is the default; a negative number stands for "0, really". */
typedef struct grad_options {
    const char *loss;    /* the output to make small, rank 0; NULL: "loss" */
    double clip_norm;    /* gradients are scaled down to this global norm; 0: never */
    double weight_decay; /* decoupled: w -= lr weight_decay w; 0: none */
    double beta1, beta2; /* decay of the moments; 0: 0.9 and 0.999 */
    double eps;          /* added to the root of the second moment; 0: 1e-8 */
    int32_t decay_rank;  /* weights of at least this rank decay; 0: 2 */
    int32_t accumulate;  /* batches whose gradients are averaged before an update; 0: 1 */
    int32_t recompute;   /* GRAD_KEEP, ...; see recompute.h */
    int32_t evaluate;    /* 1: a third plan that computes the graph's outputs alone */
    /* Weights that are not trained: names, or beginnings of names that end in '*'. Weights
     * with init "mean:..." or "std:..." never are. */
    const char *const *frozen;
    int32_t n_frozen;
} grad_options;

/* What of the forward pass is kept for the backward pass. */
enum {
    GRAD_KEEP = 0,  /* all that it reads */
    GRAD_CHEAP = 1, /* all but what element-wise operators and norms make: computed again */
    GRAD_DEEP = 2   /* about the square root of the layers; the rest is computed again */
};

typedef struct grad_weight {
    const char *name;
    int32_t weight; /* slot in the model */
    int32_t state, m,
        v; /* slots in the derived model: the weight, its moments "m:NAME", "v:NAME" */
    int32_t sum; /* "g:NAME", the sum of gradients; -1: no accumulation */
    int32_t decays;
    evla_type type;
} grad_weight;

typedef struct grad {
    model *of;    /* kept; the weights come from here */
    model *model; /* kept; the derived one, in which trained weights are states */
    plan *plans[3];
    int32_t n_plans;
    /* Indices of plans. batch: inputs of the graph; its outputs, the loss among them.
     * update: inputs `lr` f32[] and `t` i64[] (1 at the first update); output `grad_norm`
     * f32[], the global norm of the (averaged) gradients before clipping. evaluate: -1
     * unless asked for. */
    int32_t batch, update, evaluate;
    int32_t accumulate;
    grad_weight *weights; /* trained, in the model's order */
    int32_t n_weights;
    int32_t n_frozen;            /* weights that are read and not trained */
    int64_t parameters;          /* numbers in the trained weights */
    double forward_flops, flops; /* of one batch; the whole, with the update */
    /* What the recompute rewrite did: arena of plan `batch` without and with it, and the
     * FLOPs that it repeats. Equal and 0 when it is off. */
    uint64_t kept_bytes, recomputed_bytes;
    double repeated_flops;
} grad;

/* Fails: EVLA_E_MISSING (no such output, an operator without gradient), EVLA_E_SHAPE (the
 * loss is not rank 0), EVLA_E_DTYPE (a weight to train is not f32), EVLA_E_STATE (nothing
 * to train), EVLA_E_EXISTS (the graph already has an input lr or t, or an output
 * grad_norm), EVLA_E_ARG (options), and what planning refuses. Weights need no data yet, so
 * this serves a check too. */
int32_t grad_make(ctx *cx, const graph *g, const symbols *s, const grad_options *go,
                  const plan_options *o, grad **out);
void grad_free(grad *g); /* plans and models live on while others keep them */
/* Does an entry of `frozen` name that weight? */
int grad_freezes(const char *entry, const char *weight);
/* Points the weights that are not trained at the bytes they have in the model now; call it
 * before session_open. They are borrowed from the model, which the derived one keeps. */
int32_t grad_frozen(ctx *cx, grad *g);

/* The rewrite alone, for those who want gradients without an optimiser. Appends to b the
 * nodes of d wires[of] / d wires[wrt[i]] and writes their wires to d[i]; -1: does not
 * depend on it, or another wrt lies between. seed is the gradient of wires[of], a wire of
 * its type; -1: 1, and `of` has rank 0. wrt are wires of a real format. */
int32_t grad_append(ctx *cx, arena *a, const plan_options *o, bound *b, int32_t of,
                    int32_t seed, const int32_t *wrt, int32_t n, int32_t *d);
/* What stands in the place of a node whose operator is a gradient (evla_op.is_gradient):
 * appends its nodes and says which wire is its output. */
int32_t grad_of_node(ctx *cx, arena *a, const plan_options *o, bound *b,
                     const bound_node *n, int32_t *out);

#endif
