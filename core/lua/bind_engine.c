/*
 * bind_engine.c -- what scripts of the engine see of the engine: its plugins and their
 * items.
 */
#include "../registry.h"
#include "script.h"
#include <errno.h>
#include <string.h>

static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

/* plugins() -> { { id, version, license, path, items = { { kind, name, doc, params }... }
 * }... } */
static int l_plugins(lua_State *L)
{
    script *s = script_of(L);
    const registry *reg = s->cx->reg;
    lua_createtable(L, reg->n_plugins, 0);
    for (int32_t i = 0; i < reg->n_plugins; i++) {
        const plugin *p = &reg->plugins[i];
        lua_createtable(L, 0, 5);
        set_text(L, "id", p->table->id);
        set_text(L, "version", p->table->version);
        set_text(L, "license", p->table->license);
        set_text(L, "path", p->path);
        lua_createtable(L, (int)p->table->n_items, 0);
        for (uint32_t k = 0; k < p->table->n_items; k++) {
            const evla_item *it = &p->table->items[k];
            lua_createtable(L, 0, 4);
            set_text(L, "kind", kind_short(&s->cx->mem, it->kind));
            set_text(L, "name", it->name);
            set_text(L, "doc", it->doc);
            bind_push_params(L, s, it->params, (int32_t)it->n_params);
            lua_setfield(L, -2, "params");
            lua_rawseti(L, -2, k + 1);
        }
        lua_setfield(L, -2, "items");
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* write_file(path, text): whole or not at all. */
static int l_write_file(lua_State *L)
{
    script *s = script_of(L);
    size_t n;
    const char *path = sandbox_path(L, s, luaL_checkstring(L, 1), 1);
    const char *text = luaL_checklstring(L, 2, &n);
    ctx_clear(s->cx);
    return file_replace(s->cx, path, text, n) < 0 ? script_throw(L, s) : 0;
}

static int l_make_folder(lua_State *L)
{
    script *s = script_of(L);
    const char *path = sandbox_path(L, s, luaL_checkstring(L, 1), 1);
    ctx_clear(s->cx);
    return folder_make(s->cx, path) < 0 ? script_throw(L, s) : 0;
}

/* file_hash(path): SHA-256 of what a file holds, in hex. */
static int l_file_hash(lua_State *L)
{
    script *s = script_of(L);
    const char *path = sandbox_path(L, s, luaL_checkstring(L, 1), 0);
    char hex[65];
    script_pause(s);
    int32_t st = sha256_file(path, hex);
    script_go_on(s);
    if (st < 0) script_error(L, s, "%s: %s", path, strerror(errno));
    lua_pushstring(L, hex);
    return 1;
}

void bind_engine_open(lua_State *L, script *s)
{
    (void)s;
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "evla.core");
    lua_pushcfunction(L, l_plugins);
    lua_setfield(L, -2, "plugins");
    lua_pushcfunction(L, l_write_file);
    lua_setfield(L, -2, "write_file");
    lua_pushcfunction(L, l_make_folder);
    lua_setfield(L, -2, "make_folder");
    lua_pushcfunction(L, l_file_hash);
    lua_setfield(L, -2, "file_hash");
    lua_settop(L, 0);
}
