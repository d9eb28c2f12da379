/*
 * bind_job.c -- jobs in Lua: declaring them, checking and running one from the REPL, and
 * the program that a script returns.
 */
#include "../mem.h"
#include "../registry.h"
#include "script.h"
#include <string.h>
#include <sys/stat.h>

/* ---- job objects ---- */

job *bind_job_at(lua_State *L, int at)
{
    job **j = luaL_testudata(L, at, "evla.job");
    return j ? *j : NULL;
}

/* One userdata per job, so that equal jobs are equal in Lua. */
void bind_push_job(lua_State *L, job *j)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, "evla.jobs");
    if (lua_rawgetp(L, -1, j) == LUA_TNIL) {
        lua_pop(L, 1);
        *(job **)lua_newuserdatauv(L, sizeof j, 0) = j;
        luaL_setmetatable(L, "evla.job");
        lua_pushvalue(L, -1);
        lua_rawsetp(L, -3, j);
    }
    lua_remove(L, -2);
}

/* ---- declaring ---- */

/* A sink's relative path lies in its job's folder, a source's beside the script: a first
 * stage that could be either, and whose file is there, gets an absolute path. */
static void place_source(lua_State *L, script *s, value *stages)
{
    if (!stages || stages->kind != VALUE_TABLE || !stages->n_items) return;
    value *first = &stages->as.items[0];
    if (first->kind != VALUE_REF || strcmp(first->ref_type, "choice") != 0) return;
    choice *c = first->as.ref;
    const evla_item *item = c->item.item;
    if (strcmp(item->kind, EVLA_STAGE) != 0 || !((const evla_stage *)item->table)->make ||
        c->given.kind != VALUE_TABLE)
        return;
    value given = c->given;
    int changed = 0;
    for (uint32_t i = 0; i < item->n_params; i++) {
        const value *v = value_get(&given, item->params[i].name);
        if (item->params[i].type != EVLA_P_PATH || !v || v->kind != VALUE_TEXT) continue;
        const char *path = script_path(s, v->as.text);
        struct stat st;
        if (stat(path, &st) < 0)
            script_error(L, s, "stage.%s: %s: there is no file \"%s\"", item->name,
                         item->params[i].name, path);
        if (v->as.text[0] == '/') continue;
        value_pair *pairs = arena_push(&s->cx->mem, (size_t)given.n_pairs, sizeof *pairs);
        if (!pairs) script_error(L, s, "out of memory");
        memcpy(pairs, given.pairs, (size_t)given.n_pairs * sizeof *pairs);
        for (int32_t k = 0; k < given.n_pairs; k++)
            if (!strcmp(pairs[k].name, item->params[i].name)) pairs[k].v = value_text(path);
        given.pairs = pairs;
        changed = 1;
    }
    if (changed) first->as.ref = bind_choose(L, s, item, &given, c->where);
}

/* The list part of the table fills the type's first list: { source, stage, workers = 2 }.
 */
static void gather_items(lua_State *L, script *s, const job_type *t, value *given)
{
    int32_t k = 0;
    while (k < t->n_params && t->params[k].type != EVLA_P_LIST &&
           t->params[k].type != EVLA_P_STRUCTS)
        k++;
    if (given->n_items && k < t->n_params && !value_get(given, t->params[k].name)) {
        value_pair *pairs =
            arena_push(&s->cx->mem, (size_t)given->n_pairs + 1, sizeof *pairs);
        if (!pairs) script_error(L, s, "out of memory");
        if (given->n_pairs)
            memcpy(pairs, given->pairs, (size_t)given->n_pairs * sizeof *pairs);
        value list = *given;
        list.pairs = NULL;
        list.n_pairs = 0;
        pairs[given->n_pairs++] = (value_pair){t->params[k].name, list};
        given->pairs = pairs;
        given->n_items = 0;
        given->as.items = NULL;
        value_sort(given);
    }
    if (k < t->n_params) place_source(L, s, (value *)value_get(given, t->params[k].name));
}

/* { B = 32 } for a list of structs of a name and one thing more: { { name = "B", extent =
 * 32 } }; also for such lists inside structs. */
