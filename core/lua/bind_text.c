/*
 * bind_text.c -- evla.text { model, context, ... }: a model that reads and writes text in
 * the hand.
 *
 *   t:encode(text, { whole, special }) -> ids      t:decode(ids, { special }) -> text
 *   t:complete { ids | prompt, tokens, loop, stop, special, begins, ignore_end,
 *                on_text } -> table
 *   t:template(messages) -> text                   t:loss(text) -> mean, tokens
 *   t:logits(ids, { rows, both }) -> tensor f32[V] of what follows them
 *   t:run(graph, { NAME = tensor, numbers or bytes }) -> { NAME = tensor }, milliseconds
 *   t:save(path, ids)                              t:load(path) -> tokens
 *   t:info() -> table                              t:close()
 *
 * Where ids are -1, rows f32[n,W] of embeddings stand, one after the other; the first
 * `both` tokens of the text see each other both ways. t:complete takes them too. run takes
 * one of the graphs that `others` names: those that make such rows.
 *
 * on_text(piece) hears the text as it comes; true from it ends the text. scripts/evla's
 * language.lua puts comfort on top.
 */
#include "../graph/model.h"
#include "../job/language.h"
#include "../near.h"
#include "../run/clock.h"
#include "../run/pool.h"
#include "bind_tokens.h"
#include <string.h>

// clang-format off
static const evla_param params[] = { LANGUAGE_PARAMS };
enum { N_PARAMS = sizeof params / sizeof *params, MOST_MESSAGES = 256, MOST_TOKENS = 1 << 24 };
// clang-format on

typedef struct text_box {
    box box;
    completer *c;     /* NULL: closed */
    int is_busy;      /* completing: whoever hears the text may not call us */
    arena_place mark; /* what a call pushes on cx.mem goes at the next one */
} text_box;

static void refuse_busy(lua_State *L, script *s, const text_box *b)
{
    if (b->is_busy)
        script_error(L, s,
                     "text: it is completing one; want its methods called before or "
                     "after, not by the one who hears it");
}

static text_box *box_at(lua_State *L, script *s)
{
    text_box *b = luaL_checkudata(L, 1, "evla.text");
    refuse_busy(L, s, b);
    if (!b->c) script_error(L, s, "text: it is closed");
    ctx_clear(&b->box.cx);
    arena_reset(&b->box.cx.mem, b->mark);
    return b;
}

/* ---- opening ---- */

static int l_text(lua_State *L)
{
    script *s = script_of(L);
    value given;
    language_params p;
    luaL_checktype(L, 1, LUA_TTABLE);
    tree_read(L, s, 1, "text", &given);
    text_box *b = box_push(L, s, "evla.text", sizeof *b, 1);
    lua_getfield(L, 1, "model"); /* its weights live as long as we */
    lua_setiuservalue(L, -2, 1);
    bind_fill(L, s, (param_site){.what = "text", .resolve = job_resolve}, params, N_PARAMS,
              &given, &p, sizeof p);
    job *from = job_behind(value_get(&given, "model"));
    script_pause(s);
    int32_t workers = from ? job_workers(from, p.workers, POOL_MOST) : 1;
    int32_t st = language_open(&b->box.cx, from, &p, workers, &b->c);
    script_go_on(s);
    b->mark = arena_mark(&b->box.cx.mem);
    if (st < 0) box_throw(L, s, &b->box);
    return 1;
}

static int l_gc(lua_State *L)
{
    text_box *b = luaL_checkudata(L, 1, "evla.text");
    completer_close(b->c);
    b->c = NULL;
    box_free(&b->box);
    return 0;
}

static int l_close(lua_State *L)
{
    refuse_busy(L, script_of(L), luaL_checkudata(L, 1, "evla.text"));
    return l_gc(L);
}

/* ---- tokens ---- */

static int l_encode(lua_State *L)
{
    script *s = script_of(L);
    text_box *b = box_at(L, s);
    return bind_tokens_encode(L, s, &b->box, completer_tokenizer(b->c));
}

static int l_decode(lua_State *L)
{
    script *s = script_of(L);
    text_box *b = box_at(L, s);
    return bind_tokens_decode(L, s, &b->box, completer_tokenizer(b->c));
}

/* ---- rows of embeddings ---- */

