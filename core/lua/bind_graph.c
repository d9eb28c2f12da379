/*
 * bind_graph.c -- model files: what they may say, and the builder that declares their
 * graphs.
 *
 * A model file is a chunk that returns function(p), or { options = {...}, graphs =
 * function(p) }, where p holds its options and the function returns a table of functions,
 * one per graph. Each is called with the builder:
 *
 *   g:input(name, type)  g:output(name, x)  g:state(name, type, init)  g:symbol(name, rule)
 *   g:weight(name, type, init)  g:const(type, numbers)
 *   g.linear { x, w = "head.w", b = "head.b", out = 7 }   g.relu(x)
 *
 * require "vit" gives a model file what another one returns, so that models are made of
 * models.
 *
 * In a call the values by position are inputs; a name is an input where the operator has
 * one of that name, else a parameter. Where an input stands, a text is a weight's name and
 * a number a constant in f32. An operator with several outputs returns several values.
 */
#include "bind_graph.h"
#include "../near.h"
#include "../registry.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Objects keep what they came from alive as their user value: wire, graph, model. */
typedef struct model_box {
    model *m; /* NULL once collected */
} model_box;

typedef struct graph_box {
    graph *g;
    const model_box *of;
    int is_done;
} graph_box;

typedef struct wire_box {
    const graph_box *in;
    int32_t at;
} wire_box;

/* ---- builder objects ---- */

static int l_model_gc(lua_State *L)
{
    model_box *box = lua_touserdata(L, 1);
    model_drop(box->m);
    box->m = NULL;
    return 0;
}

static int is_open(const graph_box *b) { return !b->is_done && b->of->m; }

static const graph_box *graph_at(lua_State *L, int at)
{
    const graph_box *b = luaL_checkudata(L, at, "evla.graph");
    if (!is_open(b))
        script_error(L, script_of(L),
                     "this graph is finished; build it inside its function");
    return b;
}

static void push_wire(lua_State *L, int graph_index, int32_t at)
{
    wire_box *w = lua_newuserdatauv(L, sizeof *w, 1);
    *w = (wire_box){lua_touserdata(L, graph_index), at};
    lua_pushvalue(L, graph_index);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, "evla.wire");
}

/* The wire at an index, which must belong to this graph. */
static int32_t wire_at(lua_State *L, const graph_box *b, int at, const char *what)
{
    const wire_box *w = luaL_testudata(L, at, "evla.wire");
    if (!w)
        script_error(L, script_of(L), "graph %s: %s: want a value of the graph, got %s",
                     b->g->name, what, luaL_typename(L, at));
    if (w->in != b)
        script_error(
            L, script_of(L),
            "graph %s: %s: this value belongs to another graph; graphs share weights "
            "and states by name, not values",
            b->g->name, what);
    return w->at;
}

static int l_wire_text(lua_State *L)
{
    const wire_box *w = luaL_checkudata(L, 1, "evla.wire");
    if (is_open(w->in))
        lua_pushfstring(L, "%s of graph %s", w->in->g->wires[w->at].name, w->in->g->name);
    else
        lua_pushliteral(L, "value of a finished graph");
    return 1;
}

static int l_graph_text(lua_State *L)
{
    const graph_box *b = luaL_checkudata(L, 1, "evla.graph");
    if (is_open(b))
        lua_pushfstring(L, "graph %s: %d nodes", b->g->name, (int)b->g->n_nodes);
    else
        lua_pushliteral(L, "finished graph");
    return 1;
}

/* The ctx without an older sentence, so that the next one is kept. */
static ctx *fresh(script *s)
{
    ctx_clear(s->cx);
    return s->cx;
}

static int made(lua_State *L, script *s, int32_t status, int32_t at)
{
    if (status < 0) script_throw(L, s);
    push_wire(L, 1, at);
    return 1;
}

