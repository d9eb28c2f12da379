/*
 * bind_apply.c -- evla.model "name" { ... }, evla.checkpoint "name" { ... } and
 * evla.apply "name" { ... }.
 *
 * A model's table holds the options of its model file beside the job's own words: name,
 * others, seed, symbols, weights; a checkpoint's name, tokenizer, weights, beside and
 * formats. The graphs are built at once, so that mistakes name the user's line.
 */
#include "../data/format.h"
#include "../graph/save.h"
#include "../graph/weights.h"
#include "../job/types.h"
#include "bind_graph.h"
#include <string.h>
#include <unistd.h>

static const char *const own[] = {"name",      "others",  "seed",   "symbols",
                                  "tokenizer", "weights", "beside", "formats"};

int bind_apply_takes(const char *name)
{
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!strcmp(own[i], name)) return 1;
    return 0;
}

/* models/NAME.lua beside the script, the engine's, NAME.lua beside the script unless that
 * is the script itself. */
const char *bind_apply_find(lua_State *L, script *s, const char *name, const char *where,
                            const char **shown)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    if (!*name || name[strspn(name, letters)])
        script_error(
            L, s,
            "model: want the name of a model file, of letters, digits, - and _, got "
            "\"%.60s\"",
            name);
    const struct {
        const char *folder, *below, *display;
    } at[] = {{s->folder, "models/", s->display},
              {s->setup.scripts, "evla/models/", NULL},
              {s->folder, "", s->display}};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        const char *path =
            arena_text(&s->cx->mem, "%s/%s%s.lua", at[i].folder, at[i].below, name);
        *shown = at[i].display ? arena_text(&s->cx->mem, "%s%s%s.lua", at[i].display,
                                            at[i].below, name)
                               : arena_text(&s->cx->mem, "%s.lua", name);
        if (!path || !*shown) script_error(L, s, "out of memory");
        size_t n = strlen(*shown);
        if (access(path, F_OK) < 0) continue;
        if (i == 2 && !strncmp(where, *shown, n) && where[n] == ':') continue;
        while (strlen(*shown) > 50 && strchr(*shown + 1, '/'))
            *shown = strchr(*shown + 1, '/') + 1;
        return sandbox_path(L, s, path, 0);
    }
    script_error(
        L, s,
        "model: no model is called \"%s\": there is no models/%s.lua nor %s.lua beside "
        "the script (%s), nor among the engine's",
        name, name, name, s->folder);
}

/* Splits what was written into the job's words and the model file's options. */
static const char *split(lua_State *L, script *s, const char *name, const value *all,
                         value *given, value *rest)
{
    const char *job_name = name;
    if (all->n_items)
        script_error(L, s, "model \"%s\": want options by name, got a value without one",
                     name);
    given->pairs = arena_push(&s->cx->mem, (size_t)all->n_pairs + 3, sizeof *given->pairs);
    rest->pairs = arena_push(&s->cx->mem, (size_t)all->n_pairs + 1, sizeof *rest->pairs);
    if (!given->pairs || !rest->pairs) script_error(L, s, "out of memory");
    for (int32_t i = 0; i < all->n_pairs; i++) {
        const value_pair *p = &all->pairs[i];
        if (!bind_apply_takes(p->name))
            rest->pairs[rest->n_pairs++] = *p;
        else if (strcmp(p->name, "name") != 0)
            given->pairs[given->n_pairs++] = *p;
        else if (p->v.kind == VALUE_TEXT)
            job_name = p->v.as.text;
        else
            script_error(L, s, "model \"%s\": name: want a text, got %s", name,
                         value_describe(&s->cx->mem, &p->v));
    }
    return job_name;
}

/* A job's graphs live as long as we. */
static void keep(lua_State *L, const job *j, int at)
{
    at = lua_absindex(L, at);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, "evla.graphs");
    lua_pushvalue(L, at);
    lua_rawsetp(L, -2, j);
    lua_pop(L, 1);
}

