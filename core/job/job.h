/*
 * job.h -- jobs: what a program declares; checked together, ordered by the values they
 * pass, run once, skipped when nothing that made them has changed.
 *
 * A job's folder is <out>/<program>/<job>/. When it is done, job.json there holds its key,
 * its figures and its result. The key is a digest of its parameters, the keys of the jobs
 * it needs, the core's and the plugins' own bits, the text of every script read, and the
 * content of input files.
 */
#ifndef EVLA_JOB_H
#define EVLA_JOB_H
#include "../file.h"
#include "../param.h"
#include <stdio.h>

typedef struct job job;
typedef struct program program;
typedef struct digest digest;

/* A kind of job. The tables are constants of the core. */
typedef struct job_type {
    const char *name;   /* "pipeline" */
    const char *result; /* type of the value it makes: "episodes" */
    const char *doc;
    const evla_param *params;
    int32_t n_params;
    uint32_t params_size;
    int32_t has_graphs; /* 1: operators and kernels are part of what it makes */
    int32_t is_live;    /* 1: it talks to people, or makes nothing: it runs every time */
    /* Everything that can be known before any job has run: types, shapes, files, budgets.
     */
    int32_t (*check)(ctx *cx, job *j);
    /* Does the work in j->folder, which exists; a partial earlier run of the same key may
     * have left things there. Fills j->figures. */
    int32_t (*run)(ctx *cx, job *j);
} job_type;

typedef enum job_state { JOB_WAITING, JOB_SKIPPED, JOB_DONE, JOB_FAILED } job_state;

struct job {
    program *in;
    const job_type *type;
    const char *name;
    const char *where; /* "coffee.lua:12" */
    value given;       /* parameters as declared */
    void *params;      /* the same, filled */
    job **needs;
    int32_t n_needs;
    job_state state;
    char key[65];
    const char *folder; /* absolute */
    evla_value result;  /* what other jobs see; path is set before the first check */
    value figures;      /* VALUE_TABLE for summary.json */
    double seconds;
    void *checked; /* what check leaves for run */
};

/* Progress of the job that runs, for a terminal or a log. done of total; total 0: not
 * known. */
typedef void job_progress(void *to, const job *j, int64_t done, int64_t total,
                          const char *text);

/* Text, as it comes, of a job that writes some: n bytes, whole characters. */
typedef void job_hear(void *to, const job *j, const char *text, size_t n);

struct program {
    ctx *cx;
    const char *name; /* "coffee" */
    const char *out;  /* absolute: <out>/<name> */
    job **jobs;       /* in order of declaration */
    int32_t n_jobs, cap_jobs;
    const char *sources; /* digest of every script text read */
    value options;       /* what evla.options declared and the command line gave */
    job_progress *progress;
    void *progress_to;
    job_hear *hear; /* text that a job writes as it comes; NULL: nobody listens */
    void *hear_to;
    int32_t workers; /* 0: one per processor */
    digest *digests; /* of files, while a check goes on */
};

program *program_new(ctx *cx, const char *name, const char *out);
void program_free(program *p);

const job_type *job_type_find(const char *name);
const job_type *const *job_types(int32_t *n);
/* Declares a job and checks its parameters. given is copied. NULL: ctx has the sentence. */
job *job_declare(program *p, const char *type, const char *name, const value *given,
                 const char *where);
/* Orders jobs (a cycle is refused by naming it), computes keys, checks every job; all
 * mistakes are collected: one sentence per line in *report (NULL when there is none). */
int32_t program_check(program *p, const char **report);
/* Runs what is not up to date. `only` names one job and what it needs; NULL: all. */
int32_t program_run(program *p, const char *only);
/* {"program":..., "jobs":[{name,type,state,key,seconds,seed,figures}]} for summary and
 * --json. seed: the parameter of that name, of the job or of an item it chose. */
const char *program_summary(program *p, arena *a);

/* ---- for job types ---- */

/* The job that a value refers to, or that a job's parameter does; NULL when there is none.
 */
job *job_behind(const value *v);
/* The job whose result a value is; NULL: it is a file's. */
job *job_of(const evla_value *v);
/* param_site.resolve where values are jobs. */
const evla_value *job_resolve(void *to, const value *v);
job *job_given(const job *j, const char *parameter);
/* Threads for a job: what it was given, else what its program says, else one per processor;
 * at most `most`. */
int32_t job_workers(const job *j, int64_t given, int32_t most);
void job_report_progress(job *j, int64_t done, int64_t total, const char *text);
/* Adds a figure; the name is copied. */
int32_t job_figure(job *j, const char *name, value v);

/* The stages that belong to the core (rollout). */
extern const evla_plugin job_builtin;

#endif
