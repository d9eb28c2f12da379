/*
 * script.c -- the Lua host: a state with a cap on memory, chunks of text, a program to
 * declare.
 *
 * See script.h. Files are sandbox.c's matter, time is deadline.c's, what scripts can say is
 * bind*.c's.
 */
#include "script.h"
#include "../mem.h"
#include "bind_tokens.h"
#include <limits.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HOOK_EVERY = 10000 };

script *script_of(lua_State *L) { return *(script **)lua_getextraspace(L); }

static void *alloc(void *to, void *old, size_t old_size, size_t size)
{
    script *s = to;
    if (!old) old_size = 0; /* Lua says what kind of object it makes */
    if (!size) {
        mem_free(old);
        s->used -= old_size;
        return NULL;
    }
    if (size > old_size && s->setup.memory && s->used + (size - old_size) > s->setup.memory)
        return NULL;
    void *p = mem_grow(old, size);
    if (p) s->used += size - old_size;
    return p;
}

/* ---- errors ---- */

int script_throw(lua_State *L, script *s)
{
    lua_pushstring(L, *s->cx->why ? s->cx->why : "out of memory");
    ctx_clear(s->cx);
    lua_error(L);
    abort();
}

/* The nearest Lua line that is not the engine's own. */
static int user_line(lua_State *L, lua_Debug *ar)
{
    lua_Debug own;
    int found = 0;
    for (int level = 0; lua_getstack(L, level, ar); level++) {
        if (!lua_getinfo(L, "Sl", ar) || ar->currentline <= 0) continue;
        if (strncmp(ar->source, "@evla/", 6) != 0) return 1;
        if (!found) own = *ar, found = 1;
    }
    if (found) *ar = own;
    return found;
}

const char *script_where(lua_State *L, script *s)
{
    lua_Debug ar;
    const char *at = NULL;
    if (user_line(L, &ar))
        at = arena_text(&s->cx->mem, "%s:%d",
                        *ar.source == '@' ? ar.source + 1 : ar.short_src, ar.currentline);
    return at ? at : s->prog ? s->prog->name : "script";
}

int script_error(lua_State *L, script *s, const char *format, ...)
{
    char text[900];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    lua_pushfstring(L, "%s: %s", script_where(L, s), text);
    lua_error(L);
    abort();
}

/* What Lua says about a missing function, when it is one that scripts do not have. */
static const char *absent(const char *why)
{
    static const char *const names[] = {"execute", "popen",  "loadlib", "cpath", "debug",
                                        "exit",    "remove", "rename",  "getenv"};
    char field[64];
    const char *at = strstr(why, "attempt to call a nil value (");
    if (!at) at = strstr(why, "attempt to index a nil value (");
    if (!at || !(at = strchr(at, '\'')) || sscanf(at, "'%63[^']'", field) != 1) return NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], field))
            return "; scripts declare, so they have no functions that run programs, load "
                   "libraries or leave";
    return NULL;
}

/* Turns what was thrown into the ctx's sentence. */
static int32_t keep_error(script *s, int status)
{
    lua_State *L = s->L;
    const char *why = lua_tostring(L, -1);
    ctx_clear(s->cx);
    if (status == LUA_ERRMEM || s->out_of_memory) {
        s->out_of_memory = 0;
        ctx_fail(
            s->cx, EVLA_E_LIMIT,
            "%s: it needs more than %llu MiB while declaring, which is the cap; declare "
            "less, or raise the cap with --memory",
            s->prog->name, (unsigned long long)(s->setup.memory >> 20));
    } else if (!why)
        ctx_fail(s->cx, EVLA_E_ARG, "%s: the script threw a %s instead of a sentence",
                 s->prog->name, luaL_typename(L, -1));
    else {
        const char *more = absent(why);
        ctx_fail(s->cx, EVLA_E_ARG, "%s%s", why, more ? more : "");
    }
    lua_settop(L, 0);
    return s->cx->code;
}

int32_t script_call(script *s, int n_args, int n_results)
{
    deadline_start(s, s->prog->name);
    int status = lua_pcall(s->L, n_args, n_results, 0);
    deadline_stop();
    return status == LUA_OK ? 0 : keep_error(s, status);
}

