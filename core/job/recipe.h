/*
 * recipe.h -- what the halves of the job type "recipe" share: its parameters, and the work
 * on one model.
 */
#ifndef EVLA_JOB_RECIPE_H
#define EVLA_JOB_RECIPE_H
#include "call_case.h"
#include "measure.h"

enum { RECIPE_KEEP_NOTHING, RECIPE_KEEP_F32 };
enum { RECIPE_LOWER, RECIPE_HIGHER };

typedef struct recipe_rule {
    const char *weights; /* a pattern for names */
    evla_choice quant;   /* item NULL: none */
    int32_t keep;
    int32_t reserved;
} recipe_rule;

typedef struct recipe_calibrate {
    evla_list data; /* evla_value *; none: inputs are drawn */
    const char *mask;
    int64_t samples;
} recipe_calibrate;

typedef struct recipe_accept {
    const char *graph, *output, *metric, *unit, *worse_by, *mask;
    evla_list data; /* none: the calibration's */
    int64_t samples;
    int32_t better;
    int32_t reserved;
} recipe_accept;

/* What the new model says of itself beside its tensors. */
typedef struct recipe_about {
    const char *name, *text;
} recipe_about;

typedef struct recipe_params {
    call_params call;
    evla_list rules; /* recipe_rule */
    recipe_calibrate calibrate;
    recipe_accept accept;
    evla_list cases; /* call_case */
    evla_list step;  /* const char *: graphs */
    evla_list about; /* recipe_about */
    evla_list texts; /* likewise */
    const char *without;
    int64_t drawn, runs;
} recipe_params;

/* How much worse the metric may become. */
typedef struct recipe_limit {
    double amount;
    int is_relative;
} recipe_limit;

/* A layer and what was found out about it. */
typedef struct recipe_layer {
    const recipe_rule *rule; /* the first that matches; NULL: none */
    const char *reason;      /* of the decision, for people */
    int32_t rule_number;
    int was_put_back;
    float *x; /* sample of what its linears read, n_x rows */
    int64_t n_x;
    double error; /* of its output, |codes - f32| / |f32|; NAN: not measured */
    double alone; /* the metric with this layer alone in codes; NAN: not measured */
    measure_time time[2];
    const char *report; /* of its quantiser, JSON */
} recipe_layer;

/* An output of a run of a line of the schedule, over all cases. */
typedef struct recipe_stage {
    const char *name, *output; /* name: as a call's dump has it, "s3_x" for output x */
    int32_t line, port;        /* port: among the schedule's outputs */
    int64_t time, n;           /* n numbers per case */
    float *f32;                /* the f32 model's, case after case */
    double gaps, all;          /* sums of squares: of codes - f32, of f32 */
    double most, largest;      /* of |codes - f32|, of |f32| */
} recipe_stage;

/* A line of the schedule, f32 and in codes. */
typedef struct recipe_phase {
    const char *name, *graph;
    int64_t times;
    int64_t bytes[2]; /* of weights it reads */
    double ms[2];     /* the least of all timed calls */
} recipe_phase;

typedef struct recipe_work {
    ctx *cx;
    job *j;
    const recipe_params *p;
    arena mem;
    model *f32, *coded;
    quantize_layer *layers;
    recipe_layer *notes; /* beside layers */
    int32_t n_layers, n_workers, n_put_back;
    measure held_out;
    float **outputs;  /* f32's, by batch and output, for the metric output_error */
    double metric[2]; /* of f32, of what is delivered */
    double first;     /* of what the rules alone would have made */
    double allowed;
    measure_time step[3]; /* see measure_step; of a call two are used */
    evla_list step_graphs;
    recipe_stage *stages; /* of a recipe with a schedule */
    recipe_phase *phases;
    int32_t n_stages, n_phases;
} recipe_work;

/* "2%" or "0.01". */
int32_t recipe_read_limit(ctx *cx, const job *j, const char *text, recipe_limit *out);
/* Graphs that a step runs: as declared, else all but the one that is measured. */
int32_t recipe_step_graphs(ctx *cx, arena *a, const recipe_params *p, const model *m,
                           evla_list *out);
/* 1: the metric compares outputs with those of f32, and needs no labels. */
int recipe_is_output_error(const recipe_params *p);
/* 1: the model is measured by calls of a schedule, 0: by rows that one graph reads. */
int recipe_is_called(const recipe_params *p);
/* The metric's name, also when none was given. */
const char *recipe_metric(const recipe_params *p);

/* ---- recipe_fit.c ---- */

/* Finds layers, calibrates, encodes, measures, puts back what costs too much; w->coded is
 * the model to deliver. */
int32_t recipe_fit(recipe_work *w);
void recipe_done(recipe_work *w);
/* What an output of a model made by quantize_probe holds goes to the sample of the layer
 * whose linear reads it, and to its quantiser; other outputs are passed over. */
int32_t recipe_observe(recipe_work *w, const char *output, const evla_type *t,
                       const float *x);

/* ---- recipe_cases.c: recipes with a schedule ---- */

/* Ports, cases and metric fit together, as far as the graphs of m tell. */
int32_t recipe_cases_check(ctx *cx, const job *j, model *m);
/* Runs all cases of a model made by quantize_probe and hands on what its linears read. */
int32_t recipe_cases_watch(recipe_work *w, model *probe);
/* The f32 model's outputs, which later ones are compared with. *unit: what a share of the
 * metric is a share of. */
int32_t recipe_cases_begin(recipe_work *w, double *unit);
/* How far another model is off, in w->stages, and by the metric. */
int32_t recipe_cases_metric(recipe_work *w, model *m, double *out);
/* Times and bytes of every phase; of the whole call in w->step. */
int32_t recipe_cases_time(recipe_work *w);

#endif