static int l_input(lua_State *L)
{
    script *s = script_of(L);
    const graph_box *b = graph_at(L, 1);
    int32_t w = -1;
    int32_t st = graph_input(fresh(s), b->g, luaL_checkstring(L, 2), luaL_checkstring(L, 3),
                             script_where(L, s), &w);
    return made(L, s, st, w);
}

static int l_weight(lua_State *L)
{
    script *s = script_of(L);
    const graph_box *b = graph_at(L, 1);
    int32_t w = -1;
    int32_t st =
        graph_weight(fresh(s), b->g, luaL_checkstring(L, 2), luaL_optstring(L, 3, NULL),
                     luaL_optstring(L, 4, NULL), script_where(L, s), &w);
    return made(L, s, st, w);
}

static int l_state(lua_State *L)
{
    script *s = script_of(L);
    const graph_box *b = graph_at(L, 1);
    int32_t w = -1;
    int32_t st = graph_state(fresh(s), b->g, luaL_checkstring(L, 2), luaL_checkstring(L, 3),
                             luaL_optstring(L, 4, NULL), script_where(L, s), &w);
    return made(L, s, st, w);
}

static int l_const(lua_State *L)
{
    script *s = script_of(L);
    const graph_box *b = graph_at(L, 1);
    const char *type = luaL_checkstring(L, 2);
    value v;
    int32_t w = -1;
    luaL_checkany(L, 3);
    tree_read(L, s, 3, "const", &v);
    int32_t st = graph_const_value(fresh(s), b->g, type, &v, script_where(L, s), &w);
    return made(L, s, st, w);
}

static int l_symbol(lua_State *L)
{
    script *s = script_of(L);
    const graph_box *b = graph_at(L, 1);
    if (graph_symbol(fresh(s), b->g, luaL_checkstring(L, 2), luaL_optstring(L, 3, NULL),
                     script_where(L, s)) < 0)
        script_throw(L, s);
    return 0;
}

static int l_output(lua_State *L)
{
    script *s = script_of(L);
    const graph_box *b = graph_at(L, 1);
    const char *name = luaL_checkstring(L, 2);
    int32_t w = wire_at(L, b, 3, "output");
    if (graph_output(fresh(s), b->g, name, w, script_where(L, s)) < 0) script_throw(L, s);
    return 0;
}

/* ---- a call of an operator ---- */

enum { MOST_ARGS = 2 * EVLA_MAX_PORTS };

typedef struct gathering {
    script *s;
    const graph_box *b;
    const evla_item *op;
    const char *where;
    graph_arg args[MOST_ARGS];
    int32_t n;
} gathering;

/* The value on top of the stack becomes an input; it is popped. */
static void add_arg(lua_State *L, gathering *c, const char *name, int position)
{
    graph *g = c->b->g;
    int32_t at = -1, st = 0;
    char what[100];
    if (name)
        snprintf(what, sizeof what, "%.40s: input \"%.40s\"", c->op->name, name);
    else
        snprintf(what, sizeof what, "%.40s: value %d", c->op->name, position);
    if (c->n == MOST_ARGS)
        script_error(L, c->s, "graph %s: %s: more than %d inputs", g->name, c->op->name,
                     MOST_ARGS);
    if (lua_type(L, -1) == LUA_TSTRING)
        st = graph_weight(fresh(c->s), g, lua_tostring(L, -1), NULL, NULL, c->where, &at);
    else if (lua_type(L, -1) == LUA_TNUMBER) {
        value v = value_float(lua_tonumber(L, -1));
        st = graph_const_value(fresh(c->s), g, "f32", &v, c->where, &at);
    } else if (luaL_testudata(L, -1, "evla.wire"))
        at = wire_at(L, c->b, -1, what);
    else
        script_error(
            L, c->s,
            "graph %s: %s: want a value of the graph, a weight's name or a number, "
            "got %s",
            g->name, what, luaL_typename(L, -1));
    if (st < 0) script_throw(L, c->s);
    c->args[c->n++] = (graph_arg){name, at};
    lua_pop(L, 1);
}