void script_pause(script *s)
{
    (void)s;
    deadline_pause(1);
}

void script_go_on(script *s)
{
    (void)s;
    deadline_pause(-1);
}

/* ---- text ---- */

const char *script_path(script *s, const char *path)
{
    if (path[0] == '/') return path;
    const char *p = arena_text(&s->cx->mem, "%s/%s", s->folder, path);
    return p ? p : path;
}

void script_load_text(lua_State *L, script *s, const char *path, const char *shown)
{
    ctx *cx = s->cx;
    char *text;
    size_t n;
    arena_place mark = arena_mark(&cx->scratch);
    ctx_clear(cx);
    if (file_read(cx, &cx->scratch, path, SCRIPT_TEXT, &text, &n) < 0) {
        ctx_prefix(cx, "%s", script_where(L, s));
        arena_reset(&cx->scratch, mark);
        script_throw(L, s);
    }
    sha256_update(&s->sources, shown, strlen(shown) + 1);
    sha256_update(&s->sources, text, n);
    size_t skip = 0; /* a first line for the shell */
    if (n && text[0] == '#')
        while (skip < n && text[skip] != '\n')
            skip++;
    const char *chunk = arena_text(&cx->scratch, "@%s", shown);
    int status = luaL_loadbufferx(L, text + skip, n - skip, chunk ? chunk : shown, "t");
    arena_reset(&cx->scratch, mark);
    if (status != LUA_OK) lua_error(L);
}

/* ---- opening ---- */

static int panic(lua_State *L)
{
    fprintf(stderr, "evla: a mistake of ours: Lua outside a protected call: %s\n",
            lua_tostring(L, -1) ? lua_tostring(L, -1) : "?");
    return 0;
}

/* Tables whose text is part of the language; the rest of Lua's library is put in by
 * sandbox.c. */
static int open_all(lua_State *L)
{
    static const luaL_Reg libs[] = {
        {LUA_GNAME, luaopen_base},        {LUA_TABLIBNAME, luaopen_table},
        {LUA_STRLIBNAME, luaopen_string}, {LUA_MATHLIBNAME, luaopen_math},
        {LUA_UTF8LIBNAME, luaopen_utf8},  {LUA_COLIBNAME, luaopen_coroutine},
        {LUA_IOLIBNAME, luaopen_io},      {LUA_OSLIBNAME, luaopen_os}};
    script *s = script_of(L);
    for (size_t i = 0; i < sizeof libs / sizeof *libs; i++) {
        luaL_requiref(L, libs[i].name, libs[i].func, 1);
        lua_pop(L, 1);
    }
    sandbox_open(L, s);
    bind_open(L, s);
    bind_job_open(L, s);
    bind_option_open(L, s);
    bind_graph_open(L, s);
    bind_record_open(L, s);
    bind_attr_open(L);
    bind_drive_open(L, s);
    bind_text_open(L, s);
    bind_tokens_open(L);
    bind_seed_open(L, s);
    bind_format_open(L, s);
    bind_picture_open(L, s);
    bind_pixels_open(L, s);
    bind_engine_open(L, s);
    /* the same numbers in every run */
    lua_getglobal(L, "math");
    lua_getfield(L, -1, "randomseed");
    lua_pushinteger(L, 1);
    lua_call(L, 1, 0);
    return 0;
}

/* "out/coffee" from "pipelines/coffee.lua": the file's name without its ending. */
static const char *program_name(ctx *cx, const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    size_t n = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    char *name = arena_copy_n(&cx->mem, base, n);
    for (char *p = name; p && *p; p++)
        if (strchr(" \t\n\"'\\", *p)) *p = '_';
    return name;
}

