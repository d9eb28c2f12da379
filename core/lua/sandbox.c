/*
 * sandbox.c -- which files a script may touch, and Lua's library without what leads around
 * that.
 *
 * Reading is confined to the script's folder, the engine's scripts, the paths that the user
 * gave for the script's options and the output folder; writing to the output folder. A path
 * that stands in the script grants nothing. Symbolic links are resolved before judging.
 */
#include "script.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- paths ---- */

/* Resolves links; of a path that does not exist yet, those of the part that does. */
static int resolve(const char *path, char out[PATH_MAX])
{
    char head[PATH_MAX];
    if (realpath(path, out)) return 1;
    if (errno != ENOENT || strlen(path) >= sizeof head) return 0;
    struct stat st;
    if (lstat(path, &st) == 0) return 0; /* a link to nowhere */
    strcpy(head, path);
    for (size_t n = strlen(head); n > 1 && head[n - 1] == '/'; n--)
        head[n - 1] = 0;
    char *slash = strrchr(head, '/');
    if (!slash || !strcmp(slash + 1, "..") || !strcmp(slash + 1, ".")) return 0;
    *slash = 0;
    if (!resolve(*head ? head : "/", out)) return 0;
    size_t n = strlen(out);
    return snprintf(out + n, PATH_MAX - n, "/%s", slash + 1) < (int)(PATH_MAX - n);
}

int32_t sandbox_allow(script *s, const char *path, int may_write)
{
    char full[PATH_MAX];
    if (!resolve(path, full)) return 0; /* what cannot be reached needs no permission */
    if (s->n_roots == (int32_t)(sizeof s->roots / sizeof *s->roots))
        return ctx_fail(s->cx, EVLA_E_LIMIT, "more than %d data paths", s->n_roots);
    char *kept = arena_copy(&s->cx->mem, full);
    if (!kept) return ctx_fail(s->cx, EVLA_E_NOMEM, "data paths");
    s->roots[s->n_roots++] = (sandbox_root){kept, may_write};
    return 0;
}

static int is_inside(const char *path, const char *root)
{
    size_t n = strlen(root);
    return !strncmp(path, root, n) && (path[n] == '/' || !path[n] || !strcmp(root, "/"));
}

const char *sandbox_path(lua_State *L, script *s, const char *path, int is_write)
{
    char full[PATH_MAX];
    const char *from = script_path(s, path), *kept;
    if (!resolve(from, full))
        script_error(L, s, "%s: %s", path,
                     errno == EACCES ? strerror(errno)
                     : errno         ? "there is no such file or folder"
                                     : "want a file's path");
    int allowed = s->setup.is_trusted, readable = 0;
    for (int32_t i = 0; i < s->n_roots; i++) {
        if (!is_inside(full, s->roots[i].path)) continue;
        readable = 1;
        if (!is_write || s->roots[i].may_write) allowed = 1;
    }
    if (!allowed && is_write)
        script_error(L, s,
                     "%s: scripts write below the output folder only, which is evla.out; "
                     "--trust lifts this",
                     path);
    if (!allowed || (is_write && !readable && !s->setup.is_trusted))
        script_error(
            L, s,
            "%s: it lies outside the script's folder and the declared data paths; "
            "declare a path with evla.options and give it on the command line, or run "
            "with --trust",
            path);
    if (!(kept = arena_copy(&s->cx->mem, full))) script_error(L, s, "out of memory");
    return kept;
}

/* ---- io ---- */

static int l_io_open(lua_State *L)
{
    script *s = script_of(L);
    const char *path = luaL_checkstring(L, 1), *mode = luaL_optstring(L, 2, "r");
    lua_settop(L, 2);
    int is_write = mode[0] != 'r' || strchr(mode, '+') != NULL;
    path = sandbox_path(L, s, path, is_write);
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        lua_pushnil(L);
        lua_pushfstring(L, "%s: want a file, found a %s", path,
                        S_ISDIR(st.st_mode) ? "folder" : "device");
        return 2;
    }
    char *slash = strrchr(path, '/');
    if (is_write && slash > path) { /* evla.out need not exist yet */
        *slash = 0;
        folder_make(s->cx, path);
        ctx_clear(s->cx);
        *slash = '/';
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushstring(L, path);
    lua_pushstring(L, mode);
    lua_call(L, 2, LUA_MULTRET);
    return lua_gettop(L) - 2;
}

