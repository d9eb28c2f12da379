/*
 * train.h -- the parts of the job type "train": what it is told (train.c), the steps
 * (train_run.c), and what is kept on disk (train_keep.c).
 */
#ifndef EVLA_JOB_TRAIN_H
#define EVLA_JOB_TRAIN_H
#include "../run/learn.h"
#include "rows.h"
#include "types.h"

typedef enum train_schedule { TRAIN_CONSTANT, TRAIN_COSINE } train_schedule;
typedef enum train_stats { STATS_AUTO, STATS_DATA, STATS_KEEP } train_stats;

typedef struct train_params {
    const evla_value *model, *init; /* init: NULL when not given */
    const char *graph, *mask, *valid;
    evla_list data;    /* const evla_value * */
    evla_list freeze;  /* const char * */
    evla_list symbols; /* job_symbol */
    int64_t valid_every, valid_rows, steps, batch, accumulate, warmup, seed;
    int64_t checkpoint, checkpoint_steps, workers, memory, cache;
    double lr, final, weight_decay, clip, beta1, beta2, eps;
    int32_t schedule, statistics, recompute, reserved;
} train_params;

/* Of the step, 1 to steps: linear up to lr over `warmup` steps, then constant or half a
 * cosine down to final * lr at the last one (Loshchilov and Hutter 2017, without restarts).
 */
double train_lr(const train_params *p, int64_t step);

/* ---- train.c ---- */

/* The training plans for a graph of `m`, which is the declared model or the same one from
 * its file. */
int32_t train_plans(ctx *cx, const job *j, model *m, grad **out);
/* The inputs of the plans that rows feed; at most ROWS_MOST_INPUTS. */
int32_t train_inputs(ctx *cx, const job *j, const grad *g, rows_input *in, int32_t *n);
int32_t train_workers(const job *j);
/* 1 when statistics come with the weights that training starts from. */
int train_keeps_statistics(const job *j);
rows_options train_rows_options(const job *j, int is_valid);
/* "mean:obs/x" is 'm', "std:obs/x" is 's', with the field behind; else 0. */
char train_statistic(const weight_info *w, const char **field);

/* ---- train_run.c ---- */

int32_t train_run(ctx *cx, job *j);

/* ---- train_keep.c: what survives a kill ---- */

typedef struct train_valid {
    double step, loss;
} train_valid;

/* What has happened so far; room for all of it is taken before the first step. */
typedef struct train_log {
    int64_t n;          /* steps done */
    float *loss, *norm; /* by step */
    train_valid *valid;
    int64_t n_valid, most_valid;
    double seconds; /* of all runs together */
} train_log;

/* States, log and place in one file; the old one is there until the new one is complete. */
int32_t train_save(ctx *cx, const job *j, const grad *g, session *s, const train_log *log);
/* 1: goes on from a checkpoint, 0: there is none that fits. */
int32_t train_load(ctx *cx, const job *j, const grad *g, session *s, train_log *log);
/* curve.json for reports: means over equal windows. */
int32_t train_curve(ctx *cx, const job *j, const train_log *log);

#endif
