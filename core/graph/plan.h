/*
 * plan.h -- from a graph to a list of steps with fixed places in one arena.
 *
 * A plan is a graph at one binding for one machine. It holds no data: weights and states
 * are named by slot, and any number of sessions may run it at once. Every plan is checked
 * by verify.h before it is handed out.
 */
#ifndef EVLA_GRAPH_PLAN_H
#define EVLA_GRAPH_PLAN_H
#include "infer.h"
#include "pack.h"

enum { PLAN_ALIGN = 64 };

/* Where a wire's bytes are. */
typedef enum plan_home {
    HOME_NONE, /* absent, or nobody reads it */
    HOME_ARENA,
    HOME_WEIGHT,
    HOME_STATE,
    HOME_CONST
} plan_home;

typedef struct place {
    plan_home home;
    int32_t slot;    /* WEIGHT, STATE */
    uint64_t offset; /* ARENA */
    uint64_t bytes;
    int32_t region; /* ARENA: wires in one region share its memory one after the other; else
                       -1 */
    int32_t first,
        last; /* steps: written in, last read in; -1 and n_steps: before and after */
} place;

typedef struct plan_step {
    evla_node node; /* what the kernel sees */
    const evla_item *item;
    const evla_kernel *kernel;
    evla_offer offer;
    evla_work work;
    const void *blob;
    const int32_t *in, *out; /* wires; WIRE_ABSENT */
    uint64_t shared_at,
        scratch_at; /* in the arena; worker w's scratch is w * scratch_stride on */
    uint64_t scratch_stride;
    int32_t of;      /* index of the bound node */
    int32_t aliased; /* the input whose memory output 0 took over; -1: none */
    const char *where;
    double flops;
    uint64_t bytes; /* read and written by one run */
} plan_step;

typedef struct plan {
    arena mem;
    atomic_int refs;
    model *model;       /* kept */
    const bound *graph; /* after the rewrites */
    const registry *reg;
    place *places; /* by wire of graph */
    plan_step *steps;
    region *regions;
    evla_type *state_types; /* by slot of the model; rank -1: not used here */
    int32_t n_states;       /* how many the model had */
    int32_t n_steps, n_regions;
    int32_t n_workers;
    int inputs_consumed;
    uint64_t arena_bytes;
    uint64_t lower_bound; /* most bytes alive at one step */
    int32_t peak_step;
    uint64_t state_bytes, weight_bytes, const_bytes;
    const char *order; /* which greedy order won */
    double flops;
} plan;

/* Bind, infer, rewrite, choose, schedule, pack, verify. */
int32_t plan_make(ctx *cx, const graph *g, const symbols *s, const plan_options *o,
                  plan **out);
/* The same in two parts, for callers that rewrite the bound graph themselves: an empty
 * plan, whose `mem` the bound graph may live in, then kernels, order, places and checks.
 * Drop it on failure. */
int32_t plan_new(ctx *cx, model *m, const plan_options *o, plan **out);
int32_t plan_finish(ctx *cx, plan *p, bound *b, const plan_options *o);
void plan_keep(plan *p);
void plan_drop(plan *p);
/* Slots by name, -1 when there is none. */
int32_t plan_input(const plan *p, const char *name);
int32_t plan_output(const plan *p, const char *name);
/* Wires by slot. A wire of -1 is an input nobody reads. */
const evla_type *plan_input_type(const plan *p, int32_t slot);
const evla_type *plan_output_type(const plan *p, int32_t slot);
/* A table for `evla ops`: node, operator, kernel, score, shape, FLOPs, bytes. */
const char *plan_table(const plan *p, arena *a);

#endif
