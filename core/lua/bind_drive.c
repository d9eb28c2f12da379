/*
 * bind_drive.c -- evla.drive { body, model, schedule, guard, ... }: one loop in the hand,
 * to step it, look at it and ask the guard why.
 *
 *   r:reset(seed, instruction?)  r:step(n?) -> state  r:observe(channel?)
 *   r:why() -> sentence, table  r:scene() -> { nodes, relations }  r:close()
 *
 * On a virtual clock. A model is a job that has run, or the path of a file.
 */
#include "../job/drive.h"
#include "../job/film.h"
#include "../words.h"
#include "box.h"
#include <string.h>
#include <sys/stat.h>

typedef struct hand_params {
    drive_params drive;
    double late;
} hand_params;

// clang-format off
static const evla_param params[] = {
    DRIVE_PARAMS("model"),
    {.name = "late", .doc = "probability that a tick's observations do not come", .preset = "0.0",
     .type = EVLA_P_FLOAT, .min = 0, .max = 1, .offset = offsetof(hand_params, late)},
};
enum { N_PARAMS = sizeof params / sizeof *params };
// clang-format on

/* The userdata: the loop and what it is made of. */
typedef struct hand {
    box box;
    hand_params given;
    drive drive;
    loop *loop; /* NULL: closed */
    arena hold;
} hand;

static hand *hand_at(lua_State *L, script *s, int at)
{
    hand *h = luaL_checkudata(L, at, "evla.drive");
    if (!h->loop) script_error(L, s, "drive: it is closed");
    ctx_clear(&h->box.cx);
    return h;
}

/* ---- making one ---- */

static const evla_value *resolve(void *to, const value *v)
{
    return strcmp(v->ref_type, "file") != 0 ? job_resolve(to, v) : v->as.ref;
}

/* model = "policy.evla" becomes a value that stands for the file; a job must have run. */
static void find_model(lua_State *L, script *s, value *given)
{
    value *v = (value *)value_get(given, "model");
    const job *j = job_behind(v);
    if (j) {
        struct stat st;
        if ((j->state != JOB_DONE && j->state != JOB_SKIPPED) ||
            stat(j->result.path, &st) < 0)
            script_error(
                L, s,
                "drive: model: the job \"%s\" has not run; its run() takes what is "
                "there when that is up to date",
                j->name);
    }
    if (!v || v->kind != VALUE_TEXT) return;
    evla_value *file = arena_push(&s->cx->mem, 1, sizeof *file);
    if (!file) script_error(L, s, "out of memory");
    *file = (evla_value){.type = "model",
                         .path = sandbox_path(L, s, script_path(s, v->as.text), 0)};
    *v = (value){.kind = VALUE_REF, .as.ref = file, .ref_type = "file"};
}

static int32_t open_hand(hand *h)
{
    ctx *cx = &h->box.cx;
    int32_t st = drive_open(cx, &h->hold, "drive", &h->given.drive, &h->drive);
    if (st < 0) return st;
    h->drive.spec.late = h->given.late;
    if ((st = loop_check(cx, &h->drive.spec)) < 0) return st;
    if ((st = loop_open(cx, &h->drive.spec, &h->loop)) < 0) return st;
    return loop_reset(cx, h->loop, loop_episode_seed((uint64_t)h->given.drive.seed, 0),
                      NULL, 0);
}

static int l_drive(lua_State *L)
{
    script *s = script_of(L);
    value given;
    luaL_checktype(L, 1, LUA_TTABLE);
    tree_read(L, s, 1, "drive", &given);
    find_model(L, s, &given);
    hand *h = box_push(L, s, "evla.drive", sizeof *h, 0);
    h->hold = arena_growing(16 << 10);
    bind_fill(L, s, (param_site){.what = "drive", .resolve = resolve}, params, N_PARAMS,
              &given, &h->given, sizeof h->given);
    script_pause(s);
    int32_t st = open_hand(h);
    script_go_on(s);
    if (st < 0) box_throw(L, s, &h->box);
    return 1;
}