static void list_pairs(lua_State *L, script *s, const evla_param *p, value *v)
{
    if (!v || v->kind != VALUE_TABLE || p->type != EVLA_P_STRUCTS) return;
    for (int32_t i = 0; i < v->n_items; i++)
        for (uint32_t k = 0; v->as.items[i].kind == VALUE_TABLE && k < p->n_fields; k++)
            list_pairs(L, s, &p->fields[k],
                       (value *)value_get(&v->as.items[i], p->fields[k].name));
    if (p->n_fields != 2 || strcmp(p->fields[0].name, "name") != 0 || v->n_items ||
        !v->n_pairs)
        return;
    value list = value_list(&s->cx->mem, v->n_pairs);
    if (!list.as.items) script_error(L, s, "out of memory");
    for (int32_t i = 0; i < v->n_pairs; i++) {
        const value_pair row[] = {{p->fields[1].name, v->pairs[i].v},
                                  {"name", value_text(v->pairs[i].name)}};
        value one = value_table(&s->cx->mem, row, 2);
        if (one.kind != VALUE_TABLE) script_error(L, s, "out of memory");
        list.as.items[list.n_items++] = one;
    }
    *v = list;
}

/* One job may stand without braces where a list of them is wanted: data = demos. */
static void list_one(lua_State *L, script *s, const evla_param *p, value *v)
{
    if (p->type != EVLA_P_LIST || p->element != EVLA_P_VALUE || !v || v->kind != VALUE_REF)
        return;
    value list = value_list(&s->cx->mem, 1);
    if (!list.as.items) script_error(L, s, "out of memory");
    list.as.items[list.n_items++] = *v;
    *v = list;
}

/* In the REPL a line typed again replaces the job of that name. */
static void forget(program *p, const char *name)
{
    for (int32_t i = 0; i < p->n_jobs; i++)
        if (!strcmp(p->jobs[i]->name, name)) {
            memmove(&p->jobs[i], &p->jobs[i + 1],
                    (size_t)(p->n_jobs - i - 1) * sizeof *p->jobs);
            p->n_jobs--;
            return;
        }
}

job *bind_declare(lua_State *L, script *s, const job_type *t, const char *name,
                  value *given, const char *where)
{
    const char *what = arena_text(&s->cx->mem, "%s \"%s\"", t->name, name);
    gather_items(L, s, t, given);
    for (int32_t i = 0; i < t->n_params; i++) {
        value *v = (value *)value_get(given, t->params[i].name);
        list_pairs(L, s, &t->params[i], v);
        list_one(L, s, &t->params[i], v);
    }
    bind_input_paths(L, s, t->params, t->n_params, given, what ? what : t->name);
    ctx_clear(s->cx);
    if (s->setup.is_repl) forget(s->prog, name);
    job *j = job_declare(s->prog, t->name, name, given, where);
    if (!j) script_throw(L, s);
    return j;
}

static int declare_at(lua_State *L, const job_type *t, const char *name, int at)
{
    script *s = script_of(L);
    const char *where = script_where(L, s);
    const char *what = arena_text(&s->cx->mem, "%s \"%s\"", t->name, name);
    value given;
    if (!lua_istable(L, at))
        script_error(L, s, "%s: want a table of parameters, got %s", what,
                     luaL_typename(L, at));
    tree_read(L, s, at, what, &given);
    bind_push_job(L, bind_declare(L, s, t, name, &given, where));
    return 1;
}

static int l_declare(lua_State *L) /* the second half of evla.pipeline "name" { ... } */
{
    const job_type *t = lua_touserdata(L, lua_upvalueindex(1));
    return declare_at(L, t, lua_tostring(L, lua_upvalueindex(2)), 1);
}

static int l_type_call(lua_State *L)
{
    script *s = script_of(L);
    const job_type *t = *(const job_type **)luaL_checkudata(L, 1, "evla.jobtype");
    const evla_item *stage = registry_find(s->cx->reg, EVLA_STAGE, t->name);
    if (lua_istable(L, 2) && stage) {
        value given;
        const char *where = script_where(L, s);
        tree_read(L, s, 2, t->name, &given);
        bind_push_choice(L, bind_choose(L, s, stage, &given, where));
        return 1;
    }
    if (lua_type(L, 2) != LUA_TSTRING)
        script_error(L, s, "evla.%s: want a name, such as evla.%s \"mine\" { ... }, got %s",
                     t->name, t->name, luaL_typename(L, 2));
    if (!lua_isnoneornil(L, 3)) return declare_at(L, t, lua_tostring(L, 2), 3);
    lua_pushlightuserdata(L, (void *)t);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, l_declare, 2);
    return 1;
}

static int l_type_text(lua_State *L)
{
    const job_type *t = *(const job_type **)luaL_checkudata(L, 1, "evla.jobtype");
    lua_pushfstring(L, "job type %s: %s", t->name, t->doc ? t->doc : "");
    return 1;
}

/* ---- one job and what it needs ---- */

static int32_t closure(job *j, job **list, int32_t n, int32_t most)
{
    for (int32_t i = 0; i < n; i++)
        if (list[i] == j) return n;
    for (int32_t i = 0; i < j->n_needs && n < most; i++)
        n = closure(j->needs[i], list, n, most);
    if (n < most) list[n++] = j;
    return n;
}

