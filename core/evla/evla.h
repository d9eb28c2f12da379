/*
 * evla/evla.h -- the engine inside another program: load plugins, open a saved model, run it.
 *
 * Everything is reached through an engine; two engines in one process share nothing. What can fail
 * returns 0 or a negative EVLA_E_*, and evla_why(engine) then gives the sentence. An engine, and all
 * that was made from it, belongs to one thread at a time; use several engines for several threads.
 * Delete every line that starts with '#' and the rest is accepted by LuaJIT's ffi.cdef (after
 * abi.h).
 */
#ifndef EVLA_EVLA_H
#define EVLA_EVLA_H
#include "abi.h"

typedef struct evla_engine evla_engine;
typedef struct evla_model evla_model;
typedef struct evla_session evla_session;

/* ---- engines ------------------------------------------------------------------------------ */

typedef struct evla_engine_options {
    uint32_t size;
    int32_t log_level;          /* EVLA_LOG_*; lines above it are dropped */
    const char *const *plugins; /* files and folders, ends in NULL; NULL: none */
    const char *kernels;        /* only kernels of these plugins, "evla.ops"; NULL: $EVLA_KERNEL or any */
    void (*log)(void *to, int32_t level, const char *line); /* NULL: standard error */
    void *log_to;
    const char *machine;        /* to plan for, "portable"; NULL: $EVLA_MACHINE or the best there is */
} evla_engine_options;

/* Also when this fails *out is an engine (unless memory is out), good for evla_why and
 * evla_engine_free only. o may be NULL. */
int32_t evla_engine_new(const evla_engine_options *o, evla_engine **out);
void evla_engine_free(evla_engine *e); /* after all that was made from it */
/* The sentence of the last failed call; "" when none failed. Valid until the next call. */
const char *evla_why(const evla_engine *e);
/* "0.1.0" */
const char *evla_version(void);
/* Plugins by number, NULL behind the last; items sorted by kind and name. */
const evla_plugin *evla_engine_plugin(const evla_engine *e, int32_t i);
const evla_item *evla_engine_item(const evla_engine *e, int32_t i);
/* The id of a number format and the way back; EVLA_NONE and NULL when there is none. */
int32_t evla_dtype_id(const evla_engine *e, const char *name);
const char *evla_dtype_text(const evla_engine *e, int32_t dtype);

/* ---- models ------------------------------------------------------------------------------- */

/* What a symbol of a graph stands for. */
typedef struct evla_symbol {
    const char *name;
    int64_t extent;
} evla_symbol;

/* Opens a .evla file; its weights are mapped, not read. */
int32_t evla_model_open(evla_engine *e, const char *path, evla_model **out);
void evla_model_close(evla_model *m); /* sessions keep what they need */
/* Names by number, NULL behind the last. */
const char *evla_model_graph(const evla_model *m, int32_t i);
const char *evla_model_input(const evla_model *m, const char *graph, int32_t i);
const char *evla_model_output(const evla_model *m, const char *graph, int32_t i);

/* ---- sessions ----------------------------------------------------------------------------- */

typedef struct evla_session_options {
    uint32_t size;
    int32_t n_workers;          /* 0: 1 */
    uint64_t budget_bytes;      /* for arena and states; 0: no limit */
    const evla_symbol *symbols; /* extents of the graph's symbols */
    const char *without;        /* rewrites to leave out: "fuse fold dead"; NULL: none */
    int32_t n_symbols;
    int32_t profile;            /* 1: keep times for evla_session_report */
} evla_session_options;

/* Plans one graph and makes it ready to run; after this a run allocates nothing. */
int32_t evla_session_new(evla_model *m, const char *graph, const evla_session_options *o,
                         evla_session **out);
void evla_session_free(evla_session *s);
/* Views of the session's memory: write inputs, run, read outputs. */
int32_t evla_session_input(evla_session *s, const char *name, evla_tensor *out);
int32_t evla_session_output(evla_session *s, const char *name, evla_tensor *out);
/* The same with a copy of exactly `bytes`. */
int32_t evla_session_set(evla_session *s, const char *name, const void *data, uint64_t bytes);
int32_t evla_session_get(evla_session *s, const char *name, void *data, uint64_t bytes);
int32_t evla_session_run(evla_session *s);
/* States back to their first values. */
int32_t evla_session_reset(evla_session *s);
/* The states, to and from a file. */
int32_t evla_session_save(evla_session *s, const char *path);
int32_t evla_session_load(evla_session *s, const char *path);
/* Arena and states, in bytes. */
uint64_t evla_session_bytes(const evla_session *s);
/* A table for people: node, kernel, time. Valid until the next call. */
const char *evla_session_report(evla_session *s);

/* ---- one operator ------------------------------------------------------------------------- */

/* Runs one operator on dense tensors. params is a JSON object or NULL. An input whose data[0] is
 * NULL is absent. Outputs with data[0] NULL get their type filled in and nothing is run, so that
 * the caller can ask for sizes first; otherwise their types must be right. */
int32_t evla_op_run(evla_engine *e, const char *op, const char *params, const evla_tensor *in,
                    int32_t n_in, evla_tensor *out, int32_t n_out);

#endif