static int l_io_lines(lua_State *L)
{
    script *s = script_of(L);
    const char *path = sandbox_path(L, s, luaL_checkstring(L, 1), 0);
    lua_pushstring(L, path);
    lua_replace(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* ---- chunks ---- */

static int l_load(lua_State *L)
{
    int n = lua_gettop(L);
    lua_settop(L, n < 2 ? 2 : n);
    if (n < 4) lua_settop(L, n < 3 ? 2 : 3);
    /* load(chunk, name, "t" [, env]), whatever mode was asked for */
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_pushliteral(L, "t");
    if (n >= 4) lua_pushvalue(L, 4);
    lua_call(L, n >= 4 ? 4 : 3, 2);
    if (lua_isnil(L, -2)) return 2;
    lua_pop(L, 1);
    return 1;
}

/* How messages name a file: short, below the script's folder when it is. */
static const char *shown_name(script *s, const char *full)
{
    size_t n = strlen(s->folder), k = strlen(s->setup.scripts);
    const char *p = full;
    if (!strncmp(full, s->folder, n) && full[n] == '/')
        p = arena_text(&s->cx->mem, "%s%s", s->display, full + n + 1);
    else if (!strncmp(full, s->setup.scripts, k) && full[k] == '/')
        p = full + k + 1;
    const char *slash;
    while (p && strlen(p) > 50 && (slash = strchr(p + 1, '/')))
        p = slash + 1;
    return p ? p : full;
}

static int l_loadfile(lua_State *L)
{
    script *s = script_of(L);
    const char *path = sandbox_path(L, s, luaL_checkstring(L, 1), 0);
    int has_env = !lua_isnone(L, 3);
    script_load_text(L, s, path, shown_name(s, path));
    if (has_env) {
        lua_pushvalue(L, 3);
        if (!lua_setupvalue(L, -2, 1)) lua_pop(L, 1);
    }
    return 1;
}

static int l_dofile(lua_State *L)
{
    lua_settop(L, 1);
    l_loadfile(L);
    lua_call(L, 0, LUA_MULTRET);
    return lua_gettop(L) - 1;
}

static const char *module_file(script *s, const char *folder, const char *name)
{
    char part[256];
    snprintf(part, sizeof part, "%s", name);
    for (char *p = part; *p; p++)
        if (*p == '.') *p = '/';
    for (int i = 0; i < 2; i++) {
        char path[PATH_MAX];
        int n = i ? snprintf(path, sizeof path, "%s/%s/init.lua", folder, part)
                  : snprintf(path, sizeof path, "%s/%s.lua", folder, part);
        if (n < (int)sizeof path && access(path, F_OK) == 0)
            return arena_copy(&s->cx->mem, path);
    }
    return NULL;
}

/* require "shapes": shapes.lua or shapes/init.lua beside the script, then in the engine's
 * scripts; "evla" and "evla.*" are the engine's only. */
static int l_require(lua_State *L)
{
    script *s = script_of(L);
    const char *name = luaL_checkstring(L, 1);
    size_t n =
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");
    lua_settop(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (lua_getfield(L, 2, name) != LUA_TNIL) return 1;
    lua_pop(L, 1);
    if (!*name || name[n] || strstr(name, "..") || strlen(name) > 200 || name[0] == '.')
        script_error(L, s,
                     "require: want a name such as \"shapes\" or \"lib.shapes\", got "
                     "\"%.60s\"",
                     name);
    int own = !strcmp(name, "evla") || !strncmp(name, "evla.", 5);
    const char *path = own ? NULL : module_file(s, s->folder, name);
    if (!path) path = module_file(s, s->setup.scripts, name);
    if (!path)
        script_error(
            L, s,
            "require: no module is called \"%s\": there is no %s.lua beside the script "
            "(%s) nor among the engine's",
            name, name, s->folder);
    path = sandbox_path(L, s, path, 0);
    script_load_text(L, s, path, shown_name(s, path));
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, 2, name);
    return 1;
}

/* ---- what may not be caught ---- */

/* pcall and its kin let two errors through: the memory cap, and Ctrl-C or the deadline. */
static int pass_on(lua_State *L, int status, lua_KContext base)
{
    script *s = script_of(L);
    (void)status;
    if (atomic_load(&deadline_interrupted)) return luaL_error(L, "interrupted");
    const char *why = lua_gettop(L) > base && lua_isboolean(L, (int)base + 1) &&
                              !lua_toboolean(L, (int)base + 1)
                          ? lua_tostring(L, (int)base + 2)
                          : NULL;
    if (why && !strcmp(why, "not enough memory")) {
        s->out_of_memory = 1;
        return luaL_error(L, "not enough memory");
    }
    return lua_gettop(L) - (int)base;
}

static int l_guarded(lua_State *L)
{
    int n = lua_gettop(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_callk(L, n, LUA_MULTRET, 0, pass_on);
    return pass_on(L, LUA_OK, 0);
}

static void guard(lua_State *L, const char *table, const char *name)
{
    if (table)
        lua_getglobal(L, table);
    else
        lua_pushglobaltable(L);
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, l_guarded, 1);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

/* ---- print ---- */

static int l_print(lua_State *L)
{
    FILE *to = script_of(L)->setup.is_quiet ? stderr : stdout;
    int n = lua_gettop(L);
    for (int i = 1; i <= n; i++) {
        size_t size;
        const char *text = luaL_tolstring(L, i, &size);
        if (i > 1) fputc('\t', to);
        fwrite(text, 1, size, to);
        lua_pop(L, 1);
    }
    fputc('\n', to);
    return 0;
}

/* ---- putting it in ---- */

/* Replaces a global table by one with the named fields only. */
static void keep_only(lua_State *L, const char *table, const char *const *names)
{
    lua_getglobal(L, table);
    lua_newtable(L);
    for (; *names; names++) {
        lua_getfield(L, -2, *names);
        lua_setfield(L, -2, *names);
    }
    lua_pushvalue(L, -1);
    lua_setglobal(L, table);
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_insert(L, -2);
    lua_setfield(L, -2, table);
    lua_pop(L, 2);
}

static void wrap(lua_State *L, const char *table, const char *name, lua_CFunction f)
{
    lua_getglobal(L, table);
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, f, 1);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

void sandbox_open(lua_State *L, script *s)
{
    static const char *const io[] = {"open",  "lines",  "read",  "write",  "type",
                                     "close", "stdout", "stdin", "stderr", NULL};
    static const char *const os[] = {"clock", "date", "difftime", "time", NULL};
    (void)s;
    keep_only(L, "io", io);
    keep_only(L, "os", os);
    wrap(L, "io", "open", l_io_open);
    wrap(L, "io", "lines", l_io_lines);
    guard(L, NULL, "pcall");
    guard(L, NULL, "xpcall");
    guard(L, "coroutine", "resume");
    guard(L, "coroutine", "close");
    lua_getglobal(L, "load");
    lua_pushcclosure(L, l_load, 1);
    lua_setglobal(L, "load");
    lua_register(L, "loadfile", l_loadfile);
    lua_register(L, "dofile", l_dofile);
    lua_register(L, "require", l_require);
    lua_register(L, "print", l_print);
    lua_getglobal(L, "string");
    lua_pushnil(L);
    lua_setfield(L, -2, "dump");
    lua_newtable(L); /* package: what is loaded, for the curious */
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_setfield(L, -2, "loaded");
    lua_setglobal(L, "package");
    lua_settop(L, 0);
}
