/*
 * types.h -- the job types of the core, one file each.
 */
#ifndef EVLA_JOB_TYPES_H
#define EVLA_JOB_TYPES_H
#include "../graph/weights.h"
#include "job.h"

extern const job_type job_pipeline, job_dataset, job_model, job_checkpoint, job_train,
    job_apply, job_export, job_recipe, job_rollout, job_generate, job_call;

#define JOB_TYPES                                                                          \
    &job_pipeline, &job_dataset, &job_model, &job_checkpoint, &job_train, &job_apply,      \
        &job_export, &job_recipe, &job_rollout, &job_generate, &job_call

/* ---- pipeline.c, dataset.c: episodes ---- */

/* What the records of a pipeline look like behind its last stage; NULL: no pipeline, or its
 * check found a mistake. */
const evla_schema *job_pipeline_schema(const job *j);
/* The file of a job of type "dataset", which is one; NULL: another type, or its check found
 * a mistake. */
const char *job_dataset_path(const job *j);

/* ---- job_model.c: what other job types and the host need ---- */

/* Hands a declared job of type "model" or "checkpoint" its graphs, which the host has
 * built. Borrowed: they must live as long as the job. */
void job_model_give(job *j, model *m);
/* The graphs of a job that makes a model, before it has run; NULL: known only afterwards. A
 * trained model has the graphs of the model that was trained. */
model *job_model_graphs(const job *j);
/* 1 when the check of that job found a mistake, which has been told. */
int job_model_failed(const job *j);
/* 1 when its weights are those of a file. */
int job_model_is_given(const job *j);
/* The graphs behind the result of any job that makes a model, as far as they are known
 * before it has run: its own, or those of the model it starts from. v: a job's result. */
const model *job_model_behind(const evla_value *v);
/* Extents for the symbols of a graph: what `given` says (a list of job_symbol, all of
 * them), then what the model's own job says, then the smallest a rule names or 1 when
 * `preset`. */
typedef struct job_symbol {
    const char *name;
    int64_t extent;
} job_symbol;
extern const evla_param job_symbol_fields[2];
int32_t job_model_symbols(ctx *cx, const job *j, const graph *g, const evla_list *given,
                          int preset, symbols *out);

/* ---- job_checkpoint.c ---- */

/* The tokenizer.json that a job of type "checkpoint" names; NULL: none. */
const char *job_checkpoint_tokenizer(const job *j);
/* The weights that it is to round when it reads them. */
const weights_format *job_checkpoint_formats(const job *j, int64_t *n);

/* ---- train.c ---- */

/* The job of type "model" whose graphs a trained model has; any other job is its own. */
const job *job_train_root(const job *j);

/* ---- job_apply.c ---- */

/* The extents (a list of job_symbol) with which a job of type "apply" runs that graph of
 * what `maker` makes; NULL: it does not. */
const evla_list *job_apply_symbols(const job *j, const job *maker, const char *graph_name);

#endif
