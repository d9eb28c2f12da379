/*
 * session.h -- runs plans: owns the arena, the states and a set of workers.
 *
 * A session belongs to one thread. After session_open a run allocates nothing, takes no
 * lock and, with one worker, makes no system call; with more, only those of pool.h. Outputs
 * are the same bits for any number of workers.
 */
#ifndef EVLA_RUN_SESSION_H
#define EVLA_RUN_SESSION_H
#include "../graph/plan.h"
#include "profile.h"

typedef struct session session;
typedef struct snapshot snapshot;

typedef struct session_options {
    int32_t n_workers; /* 0: 1; at most what every plan was made for */
    int profile;       /* 1: count time per step */
    uint64_t budget;   /* bytes for arenas and states together; 0: no limit */
    int one_at_a_time; /* 1: all arenas in one place: running a plan, or writing its inputs,
                          leaves rubbish in the inputs and outputs of the others */
} session_options;

/* Plans of one model; graphs that name the same state share it. Weights must have their
 * data. Keeps the plans. States start with their init. */
int32_t session_open(ctx *cx, plan *const *plans, int32_t n_plans, const session_options *o,
                     session **out);
void session_close(session *s);
/* Runs plan i to the end. After a failure the states it had begun to write are invalid, and
 * runs that read them are refused until they are restored or reset. */
int32_t session_run(ctx *cx, session *s, int32_t i);

/* Views of the arena, valid until the session closes. Inputs keep what was written between
 * runs (unless the plan consumes them); an output holds until the next run. NULL: nobody
 * reads it. */
evla_tensor *session_input(session *s, int32_t i, int32_t slot);
const evla_tensor *session_output(const session *s, int32_t i, int32_t slot);
/* Copies; bytes must be the exact size. */
int32_t session_set(ctx *cx, session *s, int32_t i, const char *name, const void *data,
                    size_t bytes);
int32_t session_get(ctx *cx, const session *s, int32_t i, const char *name, void *data,
                    size_t bytes);
/* Another tensor of the same type in a weight's slot, for this session; borrowed. NULL: the
 * model's own again. */
int32_t session_swap_weight(ctx *cx, session *s, const char *name, const evla_type *type,
                            const void *data);

/* ---- states ---- */

/* NULL when the model has no such state in these plans. is_valid may be NULL. */
evla_tensor *session_state(session *s, const char *name, int *is_valid);
int32_t session_reset(ctx *cx, session *s); /* all states to their init, valid */
/* All states count as valid as they are: for callers who know what a failed run wrote. */
void session_accept(session *s);
int32_t session_snapshot(ctx *cx, const session *s, snapshot **out);
int32_t session_restore(ctx *cx, session *s, const snapshot *from);
void snapshot_free(snapshot *p);
/* A second session over the same plans, with copies of the states and workers of its own.
 */
int32_t session_fork(ctx *cx, const session *s, session **out);
/* States by name and type, in one file, written under a temporary name and renamed. */
int32_t session_save(ctx *cx, const session *s, const char *path);
int32_t session_load(ctx *cx, session *s, const char *path);

/* ---- figures ---- */

/* What a session over these plans will hold, known before it is opened; tables: what it
 * needs to find things. */
typedef struct session_needs {
    uint64_t arenas, states, tables;
} session_needs;
session_needs session_size(const registry *reg, plan *const *plans, int32_t n_plans);
/* What it holds: never more than that, with one worker. */
uint64_t session_held(const session *s);

profile *session_profile(session *s, int32_t i); /* NULL unless asked for */
uint64_t session_bytes(const session *s);        /* arenas and states */
int32_t session_workers(const session *s);

#endif
