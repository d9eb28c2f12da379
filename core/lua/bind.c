/*
 * bind.c -- what a script sees of the registry: one table per kind, one constructor per
 * item, choices with checked parameters.
 *
 * evla.stage.rollout { episodes = 8 } is: kind table, item, call. Parameters are checked at
 * once, so that the sentence names the user's line.
 */
#include "../near.h"
#include "../registry.h"
#include "script.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- choices ---- */

void bind_push_choice(lua_State *L, choice *c)
{
    *(choice **)lua_newuserdatauv(L, sizeof c, 0) = c;
    luaL_setmetatable(L, "evla.choice");
}

choice *bind_choice_at(lua_State *L, script *s, int at)
{
    choice **c = luaL_testudata(L, at, "evla.choice");
    if (c) return *c;
    const evla_item **item = luaL_testudata(L, at, "evla.item");
    /* an item that nobody called: with its presets */
    return item
               ? bind_choose(L, s, *item, &(value){.kind = VALUE_TABLE}, script_where(L, s))
               : NULL;
}

void bind_fill(lua_State *L, script *s, param_site site, const evla_param *params,
               int32_t n_params, const value *given, void *out, size_t size)
{
    site.where = script_where(L, s);
    ctx_clear(s->cx);
    if (param_fill(s->cx, &s->cx->mem, &site, params, n_params, given, out, size) < 0)
        script_throw(L, s);
}

static const char *item_name(script *s, const evla_item *item)
{
    const char *name =
        arena_text(&s->cx->mem, "%s.%s", kind_short(&s->cx->mem, item->kind), item->name);
    return name ? name : item->name;
}

choice *bind_choose(lua_State *L, script *s, const evla_item *item, const value *given,
                    const char *where)
{
    ctx *cx = s->cx;
    choice *c = arena_push(&cx->mem, 1, sizeof *c);
    if (!c) script_error(L, s, "out of memory");
    c->given = *given;
    c->where = where;
    bind_input_paths(L, s, item->params, (int32_t)item->n_params, &c->given,
                     item_name(s, item));
    param_site site = {.where = where,
                       .what = item_name(s, item),
                       .resolve = job_resolve,
                       .lenient = !strcmp(item->kind, EVLA_OP)};
    ctx_clear(cx);
    c->item.item = item;
    if (param_fill_item(cx, &cx->mem, &site, item, &c->given, &c->item.params) < 0)
        script_throw(L, s);
    return c;
}

/* Paths inside structs, which a script may have put together from what it read, are the
 * script's to read, or nobody's. */
static void nested_paths(lua_State *L, script *s, const evla_param *p, value *v)
{
    if (!v || v->kind == VALUE_NIL) return;
    if (p->type == EVLA_P_PATH && p->flags & EVLA_PF_INPUT && v->kind == VALUE_TEXT)
        v->as.text = sandbox_path(L, s, script_path(s, v->as.text), 0);
    if (v->kind != VALUE_TABLE) return;
    for (int32_t i = 0; p->type == EVLA_P_STRUCTS && i < v->n_items; i++)
        nested_paths(L, s, p, &v->as.items[i]);
    for (uint32_t k = 0; k < p->n_fields; k++)
        nested_paths(L, s, &p->fields[k], (value *)value_get(v, p->fields[k].name));
}

void bind_input_paths(lua_State *L, script *s, const evla_param *params, int32_t n,
                      value *given, const char *what)
{
    for (int32_t i = 0; given->kind == VALUE_TABLE && i < given->n_pairs; i++) {
        value_pair *pair = &given->pairs[i];
        int32_t k = 0;
        while (k < n && strcmp(params[k].name, pair->name) != 0)
            k++;
        if (k == n) continue;
        if (params[k].n_fields) nested_paths(L, s, &params[k], &pair->v);
        if (params[k].type != EVLA_P_PATH || !(params[k].flags & EVLA_PF_INPUT) ||
            pair->v.kind != VALUE_TEXT)
            continue;
        const char *path = script_path(s, pair->v.as.text);
        if (access(path, R_OK) < 0)
            script_error(L, s, "%s: %s: there is no file \"%s\" that can be read", what,
                         pair->name, path);
        pair->v.as.text = path;
    }
}

/* choice.rate: what the user wrote; choice.item and choice.kind: their names. */
static int l_choice_index(lua_State *L)
{
    script *s = script_of(L);
    choice *c = *(choice **)luaL_checkudata(L, 1, "evla.choice");
    const char *name = luaL_checkstring(L, 2);
    if (!strcmp(name, "item"))
        lua_pushstring(L, c->item.item->name);
    else if (!strcmp(name, "kind"))
        lua_pushstring(L, kind_short(&s->cx->mem, c->item.item->kind));
    else if (!strcmp(name, "where"))
        lua_pushstring(L, c->where);
    else if (!strcmp(name, "params"))
        bind_push_filled(L, s, c->item.item->params, (int32_t)c->item.item->n_params,
                         c->item.params);
    else {
        bind_push_filled(L, s, c->item.item->params, (int32_t)c->item.item->n_params,
                         c->item.params);
        lua_getfield(L, -1, name);
    }
    return 1;
}

