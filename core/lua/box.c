/*
 * box.c -- objects in a script's hand. See box.h.
 */
#include "box.h"
#include <string.h>

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
