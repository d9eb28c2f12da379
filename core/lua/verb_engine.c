/*
 * verb_engine.c -- evla plugins, inspect, pack, golden, new, doctor: one script of the
 * engine each, given what only C can find out.
 *
 * The scripts (scripts/evla/NAME.lua) get one table `call` and return the exit code. Not
 * here: what is printed.
 */
#include "../graph/model.h"
#include "../graph/save.h"
#include "../registry.h"
#include "../tensor.h"
#include "verbs.h"
#include <dirent.h>
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Sets a field of the table on top. */
static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, double v)
{
    lua_pushnumber(L, v);
    lua_setfield(L, -2, name);
}

/* ---- what scripts ask the system ---- */

/* exists(path) -> "file", "folder", "other" or nil */
static int l_exists(lua_State *L)
{
    struct stat st;
    if (stat(luaL_checkstring(L, 1), &st) < 0) return 0;
    lua_pushstring(L, S_ISREG(st.st_mode)   ? "file"
                      : S_ISDIR(st.st_mode) ? "folder"
                                            : "other");
    return 1;
}

/* library(name) -> true when the loader finds it */
static int l_library(lua_State *L)
{
    void *h = dlopen(luaL_checkstring(L, 1), RTLD_LAZY | RTLD_LOCAL);
    lua_pushboolean(L, h != NULL);
    if (h) dlclose(h);
    return 1;
}

/* disk(path) -> free bytes, all bytes */
static int l_disk(lua_State *L)
{
    struct statvfs st;
    if (statvfs(luaL_checkstring(L, 1), &st) < 0) return 0;
    lua_pushnumber(L, (double)st.f_bavail * (double)st.f_frsize);
    lua_pushnumber(L, (double)st.f_blocks * (double)st.f_frsize);
    return 2;
}

/* machine() -> { kernel, arch, libc, processors, realtime, planned, features } */
static int l_machine(lua_State *L)
{
    struct utsname u;
    struct sched_param one = {.sched_priority = 1}, zero = {0};
    lua_createtable(L, 0, 7);
    if (uname(&u) == 0) {
        lua_pushfstring(L, "%s %s", u.sysname, u.release);
        lua_setfield(L, -2, "kernel");
        set_text(L, "arch", u.machine);
    }
    lua_pushfstring(L, "glibc %s", gnu_get_libc_version());
    lua_setfield(L, -2, "libc");
    set_number(L, "processors", (double)sysconf(_SC_NPROCESSORS_ONLN));
    int may = sched_setscheduler(0, SCHED_FIFO, &one) == 0;
    if (may) sched_setscheduler(0, SCHED_OTHER, &zero);
    lua_pushboolean(L, may);
    lua_setfield(L, -2, "realtime");
    const registry *reg = script_of(L)->cx->reg;
    set_text(L, "planned", reg->machine.name);
    set_text(L, "features", reg->machine.features);
    return 1;
}

static int l_folder_names(lua_State *L)
{
    DIR *d = opendir(luaL_checkstring(L, 1));
    if (!d) return 0;
    lua_newtable(L);
    lua_Integer n = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        lua_pushstring(L, e->d_name);
        lua_rawseti(L, -2, ++n);
    }
    closedir(d);
    return 1;
}

/* ---- models ---- */

typedef struct held {
    model *m;
} held;

static int l_model_drop(lua_State *L)
{
    held *h = luaL_checkudata(L, 1, "evla.held model");
    if (h->m) model_drop(h->m);
    h->m = NULL;
    return 0;
}

static void push_graph(lua_State *L, const graph *g)
{
    lua_createtable(L, 0, 5);
    set_text(L, "name", g->name);
    lua_createtable(L, g->n_inputs, 0);
    for (int32_t i = 0; i < g->n_inputs; i++) {
        const wire *w = &g->wires[g->inputs[i]];
        lua_createtable(L, 0, 2);
        set_text(L, "name", w->name);
        set_text(L, "type", w->type);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "inputs");
    lua_createtable(L, g->n_outputs, 0);
    for (int32_t i = 0; i < g->n_outputs; i++) {
        lua_pushstring(L, g->outputs[i].name);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "outputs");
    lua_createtable(L, g->n_nodes, 0);
    for (int32_t i = 0; i < g->n_nodes; i++) {
        lua_pushstring(L, g->nodes[i].op ? g->nodes[i].op->name : "?");
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "ops");
}

