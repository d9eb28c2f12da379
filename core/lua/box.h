/*
 * box.h -- an object in a script's hand: a userdata that begins with a ctx of its own, so
 * that its sentences and its memory last as long as it does.
 */
#ifndef EVLA_LUA_BOX_H
#define EVLA_LUA_BOX_H
#include "script.h"

typedef struct box {
    ctx cx;
    int has_ctx; /* 0 once freed: Lua may collect an object that was never filled */
} box;

/* What such an object can do, and evla.NAME, which makes one. `type` names its metatable.
 */
void box_class(lua_State *L, const char *type, const luaL_Reg *methods,
               const luaL_Reg *slots, const char *name, lua_CFunction make);
/* Pushes a zeroed userdata of `size` bytes, which begins with its box, and with room for
 * n_values user values. `type` names its metatable. */
void *box_push(lua_State *L, script *s, const char *type, size_t size, int n_values);
/* Throws the box's own sentence. */
_Noreturn void box_throw(lua_State *L, script *s, const box *b);
/* May be called twice. */
void box_free(box *b);

#endif