/* The weights' types and bytes are those of the file. */
static void adopt(lua_State *L, script *s, const job *j, model *m)
{
    const value *weights = value_get(&j->given, "weights"),
                *beside = value_get(&j->given, "beside");
    ctx_clear(s->cx);
    script_pause(s);
    int64_t n;
    const weights_format *as = job_checkpoint_formats(j, &n);
    int32_t st =
        weights_adopt(s->cx, m, weights->as.text,
                      beside && beside->kind == VALUE_TEXT ? beside->as.text : NULL, as, n);
    script_go_on(s);
    if (st >= 0) return;
    ctx_prefix(s->cx, "%s", j->where);
    script_throw(L, s);
}

static int declare_model(lua_State *L, const job_type *t, const char *name, int at)
{
    script *s = script_of(L);
    const char *where = script_where(L, s), *shown;
    value all, given = {.kind = VALUE_TABLE}, rest = {.kind = VALUE_TABLE};
    const char *path = bind_apply_find(L, s, name, where, &shown);
    if (!lua_istable(L, at))
        script_error(L, s, "model \"%s\": want a table of options, got %s", name,
                     luaL_typename(L, at));
    tree_read(L, s, at, arena_text(&s->cx->mem, "model \"%s\"", name), &all);
    const char *job_name = split(L, s, name, &all, &given, &rest);
    const char *text = value_print(&s->cx->mem, &rest, NULL);
    if (!text) script_error(L, s, "out of memory");
    tree_push(L, s, &rest);
    model *m = bind_graph_build(L, s, path, shown, job_name, where, -1);
    given.pairs[given.n_pairs++] = (value_pair){"file", value_text(shown)};
    given.pairs[given.n_pairs++] = (value_pair){"options", value_text(text)};
    value_sort(&given);
    job *j = bind_declare(L, s, t, job_name, &given, where);
    job_model_give(j, m);
    if (t == &job_checkpoint) adopt(L, s, j, m);
    keep(L, j, -1);
    bind_push_job(L, j);
    return 1;
}

/* The model of a file that evla pack wrote; what owns it is left at *at. */
static model *open_packed(lua_State *L, script *s, const char *path, int *at)
{
    model **m = bind_graph_own(L);
    *at = lua_gettop(L);
    ctx_clear(s->cx);
    script_pause(s);
    int32_t st = save_open(s->cx, path, m);
    script_go_on(s);
    if (st < 0) script_throw(L, s);
    return *m;
}

/* evla.attributes(path) -> what such a file says beside its weights. */
static int l_attributes(lua_State *L)
{
    script *s = script_of(L);
    const char *path = sandbox_path(L, s, luaL_checkstring(L, 1), 0);
    int at;
    const model *m = open_packed(L, s, path, &at);
    bind_push_attrs(L, at, m->attrs, m->n_attrs);
    return 1;
}

/* evla.packed(path, name) -> checkpoint, attributes. */
static int l_packed(lua_State *L)
{
    script *s = script_of(L);
    const char *path = sandbox_path(L, s, luaL_checkstring(L, 1), 0);
    const char *name = luaL_checkstring(L, 2), *where = script_where(L, s);
    value given = {.kind = VALUE_TABLE};
    int at;
    model *m = open_packed(L, s, path, &at);
    given.pairs = arena_push(&s->cx->mem, 2, sizeof *given.pairs);
    if (!given.pairs) script_error(L, s, "out of memory");
    given.pairs[given.n_pairs++] = (value_pair){"file", value_text(path)};
    given.pairs[given.n_pairs++] = (value_pair){"weights", value_text(path)};
    job *j = bind_declare(L, s, &job_checkpoint, name, &given, where);
    job_model_give(j, m);
    keep(L, j, at);
    bind_push_job(L, j);
    bind_push_attrs(L, at, m->attrs, m->n_attrs);
    return 2;
}

/* A model's attributes without those of the same name in `add`, and then these. */
static evla_attr *merge(lua_State *L, script *s, const model *m, const evla_attr *add,
                        int32_t n_add, int32_t *n)
{
    evla_attr *all =
        arena_push(&s->cx->mem, (size_t)m->n_attrs + (size_t)n_add + 1, sizeof *all);
    if (!all) script_error(L, s, "out of memory");
    *n = 0;
    for (int32_t i = 0; i < m->n_attrs; i++) {
        int is_new = 1;
        for (int32_t k = 0; k < n_add; k++)
            is_new &= strcmp(m->attrs[i].name, add[k].name) != 0;
        if (is_new) all[(*n)++] = m->attrs[i];
    }
    for (int32_t i = 0; i < n_add; i++)
        all[(*n)++] = add[i];
    return all;
}