static int l_gc(lua_State *L)
{
    hand *h = luaL_checkudata(L, 1, "evla.drive");
    if (!h->box.has_ctx) return 0;
    loop_close(&h->box.cx, h->loop);
    h->loop = NULL;
    drive_free(&h->drive);
    arena_free(&h->hold);
    box_free(&h->box);
    return 0;
}

/* ---- stepping ---- */

static int l_reset(lua_State *L)
{
    script *s = script_of(L);
    hand *h = hand_at(L, s, 1);
    lua_Integer seed = luaL_optinteger(L, 2, (lua_Integer)h->loop->seed);
    const char *told = luaL_optstring(L, 3, NULL);
    if (told) { /* as long as the episode */
        const char *copy = arena_copy(&h->hold, told);
        if (!copy) script_error(L, s, "out of memory");
        told = copy;
    }
    script_pause(s);
    int32_t st = loop_reset(&h->box.cx, h->loop, (uint64_t)seed, told, 0);
    script_go_on(s);
    if (st < 0) box_throw(L, s, &h->box);
    lua_settop(L, 1);
    return 1; /* chains */
}

static value floats(arena *a, const float *v, int32_t n)
{
    value list = value_list(a, n);
    for (int32_t i = 0; list.as.items && i < n; i++)
        list.as.items[list.n_items++] = value_float((double)v[i]);
    return list;
}

static const char *verdict_name(const evla_verdict *v)
{
    return v->kind == EVLA_VETO ? "veto" : v->kind == EVLA_REPLACE ? "replace" : "allow";
}

/* What a person asks after some ticks. */
static void push_state(lua_State *L, script *s, const loop *l, uint64_t events)
{
    arena *a = &s->cx->scratch;
    arena_place mark = arena_mark(a);
    value_pair pairs[] = {
        {"action", floats(a, l->action, l->of.info->n_action)},
        {"done", value_bool(loop_is_over(l))},
        {"events", words_of(a, l->of.info->events, events)},
        {"goal", value_text(l->goal.name)},
        {"instruction", value_text(l->instruction)},
        {"seconds", value_float((double)l->tick / l->of.info->rate_hz)},
        {"success", value_bool(l->now.success)},
        {"tick", value_int(l->tick)},
        {"verdict", value_text(l->guard ? verdict_name(&l->verdict) : "")},
    };
    value v = {
        .kind = VALUE_TABLE, .pairs = pairs, .n_pairs = sizeof pairs / sizeof *pairs};
    tree_push(L, s, &v);
    arena_reset(a, mark);
}

static int l_step(lua_State *L)
{
    script *s = script_of(L);
    hand *h = hand_at(L, s, 1);
    lua_Integer n = luaL_optinteger(L, 2, 1);
    if (n < 0)
        script_error(L, s, "drive: step: want 0 or more ticks, got %lld", (long long)n);
    uint64_t events = 0;
    int32_t st = 0;
    script_pause(s);
    for (lua_Integer i = 0; st >= 0 && i < n && !loop_is_over(h->loop); i++) {
        st = loop_tick(h->loop);
        events |= h->loop->now.events;
    }
    script_go_on(s);
    if (st < 0) box_throw(L, s, &h->box);
    push_state(L, s, h->loop, events);
    return 1;
}

/* ---- looking ---- */

static int l_observe(lua_State *L)
{
    script *s = script_of(L);
    hand *h = hand_at(L, s, 1);
    const evla_body_info *info = &h->drive.info;
    evla_type t;
    if (lua_isnoneornil(L, 2)) {
        lua_createtable(L, info->n_channels, 0);
        for (int32_t i = 0; i < info->n_channels; i++) {
            lua_pushstring(L, info->channels[i].name);
            lua_rawseti(L, -2, i + 1);
        }
        return 1;
    }
    const char *name = luaL_checkstring(L, 2);
    int32_t i = 0;
    while (i < info->n_channels && strcmp(info->channels[i].name, name) != 0)
        i++;
    if (i == info->n_channels)
        script_error(L, s, "drive: the body has no channel \"%s\"; observe() lists them",
                     name);
    if (type_parse(&h->box.cx, info->channels[i].type, &(symbols){0}, &t) < 0)
        box_throw(L, s, &h->box);
    void *data = lua_newuserdatauv(L, (size_t)type_bytes(s->cx->reg, &t) + 1, 0);
    if (h->loop->body->observe(&h->loop->h.table, h->loop->self, i, data) < 0)
        box_throw(L, s, &h->box);
    evla_tensor view = tensor_view(s->cx->reg, &t, data);
    bind_push_tensor(L, lua_gettop(L), &view);
    return 1;
}

