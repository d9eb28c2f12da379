/*
 * bind_call.c -- evla.call "name" { model, schedule, ... }, a job that calls a model, and
 * evla.session { model, schedule, ... }, the same model in the hand.
 *
 *   s = evla.session { model = m, schedule = { { graph = "see" }, { graph = "act", times =
 * 10 } } } s:set("state", { 0, 0.5 })   s:run()   s:get "action"   s:phases()   s:info()
 * s:close()
 *
 * An input is set from a text of its bytes, a tensor of its type, a number, or numbers in a
 * table that may nest.
 * s:get gives a copy of what the newest call left there.
 */
#include "../job/call.h"
#include "../run/pool.h"
#include "bind_graph.h"
#include "box.h"
#include <string.h>

typedef struct session_box {
    box box;
    schedule *s; /* NULL once closed */
    model *m;
} session_box;

// clang-format off
static const evla_param params[] = {CALL_PARAMS};
// clang-format on
enum { N_PARAMS = sizeof params / sizeof *params };

/* ---- the job ---- */

int bind_call_declare(lua_State *L, const char *name, int at)
{
    script *s = script_of(L);
    const char *where = script_where(L, s);
    value given;
    if (!lua_istable(L, at))
        script_error(L, s, "call \"%s\": want a table of parameters, got %s", name,
                     luaL_typename(L, at));
    tree_read(L, s, at, arena_text(&s->cx->mem, "call \"%s\"", name), &given);
    for (int32_t i = 0; i < given.n_pairs; i++) {
        value *v = &given.pairs[i].v;
        if (!strcmp(given.pairs[i].name, "dump") && v->kind == VALUE_TEXT)
            v->as.text = sandbox_path(L, s, script_path(s, v->as.text), 1);
    }
    bind_push_job(L, bind_declare(L, s, &job_call, name, &given, where));
    return 1;
}

/* ---- the object ---- */

static session_box *box_at(lua_State *L, script *s)
{
    session_box *b = luaL_checkudata(L, 1, "evla.session");
    if (!b->s) script_error(L, s, "session: it is closed");
    ctx_clear(&b->box.cx);
    return b;
}

static int l_session(lua_State *L)
{
    script *s = script_of(L);
    value given;
    call_params p;
    luaL_checktype(L, 1, LUA_TTABLE);
    tree_read(L, s, 1, "session", &given);
    session_box *b = box_push(L, s, "evla.session", sizeof *b, 1);
    lua_getfield(L, 1, "model"); /* its weights live as long as we */
    lua_setiuservalue(L, -2, 1);
    bind_fill(L, s, (param_site){.what = "session", .resolve = job_resolve}, params,
              N_PARAMS, &given, &p, sizeof p);
    job *from = job_behind(value_get(&given, "model"));
    script_pause(s);
    int32_t st = call_model(&b->box.cx, from, p.model, &b->m);
    int32_t workers = from ? job_workers(from, p.workers, POOL_MOST) : 1;
    if (st >= 0) st = call_open(&b->box.cx, b->m, &p, workers, 0, &b->s);
    script_go_on(s);
    if (st < 0) box_throw(L, s, &b->box);
    return 1;
}

static int l_gc(lua_State *L)
{
    session_box *b = luaL_checkudata(L, 1, "evla.session");
    schedule_close(b->s);
    model_drop(b->m);
    box_free(&b->box);
    *b = (session_box){0};
    return 0;
}

/* ---- values in and out ---- */

/* Where numbers of a script go; counts also those for which there is no room. */
typedef struct filling {
    const evla_tensor *to;
    int64_t n, room;
} filling;

static void fill_numbers(lua_State *L, script *s, const char *name, filling *f)
{
    int at = lua_gettop(L);
    luaL_checkstack(L, 4, "the table nests too deep");
    for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, at); i <= n; i++) {
        lua_rawgeti(L, at, i);
        int is_number;
        double v = lua_tonumberx(L, -1, &is_number);
        if (lua_istable(L, -1))
            fill_numbers(L, s, name, f);
        else if (!is_number)
            script_error(L, s, "session: input %s: want numbers, got %s", name,
                         luaL_typename(L, -1));
        else if (f->n++ < f->room && !call_put_number(f->to, f->n - 1, v))
            script_error(L, s, "session: input %s cannot hold the number %f", name, v);
        lua_settop(L, at);
    }
}

