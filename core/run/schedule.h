/*
 * schedule.h -- several graphs of a model as one call: what sees, what reads, what acts.
 *
 * A schedule is an ordered list of lines, each a graph and how often it runs (turns.h). An
 * input takes what an earlier line's output of the same name made; what no line before it
 * makes is an input of the call, and may be read by several lines. All lines share one
 * arena, since they run one after the other; what is handed on lies beside it.
 *
 * A call allocates nothing, takes no lock and, with one worker, makes no system call. Times
 * of the lines sum to the time of the call. A schedule belongs to one thread.
 */
#ifndef EVLA_RUN_SCHEDULE_H
#define EVLA_RUN_SCHEDULE_H
#include "turns.h"

enum { SCHEDULE_MOST_LINES = 16 };

typedef struct schedule schedule;

typedef struct schedule_line {
    const char *graph;
    int64_t times;     /* 0: once */
    const char *phase; /* what its time is counted as; NULL: the graph's name */
} schedule_line;

typedef struct schedule_options {
    int32_t n_workers;      /* 0: 1 */
    uint64_t budget;        /* bytes for everything, weights included; 0: no limit */
    const symbols *extents; /* of the graphs' symbols; NULL: B = 1 */
    int profile;            /* 1: count time per step */
    const char *kernels;    /* see plan_options */
    const char *without;
} schedule_options;

/* What it holds. */
typedef struct schedule_bytes {
    uint64_t weights, arena, states, values, total;
} schedule_bytes;

/* A tensor that goes into or comes out of a call. */
typedef struct schedule_port {
    const char *name;
    evla_type type;
    evla_tensor view; /* data[0] NULL: nobody reads it, or planned only */
    int32_t line;     /* that makes it, or the first one that reads it */
    int is_handed_on; /* an input: what the first run of that line makes of it, goes back
                         into it for the second, and so on */
} schedule_port;

/* Plans all lines and connects them. Refuses an unknown graph, types that do not meet, an
 * input that only a later line makes, and a missed budget, by naming what it is. With
 * schedule_plan nothing is opened: ports and bytes are known, the weights need no data yet,
 * and nothing can run. Keeps the model. */
int32_t schedule_plan(ctx *cx, model *m, const schedule_line *lines, int32_t n,
                      const schedule_options *o, schedule **out);
int32_t schedule_open(ctx *cx, model *m, const schedule_line *lines, int32_t n,
                      const schedule_options *o, schedule **out);
/* Another one with the plans of one that lives as long, for another thread. */
int32_t schedule_share(ctx *cx, const schedule *of, const schedule_options *o,
                       schedule **out);
void schedule_close(schedule *s);

/* Inputs keep what was written from call to call; an output holds until the next call. */
int32_t schedule_n_inputs(const schedule *s);
int32_t schedule_n_outputs(const schedule *s);
const schedule_port *schedule_input(const schedule *s, int32_t i);
const schedule_port *schedule_output(const schedule *s, int32_t i);
/* By name; a sentence with the nearest one when there is none. */
int32_t schedule_want_input(ctx *cx, const schedule *s, const char *name,
                            const schedule_port **out);
int32_t schedule_want_output(ctx *cx, const schedule *s, const char *name,
                             const schedule_port **out);

/* One call. heard, when it is not NULL, is told after every run of every line, while all
 * outputs of that line are as the run left them. */
typedef int32_t schedule_heard(void *to, ctx *cx, int32_t line, int64_t time);
int32_t schedule_run(ctx *cx, schedule *s, schedule_heard *heard, void *to);
int32_t schedule_reset(ctx *cx, schedule *s); /* all states to their init, valid */

/* The newest call. */
typedef struct schedule_phase {
    const char *name, *graph;
    int64_t times, ns;
    double flops; /* of all its runs */
} schedule_phase;
int32_t schedule_n_lines(const schedule *s);
schedule_phase schedule_line_at(const schedule *s, int32_t line);
int64_t schedule_ns(const schedule *s); /* the sum over lines */
schedule_bytes schedule_size(const schedule *s);
/* What it holds besides plans and weights: never more, with one worker, than it needs. */
uint64_t schedule_needs(const schedule *s);
uint64_t schedule_held(const schedule *s);
/* Bytes of the weights that a line reads. */
uint64_t schedule_line_weights(const schedule *s, int32_t line);
/* For tables: the line's plan; and its steps' times, NULL unless profiled. */
const plan *schedule_plan_of(const schedule *s, int32_t line);
profile *schedule_profile(schedule *s, int32_t line);

#endif