/* model(path) -> { name, graphs, weights, states }; throws the loader's sentence. */
static int l_model(lua_State *L)
{
    script *s = script_of(L);
    const char *path = luaL_checkstring(L, 1);
    held *h = lua_newuserdatauv(L, sizeof *h, 0);
    h->m = NULL;
    if (luaL_newmetatable(L, "evla.held model")) {
        lua_pushcfunction(L, l_model_drop);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    ctx_clear(s->cx);
    if (save_open(s->cx, path, &h->m) < 0) return script_throw(L, s);
    const model *m = h->m;
    lua_createtable(L, 0, 4);
    set_text(L, "name", m->name);
    lua_createtable(L, m->n_graphs, 0);
    for (int32_t i = 0; i < m->n_graphs; i++) {
        push_graph(L, m->graphs[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "graphs");
    lua_createtable(L, m->n_weights, 0);
    for (int32_t i = 0; i < m->n_weights; i++) {
        const weight_info *w = &m->weights[i];
        arena_place mark = arena_mark(&s->cx->scratch);
        lua_createtable(L, 0, 3);
        set_text(L, "name", w->name);
        set_text(L, "type",
                 w->type.rank >= 0 ? type_text(s->cx->reg, &s->cx->scratch, &w->type)
                                   : w->type_text);
        set_number(L, "bytes",
                   w->type.rank >= 0 ? (double)type_bytes(s->cx->reg, &w->type) : 0);
        lua_rawseti(L, -2, i + 1);
        arena_reset(&s->cx->scratch, mark);
    }
    lua_setfield(L, -2, "weights");
    lua_createtable(L, m->n_states, 0);
    for (int32_t i = 0; i < m->n_states; i++) {
        lua_createtable(L, 0, 2);
        set_text(L, "name", m->states[i].name);
        set_text(L, "type", m->states[i].type);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "states");
    return 1;
}

/* ---- verbs ---- */

static int push_call(lua_State *L)
{
    static const luaL_Reg functions[] = {{"exists", l_exists}, {"library", l_library},
                                         {"disk", l_disk},     {"machine", l_machine},
                                         {"model", l_model},   {"names", l_folder_names},
                                         {NULL, NULL}};
    const call *c = lua_touserdata(L, 1);
    char path[PATH_MAX];
    lua_settop(L, 0);
    luaL_newlib(L, functions);
    set_text(L, "file", c->file);
    set_text(L, "program", c->program);
    set_text(L, "plugins", realpath(c->plugins, path) ? path : c->plugins);
    set_text(L, "scripts", realpath(c->setup.scripts, path) ? path : c->setup.scripts);
    set_text(L, "out", c->setup.out);
    set_text(L, "refused", c->refused);
    set_text(L, "here", getcwd(path, sizeof path) ? path : ".");
    lua_createtable(L, c->n_words, 0);
    for (int32_t i = 0; i < c->n_words; i++) {
        lua_pushstring(L, c->word[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "words");
    lua_createtable(L, 0, c->setup.n_options);
    for (int32_t i = 0; i < c->setup.n_options; i++) {
        const script_option *o = &c->setup.options[i];
        if (o->value)
            lua_pushstring(L, o->value);
        else
            lua_pushboolean(L, 1);
        lua_setfield(L, -2, o->name);
    }
    lua_setfield(L, -2, "options");
    lua_pushboolean(L, c->is_json);
    lua_setfield(L, -2, "json");
    lua_pushboolean(L, c->is_quiet);
    lua_setfield(L, -2, "quiet");
    lua_pushboolean(L, c->is_verbose);
    lua_setfield(L, -2, "verbose");
    const char *no = getenv("NO_COLOR");
    lua_pushboolean(L, isatty(STDOUT_FILENO) && !(no && *no));
    lua_setfield(L, -2, "colour");
    return 1;
}

/* Runs a script of the engine on the call; its result is the exit code. */
static int by_script(call *c, const char *name)
{
    script_setup setup = c->setup;
    setup.memory = 0;
    setup.seconds = 0;
    setup.is_quiet = 0; /* what they print is what was asked for, JSON or not */
    setup.is_trusted = 1;
    script *s = script_open(c->cx, NULL, &setup);
    if (!s) return call_fail(c);
    lua_State *L = s->L;
    lua_pushcfunction(L, push_call);
    lua_pushlightuserdata(L, c);
    int code = EXIT_DONE;
    if (script_call(s, 1, 1) < 0 || script_engine(s, name, 1, 1) < 0)
        code = call_fail(c);
    else if (lua_isinteger(L, -1))
        code = (int)lua_tointeger(L, -1);
    script_close(s);
    return code;
}

int verb_plugins(call *c) { return by_script(c, "plugins"); }

int verb_inspect(call *c) { return by_script(c, "inspect"); }

int verb_pack(call *c) { return by_script(c, "pack"); }

int verb_golden(call *c) { return by_script(c, "golden"); }

int verb_new(call *c) { return by_script(c, "new"); }

int verb_doctor(call *c) { return by_script(c, "doctor"); }