/* An operator's input by its name; several, where it takes several. */
static void add_port(lua_State *L, gathering *c, int table, const op_port *port)
{
    const char *name = arena_copy_n(&c->s->cx->mem, port->name, (size_t)port->n);
    if (!name) script_error(L, c->s, "out of memory");
    if (lua_getfield(L, table, name) == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    if (!port->variadic || !lua_istable(L, -1)) {
        add_arg(L, c, name, 0);
        return;
    }
    int list = lua_gettop(L);
    for (lua_Integer i = 1; lua_rawgeti(L, list, i) != LUA_TNIL; i++)
        add_arg(L, c, name, 0);
    lua_settop(L, list - 1);
}

/* { x, y, w = "name", out = 7 }: inputs go to c, the rest to the table on top of the stack.
 * Inputs are read in the operator's order, so that the same file makes the same graph. */
static void read_call(lua_State *L, gathering *c, int table, const op_port *ports,
                      int32_t n_ports)
{
    int rest = lua_gettop(L), key = rest + 1;
    lua_Integer n = (lua_Integer)lua_rawlen(L, table);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, table, i);
        add_arg(L, c, NULL, (int)i);
    }
    for (int32_t i = 0; i < n_ports; i++)
        add_port(L, c, table, &ports[i]);
    lua_pushnil(L);
    while (lua_next(L, table)) {
        const char *name = lua_type(L, key) == LUA_TSTRING ? lua_tostring(L, key) : NULL;
        if (!name && !(lua_isinteger(L, key) && lua_tointeger(L, key) >= 1 &&
                       lua_tointeger(L, key) <= n))
            script_error(
                L, c->s,
                "graph %s: %s: want values by position, without a gap, and names; got "
                "the key %s",
                c->b->g->name, c->op->name, luaL_tolstring(L, key, NULL));
        if (!name || op_has_input(op_of(c->op), name)) {
            lua_settop(L, key);
        } else if (luaL_testudata(L, key + 1, "evla.wire")) {
            add_arg(L, c, name, 0); /* graph_add says which inputs there are */
        } else {
            lua_pushvalue(L, key);
            lua_insert(L, key + 1);
            lua_rawset(L, rest);
        }
    }
}

static int l_op(lua_State *L)
{
    script *s = script_of(L);
    int self = lua_upvalueindex(1), n = lua_gettop(L), first = 1;
    gathering c = {.s = s, .b = graph_at(L, self)};
    c.op = lua_touserdata(L, lua_upvalueindex(2));
    op_port ports[EVLA_MAX_PORTS];
    int32_t n_ports = op_ports(op_of(c.op)->inputs, ports), out;
    if (n && lua_rawequal(L, 1, self)) first = 2; /* g:relu(x) */
    luaL_checkstack(L, 16, "too many values");
    c.where = script_where(L, s);
    lua_newtable(L);
    for (int i = first; i <= n; i++) {
        if (!lua_istable(L, i)) {
            lua_pushvalue(L, i);
            add_arg(L, &c, NULL, i - first + 1);
        } else if (i == n)
            read_call(L, &c, i, ports, n_ports < 0 ? 0 : n_ports);
        else
            script_error(L, s, "graph %s: %s: the table of names comes last", c.b->g->name,
                         c.op->name);
    }
    value given;
    tree_read(L, s, lua_gettop(L), c.op->name, &given);
    graph *g = c.b->g;
    if (graph_add(fresh(s), g, c.op->name, c.args, c.n, &given, c.where, &out) < 0)
        script_throw(L, s);
    const node *nd = &g->nodes[g->n_nodes - 1];
    luaL_checkstack(L, nd->n_out + 4, "too many outputs");
    for (int32_t i = 0; i < nd->n_out; i++)
        push_wire(L, self, nd->out[i]);
    return nd->n_out;
}

