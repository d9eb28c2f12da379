/*
 * policy.h -- a schedule of graphs, fitted to a body: who feeds which input, what runs at
 * which rate, and what it all needs.
 *
 * A line of it is a call of its own, or goes on where the line before it ended: several
 * graphs that run one after the other at one rate (schedule.h). Inputs of a call are found
 * by name: a channel of the body ("obs/joint_pos"), "instruction" (the episode's sentence
 * as UTF-8 bytes, zeros behind it, cut where the input ends), or an output of an earlier
 * call. What a graph that runs several times in a row hands on to itself starts as standard
 * normal noise, as does an input "noise"; both are drawn anew for every answer. The batch
 * symbol "B" is bound to 1.
 *
 * One call makes "action": f32[1,n_action], on the tick itself; or, as a chunk, any number
 * of actions that are played one after the other (chunk.h), beside the ticks if it likes.
 * The graph that makes a chunk may read what it must keep to: "previous", of its "action"'s
 * type, and "previous_weight", a number for each row.
 *
 * Calls may be of several models: what one of them makes, another one reads.
 *
 * A policy holds plans and no data. Any number of pilots (pilot.h) fly it at once.
 */
#ifndef EVLA_RUN_POLICY_H
#define EVLA_RUN_POLICY_H
#include "chunk.h"
#include "schedule.h"

#define POLICY_NOT_SENT SIZE_MAX
enum { POLICY_MOST_CALLS = 8, POLICY_MOST_OVERLAP = 256 };

/* One line of a schedule. One that is joined has only graph and times of its own, and is of
 * the same model. */
typedef struct policy_line {
    const char *graph;
    const model *of; /* whose graph; NULL: that of the policy's model */
    double rate_hz;  /* 0: the body's control rate; a chunk's: as rarely as answers last */
    int64_t latency_ns; /* from a tick's observation until others read the result; > 0: it
                           runs beside the ticks, not on them */
    int64_t times;      /* runs in a row, see turns.h; 0: one */
    double pace_hz;     /* actions of a chunk per second; 0: one at every control tick */
    double decay;       /* of an ensemble's weights */
    int64_t workers;    /* threads of a call beside the ticks; 0: one */
    int32_t chunk;      /* chunk_mode */
    int32_t is_joined;  /* 1: runs right after the line before it, as one call with it */
} policy_line;

typedef enum source_kind {
    SOURCE_NONE,
    SOURCE_CHANNEL,
    SOURCE_INSTRUCTION,
    SOURCE_GRAPH,
    SOURCE_NOISE,
    SOURCE_PREVIOUS,       /* what the answer before has for the same moments */
    SOURCE_PREVIOUS_WEIGHT /* how firmly to keep to it */
} source_kind;

/* Where an input of a call comes from. */
typedef struct source {
    source_kind kind;
    int32_t index; /* of the channel, or of the call */
    size_t offset; /* GRAPH: into that call's message; every kind: bytes are equal */
    size_t bytes;
    size_t place; /* of this input in a request: all inputs one after the other */
} source;

typedef struct policy_call {
    policy_line line; /* its first */
    const char *name; /* of its first graph */
    schedule *made;   /* planned; pilots share it */
    source *sources;  /* by input */
    size_t *places;   /* by output, in a message; POLICY_NOT_SENT: no other call reads it */
    size_t message_bytes, request_bytes;
    int32_t n_slots; /* of its mailbox: enough for what is under way */
    chunk_law chunk; /* of the call that makes the action */
    /* Of a call that is told its answer before, which output that is, and its law; -1: it
     * is told nothing. */
    int32_t told_slot;
    chunk_law told;
} policy_call;

typedef struct policy {
    arena mem;
    const registry *reg;
    policy_call calls[POLICY_MOST_CALLS];
    int32_t n_calls;
    int32_t acts;        /* the call that makes the action */
    int32_t action_slot; /* its output */
    int32_t n_action;
    double rate_hz;    /* of the body */
    uint64_t channels; /* bit i: some graph reads channel i */
    size_t instruction_bytes;
} policy;

/* Fits a model to a body. n_lines 0: its only graph, at the body's rate. The weights need
 * no data yet. Refuses what has no source, types that differ, rates above the body's,
 * naming graph and input. Keeps the models. */
int32_t policy_new(ctx *cx, const model *m, const evla_body_info *body,
                   const policy_line *lines, int32_t n_lines, policy **out);
void policy_free(policy *p);

/* What one pilot of it holds, by part; of no policy (NULL): nothing. */
typedef struct policy_memory {
    uint64_t plans, arenas, states, tables, mailboxes, weights, total;
    uint64_t lower_bound; /* of arenas */
} policy_memory;
policy_memory policy_needs(const policy *p);
/* Refuses a promise that is not kept, naming the parts. loop_bytes: what is not the
 * policy's (loop_needs). 0 bytes: no promise. */
int32_t policy_promise(ctx *cx, const policy *p, uint64_t loop_bytes, uint64_t bytes);

/* Whose graphs a call runs. */
const model *policy_model(const policy_call *c);
/* 1 when an input comes from outside its call: a request carries it. */
int policy_is_sent(const source *s);
/* 1 when something with this rate is due at a tick: at the first one at or after k / rate.
 */
int policy_is_due(double rate_hz, double body_hz, int64_t tick);

#endif
