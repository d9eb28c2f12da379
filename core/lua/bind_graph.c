/*
 * bind_graph.c -- model files in Lua: named graphs built through g:input, g.linear { ... } and kin.
 */
#include "script.h"

void bind_graph_open(lua_State *L, script *s)
{
    (void)L, (void)s;
}
