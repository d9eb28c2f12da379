/*
 * bind_attr.c -- attributes of records, sets and model files in Lua.
 *
 * A table by name. A list stays where it is, since vocabularies are large: of numbers it is
 * a tensor, of texts an object that has #list and list[i]. From Lua they are texts,
 * numbers, true or false, lists of one of these, and { 0.1, as = "f64" }: a number in a
 * format that a reader of the file insists on.
 */
#include "script.h"
#include <stdlib.h>
#include <string.h>

typedef struct texts {
    const evla_text *at;
    int64_t n; /* user value 1 is what they belong to */
} texts;

static texts *texts_at(lua_State *L) { return luaL_checkudata(L, 1, "evla.texts"); }

static int l_texts_index(lua_State *L)
{
    const texts *t = texts_at(L);
    int is_number;
    lua_Integer i = lua_tointegerx(L, 2, &is_number);
    if (is_number && i >= 1 && i <= t->n)
        lua_pushlstring(L, t->at[i - 1].at, (size_t)t->at[i - 1].n);
    else
        lua_pushnil(L);
    return 1;
}

static int l_texts_len(lua_State *L)
{
    lua_pushinteger(L, texts_at(L)->n);
    return 1;
}

static int l_texts_text(lua_State *L)
{
    lua_pushfstring(L, "%I texts", (LUAI_UACINT)texts_at(L)->n);
    return 1;
}

static void push_texts(lua_State *L, int keeper, const evla_attr *a)
{
    texts *t = lua_newuserdatauv(L, sizeof *t, 1);
    *t = (texts){a->items, a->n_items};
    luaL_setmetatable(L, "evla.texts");
    lua_pushvalue(L, keeper);
    lua_setiuservalue(L, -2, 1);
}

static void push_numbers(lua_State *L, int keeper, const evla_attr *a, int64_t bytes)
{
    evla_tensor t = {.data = {(void *)(uintptr_t)a->items},
                     .shape = {a->n_items},
                     .stride = {bytes},
                     .dtype = a->element,
                     .rank = 1};
    bind_push_tensor(L, keeper, &t);
}

void bind_push_attrs(lua_State *L, int keeper, const evla_attr *attrs, int32_t n)
{
    const script *s = script_of(L);
    keeper = lua_absindex(L, keeper);
    lua_createtable(L, 0, n);
    for (int32_t i = 0; i < n; i++) {
        const evla_attr *a = &attrs[i];
        switch (a->type) {
        case EVLA_ATTR_INT:
            lua_pushinteger(L, a->integer);
            break;
        case EVLA_ATTR_FLOAT:
            lua_pushnumber(L, a->number);
            break;
        case EVLA_ATTR_NUMBERS:
            push_numbers(L, keeper, a, dtype_bytes(s->cx->reg, a->element, 1));
            break;
        case EVLA_ATTR_TEXTS:
            push_texts(L, keeper, a);
            break;
        default:
            lua_pushstring(L, a->text);
            break;
        }
        lua_setfield(L, -2, a->name);
    }
}

/* ---- from Lua ---- */

static void *push(lua_State *L, script *s, lua_Integer n, size_t size)
{
    void *p = arena_push_aligned(&s->cx->mem, (size_t)n + 1, size, 16);
    if (!p) script_error(L, s, "attributes: out of memory");
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
    evla_text *words = is_text ? push(L, s, n, sizeof *words) : NULL;
    int32_t *whole = is_whole ? push(L, s, n, sizeof *whole) : NULL;
    float *reals = words || whole ? NULL : push(L, s, n, sizeof *reals);
    for (lua_Integer i = 0; i < n; i++) {
        lua_rawgeti(L, at, i + 1);
        if (words) {
            size_t bytes;
            const char *text = lua_tolstring(L, -1, &bytes);
            if (!text)
                script_error(L, s, "attribute %s: entry %d is no text", a->name,
                             (int)i + 1);
            words[i] = (evla_text){arena_copy_n(&s->cx->mem, text, bytes), bytes};
        } else if (whole)
            whole[i] = (int32_t)lua_tointeger(L, -1);
        else
            reals[i] = (float)lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    a->type = words ? EVLA_ATTR_TEXTS : EVLA_ATTR_NUMBERS;
    a->element = whole ? EVLA_I32 : EVLA_F32;
    a->items = words   ? (const void *)words
               : whole ? (const void *)whole
                       : (const void *)reals;
    a->n_items = n;
}

/* The table on top of the stack is one number and says in which format it is written. */
static int is_formatted(lua_State *L)
{
    int is = lua_getfield(L, -1, "as") != LUA_TNIL;
    lua_pop(L, 1);
    return is;
}

static void read_formatted(lua_State *L, script *s, evla_attr *a)
{
    lua_getfield(L, -1, "as");
    const char *as = lua_tostring(L, -1);
    lua_rawgeti(L, -2, 1);
    a->element = as ? dtype_find(s->cx->reg, as, strlen(as)) : EVLA_NONE;
    if (a->element == EVLA_NONE || lua_type(L, -1) != LUA_TNUMBER)
        script_error(L, s,
                     "attribute %s: want a number and its format as { 0.1, as = \"f64\" }",
                     a->name);
    a->type = lua_isinteger(L, -1) ? EVLA_ATTR_INT : EVLA_ATTR_FLOAT;
    a->integer = lua_tointeger(L, -1);
    a->number = lua_tonumber(L, -1);
    lua_pop(L, 2);
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
        if (is_formatted(L))
            read_formatted(L, s, a);
        else
            read_list(L, s, a);
        break;
    default:
        script_error(L, s, "attribute %s: want a text, a number or a list", name);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const evla_attr *)a)->name, ((const evla_attr *)b)->name);
}

evla_attr *bind_read_attrs(lua_State *L, script *s, int at, int32_t *n)
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

void bind_attr_open(lua_State *L)
{
    static const luaL_Reg slots[] = {{"__index", l_texts_index},
                                     {"__len", l_texts_len},
                                     {"__tostring", l_texts_text},
                                     {NULL, NULL}};
    luaL_newmetatable(L, "evla.texts");
    luaL_setfuncs(L, slots, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_settop(L, 0);
}
