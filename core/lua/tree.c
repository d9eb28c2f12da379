/*
 * tree.c -- Lua tables as trees of plain values, and back.
 *
 * A tree has bounded depth and size; cycles, functions and odd keys are refused by the path
 * of their key. Choices and jobs become references.
 */
#include "script.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { MOST_DEPTH = 32, MOST_VALUES = 1 << 20 };

typedef struct reading {
    script *s;
    const char *what;
    const void *open[MOST_DEPTH]; /* tables being read, to see cycles */
    const char *key[MOST_DEPTH]; /* where in each of them: a name, or NULL and a position */
    int64_t index[MOST_DEPTH];
    int64_t n;
} reading;

/* "cameras[2].size: why" */
static _Noreturn void refuse(lua_State *L, const reading *r, int depth, const char *why)
{
    char path[400] = "";
    size_t n = 0;
    for (int i = 0; i < depth && n + 80 < sizeof path; i++)
        n += (size_t)(r->key[i] ? snprintf(path + n, sizeof path - n, "%s%.60s",
                                           i ? "." : "", r->key[i])
                                : snprintf(path + n, sizeof path - n, "[%lld]",
                                           (long long)r->index[i]));
    script_error(L, r->s, "%s%s%s%s%s", r->what ? r->what : "value",
                 *path == '[' ? "" : ": ", path, *path ? ": " : "", why);
}

static void read_at(lua_State *L, reading *r, int at, int depth, value *out);

static void read_table(lua_State *L, reading *r, int at, int depth, value *out)
{
    const void *self = lua_topointer(L, at);
    arena *a = &r->s->cx->mem;
    if (depth == MOST_DEPTH) refuse(L, r, depth, "tables nest deeper than 32");
    for (int i = 0; i < depth; i++)
        if (r->open[i] == self) refuse(L, r, depth, "this table contains itself");
    r->open[depth] = self;
    luaL_checkstack(L, 4, "tables nest too deep");
    lua_Unsigned n_items = lua_rawlen(L, at);
    int64_t n_pairs = 0;
    lua_pushnil(L);
    while (lua_next(L, at)) {
        int type = lua_type(L, -2);
        lua_pop(L, 1);
        if (type == LUA_TSTRING)
            n_pairs++;
        else if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 ||
                 (lua_Unsigned)lua_tointeger(L, -1) > n_items) {
            lua_pushvalue(L, -1);
            const char *key = luaL_tolstring(L, -1, NULL);
            refuse(
                L, r, depth,
                lua_pushfstring(L,
                                "want names, or positions 1 to n without a gap, as keys; "
                                "got the key %s",
                                key));
        }
        if (++r->n > MOST_VALUES) refuse(L, r, depth, "more than 1048576 values");
    }
    *out = (value){.kind = VALUE_TABLE};
    out->as.items = n_items ? arena_push(a, n_items, sizeof(value)) : NULL;
    out->pairs = n_pairs ? arena_push(a, (size_t)n_pairs, sizeof(value_pair)) : NULL;
    if ((n_items && !out->as.items) || (n_pairs && !out->pairs))
        refuse(L, r, depth, "out of memory");
    for (lua_Unsigned i = 0; i < n_items; i++) {
        lua_rawgeti(L, at, (lua_Integer)i + 1);
        r->key[depth] = NULL;
        r->index[depth] = (int64_t)i + 1;
        read_at(L, r, lua_gettop(L), depth + 1, &out->as.items[i]);
        lua_pop(L, 1);
    }
    out->n_items = (int32_t)n_items;
    lua_pushnil(L);
    while (lua_next(L, at)) {
        if (lua_type(L, -2) == LUA_TSTRING) {
            size_t n;
            const char *key = lua_tolstring(L, -2, &n);
            if (strlen(key) != n) refuse(L, r, depth, "a key holds a zero byte");
            value_pair *p = &out->pairs[out->n_pairs++];
            p->name = arena_copy(a, key);
            if (!p->name) refuse(L, r, depth, "out of memory");
            r->key[depth] = p->name;
            read_at(L, r, lua_gettop(L), depth + 1, &p->v);
        }
        lua_pop(L, 1);
    }
    value_sort(out);
}

static void read_at(lua_State *L, reading *r, int at, int depth, value *out)
{
    switch (lua_type(L, at)) {
    case LUA_TNIL:
        *out = (value){0};
        return;
    case LUA_TBOOLEAN:
        *out = value_bool(lua_toboolean(L, at));
        return;
    case LUA_TNUMBER:
        *out = lua_isinteger(L, at) ? value_int(lua_tointeger(L, at))
                                    : value_float(lua_tonumber(L, at));
        return;
    case LUA_TSTRING: {
        size_t n;
        const char *text = lua_tolstring(L, at, &n);
        if (strlen(text) != n) refuse(L, r, depth, "this text holds a zero byte");
        if (!(text = arena_copy(&r->s->cx->mem, text)))
            refuse(L, r, depth, "out of memory");
        *out = value_text(text);
        return;
    }
    case LUA_TTABLE:
        read_table(L, r, at, depth, out);
        return;
    case LUA_TUSERDATA: {
        choice *c = bind_choice_at(L, r->s, at);
        job *j = c ? NULL : bind_job_at(L, at);
        if (c || j) {
            *out = (value){.kind = VALUE_REF, .ref_type = c ? "choice" : "job"};
            out->as.ref = c ? (void *)c : (void *)j;
            return;
        }
        break;
    }
    default:
        break;
    }
    luaL_tolstring(L, at, NULL);
    refuse(L, r, depth,
           lua_pushfstring(L, "want plain values, got %s %s",
                           lua_type(L, at) == LUA_TUSERDATA ? "" : "a",
                           lua_type(L, at) == LUA_TUSERDATA ? lua_tostring(L, -1)
                                                            : luaL_typename(L, at)));
}

void tree_read(lua_State *L, script *s, int at, const char *what, value *out)
{
    reading r = {.s = s, .what = what};
    read_at(L, &r, lua_absindex(L, at), 0, out);
}

void tree_push(lua_State *L, script *s, const value *v)
{
    luaL_checkstack(L, 4, "value nests too deep");
    switch (v->kind) {
    case VALUE_NIL:
        lua_pushnil(L);
        return;
    case VALUE_BOOL:
        lua_pushboolean(L, v->as.i != 0);
        return;
    case VALUE_INT:
        lua_pushinteger(L, v->as.i);
        return;
    case VALUE_FLOAT:
        lua_pushnumber(L, v->as.f);
        return;
    case VALUE_TEXT:
        lua_pushstring(L, v->as.text);
        return;
    case VALUE_REF:
        if (!strcmp(v->ref_type, "choice"))
            bind_push_choice(L, v->as.ref);
        else if (!strcmp(v->ref_type, "job"))
            bind_push_job(L, v->as.ref);
        else
            lua_pushstring(L, v->ref_type);
        return;
    case VALUE_TABLE:
        break;
    }
    lua_createtable(L, v->n_items, v->n_pairs);
    for (int32_t i = 0; i < v->n_items; i++) {
        tree_push(L, s, &v->as.items[i]);
        lua_rawseti(L, -2, i + 1);
    }
    for (int32_t i = 0; i < v->n_pairs; i++) {
        tree_push(L, s, &v->pairs[i].v);
        lua_setfield(L, -2, v->pairs[i].name);
    }
}