static int l_graph_index(lua_State *L)
{
    script *s = script_of(L);
    const graph_box *b = graph_at(L, 1);
    const char *name = luaL_checkstring(L, 2);
    if (lua_getfield(L, lua_upvalueindex(1), name) != LUA_TNIL) return 1;
    const evla_item *op = registry_want(fresh(s), EVLA_OP, name);
    if (!op) {
        ctx_prefix(s->cx, "%s: graph %s", script_where(L, s), b->g->name);
        script_throw(L, s);
    }
    lua_pushvalue(L, 1);
    lua_pushlightuserdata(L, (void *)op);
    lua_pushcclosure(L, l_op, 2);
    return 1;
}

/* ---- what a model file sees ---- */

static int l_absent(lua_State *L)
{
    const char *name = luaL_tolstring(L, 2, NULL);
    script_error(
        L, script_of(L),
        "a model file has no \"%.60s\": it declares graphs, and reaches no files but "
        "other model files",
        name);
}

static void push_env(lua_State *L, int loaded);

/* Runs a model file's text in an environment of its own; its result is on the stack. */
static void run_file(lua_State *L, script *s, const char *path, const char *shown,
                     int loaded)
{
    script_load_text(L, s, path, shown);
    push_env(L, loaded);
    if (!lua_setupvalue(L, -2, 1)) lua_pop(L, 1); /* a file without a global */
    lua_call(L, 0, 1);
}

/* require "vit": what models/vit.lua returns. Its upvalue holds what was loaded, by name;
 * false: is being loaded. */
static int l_require(lua_State *L)
{
    script *s = script_of(L);
    const char *name = luaL_checkstring(L, 1), *shown;
    int loaded = lua_upvalueindex(1);
    lua_settop(L, 1);
    if (lua_getfield(L, loaded, name) == LUA_TBOOLEAN)
        script_error(L, s, "require: the model file \"%.60s\" needs itself", name);
    if (!lua_isnil(L, -1)) return 1;
    const char *path = bind_apply_find(L, s, name, script_where(L, s), &shown);
    lua_pushboolean(L, 0);
    lua_setfield(L, loaded, name);
    run_file(L, s, path, shown, loaded);
    if (lua_isnil(L, -1)) script_error(L, s, "require: %s returns nothing", shown);
    lua_pushvalue(L, -1);
    lua_setfield(L, loaded, name);
    return 1;
}

/* A copy of a library, so that model files cannot change it for others. */
static void copy_library(lua_State *L, int env, const char *name, const char *without)
{
    lua_newtable(L);
    lua_getglobal(L, name);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        if (strncmp(key, without, strlen(without)) != 0) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_settable(L, -5);
        } else
            lua_pop(L, 1);
    }
    lua_pop(L, 1);
    lua_setfield(L, env, name);
}

/* loaded: the stack index of the table of what was required. */
static void push_env(lua_State *L, int loaded)
{
    static const char *const plain[] = {
        "_VERSION", "assert",   "error",  "getmetatable", "ipairs",
        "next",     "pairs",    "pcall",  "print",        "rawequal",
        "rawget",   "rawlen",   "rawset", "select",       "setmetatable",
        "tonumber", "tostring", "type",   "xpcall"};
    lua_newtable(L);
    int env = lua_gettop(L);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        lua_getglobal(L, plain[i]);
        lua_setfield(L, env, plain[i]);
    }
    copy_library(L, env, "math", "random"); /* the same file, the same graphs */
    copy_library(L, env, "string", "dump");
    copy_library(L, env, "table", "-");
    copy_library(L, env, "utf8", "-");
    lua_pushvalue(L, loaded);
    lua_pushcclosure(L, l_require, 1);
    lua_setfield(L, env, "require");
    lua_newtable(L);
    lua_pushcfunction(L, l_absent);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, env);
}