static const char *ref_text(arena *a, const char *ref_type, const void *ref)
{
    if (!strcmp(ref_type, "job"))
        return arena_text(a, "job \"%s\"", ((const job *)ref)->name);
    if (strcmp(ref_type, "choice") != 0) return ref_type;
    const choice *c = ref;
    const char *given = value_print(a, &c->given, ref_text);
    return arena_text(a, "%s.%s %s", kind_short(a, c->item.item->kind), c->item.item->name,
                      given ? given : "");
}

static int l_choice_text(lua_State *L)
{
    script *s = script_of(L);
    choice *c = *(choice **)luaL_checkudata(L, 1, "evla.choice");
    arena_place mark = arena_mark(&s->cx->scratch);
    const char *text = ref_text(&s->cx->scratch, "choice", c);
    lua_pushstring(L, text ? text : c->item.item->name);
    arena_reset(&s->cx->scratch, mark);
    return 1;
}

/* ---- items ---- */

static int l_item_call(lua_State *L)
{
    script *s = script_of(L);
    const evla_item *item = *(const evla_item **)luaL_checkudata(L, 1, "evla.item");
    const char *where = script_where(L, s);
    value given = {.kind = VALUE_TABLE};
    if (!lua_isnoneornil(L, 2)) {
        if (!lua_istable(L, 2))
            script_error(L, s, "%s: want a table of parameters, got %s; write %s { ... }",
                         item_name(s, item), luaL_typename(L, 2), item_name(s, item));
        tree_read(L, s, 2, item_name(s, item), &given);
    }
    bind_push_choice(L, bind_choose(L, s, item, &given, where));
    return 1;
}

static int l_item_text(lua_State *L)
{
    script *s = script_of(L);
    const evla_item *item = *(const evla_item **)luaL_checkudata(L, 1, "evla.item");
    lua_pushfstring(L, "%s: %s", item_name(s, item), item->doc ? item->doc : "");
    return 1;
}

/* ---- kinds ---- */

/* The table of a kind holds its items; what it does not hold is refused with the nearest
 * name. */
static int l_kind_index(lua_State *L)
{
    script *s = script_of(L);
    const char *kind = lua_tostring(L, lua_upvalueindex(1));
    const char *name = luaL_tolstring(L, 2, NULL);
    const char *brief = kind_short(&s->cx->mem, kind);
    int32_t n;
    const evla_item *const *all = registry_kind(s->cx->reg, kind, &n);
    const char **names = arena_push(&s->cx->mem, (size_t)n + 1, sizeof *names);
    for (int32_t i = 0; names && i < n; i++)
        names[i] = all[i]->name;
    const char *near = names ? near_miss(name, names, n) : NULL;
    if (near)
        script_error(L, s, "evla.%s: no %s is called \"%.60s\"; did you mean \"%s\"?",
                     brief, brief, name, near);
    if (!n)
        script_error(
            L, s,
            "evla.%s: no %s is called \"%.60s\", since no loaded plugin brings any; evla "
            "doctor says what is missing",
            brief, brief, name);
    script_error(L, s,
                 "evla.%s: no %s is called \"%.60s\"; evla plugins lists what there is",
                 brief, brief, name);
}

static void add_kind(lua_State *L, script *s, const char *kind)
{
    int32_t n;
    const evla_item *const *all = registry_kind(s->cx->reg, kind, &n);
    lua_newtable(L);
    for (int32_t i = 0; i < n; i++) {
        *(const evla_item **)lua_newuserdatauv(L, sizeof *all, 0) = all[i];
        luaL_setmetatable(L, "evla.item");
        lua_setfield(L, -2, all[i]->name);
    }
    lua_createtable(L, 0, 3);
    lua_pushstring(L, kind);
    lua_pushcclosure(L, l_kind_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "evla.kind");
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, kind_short(&s->cx->mem, kind));
}

/* ---- looking into things, for help and completion ---- */

void bind_push_params(lua_State *L, script *s, const evla_param *params, int32_t n)
{
    lua_createtable(L, n, 0);
    for (int32_t i = 0; i < n; i++) {
        const evla_param *p = &params[i];
        lua_createtable(L, 0, 6);
        lua_pushstring(L, p->name);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, p->doc);
        lua_setfield(L, -2, "doc");
        lua_pushstring(L, param_type_text(&s->cx->mem, p));
        lua_setfield(L, -2, "type");
        if (p->preset) lua_pushstring(L, p->preset), lua_setfield(L, -2, "default");
        if (p->type == EVLA_P_ENUM)
            lua_pushstring(L, p->choices), lua_setfield(L, -2, "choices");
        if (p->type == EVLA_P_ITEM ||
            (p->type == EVLA_P_LIST && p->element == EVLA_P_ITEM)) {
            lua_pushstring(L, kind_short(&s->cx->mem, p->choices));
            lua_setfield(L, -2, "kind");
        }
        lua_pushboolean(L, !p->preset && !(p->flags & EVLA_PF_OPTIONAL));
        lua_setfield(L, -2, "required");
        if (p->n_fields) {
            bind_push_params(L, s, p->fields, (int32_t)p->n_fields);
            lua_setfield(L, -2, "fields");
        }
        lua_rawseti(L, -2, i + 1);
    }
}

