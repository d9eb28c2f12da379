/*
 * bind_attr.c -- attributes of records, sets and model files in Lua.
 *
 * A table by name. A list stays where it is, since vocabularies are large: of numbers it is
 * a tensor, of texts an object that has #list and list[i].
 */
#include "script.h"
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
