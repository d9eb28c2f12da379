/*
 * bind_seed.c -- evla.seed { model, path, seed, format, attrs }: a file of weights with
 * seeded first values, for the engine's own scripts (evla new weights).
 *
 * format(name, extents) says how a weight is written; attrs are texts, numbers, true or
 * false, and lists of one of these.
 */
#include "../data/format.h"
#include "../graph/infer.h"
#include "../graph/seed.h"
#include "../job/types.h"
#include "script.h"
#include <stdlib.h>
#include <string.h>

/* ---- attributes ---- */

static void *push(lua_State *L, script *s, lua_Integer n, size_t size)
{
    void *p = arena_push_aligned(&s->cx->mem, (size_t)n + 1, size, 16);
    if (!p) script_error(L, s, "seed: out of memory");
    return p;
}

/* A list on top of the stack: texts, whole numbers or reals, by its first entry. */
static void read_list(lua_State *L, script *s, evla_attr *a)
{
    int at = lua_gettop(L);
    lua_Integer n = (lua_Integer)lua_rawlen(L, at);
    lua_rawgeti(L, at, 1);
    int is_text = lua_type(L, -1) == LUA_TSTRING, is_whole = lua_isinteger(L, -1);
    lua_pop(L, 1);
    evla_text *texts = is_text ? push(L, s, n, sizeof *texts) : NULL;
    int32_t *whole = is_whole ? push(L, s, n, sizeof *whole) : NULL;
    float *reals = texts || whole ? NULL : push(L, s, n, sizeof *reals);
    for (lua_Integer i = 0; i < n; i++) {
        lua_rawgeti(L, at, i + 1);
        if (texts) {
            size_t bytes;
            const char *text = lua_tolstring(L, -1, &bytes);
            if (!text)
                script_error(L, s, "seed: %s: entry %d is no text", a->name, (int)i + 1);
            texts[i] = (evla_text){arena_copy_n(&s->cx->mem, text, bytes), bytes};
        } else if (whole)
            whole[i] = (int32_t)lua_tointeger(L, -1);
        else
            reals[i] = (float)lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    a->type = texts ? EVLA_ATTR_TEXTS : EVLA_ATTR_NUMBERS;
    a->element = whole ? EVLA_I32 : EVLA_F32;
    a->items = texts   ? (const void *)texts
               : whole ? (const void *)whole
                       : (const void *)reals;
    a->n_items = n;
}

static void read_attr(lua_State *L, script *s, const char *name, evla_attr *a)
{
    *a = (evla_attr){.name = arena_copy(&s->cx->mem, name)};
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        a->type = EVLA_ATTR_TEXT;
        a->text = arena_copy(&s->cx->mem, lua_tostring(L, -1));
        break;
    case LUA_TNUMBER:
        a->type = lua_isinteger(L, -1) ? EVLA_ATTR_INT : EVLA_ATTR_FLOAT;
        a->integer = lua_tointeger(L, -1);
        a->number = lua_tonumber(L, -1);
        break;
    case LUA_TBOOLEAN:
        a->type = EVLA_ATTR_INT;
        a->element = EVLA_BOOL;
        a->integer = lua_toboolean(L, -1);
        break;
    case LUA_TTABLE:
        read_list(L, s, a);
        break;
    default:
        script_error(L, s, "seed: %s: want a text, a number or a list", name);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const evla_attr *)a)->name, ((const evla_attr *)b)->name);
}

static evla_attr *read_attrs(lua_State *L, script *s, int at, int32_t *n)
{
    lua_Integer count = 0;
    for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1))
        count++;
    evla_attr *attrs = push(L, s, count, sizeof *attrs);
    *n = 0;
    for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1))
        read_attr(L, s, luaL_checkstring(L, -2), &attrs[(*n)++]);
    qsort(attrs, (size_t)*n, sizeof *attrs, by_name);
    return attrs;
}

/* ---- weights ---- */

/* What the function at `at` says of each weight. */
static int32_t *read_formats(lua_State *L, script *s, int at, const model *m)
{
    int32_t *formats = push(L, s, m->n_weights, sizeof *formats);
    for (int32_t i = 0; i < m->n_weights; i++) {
        const weight_info *w = &m->weights[i];
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
    lua_getfield(L, 1, "format");
    int32_t *formats = read_formats(L, s, lua_gettop(L), m), n_attrs;
    lua_getfield(L, 1, "attrs");
    luaL_checktype(L, -1, LUA_TTABLE);
    evla_attr *attrs = read_attrs(L, s, lua_gettop(L), &n_attrs);
    script_pause(s);
    int32_t st = seed_write(s->cx, format, m, path, formats, seed, attrs, n_attrs);
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
