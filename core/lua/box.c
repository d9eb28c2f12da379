/*
 * box.c -- objects in a script's hand. See box.h.
 */
#include "box.h"
#include <string.h>

void box_class(lua_State *L, const char *type, const luaL_Reg *methods,
               const luaL_Reg *slots, const char *name, lua_CFunction make)
{
    luaL_newmetatable(L, type);
    luaL_setfuncs(L, slots, 0);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "evla.core");
    lua_pushcfunction(L, make);
    lua_setfield(L, -2, name);
    lua_settop(L, 0);
}

void *box_push(lua_State *L, script *s, const char *type, size_t size, int n_values)
{
    box *b = lua_newuserdatauv(L, size, n_values);
    memset(b, 0, size);
    luaL_setmetatable(L, type);
    ctx_init_child(&b->cx, s->cx);
    b->has_ctx = 1;
    return b;
}

void box_throw(lua_State *L, script *s, const box *b)
{
    script_error(L, s, "%s", b->cx.why);
}

void box_free(box *b)
{
    if (b->has_ctx) ctx_free(&b->cx);
    b->has_ctx = 0;
}
