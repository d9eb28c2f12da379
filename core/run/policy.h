/*
 * policy.h -- a schedule of graphs, fitted to a body: who feeds which input, what runs at
 * which rate, and what it all needs.
 *
 * A graph's inputs are found by name: a channel of the body ("obs/joint_pos"),
 * "instruction" (the episode's sentence as UTF-8 bytes, zeros behind it, cut where the
 * input ends), or an output of another graph of the schedule. What a graph that runs
 * several times in a row hands on to itself starts as standard normal noise, as does an
 * input "noise"; both are drawn anew for every answer. The batch symbol "B" is bound to 1.
 * One graph makes "action", f32[1,n_action]; it runs on the tick itself.
 *
 * A policy holds plans and no data. Any number of pilots (pilot.h) fly it at once.
 */
#ifndef EVLA_RUN_POLICY_H
#define EVLA_RUN_POLICY_H
#include "turns.h"

enum { POLICY_MOST_GRAPHS = 8 };

/* One line of a schedule. */
typedef struct policy_line {
    const char *graph;
    double rate_hz;     /* 0: the body's control rate */
    int64_t latency_ns; /* from a tick's observation until others read the result; > 0: it
                           runs beside the ticks, not on them */
    int64_t times;      /* runs in a row, see turns.h; 0: one */
} policy_line;

typedef enum source_kind {
    SOURCE_NONE,
    SOURCE_CHANNEL,
    SOURCE_INSTRUCTION,
    SOURCE_GRAPH,
    SOURCE_NOISE
} source_kind;

/* Where an input of a graph comes from. */
typedef struct source {
    source_kind kind;
    int32_t index; /* channel of the body, or line of the schedule */
    size_t offset; /* GRAPH: into that line's message; every kind: bytes are equal */
    size_t bytes;
    size_t place; /* of this input in a request: all inputs one after the other */
} source;

typedef struct policy_graph {
    policy_line line;
    const char *name;
    plan *plan;
    turns loop;
    source *sources; /* by input slot */
    size_t
        *output_places; /* by output slot, in a message: all outputs one after the other */
    size_t message_bytes, request_bytes;
    int32_t n_slots; /* of its mailbox: enough for what is under way */
} policy_graph;

typedef struct policy {
    arena mem;
    const registry *reg;
    policy_graph graphs[POLICY_MOST_GRAPHS];
    int32_t n_graphs;
    int32_t acts;        /* the graph that makes the action */
    int32_t action_slot; /* its output */
    int32_t n_action;
    double rate_hz;    /* of the body */
    uint64_t channels; /* bit i: some graph reads channel i */
    size_t instruction_bytes;
} policy;

/* Fits a model to a body. n_lines 0: its only graph, at the body's rate. The weights need
 * no data yet. Refuses what has no source, types that differ, rates above the body's,
 * naming graph and input. Keeps the model. */
int32_t policy_new(ctx *cx, const model *m, const evla_body_info *body,
                   const policy_line *lines, int32_t n_lines, policy **out);
void policy_free(policy *p);

/* What one pilot of it holds, by part; of no policy (NULL): nothing. */
typedef struct policy_memory {
    uint64_t plans, arenas, states, tables, mailboxes, weights, total;
} policy_memory;
policy_memory policy_needs(const policy *p);
/* Refuses a promise that is not kept, naming the parts. loop_bytes: what is not the
 * policy's (loop_needs). 0 bytes: no promise. */
int32_t policy_promise(ctx *cx, const policy *p, uint64_t loop_bytes, uint64_t bytes);

/* 1 when something with this rate is due at a tick: at the first one at or after k / rate.
 */
int policy_is_due(double rate_hz, double body_hz, int64_t tick);

#endif