/* The guard's sentence about the last tick, and the same as a table. */
static int l_why(lua_State *L)
{
    script *s = script_of(L);
    hand *h = hand_at(L, s, 1);
    loop *l = h->loop;
    char text[512] = "";
    if (!l->guard) {
        lua_pushstring(L, "nobody guards this loop");
        return 1;
    }
    if (!l->tick) {
        lua_pushstring(L, "nothing has been judged yet");
        return 1;
    }
    if (l->guard->explain(&l->h.table, l->guard_self, &l->verdict, text, sizeof text) < 0)
        box_throw(L, s, &h->box);
    lua_pushstring(L, *text ? text : verdict_name(&l->verdict));
    arena *a = &s->cx->scratch;
    arena_place mark = arena_mark(a);
    value_pair pairs[] = {
        {"bound", value_float(l->verdict.bound)},
        {"facts", words_of(a, l->guard_info.facts, l->verdict.facts)},
        {"found", value_float(l->verdict.found)},
        {"kind", value_text(verdict_name(&l->verdict))},
        {"proposed", floats(a, l->proposed, l->of.info->n_action)},
        {"rule", value_text(l->verdict.rule < 0
                                ? ""
                                : words_copy(a, l->guard_info.rules, l->verdict.rule))},
        {"rules", words_of(a, l->guard_info.rules, l->verdict.rules)},
    };
    value v = {
        .kind = VALUE_TABLE, .pairs = pairs, .n_pairs = sizeof pairs / sizeof *pairs};
    tree_push(L, s, &v);
    arena_reset(a, mark);
    return 2;
}

/* { "on", 9, 1 } becomes { "on", "mug", "table" }: a person asks. */
static void name_nodes(value *scene)
{
    const value *nodes = value_get(scene, "nodes"),
                *relations = value_get(scene, "relations");
    for (int32_t i = 0; nodes && relations && i < relations->n_items; i++)
        for (int32_t k = 1; k < relations->as.items[i].n_items; k++) {
            value *end = &relations->as.items[i].as.items[k];
            if (end->kind != VALUE_INT || end->as.i < 0 || end->as.i >= nodes->n_items)
                continue;
            const value *name = value_get(&nodes->as.items[end->as.i], "name");
            if (name) *end = *name;
        }
}

static int l_scene(lua_State *L)
{
    script *s = script_of(L);
    hand *h = hand_at(L, s, 1);
    arena_place mark = arena_mark(&s->cx->scratch);
    value v = film_scene(&s->cx->scratch, h->loop);
    name_nodes(&v);
    if (v.kind == VALUE_NIL)
        lua_pushnil(L);
    else
        tree_push(L, s, &v);
    arena_reset(&s->cx->scratch, mark);
    return 1;
}

static int l_text(lua_State *L)
{
    const hand *h = luaL_checkudata(L, 1, "evla.drive");
    if (!h->loop)
        lua_pushstring(L, "drive (closed)");
    else
        lua_pushfstring(L, "drive of body.%s at tick %d: \"%s\"",
                        h->given.drive.body.item->name, (int)h->loop->tick,
                        h->loop->instruction);
    return 1;
}

void bind_drive_open(lua_State *L, script *s)
{
    static const luaL_Reg methods[] = {
        {"reset", l_reset}, {"step", l_step},   {"observe", l_observe},
        {"why", l_why},     {"scene", l_scene}, {"close", l_gc},
        {NULL, NULL}};
    static const luaL_Reg slots[] = {
        {"__gc", l_gc}, {"__close", l_gc}, {"__tostring", l_text}, {NULL, NULL}};
    (void)s;
    box_class(L, "evla.drive", methods, slots, "drive", l_drive);
}