/* A program of the same folder with only these jobs. */
static program part_of(lua_State *L, script *s, job *j)
{
    enum { MOST = 1024 };
    program p = *s->prog;
    char hex[65];
    sha256 sources = s->sources;
    p.jobs = arena_push(&s->cx->mem, MOST, sizeof *p.jobs);
    sha256_final_hex(&sources, hex);
    p.sources = arena_copy(&s->cx->mem, hex);
    if (!p.jobs || !p.sources) script_error(L, s, "out of memory");
    p.n_jobs = p.cap_jobs = closure(j, p.jobs, 0, MOST);
    return p;
}

static int l_job_check(lua_State *L)
{
    script *s = script_of(L);
    job *j = *(job **)luaL_checkudata(L, 1, "evla.job");
    const char *report;
    program p = part_of(L, s, j);
    ctx_clear(s->cx);
    s->prog->sources = p.sources;
    script_pause(s);
    int32_t st = program_check(&p, &report);
    script_go_on(s);
    if (st < 0) {
        lua_pushstring(L, report ? report : s->cx->why);
        ctx_clear(s->cx);
        lua_error(L);
    }
    lua_settop(L, 1);
    return 1; /* chains */
}

static int l_job_run(lua_State *L)
{
    script *s = script_of(L);
    l_job_check(L);
    job *j = *(job **)luaL_checkudata(L, 1, "evla.job");
    program p = part_of(L, s, j);
    script_pause(s);
    int32_t st = program_run(&p, NULL);
    script_go_on(s);
    if (st < 0) script_throw(L, s);
    lua_settop(L, 1);
    return 1;
}

static int l_job_index(lua_State *L)
{
    static const char *const states[] = {"waiting", "skipped", "done", "failed"};
    script *s = script_of(L);
    job *j = *(job **)luaL_checkudata(L, 1, "evla.job");
    const char *name = luaL_checkstring(L, 2);
    const struct {
        const char *name, *text;
    } texts[] = {{"name", j->name},
                 {"type", j->type->name},
                 {"where", j->where},
                 {"folder", j->folder},
                 {"key", j->key},
                 {"result", j->result.path},
                 {"result_type", j->result.type},
                 {"state", states[j->state]}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!strcmp(texts[i].name, name)) {
            lua_pushstring(L, texts[i].text);
            return 1;
        }
    if (!strcmp(name, "seconds"))
        lua_pushnumber(L, j->seconds);
    else if (!strcmp(name, "figures"))
        tree_push(L, s, &j->figures);
    else if (!strcmp(name, "given"))
        tree_push(L, s, &j->given);
    else if (!strcmp(name, "needs")) {
        lua_createtable(L, j->n_needs, 0);
        for (int32_t i = 0; i < j->n_needs; i++) {
            bind_push_job(L, j->needs[i]);
            lua_rawseti(L, -2, i + 1);
        }
    } else {
        luaL_getsubtable(L, LUA_REGISTRYINDEX, "evla.job methods");
        lua_getfield(L, -1, name);
        if (lua_isnil(L, -1))
            script_error(L, s, "%s \"%s\" has nothing called \"%s\"", j->type->name,
                         j->name, name);
    }
    return 1;
}

static int l_job_text(lua_State *L)
{
    job *j = *(job **)luaL_checkudata(L, 1, "evla.job");
    lua_pushfstring(L, "%s \"%s\" (%s)", j->type->name, j->name, j->where);
    return 1;
}

/* ---- programs ---- */

/* evla.program { job, ... }: said at once when something in it is no job. */
static int l_program(lua_State *L)
{
    script *s = script_of(L);
    if (!lua_istable(L, 1))
        script_error(L, s, "program: want a table of jobs, got %s", luaL_typename(L, 1));
    lua_pushnil(L);
    while (lua_next(L, 1)) {
        if (!bind_job_at(L, -1) && !luaL_testudata(L, -1, "evla.program") &&
            luaL_getmetafield(L, -1, "report") == LUA_TNIL)
            script_error(L, s, "program: entry %s: want a job, got %s",
                         luaL_tolstring(L, -2, NULL), luaL_typename(L, -2));
        lua_settop(L, 2);
    }
    lua_settop(L, 1);
    return 1;
}

typedef struct collecting {
    script *s;
    job **list;
    int32_t n, most;
} collecting;

