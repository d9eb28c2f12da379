/*
 * bind_tokens.c -- evla.tokenizer "FILE": text to the numbers of its pieces, and back, by a
 * tokenizer.json or by what a model's file, packed or not, says of its tokenizer.
 *
 *   t:encode(text, { whole, special }) -> ids      t:decode(ids, { special }) -> text
 *   t:ends(id) -> whether that token ends a text
 */
#include "bind_tokens.h"
#include "../data/format.h"
#include "../graph/save.h"

typedef struct tokens_box {
    box box;
    tokenizer words;
    format_file from; /* whose attributes they are; or of a packed model */
    model *packed;
    arena_place mark; /* what a call pushes on the box's memory goes at the next one */
    int has_file;
} tokens_box;

/* ---- what objects share ---- */

int bind_says(lua_State *L, int at, const char *name)
{
    if (!lua_istable(L, at)) return 0;
    lua_getfield(L, at, name);
    int yes = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return yes;
}

uint32_t bind_tokens_flags(lua_State *L, int at, int is_whole)
{
    uint32_t flags = bind_says(L, at, "special") ? EVLA_TOKENS_SPECIAL : 0;
    return flags | (is_whole ? EVLA_TOKENS_WHOLE : 0);
}

int32_t *bind_tokens_at(lua_State *L, script *s, box *b, int at, int32_t *n)
{
    lua_Integer count = (lua_Integer)lua_rawlen(L, at);
    int32_t *ids = arena_push(&b->cx.mem, (size_t)count + 1, sizeof *ids);
    if (!ids || count > INT32_MAX) script_error(L, s, "text: out of memory");
    for (lua_Integer i = 0; i < count; i++) {
        int good;
        lua_rawgeti(L, at, i + 1);
        lua_Integer v = lua_tointegerx(L, -1, &good);
        lua_pop(L, 1);
        if (!good || v < INT32_MIN || v > INT32_MAX)
            script_error(L, s, "text: token %d is no whole number", (int)i + 1);
        ids[i] = (int32_t)v;
    }
    *n = (int32_t)count;
    return ids;
}

int bind_tokens_encode(lua_State *L, script *s, box *b, const tokenizer *z)
{
    size_t bytes;
    const char *text = luaL_checklstring(L, 2, &bytes);
    uint32_t flags = bind_tokens_flags(L, 3, bind_says(L, 3, "whole"));
    int32_t *ids, n;
    if (tokenizer_encode(&b->cx, z, &b->cx.mem, text, bytes, flags, &ids, &n) < 0)
        box_throw(L, s, b);
    lua_createtable(L, n, 0);
    for (int32_t i = 0; i < n; i++) {
        lua_pushinteger(L, ids[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

int bind_tokens_decode(lua_State *L, script *s, box *b, const tokenizer *z)
{
    luaL_checktype(L, 2, LUA_TTABLE);
    int32_t n;
    char *text;
    const int32_t *ids = bind_tokens_at(L, s, b, 2, &n);
    uint32_t flags = bind_tokens_flags(L, 3, 0);
    if (tokenizer_decode(&b->cx, z, &b->cx.mem, ids, n, flags, &text) < 0)
        box_throw(L, s, b);
    lua_pushstring(L, text);
    return 1;
}

/* ---- the object ---- */

static tokens_box *box_at(lua_State *L)
{
    tokens_box *b = luaL_checkudata(L, 1, "evla.tokenizer");
    ctx_clear(&b->box.cx);
    arena_reset(&b->box.cx.mem, b->mark);
    return b;
}

static int l_encode(lua_State *L)
{
    tokens_box *b = box_at(L);
    return bind_tokens_encode(L, script_of(L), &b->box, &b->words);
}

static int l_decode(lua_State *L)
{
    tokens_box *b = box_at(L);
    return bind_tokens_decode(L, script_of(L), &b->box, &b->words);
}

static int l_ends(lua_State *L)
{
    tokens_box *b = box_at(L);
    lua_Integer id = luaL_checkinteger(L, 2);
    if (id < 0 || id >= b->words.info.n_tokens)
        script_error(L, script_of(L), "tokenizer: has %d tokens, none is numbered %lld",
                     (int)b->words.info.n_tokens, (long long)id);
    lua_pushboolean(L, b->words.t->ends(&b->words.h.table, b->words.self, (int32_t)id));
    return 1;
}

static int l_len(lua_State *L)
{
    lua_pushinteger(L, box_at(L)->words.info.n_tokens);
    return 1;
}

static int l_gc(lua_State *L)
{
    tokens_box *b = luaL_checkudata(L, 1, "evla.tokenizer");
    tokenizer_close(&b->words);
    if (b->has_file) format_close(&b->from);
    b->has_file = 0;
    model_drop(b->packed);
    b->packed = NULL;
    box_free(&b->box);
    return 0;
}

static int32_t open_attrs(tokens_box *b, const char *path, const evla_attr *attrs,
                          int32_t n)
{
    int32_t st = tokenizer_open(&b->box.cx, NULL, attrs, n, &b->words);
    if (st < 0) ctx_prefix(&b->box.cx, "%s", path);
    return st;
}

/* A file that holds tensors says what its tokenizer is in attributes. */
static int32_t open_box(tokens_box *b, const char *path)
{
    const evla_item *item;
    if (bundle_claims(path)) {
        int32_t st = save_open(&b->box.cx, path, &b->packed);
        return st < 0 ? st : open_attrs(b, path, b->packed->attrs, b->packed->n_attrs);
    }
    int32_t st = format_probe(&b->box.cx, path, &item);
    if (st < 0) return st;
    if (!item) return tokenizer_open(&b->box.cx, path, NULL, 0, &b->words);
    st = format_open(&b->box.cx, item, path, &b->from);
    if (st < 0) return st;
    b->has_file = 1;
    return open_attrs(b, path, b->from.holds.attrs, b->from.holds.n_attrs);
}

static int l_tokenizer(lua_State *L)
{
    script *s = script_of(L);
    const char *path = sandbox_path(L, s, luaL_checkstring(L, 1), 0);
    tokens_box *b = box_push(L, s, "evla.tokenizer", sizeof *b, 0);
    script_pause(s);
    int32_t st = open_box(b, path);
    script_go_on(s);
    b->mark = arena_mark(&b->box.cx.mem);
    if (st < 0) box_throw(L, s, &b->box);
    return 1;
}

void bind_tokens_open(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"encode", l_encode}, {"decode", l_decode}, {"ends", l_ends}, {NULL, NULL}};
    static const luaL_Reg slots[] = {{"__len", l_len}, {"__gc", l_gc}, {NULL, NULL}};
    box_class(L, "evla.tokenizer", methods, slots, "tokenizer", l_tokenizer);
}
