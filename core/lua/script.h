/*
 * script.h -- the Lua host: one state that declares one program, with the memory, the time
 * and the files it may use.
 *
 * A binding finds its script with script_of(L). Lua errors jump over C frames, so bindings
 * hold nothing that needs freeing while they touch Lua; what they make lives in the ctx's
 * arena.
 */
#ifndef EVLA_LUA_SCRIPT_H
#define EVLA_LUA_SCRIPT_H
#include "../ctx.h"
#include "../job/job.h"
#include "../job/sha256.h"
#include <lauxlib.h>
#include <lua.h>
#include <stdatomic.h>

enum { SCRIPT_MEMORY = 256 << 20, SCRIPT_SECONDS = 10, SCRIPT_TEXT = 16 << 20 };

/* A file or folder that the script may read (and write). */
typedef struct sandbox_root {
    const char *path; /* resolved, absolute */
    int may_write;
} sandbox_root;

/* One of the script's own options as the command line gave it; value NULL: none followed.
 */
typedef struct script_option {
    const char *name, *value;
} script_option;

typedef struct script_setup {
    const char *scripts; /* the engine's folder of scripts */
    const char *out;     /* the folder for outputs */
    const char *name;    /* of the program; NULL: the file's */
    const script_option *options;
    int32_t n_options;
    int32_t workers;
    uint64_t memory; /* cap while declaring; 0: none */
    double seconds;  /* deadline while declaring; 0: none */
    int is_trusted;  /* files anywhere */
    int is_repl;     /* too late: interrupt the line instead of leaving */
    int is_quiet;    /* print goes to stderr */
    int wants_help;  /* stop at evla.options */
} script_setup;

typedef struct script {
    lua_State *L;
    ctx *cx;
    program *prog;
    script_setup setup;
    const char *folder;  /* the script's, absolute; relative paths start here */
    const char *display; /* the folder as messages show it: "", "pipelines/" */
    size_t used;         /* bytes that Lua holds */
    sandbox_root roots[64];
    int32_t n_roots;
    sha256 sources;
    int has_options;
    int help_shown; /* evla.options printed the help that was asked for */
    int out_of_memory;
    int model_depth; /* > 0: a model file is running */
} script;

script *script_of(lua_State *L);
/* Everything but a file: libraries, bindings, program. NULL: ctx has the sentence. */
script *script_open(ctx *cx, const char *path, const script_setup *setup);
/* Runs the file and collects the program it returns. */
int32_t script_load(script *s, const char *path);
/* Runs one of the engine's own scripts with arguments that are on the stack already;
 * results stay there. The engine's scripts are trusted and have no deadline. */
int32_t script_engine(script *s, const char *name, int n_args, int n_results);
void script_close(script *s);

/* lua_pcall with a traceback kept out of sight, the deadline running; the sentence goes to
 * ctx. */
int32_t script_call(script *s, int n_args, int n_results);
/* Throws the ctx's sentence as it stands. */
_Noreturn int script_throw(lua_State *L, script *s);
/* Throws a sentence with "file.lua:12: " of the nearest user's line in front. */
_Noreturn __attribute__((format(printf, 3, 4))) int script_error(lua_State *L, script *s,
                                                                 const char *format, ...);
/* "file.lua:12" of the user's line that called, in the ctx's arena. */
const char *script_where(lua_State *L, script *s);
/* Joins a relative path to the script's folder; in the ctx's arena. */
const char *script_path(script *s, const char *path);
/* Loads a text chunk from a file that is part of the program; pushes the function. Throws.
 */
void script_load_text(lua_State *L, script *s, const char *path, const char *shown);
/* Work in the core that may take long: the deadline waits meanwhile. */
void script_pause(script *s);
void script_go_on(script *s);

