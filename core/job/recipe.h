/*
 * recipe.h -- what the halves of the job type "recipe" share: its parameters, and the work
 * on one model.
 */
#ifndef EVLA_JOB_RECIPE_H
#define EVLA_JOB_RECIPE_H
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
    const char *graph, *metric, *unit, *worse_by, *mask;
    evla_list data; /* none: the calibration's */
    int64_t samples;
    int32_t better;
    int32_t reserved;
} recipe_accept;

typedef struct recipe_params {
    const evla_value *model;
    evla_list rules; /* recipe_rule */
    recipe_calibrate calibrate;
    recipe_accept accept;
    evla_list step;    /* const char *: graphs */
    evla_list symbols; /* job_symbol */
    const char *without;
    int64_t runs, workers;
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
    measure_time step[3]; /* see measure_step */
    evla_list step_graphs;
} recipe_work;

/* "2%" or "0.01". */
int32_t recipe_read_limit(ctx *cx, const job *j, const char *text, recipe_limit *out);
/* Graphs that a step runs: as declared, else all but the one that is measured. */
int32_t recipe_step_graphs(ctx *cx, arena *a, const recipe_params *p, const model *m,
                           evla_list *out);
/* 1: the metric compares outputs with those of f32, and needs no labels. */
int recipe_is_output_error(const recipe_params *p);

/* ---- recipe_fit.c ---- */

/* Finds layers, calibrates, encodes, measures, puts back what costs too much; w->coded is
 * the model to deliver. */
int32_t recipe_fit(recipe_work *w);
void recipe_done(recipe_work *w);

#endif