script *script_open(ctx *cx, const char *path, const script_setup *setup)
{
    char full[PATH_MAX];
    script *s = arena_push(&cx->mem, 1, sizeof *s);
    if (!s) return ctx_fail(cx, EVLA_E_NOMEM, "script"), NULL;
    s->cx = cx;
    s->setup = *setup;
    sha256_init(&s->sources);
    const char *slash = path ? strrchr(path, '/') : NULL;
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    s->display = arena_copy_n(&cx->mem, path ? path : "", n);
    if (!s->display || !realpath(n ? s->display : ".", full))
        return ctx_fail(cx, EVLA_E_MISSING, "%s: there is no such file", path ? path : "."),
               NULL;
    s->folder = arena_copy(&cx->mem, full);
    const char *name = setup->name ? setup->name : program_name(cx, path ? path : "repl");
    if (s->folder && name) s->prog = program_new(cx, name, setup->out);
    if (!s->prog) return ctx_fail(cx, EVLA_E_NOMEM, "script"), NULL;
    s->prog->workers = setup->workers;
    s->L = lua_newstate(alloc, s);
    if (!s->L) return ctx_fail(cx, EVLA_E_NOMEM, "script"), NULL;
    *(script **)lua_getextraspace(s->L) = s;
    lua_atpanic(s->L, panic);
    lua_sethook(s->L, deadline_hook, LUA_MASKCOUNT, HOOK_EVERY);
    if (sandbox_allow(s, s->folder, 0) < 0 || sandbox_allow(s, setup->scripts, 0) < 0 ||
        sandbox_allow(s, s->prog->out, 1) < 0)
        return NULL;
    lua_pushcfunction(s->L, open_all);
    int status = lua_pcall(s->L, 0, 0, 0);
    if (status != LUA_OK) return keep_error(s, status), NULL;
    return s;
}

static int load_file(lua_State *L)
{
    script *s = script_of(L);
    const char *path = lua_touserdata(L, 1);
    char full[PATH_MAX];
    lua_settop(L, 0);
    if (!realpath(path, full)) return luaL_error(L, "%s: there is no such file", path);
    /* chunk names are cut at 60 characters, so a long path is shown by its end */
    const char *shown = path, *slash;
    while (strlen(shown) > 50 && (slash = strchr(shown + 1, '/')))
        shown = slash + 1;
    script_load_text(L, s, full, shown);
    return 1;
}

static void finish_sources(script *s)
{
    char hex[65];
    sha256 copy = s->sources;
    sha256_final_hex(&copy, hex);
    s->prog->sources = arena_copy(&s->cx->mem, hex);
}

int32_t script_load(script *s, const char *path)
{
    lua_State *L = s->L;
    ctx_clear(s->cx);
    lua_settop(L, 0);
    lua_pushcfunction(L, load_file);
    lua_pushlightuserdata(L, (void *)path);
    int32_t st = script_call(s, 1, 1);
    if (st < 0) return st;
    st = script_call(s, 0, 1);
    if (s->help_shown) return ctx_clear(s->cx), 0;
    if (st < 0) return st;
    for (int32_t i = 0; !s->has_options && i < s->setup.n_options; i++)
        return ctx_fail(
            s->cx, EVLA_E_ARG,
            "%s: it declares no options, so it has no --%s; evla run --help lists "
            "the engine's own",
            path, s->setup.options[i].name);
    finish_sources(s);
    return bind_collect(s, 1, path);
}

static int load_engine(lua_State *L)
{
    script *s = script_of(L);
    const char *name = lua_touserdata(L, 1);
    const char *path = arena_text(&s->cx->mem, "%s/evla/%s.lua", s->setup.scripts, name),
               *shown = arena_text(&s->cx->mem, "evla/%s.lua", name);
    lua_settop(L, 0);
    if (!path || !shown) return luaL_error(L, "out of memory");
    script_load_text(L, s, path, shown);
    return 1;
}

int32_t script_engine(script *s, const char *name, int n_args, int n_results)
{
    lua_State *L = s->L;
    script_setup before = s->setup;
    lua_pushcfunction(L, load_engine);
    lua_pushlightuserdata(L, (void *)name);
    int status = lua_pcall(L, 1, 1, 0);
    s->setup.is_trusted = 1;
    s->setup.memory = 0;
    if (status == LUA_OK) {
        lua_insert(L, -1 - n_args);
        status = lua_pcall(L, n_args, n_results, 0);
    }
    s->setup = before;
    return status == LUA_OK ? 0 : keep_error(s, status);
}

void script_close(script *s)
{
    if (!s) return;
    deadline_start(s, s->prog->name);
    if (s->L) lua_close(s->L);
    deadline_stop();
    program_free(s->prog);
}