/* evla.pack(checkpoint, path, attributes): its model as a file, weights as they lie in
 * memory; or only the weights, in a format of somebody else's, by the path's ending. */
static int l_pack(lua_State *L)
{
    script *s = script_of(L);
    const job *j = bind_job_at(L, 1);
    const char *path = sandbox_path(L, s, luaL_checkstring(L, 2), 1);
    model *m = j ? job_model_graphs(j) : NULL;
    const evla_item *format = NULL;
    evla_attr *add = NULL;
    int32_t n_add = 0, n;
    if (!m) script_error(L, s, "pack: want a checkpoint");
    if (!lua_isnoneornil(L, 3)) {
        luaL_checktype(L, 3, LUA_TTABLE);
        add = bind_read_attrs(L, s, 3, &n_add);
    }
    evla_attr *attrs = merge(L, s, m, add, n_add, &n);
    size_t end = strlen(path);
    int is_ours = end > 5 && !strcmp(path + end - 5, ".evla");
    ctx_clear(s->cx);
    if (!is_ours && format_writer(s->cx, path, &format) < 0) return script_throw(L, s);
    script_pause(s);
    int32_t st = is_ours ? save_model_with(s->cx, m, path, attrs, n)
                         : weights_write(s->cx, format, m, path, attrs, n);
    script_go_on(s);
    return st < 0 ? script_throw(L, s) : 0;
}

static int declare_apply(lua_State *L, const char *name, int at)
{
    script *s = script_of(L);
    const char *where = script_where(L, s);
    value given;
    if (!lua_istable(L, at))
        script_error(L, s, "apply \"%s\": want a table of parameters, got %s", name,
                     luaL_typename(L, at));
    tree_read(L, s, at, arena_text(&s->cx->mem, "apply \"%s\"", name), &given);
    bind_push_job(L, bind_declare(L, s, &job_apply, name, &given, where));
    return 1;
}

static int declare(lua_State *L, const job_type *t, const char *name, int at)
{
    if (t == &job_call) return bind_call_declare(L, name, at);
    return t == &job_apply ? declare_apply(L, name, at) : declare_model(L, t, name, at);
}

static int l_second_half(lua_State *L)
{
    return declare(L, lua_touserdata(L, lua_upvalueindex(1)),
                   lua_tostring(L, lua_upvalueindex(2)), 1);
}

/* In front of what calling a job type means, for the types whose tables need reading here.
 */
static int l_type_call(lua_State *L)
{
    const job_type *t = *(const job_type **)luaL_checkudata(L, 1, "evla.jobtype");
    int is_ours =
        t == &job_model || t == &job_checkpoint || t == &job_apply || t == &job_call;
    if (!is_ours || lua_type(L, 2) != LUA_TSTRING) {
        lua_pushvalue(L, lua_upvalueindex(1));
        lua_insert(L, 1);
        lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
        return lua_gettop(L);
    }
    if (!lua_isnoneornil(L, 3)) return declare(L, t, lua_tostring(L, 2), 3);
    lua_pushlightuserdata(L, (void *)t);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, l_second_half, 2);
    return 1;
}

void bind_apply_open(lua_State *L)
{
    luaL_newmetatable(L, "evla.jobtype"); /* bind_job.c made it */
    lua_getfield(L, -1, "__call");
    lua_pushcclosure(L, l_type_call, 1);
    lua_setfield(L, -2, "__call");
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "evla.core");
    lua_pushcfunction(L, l_attributes);
    lua_setfield(L, -2, "attributes");
    lua_pushcfunction(L, l_packed);
    lua_setfield(L, -2, "packed");
    lua_pushcfunction(L, l_pack);
    lua_setfield(L, -2, "pack");
    lua_settop(L, 0);
}