/* evla.describe(thing): what it is, its line of doc, its parameters, its help; nil for
 * others. */
static int l_describe(lua_State *L)
{
    script *s = script_of(L);
    const evla_item **item = luaL_testudata(L, 1, "evla.item");
    choice **c = luaL_testudata(L, 1, "evla.choice");
    const job_type **type = luaL_testudata(L, 1, "evla.jobtype");
    job *j = bind_job_at(L, 1);
    const char *what = "thing", *doc = NULL, *name;
    const evla_param *params;
    int32_t n;
    if (item || c) {
        const evla_item *it = item ? *item : (*c)->item.item;
        what = item ? "item" : "choice", name = item_name(s, it), doc = it->doc;
        params = it->params, n = (int32_t)it->n_params;
    } else if (type || j) {
        const job_type *t = type ? *type : j->type;
        what = type ? "job type" : "job", name = t->name, doc = t->doc;
        params = t->params, n = t->n_params;
    } else
        return 0;
    lua_newtable(L);
    lua_pushstring(L, what);
    lua_setfield(L, -2, "what");
    lua_pushfstring(L, "evla.%s", name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, doc ? doc : "");
    lua_setfield(L, -2, "doc");
    bind_push_params(L, s, params, n);
    lua_setfield(L, -2, "params");
    arena_place mark = arena_mark(&s->cx->scratch);
    const char *full = arena_text(&s->cx->scratch, "evla.%s", name);
    lua_pushstring(L, param_help(&s->cx->scratch, full ? full : name, doc, params, n));
    lua_setfield(L, -2, "help");
    arena_reset(&s->cx->scratch, mark);
    return 1;
}

/* evla.near(name, list): the entry that was probably meant, or nil. */
static int l_near(lua_State *L)
{
    script *s = script_of(L);
    const char *name = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    int32_t n = (int32_t)lua_rawlen(L, 2), k = 0;
    arena_place mark = arena_mark(&s->cx->scratch);
    const char **names = arena_push(&s->cx->scratch, (size_t)n + 1, sizeof *names);
    for (int32_t i = 1; names && i <= n; i++) {
        if (lua_rawgeti(L, 2, i) == LUA_TSTRING) names[k++] = lua_tostring(L, -1);
        lua_pop(L, 1); /* the table still holds it */
    }
    lua_pushstring(L, names ? near_miss(name, names, k) : NULL);
    arena_reset(&s->cx->scratch, mark);
    return 1;
}

/* evla.stge: said with the nearest name. */
static int l_evla_index(lua_State *L)
{
    script *s = script_of(L);
    const char *name = luaL_tolstring(L, 2, NULL), *names[256];
    int32_t n = 0;
    lua_pushnil(L);
    while (n < 256 && lua_next(L, 1)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING) names[n++] = lua_tostring(L, -1);
    }
    const char *near = near_miss(name, names, n);
    script_error(L, s, "evla has nothing called \"%.60s\"%s%s%s", name,
                 near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* ---- putting it in ---- */

static void metatable(lua_State *L, const char *name, lua_CFunction index,
                      lua_CFunction call, lua_CFunction text)
{
    luaL_newmetatable(L, name);
    if (index) lua_pushcfunction(L, index), lua_setfield(L, -2, "__index");
    if (call) lua_pushcfunction(L, call), lua_setfield(L, -2, "__call");
    if (text) lua_pushcfunction(L, text), lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

void bind_open(lua_State *L, script *s)
{
    static const char *const always[] = {EVLA_OP, EVLA_STAGE, EVLA_BODY, EVLA_SCENE,
                                         EVLA_QUANT};
    const registry *reg = s->cx->reg;
    metatable(L, "evla.choice", l_choice_index, NULL, l_choice_text);
    metatable(L, "evla.item", NULL, l_item_call, l_item_text);
    lua_newtable(L);
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        add_kind(L, s, always[i]);
    for (int32_t i = 0; i < reg->n_items; i++)
        if (!i || strcmp(reg->items[i]->kind, reg->items[i - 1]->kind) != 0)
            add_kind(L, s, reg->items[i]->kind);
    lua_pushcfunction(L, l_describe);
    lua_setfield(L, -2, "describe");
    lua_pushcfunction(L, l_near);
    lua_setfield(L, -2, "near");
    lua_pushstring(L, s->prog->out);
    lua_setfield(L, -2, "out");
    lua_pushstring(L, s->folder);
    lua_setfield(L, -2, "folder");
    lua_pushstring(L, EVLA_VERSION);
    lua_setfield(L, -2, "version");
    lua_newtable(L);
    lua_pushcfunction(L, l_evla_index);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    /* the C half; require "evla" runs scripts/evla/init.lua, which adds comfort and returns
     * it */
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "evla.core");
    lua_settop(L, 0);
}