/* rows and both of the table at an index; the tensor stays on the stack. */
static sequence_rows rows_at(lua_State *L, script *s, int at)
{
    sequence_rows out = {0};
    if (!lua_istable(L, at)) return out;
    lua_getfield(L, at, "both");
    out.both = (int32_t)luaL_optinteger(L, -1, 0);
    lua_pop(L, 1);
    if (lua_getfield(L, at, "rows") == LUA_TNIL) return out;
    const evla_tensor *t = bind_tensor_at(L, -1);
    evla_type type = {.dtype = EVLA_F32, .rank = 2};
    if (t) memcpy(type.shape, t->shape, 2 * sizeof *type.shape);
    if (!bind_tensor_like(L, -1, &type) || type.shape[0] > INT32_MAX ||
        type.shape[1] > INT32_MAX)
        script_error(L, s, "text: rows: want a tensor f32[rows,width], got %s",
                     luaL_tolstring(L, -1, NULL));
    out.rows = t->data[0];
    out.n = (int32_t)type.shape[0];
    out.width = (int32_t)type.shape[1];
    return out;
}

/* Numbers in a list as an input of that type. */
static void read_numbers(lua_State *L, script *s, const char *name, const evla_type *type,
                         void *to)
{
    int list = lua_gettop(L);
    int64_t n = type_count(type);
    int is_f32 = type->dtype == EVLA_F32;
    if (!lua_istable(L, list) || (int64_t)lua_rawlen(L, list) != n ||
        (!is_f32 && type->dtype != EVLA_I32))
        script_error(
            L, s,
            "text: %s: want %s, as a tensor, a text of bytes or, in f32 and i32, a list",
            name, type_text(s->cx->reg, &s->cx->mem, type));
    for (int64_t i = 0; i < n; i++, lua_pop(L, 1)) {
        lua_rawgeti(L, list, i + 1);
        if (is_f32)
            ((float *)to)[i] = (float)luaL_checknumber(L, -1);
        else
            ((int32_t *)to)[i] = (int32_t)luaL_checkinteger(L, -1);
    }
}

static void set_input(lua_State *L, script *s, session *of, int32_t plan_at, int32_t slot,
                      const char *name, const evla_type *type)
{
    evla_tensor *in = session_input(of, plan_at, slot);
    const evla_tensor *t = bind_tensor_at(L, -1);
    size_t n, want = (size_t)type_bytes(s->cx->reg, type);
    if (!in) return; /* nobody reads it */
    if (lua_type(L, -1) == LUA_TSTRING) {
        const char *bytes = lua_tolstring(L, -1, &n);
        if (n != want)
            script_error(L, s, "text: %s: got %zu bytes; %s takes %zu", name, n,
                         type_text(s->cx->reg, &s->cx->mem, type), want);
        memcpy(in->data[0], bytes, want);
        return;
    }
    if (!t) {
        read_numbers(L, s, name, type, in->data[0]);
        return;
    }
    if (!bind_tensor_like(L, -1, type))
        script_error(L, s, "text: %s: want %s, got %s", name,
                     type_text(s->cx->reg, &s->cx->mem, type), luaL_tolstring(L, -1, NULL));
    memcpy(in->data[0], t->data[0], want);
}

static const plan *find_other(lua_State *L, script *s, const decoder *d, const char *name,
                              int32_t *at)
{
    const plan *p;
    for (int32_t i = 0; (p = decoder_other(d, i, at)); i++)
        if (!strcmp(p->graph->from->name, name)) return p;
    script_error(L, s,
                 "text: the graph %s was not planned; want it among the others = { ... } "
                 "that the text was opened with",
                 name);
}

static int l_run(lua_State *L)
{
    script *s = script_of(L);
    text_box *b = box_at(L, s);
    const char *name = luaL_checkstring(L, 2);
    luaL_checktype(L, 3, LUA_TTABLE);
    decoder *d = completer_decoder(b->c);
    int32_t at;
    const plan *p = find_other(L, s, d, name, &at);
    session *of = decoder_session(d);
    const graph *g = p->graph->from;
    for (int32_t i = 0; i < g->n_inputs; i++) {
        const char *input = g->wires[g->inputs[i]].name;
        lua_getfield(L, 3, input);
        set_input(L, s, of, at, i, input, plan_input_type(p, i));
        lua_pop(L, 1);
    }
    script_pause(s);
    int64_t began = clock_ns();
    int32_t st = session_run(&b->box.cx, of, at);
    int64_t took = clock_ns() - began;
    script_go_on(s);
    if (st < 0) box_throw(L, s, &b->box);
    lua_newtable(L);
    for (int32_t i = 0; i < p->graph->n_outputs; i++) {
        const evla_type *type = plan_output_type(p, i);
        size_t bytes = (size_t)type_bytes(s->cx->reg, type);
        void *copy = lua_newuserdatauv(L, bytes, 0);
        memcpy(copy, session_output(of, at, i)->data[0], bytes);
        const evla_tensor view = tensor_view(s->cx->reg, type, copy);
        bind_push_tensor(L, lua_gettop(L), &view);
        lua_setfield(L, -3, p->graph->outputs[i].name);
        lua_pop(L, 1);
    }
    lua_pushnumber(L, 1e-6 * (double)took);
    return 2;
}