/* p.layerz: refused with the nearest name. What is declared and absent is nil. */
static int l_option_absent(lua_State *L)
{
    script *s = script_of(L);
    const char *name = luaL_tolstring(L, 2, NULL), *names[64];
    int32_t n = 0;
    lua_pushnil(L);
    while (n < 64 && lua_next(L, lua_upvalueindex(1))) {
        lua_pop(L, 1);
        names[n] = lua_tostring(L, -1);
        if (!strcmp(names[n++], name)) return 0;
    }
    const char *near = near_miss(name, names, n);
    script_error(L, s, "model %s: the option \"%.60s\" %s%s%s%s",
                 lua_tostring(L, lua_upvalueindex(2)), name,
                 lua_toboolean(L, lua_upvalueindex(3)) ? "is not declared"
                                                       : "was not given",
                 near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* Checked, with their presets; absent means nil, not zero. Pushes values, then names. */
static void push_declared(lua_State *L, script *s, const char *name, const char *where,
                          int declared, int given)
{
    int32_t n;
    size_t size;
    value v;
    const char *what = arena_text(&s->cx->mem, "model \"%s\"", name);
    if (!what) script_error(L, s, "out of memory");
    evla_param *params = bind_declare_params(L, s, declared, what, &n, &size);
    for (int32_t i = 0; i < n; i++)
        if (bind_apply_takes(params[i].name))
            script_error(L, s,
                         "%s: options: %s is evla.model's own word; choose another name",
                         what, params[i].name);
    void *filled = arena_push(&s->cx->mem, 1, size + 16);
    if (!filled) script_error(L, s, "out of memory");
    tree_read(L, s, given, what, &v);
    param_site site = {.where = where, .what = what};
    if (param_fill(fresh(s), &s->cx->mem, &site, params, n, &v, filled, size) < 0)
        script_throw(L, s);
    bind_push_filled(L, s, params, n, filled);
    lua_createtable(L, 0, n);
    for (int32_t i = 0; i < n; i++) {
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, params[i].name);
        if (params[i].preset || value_get(&v, params[i].name)) continue;
        lua_pushnil(L);
        lua_setfield(L, -3, params[i].name);
    }
}

/* Declared options are checked and get their presets; else p is what was given. Pushes p.
 */
static void push_options(lua_State *L, script *s, const char *name, const char *where,
                         int declared, int given)
{
    if (declared)
        push_declared(L, s, name, where, declared, given);
    else {
        value v;
        tree_read(L, s, given, name, &v);
        tree_push(L, s, &v);
        lua_newtable(L);
        for (int32_t i = 0; i < v.n_pairs; i++) {
            lua_pushboolean(L, 1);
            lua_setfield(L, -2, v.pairs[i].name);
        }
    }
    lua_pushstring(L, name);
    lua_pushboolean(L, declared);
    lua_pushcclosure(L, l_option_absent, 3);
    lua_createtable(L, 0, 1);
    lua_insert(L, -2);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

/* ---- running a model file ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Calls the function of one graph with its builder. */
static void build_one(lua_State *L, script *s, int model_index, int graphs,
                      const char *name, const char *shown)
{
    model_box *of = lua_touserdata(L, model_index);
    int top = lua_gettop(L);
    lua_Debug ar;
    if (lua_getfield(L, graphs, name) != LUA_TFUNCTION)
        luaL_error(L, "%s: graph %s: want a function, got %s", shown, name,
                   luaL_typename(L, -1));
    lua_pushvalue(L, -1);
    lua_getinfo(L, ">S", &ar);
    const char *where = arena_text(&s->cx->mem, "%s:%d", shown, ar.linedefined);
    graph_box *b = lua_newuserdatauv(L, sizeof *b, 1);
    *b = (graph_box){.of = of};
    lua_pushvalue(L, model_index);
    lua_setiuservalue(L, -2, 1);
    if (graph_new(fresh(s), of->m, name, where, &b->g) < 0) script_throw(L, s);
    luaL_setmetatable(L, "evla.graph");
    lua_pushvalue(L, -1);
    lua_insert(L, -3); /* the box must outlive the call */
    lua_call(L, 1, 0);
    b->is_done = 1;
    lua_settop(L, top);
}

/* The names of the table's functions in order, so that the same file makes the same model.
 */
static int32_t graph_names(lua_State *L, int graphs, const char *shown,
                           const char *names[256])
{
    int32_t n = 0;
    lua_pushnil(L);
    while (lua_next(L, graphs)) {
        if (lua_type(L, -2) != LUA_TSTRING || n == 256)
            return luaL_error(L, "%s: want up to 256 graphs by name, got the key %s", shown,
                              luaL_tolstring(L, -2, NULL));
        names[n++] = lua_tostring(L, -2); /* the table keeps it */
        lua_pop(L, 1);
    }
    if (!n) luaL_error(L, "%s: it declares no graph", shown);
    qsort(names, (size_t)n, sizeof *names, by_name);
    return n;
}

model *bind_graph_build(lua_State *L, script *s, const char *path, const char *shown,
                        const char *name, const char *where, int given)
{
    const char *names[256];
    given = lua_absindex(L, given);
    luaL_checkstack(L, 32, "model files nest too deep");
    model **m = bind_graph_own(L);
    int self = lua_gettop(L), declared = 0;
    if (model_new(fresh(s), name, m) < 0) script_throw(L, s);
    lua_newtable(L);
    run_file(L, s, path, shown, self + 1);
    int result = lua_gettop(L);
    const char *found = luaL_typename(L, result);
    if (lua_istable(L, result)) {
        if (lua_getfield(L, result, "options") != LUA_TNIL) declared = lua_gettop(L);
        if (declared && !lua_istable(L, declared))
            luaL_error(L, "%s: options: want a table of declarations, got %s", shown,
                       luaL_typename(L, declared));
        found = "a table without the function graphs";
        lua_getfield(L, result, "graphs");
    }
    if (!lua_isfunction(L, -1))
        luaL_error(
            L,
            "%s: want return function(p) ... end, or return { options = {...}, graphs = "
            "function(p) ... end }, at its end; it returns %s",
            shown, lua_isnil(L, result) ? "nothing" : found);
    push_options(L, s, name, where, declared, given);
    lua_call(L, 1, 1);
    int graphs = lua_gettop(L);
    if (!lua_istable(L, graphs))
        luaL_error(L,
                   "%s: its function returns %s; want a table of graphs: { policy = "
                   "function(g) ... end }",
                   shown, lua_isnil(L, graphs) ? "nothing" : luaL_typename(L, graphs));
    int32_t n = graph_names(L, graphs, shown, names);
    for (int32_t i = 0; i < n; i++)
        build_one(L, s, self, graphs, names[i], shown);
    lua_settop(L, self);
    return *m;
}

model **bind_graph_own(lua_State *L)
{
    model_box *box = lua_newuserdatauv(L, sizeof *box, 0);
    box->m = NULL;
    luaL_setmetatable(L, "evla.model");
    return &box->m;
}

/* ---- putting it in ---- */

static void metatable(lua_State *L, const char *name, lua_CFunction text)
{
    luaL_newmetatable(L, name);
    if (text) lua_pushcfunction(L, text), lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
}

void bind_graph_open(lua_State *L, script *s)
{
    static const luaL_Reg methods[] = {
        {"input", l_input}, {"output", l_output}, {"state", l_state}, {"weight", l_weight},
        {"const", l_const}, {"symbol", l_symbol}, {NULL, NULL}};
    (void)s;
    metatable(L, "evla.wire", l_wire_text);
    metatable(L, "evla.model", NULL);
    lua_pushcfunction(L, l_model_gc);
    lua_setfield(L, -2, "__gc");
    metatable(L, "evla.graph", l_graph_text);
    luaL_newlib(L, methods);
    lua_pushcclosure(L, l_graph_index, 1);
    lua_setfield(L, -2, "__index");
    lua_settop(L, 0);
    bind_apply_open(L);
    bind_call_open(L);
}
