/*
 * verbs.h -- the command line's verbs: what main.c found out, and one function each.
 *
 * A verb gets the words behind its name, prints to stdout what was asked for and to stderr
 * what went wrong, and returns the exit code.
 */
#ifndef EVLA_LUA_VERBS_H
#define EVLA_LUA_VERBS_H
#include "script.h"

// clang-format off
enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,  /* a job failed */
    EXIT_WRONG = 2,   /* the script or its parameters are wrong */
    EXIT_REFUSED = 3, /* a plugin or file was refused */
    EXIT_STOPPED = 130
};
// clang-format on

typedef struct call {
    ctx *cx;
    registry *reg;
    script_setup setup;  /* scripts folder, out folder, workers, the script's own options */
    const char *file;    /* first plain word after the verb, or NULL */
    const char *word[8]; /* the plain words after that */
    int32_t n_words;
    const char *program; /* path of this executable */
    const char *plugins; /* the folder of plugins that were loaded */
    const char *only;    /* --only JOB */
    const char *refused; /* doctor: the sentence about a plugin that was refused, or NULL */
    int is_json, is_quiet, is_verbose;
} call;

/* The exit code for a failed status, and its sentence on stderr ("evla: ..."). */
int call_fail(call *c);

/* verb_run.c */
int verb_run(call *c);
int verb_check(call *c);
/* verb_engine.c: one Lua script each under scripts/evla/ */
int verb_plugins(call *c);
int verb_inspect(call *c);
int verb_golden(call *c);
int verb_new(call *c);
int verb_pack(call *c);
int verb_doctor(call *c);
/* verb_graph.c */
int verb_ops(call *c);
int verb_show(call *c);
/* repl.c */
int verb_repl(call *c);

#endif
