/*
 * bind_format.c -- model files of other tools in Lua: evla.tensors "FILE".
 *
 * t.names, t.attrs, t.format, t["blk.0.w"]: a tensor in place; #t: how many.
 */
#include "../data/format.h"
#include "../registry.h"
#include "script.h"
#include <string.h>

typedef struct archive {
    format_file f;
    int is_open;
} archive;

static archive *archive_at(lua_State *L) { return luaL_checkudata(L, 1, "evla.archive"); }

static int l_gc(lua_State *L)
{
    archive *a = archive_at(L);
    if (a->is_open) format_close(&a->f);
    a->is_open = 0;
    return 0;
}

static int l_index(lua_State *L)
{
    const archive *a = archive_at(L);
    const char *name = luaL_checkstring(L, 2);
    const evla_field *f = format_find(&a->f, name);
    if (f)
        bind_push_tensor(L, 1, &f->value);
    else if (!strcmp(name, "attrs"))
        bind_push_attrs(L, 1, a->f.holds.attrs, a->f.holds.n_attrs);
    else if (!strcmp(name, "format"))
        lua_pushstring(L, a->f.item->name);
    else if (!strcmp(name, "names")) {
        lua_createtable(L, (int)a->f.holds.n_tensors, 0);
        for (int64_t i = 0; i < a->f.holds.n_tensors; i++) {
            lua_pushstring(L, a->f.sorted[i]->name);
            lua_rawseti(L, -2, i + 1);
        }
    } else
        lua_pushnil(L);
    return 1;
}

static int l_len(lua_State *L)
{
    lua_pushinteger(L, archive_at(L)->f.holds.n_tensors);
    return 1;
}

static int l_text(lua_State *L)
{
    const archive *a = archive_at(L);
    lua_pushfstring(L, "%s file of %I tensors", a->f.item->name,
                    (LUAI_UACINT)a->f.holds.n_tensors);
    return 1;
}

/* evla.tensors(path) -> archive; nil when the file is of no format that is loaded. */
static int l_tensors(lua_State *L)
{
    script *s = script_of(L);
    const char *path = sandbox_path(L, s, luaL_checkstring(L, 1), 0);
    const evla_item *item;
    archive *a = lua_newuserdatauv(L, sizeof *a, 0);
    a->is_open = 0;
    luaL_setmetatable(L, "evla.archive");
    ctx_clear(s->cx);
    if (format_probe(s->cx, path, &item) < 0) return script_throw(L, s);
    if (!item) return lua_pushnil(L), 1;
    script_pause(s);
    int32_t st = format_open(s->cx, item, path, &a->f);
    script_go_on(s);
    if (st < 0) return script_throw(L, s);
    a->is_open = 1;
    return 1;
}

void bind_format_open(lua_State *L, script *s)
{
    static const luaL_Reg slots[] = {{"__index", l_index},
                                     {"__len", l_len},
                                     {"__tostring", l_text},
                                     {"__gc", l_gc},
                                     {NULL, NULL}};
    (void)s;
    luaL_newmetatable(L, "evla.archive");
    luaL_setfuncs(L, slots, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "evla.core");
    lua_pushcfunction(L, l_tensors);
    lua_setfield(L, -2, "tensors");
    lua_settop(L, 0);
}