static int l_set(lua_State *L)
{
    script *s = script_of(L);
    session_box *b = box_at(L, s);
    const char *name = luaL_checkstring(L, 2);
    const schedule_port *p;
    if (schedule_want_input(&b->box.cx, b->s, name, &p) < 0) box_throw(L, s, &b->box);
    size_t want = (size_t)type_bytes(s->cx->reg, &p->type), n;
    arena_place mark = arena_mark(&s->cx->scratch);
    const char *type = type_text(s->cx->reg, &s->cx->scratch, &p->type);
    lua_settop(L, 3);
    lua_pushstring(L, type); /* the scratch is given back before anything throws */
    arena_reset(&s->cx->scratch, mark);
    lua_insert(L, 3);
    type = lua_tostring(L, 3);
    if (lua_type(L, 4) == LUA_TSTRING) {
        const char *data = lua_tolstring(L, 4, &n);
        if (n != want)
            script_error(L, s, "session: input %s: got %zu bytes; %s takes %zu", name, n,
                         type, want);
        memcpy(p->view.data[0], data, n);
    } else if (lua_isnumber(L, 4) || lua_istable(L, 4)) {
        filling f = {.to = &p->view, .room = type_count(&p->type)};
        if (lua_isnumber(L, 4)) {
            lua_createtable(L, 1, 0);
            lua_insert(L, 4);
            lua_rawseti(L, 4, 1);
        }
        fill_numbers(L, s, name, &f);
        if (f.n != f.room)
            script_error(L, s, "session: input %s: got %lld numbers for %s", name,
                         (long long)f.n, type);
    } else {
        const void *data = bind_tensor_like(L, 4, &p->type);
        if (!data)
            script_error(L, s,
                         "session: input %s: want %s as numbers, a tensor or a text of "
                         "bytes, got %s",
                         name, type, luaL_tolstring(L, 4, NULL));
        memcpy(p->view.data[0], data, want);
    }
    lua_settop(L, 1);
    return 1;
}

static int l_get(lua_State *L)
{
    script *s = script_of(L);
    session_box *b = box_at(L, s);
    const schedule_port *p;
    if (schedule_want_output(&b->box.cx, b->s, luaL_checkstring(L, 2), &p) < 0)
        box_throw(L, s, &b->box);
    size_t bytes = (size_t)type_bytes(s->cx->reg, &p->type);
    void *data = lua_newuserdatauv(L, bytes, 0);
    memcpy(data, p->view.data[0], bytes);
    const evla_tensor copy = tensor_view(s->cx->reg, &p->type, data);
    bind_push_tensor(L, lua_gettop(L), &copy);
    return 1;
}

static int l_run(lua_State *L)
{
    script *s = script_of(L);
    session_box *b = box_at(L, s);
    script_pause(s);
    int32_t st = schedule_run(&b->box.cx, b->s, NULL, NULL);
    script_go_on(s);
    if (st < 0) box_throw(L, s, &b->box);
    lua_settop(L, 1);
    return 1;
}

/* ---- figures ---- */

/* A list of { name, graph, times, ms } of the newest call; their ms sum to the call's. */
static int l_phases(lua_State *L)
{
    const session_box *b = box_at(L, script_of(L));
    int32_t n = schedule_n_lines(b->s);
    lua_createtable(L, n, 0);
    for (int32_t i = 0; i < n; i++) {
        schedule_phase p = schedule_line_at(b->s, i);
        lua_createtable(L, 0, 4);
        lua_pushstring(L, p.name), lua_setfield(L, -2, "name");
        lua_pushstring(L, p.graph), lua_setfield(L, -2, "graph");
        lua_pushinteger(L, p.times), lua_setfield(L, -2, "times");
        lua_pushnumber(L, 1e-6 * (double)p.ns), lua_setfield(L, -2, "ms");
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static void push_ports(lua_State *L, script *s, const session_box *b, int is_input)
{
    int32_t n = is_input ? schedule_n_inputs(b->s) : schedule_n_outputs(b->s);
    arena_place mark = arena_mark(&s->cx->scratch);
    lua_createtable(L, 0, n);
    for (int32_t i = 0; i < n; i++) {
        const schedule_port *p =
            is_input ? schedule_input(b->s, i) : schedule_output(b->s, i);
        lua_pushstring(L, type_text(s->cx->reg, &s->cx->scratch, &p->type));
        lua_setfield(L, -2, p->name);
    }
    arena_reset(&s->cx->scratch, mark);
}

/* Bytes by part, and the types of inputs and outputs by name. */
static int l_info(lua_State *L)
{
    script *s = script_of(L);
    const session_box *b = box_at(L, s);
    const schedule_bytes n = schedule_size(b->s);
    const struct {
        const char *name;
        uint64_t v;
    } rows[] = {{"weight_bytes", n.weights},
                {"arena_bytes", n.arena},
                {"state_bytes", n.states},
                {"value_bytes", n.values},
                {"bytes", n.total}};
    lua_createtable(L, 0, 8);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lua_pushinteger(L, (lua_Integer)rows[i].v);
        lua_setfield(L, -2, rows[i].name);
    }
    push_ports(L, s, b, 1), lua_setfield(L, -2, "inputs");
    push_ports(L, s, b, 0), lua_setfield(L, -2, "outputs");
    return 1;
}

void bind_call_open(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"set", l_set},   {"get", l_get},  {"run", l_run}, {"phases", l_phases},
        {"info", l_info}, {"close", l_gc}, {NULL, NULL}};
    static const luaL_Reg slots[] = {{"__gc", l_gc}, {"__close", l_gc}, {NULL, NULL}};
    box_class(L, "evla.session", methods, slots, "session", l_session);
}