static int l_collect(lua_State *L)
{
    collecting *c = lua_touserdata(L, 2);
    job *single = bind_job_at(L, 1);
    if (single) {
        c->n = closure(single, c->list, c->n, c->most);
        return 0;
    }
    if (!lua_istable(L, 1))
        return luaL_error(
            L,
            "%s: it returns %s; want a program at its end: return evla.program { "
            "... }",
            lua_tostring(L, 3), lua_isnil(L, 1) ? "nothing" : luaL_typename(L, 1));
    lua_settop(L, 3);
    for (lua_Integer i = 1; lua_rawgeti(L, 1, i) != LUA_TNIL; i++) {
        job *j = bind_job_at(L, -1);
        if (j)
            c->n = closure(j, c->list, c->n, c->most);
        else if (luaL_getmetafield(L, -1, "report") != LUA_TNIL) {
            lua_pushvalue(L, 4);
            lua_setfield(L, LUA_REGISTRYINDEX, "evla.report");
        } else
            return luaL_error(L, "%s: entry %d of its program: want a job, got %s",
                              lua_tostring(L, 3), (int)i, luaL_typename(L, 4));
        lua_settop(L, 3);
    }
    lua_settop(L, 3);
    lua_pushnil(L);
    while (lua_next(L, 1)) { /* { demos = job } works too */
        job *j = bind_job_at(L, -1);
        if (j && !lua_isinteger(L, -2)) c->n = closure(j, c->list, c->n, c->most);
        if (!j && !lua_isinteger(L, -2))
            return luaL_error(L, "%s: entry \"%s\" of its program: want a job, got %s",
                              lua_tostring(L, 3), luaL_tolstring(L, -2, NULL),
                              luaL_typename(L, -2));
        lua_settop(L, 4);
    }
    return c->n ? 0 : luaL_error(L, "%s: its program holds no job", lua_tostring(L, 3));
}

static int by_declaration(const program *p, const job *j)
{
    for (int32_t i = 0; i < p->n_jobs; i++)
        if (p->jobs[i] == j) return i;
    return -1;
}

int32_t bind_collect(script *s, int at, const char *shown)
{
    lua_State *L = s->L;
    program *p = s->prog;
    collecting c = {.s = s, .most = p->n_jobs + 1};
    c.list = arena_push(&s->cx->mem, (size_t)c.most, sizeof *c.list);
    if (!c.list) return ctx_fail(s->cx, EVLA_E_NOMEM, "program");
    lua_settop(L, at);
    lua_pushcfunction(L, l_collect);
    lua_insert(L, 1);
    lua_pushlightuserdata(L, &c);
    lua_pushstring(L, shown);
    int32_t st = script_call(s, 3, 0);
    if (st < 0) return st;
    for (int32_t i = 0; i < p->n_jobs; i++) {
        int32_t k = 0;
        while (k < c.n && c.list[k] != p->jobs[i])
            k++;
        if (k == c.n)
            ctx_say(s->cx, EVLA_LOG_WARN,
                    "%s: %s \"%s\" is declared but no part of the program",
                    p->jobs[i]->where, p->jobs[i]->type->name, p->jobs[i]->name);
    }
    /* in order of declaration, which is the order that people expect */
    int32_t n = 0;
    for (int32_t i = 0; i < p->n_jobs; i++)
        for (int32_t k = 0; k < c.n; k++)
            if (c.list[k] == p->jobs[i] && by_declaration(p, c.list[k]) == i) {
                p->jobs[n++] = p->jobs[i];
                break;
            }
    p->n_jobs = n;
    return 0;
}

/* ---- putting it in ---- */

void bind_job_open(lua_State *L, script *s)
{
    static const luaL_Reg methods[] = {
        {"check", l_job_check}, {"run", l_job_run}, {NULL, NULL}};
    (void)s;
    luaL_newmetatable(L, "evla.jobtype");
    lua_pushcfunction(L, l_type_call);
    lua_setfield(L, -2, "__call");
    lua_pushcfunction(L, l_type_text);
    lua_setfield(L, -2, "__tostring");
    luaL_newmetatable(L, "evla.job");
    lua_pushcfunction(L, l_job_index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_job_text);
    lua_setfield(L, -2, "__tostring");
    luaL_getsubtable(L, LUA_REGISTRYINDEX, "evla.job methods");
    luaL_setfuncs(L, methods, 0);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "evla.core");
    int32_t n;
    const job_type *const *types = job_types(&n);
    for (int32_t i = 0; i < n; i++) {
        *(const job_type **)lua_newuserdatauv(L, sizeof *types, 0) = types[i];
        luaL_setmetatable(L, "evla.jobtype");
        lua_setfield(L, -2, types[i]->name);
    }
    luaL_getsubtable(L, LUA_REGISTRYINDEX, "evla.job methods");
    lua_setfield(L, -2, "job_methods");
    lua_pushcfunction(L, l_program);
    lua_setfield(L, -2, "program");
    lua_settop(L, 0);
}