/* ---- deadline.c ---- */
/* Ctrl-C and the deadline while a line of the REPL runs. */
extern atomic_int deadline_interrupted;
void deadline_start(script *s, const char *what);
void deadline_stop(void);
/* The hook that reports or interrupts; installed for every chunk. */
void deadline_hook(lua_State *L, lua_Debug *ar);
void deadline_pause(int n);

/* ---- sandbox.c ---- */
int32_t sandbox_allow(script *s, const char *path, int may_write);
/* Resolves a path for reading or writing; throws when it lies outside. In the ctx's arena.
 */
const char *sandbox_path(lua_State *L, script *s, const char *path, int is_write);
/* Restricted io, os, load, require, ... in place of Lua's own. */
void sandbox_open(lua_State *L, script *s);

/* ---- bind.c ---- */
/* Parameters of an object, "session", from a tree: presets where it says nothing. site:
 * what and resolve; `where` is found here. Throws what the user got wrong. */
void bind_fill(lua_State *L, script *s, param_site site, const evla_param *params,
               int32_t n_params, const value *given, void *out, size_t size);

/* ---- tree.c ---- */
/* A Lua value as a tree, in the ctx's arena. Throws on what cannot be one, naming the key.
 */
void tree_read(lua_State *L, script *s, int at, const char *what, value *out);
void tree_push(lua_State *L, script *s, const value *v);

/* ---- bind*.c ---- */
void bind_open(lua_State *L, script *s);
void bind_job_open(lua_State *L, script *s);
void bind_option_open(lua_State *L, script *s);
void bind_graph_open(lua_State *L, script *s);
void bind_record_open(lua_State *L, script *s);
void bind_attr_open(lua_State *L);
void bind_engine_open(lua_State *L, script *s);
void bind_format_open(lua_State *L, script *s);
void bind_picture_open(lua_State *L, script *s);
void bind_pixels_open(lua_State *L, script *s);
void bind_drive_open(lua_State *L, script *s);
void bind_text_open(lua_State *L, script *s);
void bind_seed_open(lua_State *L, script *s);
/* A tensor whose memory lives as long as the value at `keeper`; a table of attributes,
 * whose lists live as long. */
void bind_push_tensor(lua_State *L, int keeper, const evla_tensor *t);
const evla_tensor *bind_tensor_at(lua_State *L, int at); /* NULL: something else */
/* The data of a tensor of that type, in dense rows; NULL: something else. */
const void *bind_tensor_like(lua_State *L, int at, const evla_type *type);
void bind_push_attrs(lua_State *L, int keeper, const evla_attr *attrs, int32_t n);
/* A table's, by name; copied. */
evla_attr *bind_read_attrs(lua_State *L, script *s, int at, int32_t *n);
/* The choice or item at an index as a choice, or NULL. */
choice *bind_choice_at(lua_State *L, script *s, int at);
void bind_push_choice(lua_State *L, choice *c);
/* Makes a choice of an item from a tree; throws. */
choice *bind_choose(lua_State *L, script *s, const evla_item *item, const value *given,
                    const char *where);
job *bind_job_at(lua_State *L, int at);
job *bind_declare(lua_State *L, script *s, const job_type *t, const char *name,
                  value *given, const char *where);
void bind_push_job(lua_State *L, job *j);
/* The jobs that a script returned go into the program, with what they need. */
int32_t bind_collect(script *s, int at, const char *shown);
/* An array of parameters as a Lua list: { name, type, doc, default, ... }. */
void bind_push_params(lua_State *L, script *s, const evla_param *params, int32_t n);
/* Makes paths of input parameters absolute and sees that they exist; throws. */
void bind_input_paths(lua_State *L, script *s, const evla_param *params, int32_t n,
                      value *given, const char *what);
/* A table of option declarations as parameters with a struct to fill; throws. */
evla_param *bind_declare_params(lua_State *L, script *s, int at, const char *what,
                                int32_t *n, size_t *size);
void bind_push_filled(lua_State *L, script *s, const evla_param *params, int32_t n,
                      const void *filled);

#endif
