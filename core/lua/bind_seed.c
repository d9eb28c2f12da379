/*
 * bind_seed.c -- evla.seed { model, path, seed, format, attrs, others }: a file of weights
 * with seeded first values, for the engine's own scripts (evla new weights).
 *
 * format(name, extents) says how a weight is written. others is a list of weights that no
 * graph reads though some other program looks for them, or that stand in the file in
 * another shape: { "norm.weight", "f32[960]", "ones" }.
 */
#include "../data/format.h"
#include "../graph/infer.h"
#include "../graph/seed.h"
#include "../job/types.h"
#include "script.h"
#include <string.h>

/* ---- weights ---- */

/* The model's weights, as far as the list at `at` says nothing else, and behind them those
 * that are only there. The list may be nil. */
static weight_info *read_weights(lua_State *L, script *s, int at, const model *m,
                                 int32_t *n)
{
    lua_Integer others = lua_isnil(L, at) ? 0 : luaL_len(L, at);
    weight_info *w =
        arena_push(&s->cx->mem, (size_t)(m->n_weights + others) + 1, sizeof *w);
    if (!w) script_error(L, s, "seed: out of memory");
    for (*n = 0; *n < m->n_weights; ++*n)
        w[*n] = m->weights[*n];
    for (lua_Integer i = 1; i <= others; i++) {
        lua_geti(L, at, i);
        luaL_checktype(L, -1, LUA_TTABLE);
        const char *text[3] = {NULL};
        for (int k = 0; k < 3; k++) {
            lua_rawgeti(L, -1, k + 1);
            if (!lua_isnil(L, -1))
                text[k] = arena_copy(&s->cx->mem, luaL_checkstring(L, -1));
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
        if (!text[0] || !text[1])
            script_error(L, s, "seed: others: want { \"a.weight\", \"f32[2,3]\" }");
        int32_t slot = model_weight(m, text[0]);
        weight_info *to = slot < 0 ? &w[(*n)++] : &w[slot];
        *to = (weight_info){.name = text[0], .init = text[2]};
        if (type_parse(s->cx, text[1], &(symbols){0}, &to->type) < 0) script_throw(L, s);
    }
    return w;
}

/* What the function at `at` says of each weight. */
static int32_t *read_formats(lua_State *L, script *s, int at, const weight_info *weights,
                             int32_t n)
{
    int32_t *formats = arena_push(&s->cx->mem, (size_t)n + 1, sizeof *formats);
    if (!formats) script_error(L, s, "seed: out of memory");
    for (int32_t i = 0; i < n; i++) {
        const weight_info *w = &weights[i];
        lua_pushvalue(L, at);
        lua_pushstring(L, w->name);
        lua_createtable(L, w->type.rank, 0);
        for (int32_t k = 0; k < w->type.rank; k++) {
            lua_pushinteger(L, w->type.shape[k]);
            lua_rawseti(L, -2, k + 1);
        }
        lua_call(L, 2, 1);
        const char *name = luaL_checkstring(L, -1);
        formats[i] = dtype_find(s->cx->reg, name, strlen(name));
        if (formats[i] == EVLA_NONE)
            script_error(L, s, "seed: no number format is called \"%s\"", name);
        lua_pop(L, 1);
    }
    return formats;
}

static int32_t type_weights(ctx *cx, const job *j, const model *m)
{
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < m->n_graphs; i++) {
        arena mem = arena_growing(64 << 10);
        symbols extents;
        bound *b;
        st = job_model_symbols(cx, j, m->graphs[i], NULL, 1, &extents);
        if (st >= 0) st = infer_bind(cx, &mem, m->graphs[i], &extents, NULL, &b);
        arena_free(&mem);
    }
    return st;
}

static int l_seed(lua_State *L)
{
    script *s = script_of(L);
    const evla_item *format;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "model");
    const job *j = bind_job_at(L, -1);
    const model *m = j ? job_model_graphs(j) : NULL;
    if (!m) script_error(L, s, "seed: model: want a job of type model");
    lua_getfield(L, 1, "path");
    const char *path = sandbox_path(L, s, luaL_checkstring(L, -1), 1);
    lua_getfield(L, 1, "seed");
    uint64_t seed = (uint64_t)luaL_checkinteger(L, -1);
    ctx_clear(s->cx);
    if (format_writer(s->cx, path, &format) < 0 || type_weights(s->cx, j, m) < 0)
        script_throw(L, s);
    int32_t n, n_attrs;
    lua_getfield(L, 1, "others");
    weight_info *weights = read_weights(L, s, lua_gettop(L), m, &n);
    lua_getfield(L, 1, "format");
    int32_t *formats = read_formats(L, s, lua_gettop(L), weights, n);
    lua_getfield(L, 1, "attrs");
    luaL_checktype(L, -1, LUA_TTABLE);
    evla_attr *attrs = bind_read_attrs(L, s, lua_gettop(L), &n_attrs);
    script_pause(s);
    int32_t st = seed_write(s->cx, format, weights, n, path, formats, seed, attrs, n_attrs);
    script_go_on(s);
    return st < 0 ? script_throw(L, s) : 0;
}

void bind_seed_open(lua_State *L, script *s)
{
    (void)s;
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "evla.core");
    lua_pushcfunction(L, l_seed);
    lua_setfield(L, -2, "seed");
    lua_settop(L, 0);
}