/* ---- completing ---- */

typedef struct listener {
    lua_State *L;
    script *s;
    int function;  /* stack index; 0: none */
    int is_broken; /* it threw; the error is on the stack */
} listener;

typedef struct piece {
    const char *text;
    size_t n;
} piece;

/* What throws, memory that runs out included, does so under the pcall below. */
static int l_hear(lua_State *L)
{
    const piece *p = lua_touserdata(L, 2);
    lua_settop(L, 1);
    lua_pushlstring(L, p->text, p->n);
    lua_call(L, 1, 1);
    return 1;
}

static int listen(void *to, const char *text, size_t n)
{
    listener *l = to;
    piece p = {text, n};
    lua_pushcfunction(l->L, l_hear);
    lua_pushvalue(l->L, l->function);
    lua_pushlightuserdata(l->L, &p);
    script_go_on(l->s);
    int st = lua_pcall(l->L, 2, 1, 0);
    script_pause(l->s);
    if (st != LUA_OK) return l->is_broken = 1;
    int enough = lua_toboolean(l->L, -1);
    lua_pop(l->L, 1);
    return enough;
}

static void push_answer(lua_State *L, const completion_answer *a, int32_t n_prompt)
{
    lua_createtable(L, 0, 12);
    lua_pushlstring(L, a->text, a->n_text);
    lua_setfield(L, -2, "text");
    lua_createtable(L, a->n_tokens, 0);
    lua_createtable(L, a->n_tokens, 0);
    lua_createtable(L, a->n_tokens, 0);
    for (int32_t i = 0; i < a->n_tokens; i++) {
        lua_pushinteger(L, a->tokens[i].id);
        lua_rawseti(L, -4, i + 1);
        lua_pushnumber(L, (double)a->tokens[i].logprob);
        lua_rawseti(L, -3, i + 1);
        lua_pushnumber(L, 1e-6 * (double)a->chosen_ns[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -4, "chosen_ms");
    lua_setfield(L, -3, "logprobs");
    lua_setfield(L, -2, "tokens");
    lua_pushstring(L, completion_why_text(a->why));
    lua_setfield(L, -2, "why");
    const struct {
        const char *name;
        double v;
    } rows[] = {{"prompt_ms", 1e-6 * (double)a->prompt_ns},
                {"first_ms", 1e-6 * (double)a->first_ns},
                {"tokens_ms", 1e-6 * (double)a->tokens_ns}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lua_pushnumber(L, rows[i].v);
        lua_setfield(L, -2, rows[i].name);
    }
    lua_pushinteger(L, n_prompt);
    lua_setfield(L, -2, "prompt_tokens");
    lua_pushinteger(L, a->n_recalled);
    lua_setfield(L, -2, "recalled_tokens");
    lua_pushinteger(L, a->n_dropped);
    lua_setfield(L, -2, "dropped_tokens");
    lua_pushinteger(L, a->mallocs);
    lua_setfield(L, -2, "mallocs");
}

/* The request's texts, from the table at index 2. */
/* A key that means nothing would be a wish that nobody hears. */
static void refuse_unknown(lua_State *L, script *s, int at)
{
    static const char *const known[] = {"ids",     "prompt",  "tokens", "loop",
                                        "stop",    "special", "begins", "ignore_end",
                                        "on_text", "rows",    "both",   "quiet"};
    enum { N = sizeof known / sizeof *known };
    for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        int is_known = 0;
        for (int i = 0; i < N; i++)
            is_known |= !strcmp(known[i], key);
        if (is_known) continue;
        const char *near = near_miss(key, known, N);
        script_error(L, s, "text: complete: there is no \"%.60s\"%s%s%s", key,
                     near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
}

static void read_request(lua_State *L, script *s, text_box *b, completion_request *r)
{
    if (lua_getfield(L, 2, "ids") == LUA_TTABLE)
        r->ids = bind_tokens_at(L, s, &b->box, lua_gettop(L), &r->n_ids);
    else {
        size_t bytes;
        int32_t *ids;
        if (lua_getfield(L, 2, "prompt") != LUA_TSTRING)
            script_error(L, s, "text: complete: want a prompt or ids");
        const char *text = lua_tolstring(L, -1, &bytes);
        if (tokenizer_encode(&b->box.cx, completer_tokenizer(b->c), &b->box.cx.mem, text,
                             bytes, bind_tokens_flags(L, 2, 1), &ids, &r->n_ids) < 0)
            box_throw(L, s, &b->box);
        r->ids = ids;
    }
    r->shown = rows_at(L, s, 2);
    lua_getfield(L, 2, "tokens");
    lua_Integer most = luaL_optinteger(L, -1, 128);
    if (most < 0 || most > MOST_TOKENS)
        script_error(L, s, "text: complete: tokens: want 0 to %d", (int)MOST_TOKENS);
    r->most = (int32_t)most;
    r->ignores_end = bind_says(L, 2, "ignore_end");
    r->begins = bind_says(L, 2, "begins");
    if (lua_getfield(L, 2, "stop") == LUA_TTABLE) {
        int at = lua_gettop(L);
        lua_Integer n = (lua_Integer)lua_rawlen(L, at);
        if (n > COMPLETION_MOST_STOPS)
            script_error(L, s, "text: complete: stop: want at most %d texts",
                         COMPLETION_MOST_STOPS);
        const char **stops = arena_push(&b->box.cx.mem, (size_t)n + 1, sizeof *stops);
        if (!stops) script_error(L, s, "text: out of memory");
        for (lua_Integer i = 0; i < n; i++) {
            lua_rawgeti(L, at, i + 1); /* stays on the stack, so its text stays */
            if (lua_type(L, -1) != LUA_TSTRING)
                script_error(L, s, "text: complete: stop: want a list of texts");
            stops[i] = lua_tostring(L, -1);
        }
        r->stops = stops;
        r->n_stops = (int32_t)n;
    } else if (!lua_isnil(L, -1))
        script_error(L, s, "text: complete: stop: want a list of texts, got %s",
                     luaL_typename(L, -1));
}

static int l_complete(lua_State *L)
{
    script *s = script_of(L);
    text_box *b = box_at(L, s);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    luaL_checkstack(L, COMPLETION_MOST_STOPS + 16, "too many values");
    completion_request r = {0};
    completion_answer a;
    listener ear = {.L = L, .s = s};
    refuse_unknown(L, s, 2);
    read_request(L, s, b, &r);
    lua_getfield(L, 2, "loop");
    const choice *loop = lua_isnil(L, -1) ? NULL : bind_choice_at(L, s, lua_gettop(L));
    if (!loop || strcmp(loop->item.item->kind, EVLA_LOOP) != 0)
        script_error(L, s, "text: complete: loop: want one such as evla.loop.generate {}");
    r.loop = loop->item.item;
    r.loop_params = loop->item.params;
    if (lua_getfield(L, 2, "on_text") == LUA_TFUNCTION) {
        ear.function = lua_gettop(L);
        r.hear = listen;
        r.to = &ear;
    }
    b->is_busy = 1;
    script_pause(s);
    int32_t st = completer_run(&b->box.cx, b->c, &b->box.cx.mem, &r, &a);
    script_go_on(s);
    b->is_busy = 0;
    if (ear.is_broken) lua_error(L); /* the hearer's own */
    if (st < 0) box_throw(L, s, &b->box);
    push_answer(L, &a, r.n_ids);
    return 1;
}

static int l_template(lua_State *L)
{
    script *s = script_of(L);
    text_box *b = box_at(L, s);
    luaL_checktype(L, 2, LUA_TTABLE);
    evla_message m[MOST_MESSAGES];
    lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
    char *text;
    if (n > MOST_MESSAGES) script_error(L, s, "text: more than %d messages", MOST_MESSAGES);
    for (lua_Integer i = 0; i < n; i++) {
        lua_rawgeti(L, 2, i + 1);
        if (!lua_istable(L, -1))
            script_error(L, s, "text: message %d is no table", (int)i + 1);
        lua_getfield(L, -1, "role");
        lua_getfield(L, -2, "text");
        if (!lua_isstring(L, -1) || !lua_isstring(L, -2))
            script_error(L, s, "text: message %d: want { role = ..., text = ... }",
                         (int)i + 1);
        m[i] = (evla_message){lua_tostring(L, -2), lua_tostring(L, -1)};
        lua_pop(L, 3); /* the messages keep their texts */
    }
    if (tokenizer_chat(&b->box.cx, completer_tokenizer(b->c), &b->box.cx.mem, m, (int32_t)n,
                       &text) < 0)
        box_throw(L, s, &b->box);
    lua_pushstring(L, text);
    return 1;
}

static int l_loss(lua_State *L)
{
    script *s = script_of(L);
    text_box *b = box_at(L, s);
    size_t bytes;
    const char *text = luaL_checklstring(L, 2, &bytes);
    int32_t *ids, n, scored = 0;
    double mean = 0;
    script_pause(s);
    int32_t st = tokenizer_encode(&b->box.cx, completer_tokenizer(b->c), &b->box.cx.mem,
                                  text, bytes, EVLA_TOKENS_WHOLE, &ids, &n);
    if (st >= 0) st = completer_loss(&b->box.cx, b->c, ids, n, &mean, &scored);
    script_go_on(s);
    if (st < 0) box_throw(L, s, &b->box);
    lua_pushnumber(L, mean);
    lua_pushinteger(L, scored);
    return 2;
}

static int l_logits(lua_State *L)
{
    script *s = script_of(L);
    text_box *b = box_at(L, s);
    luaL_checktype(L, 2, LUA_TTABLE);
    int32_t n;
    const int32_t *ids = bind_tokens_at(L, s, &b->box, 2, &n);
    const sequence_rows shown = rows_at(L, s, 3);
    int64_t vocabulary = decoder_vocabulary(completer_decoder(b->c));
    float *out = lua_newuserdatauv(L, (size_t)vocabulary * sizeof *out, 0);
    script_pause(s);
    int32_t st = completer_logits(&b->box.cx, b->c, ids, n, &shown, out);
    script_go_on(s);
    if (st < 0) box_throw(L, s, &b->box);
    const evla_type t = {.dtype = EVLA_F32, .rank = 1, .shape = {vocabulary}};
    const evla_tensor view = tensor_view(s->cx->reg, &t, out);
    bind_push_tensor(L, lua_gettop(L), &view);
    return 1;
}

static int l_save(lua_State *L)
{
    script *s = script_of(L);
    text_box *b = box_at(L, s);
    const char *path = sandbox_path(L, s, luaL_checkstring(L, 2), 1);
    luaL_checktype(L, 3, LUA_TTABLE);
    int32_t n;
    const int32_t *ids = bind_tokens_at(L, s, &b->box, 3, &n);
    script_pause(s);
    int32_t st = completer_save(&b->box.cx, b->c, ids, n, path);
    script_go_on(s);
    if (st < 0) box_throw(L, s, &b->box);
    return 0;
}

static int l_load(lua_State *L)
{
    script *s = script_of(L);
    text_box *b = box_at(L, s);
    const char *path = sandbox_path(L, s, luaL_checkstring(L, 2), 0);
    int32_t n = 0;
    script_pause(s);
    int32_t st = completer_load(&b->box.cx, b->c, path, &n);
    script_go_on(s);
    if (st < 0) box_throw(L, s, &b->box);
    lua_pushinteger(L, n);
    return 1;
}

static int l_info(lua_State *L)
{
    script *s = script_of(L);
    text_box *b = box_at(L, s);
    const evla_tokenizer_info *t = &completer_tokenizer(b->c)->info;
    decoder *d = completer_decoder(b->c);
    decoder_bytes bytes = decoder_sizes(d);
    const struct {
        const char *name;
        int64_t v;
    } rows[] = {{"vocabulary", decoder_vocabulary(d)},
                {"context", decoder_context(d)},
                {"blocks", blocks_count(decoder_blocks(d))},
                {"free_blocks", blocks_unused(decoder_blocks(d))},
                {"weight_bytes", (int64_t)bytes.weights},
                {"pool_bytes", (int64_t)bytes.pools},
                {"arena_bytes", (int64_t)bytes.arenas},
                {"bos", t->bos},
                {"eos", t->eos},
                {"width", decoder_width(d)}};
    lua_createtable(L, 0, 12);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lua_pushinteger(L, rows[i].v);
        lua_setfield(L, -2, rows[i].name);
    }
    lua_pushstring(L, t->method);
    lua_setfield(L, -2, "tokenizer");
    lua_pushstring(L, t->chat);
    lua_setfield(L, -2, "chat");
    return 1;
}

void bind_text_open(lua_State *L, script *s)
{
    static const luaL_Reg methods[] = {
        {"encode", l_encode},     {"decode", l_decode}, {"complete", l_complete},
        {"template", l_template}, {"loss", l_loss},     {"info", l_info},
        {"logits", l_logits},     {"save", l_save},     {"load", l_load},
        {"run", l_run},           {"close", l_close},   {NULL, NULL}};
    static const luaL_Reg slots[] = {{"__gc", l_gc}, {"__close", l_close}, {NULL, NULL}};
    (void)s;
    box_class(L, "evla.text", methods, slots, "text", l_text);
}
