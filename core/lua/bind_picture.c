/*
 * bind_picture.c -- pictures of a saved model for reports: evla.arenas "policy.evla".
 */
#include "../graph/plan.h"
#include "../graph/save.h"
#include "../graph/show.h"
#include "../job/types.h"
#include "script.h"

static void set_number(lua_State *L, const char *name, double v)
{
    lua_pushnumber(L, v);
    lua_setfield(L, -2, name);
}

/* One graph at its smallest extents as a table on the stack; nothing when it cannot be
 * planned on this machine, which is no reason to have no report. */
static int push_arena(lua_State *L, script *s, const graph *g)
{
    ctx *cx = s->cx;
    symbols at;
    plan *p = NULL;
    arena mem = arena_growing(64 << 10);
    const char *text = NULL;
    int32_t st = job_model_symbols(cx, NULL, g, NULL, 1, &at);
    if (st >= 0) st = plan_make(cx, g, &at, NULL, &p);
    if (st >= 0) text = show_arena(cx, &mem, p, g->name);
    if (text) {
        lua_createtable(L, 0, 5);
        lua_pushstring(L, g->name);
        lua_setfield(L, -2, "graph");
        lua_pushstring(L, text);
        lua_setfield(L, -2, "svg");
        set_number(L, "nodes", p->n_steps);
        set_number(L, "arena_bytes", (double)p->arena_bytes);
        set_number(L, "lower_bound_bytes", (double)p->lower_bound);
    }
    arena_free(&mem);
    if (p) plan_drop(p);
    ctx_clear(cx);
    return text != NULL;
}

/* evla.arenas(path) -> { { graph, nodes, arena_bytes, lower_bound_bytes, svg }, ... } */
static int l_arenas(lua_State *L)
{
    script *s = script_of(L);
    const char *path = sandbox_path(L, s, luaL_checkstring(L, 1), 0);
    model *m = NULL;
    ctx_clear(s->cx);
    script_pause(s);
    int32_t st = save_open(s->cx, path, &m);
    lua_newtable(L);
    for (int32_t i = 0, n = 0; st >= 0 && i < m->n_graphs; i++)
        if (push_arena(L, s, m->graphs[i])) lua_rawseti(L, -2, ++n);
    if (m) model_drop(m);
    script_go_on(s);
    return st < 0 ? script_throw(L, s) : 1;
}

void bind_picture_open(lua_State *L, script *s)
{
    (void)s;
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "evla.core");
    lua_pushcfunction(L, l_arenas);
    lua_setfield(L, -2, "arenas");
    lua_settop(L, 0);
}
