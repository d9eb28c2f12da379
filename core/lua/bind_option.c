/*
 * bind_option.c -- evla.options: what a program lets its user choose, as typed parameters.
 *
 * The same declarations serve model files ("params"). Values come from the command line as
 * text, or from a table; the sentence about a wrong one is the parameter machinery's.
 */
#include "../near.h"
#include "../param.h"
#include "script.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    int32_t type;
    size_t size;
} type_names[] = {
    {"bool", EVLA_P_BOOL, sizeof(int32_t)},
    {"int", EVLA_P_INT, sizeof(int64_t)},
    {"float", EVLA_P_FLOAT, sizeof(double)},
    {"enum", EVLA_P_ENUM, sizeof(int32_t)},
    {"string", EVLA_P_STRING, sizeof(void *)},
    {"path", EVLA_P_PATH, sizeof(void *)},
    {"size", EVLA_P_SIZE, sizeof(int64_t)},
    {"duration", EVLA_P_DURATION, sizeof(int64_t)},
    {"rate", EVLA_P_RATE, sizeof(double)},
    {"shape", EVLA_P_SHAPE, sizeof(evla_shape)},
    {"list", EVLA_P_LIST, sizeof(evla_list)},
};
enum { N_TYPES = sizeof type_names / sizeof *type_names };

/* The engine's own; a script's would never be heard. */
static const char *const taken[] = {"out",     "plugins", "trust",    "workers",
                                    "only",    "json",    "help",     "quiet",
                                    "verbose", "memory",  "deadline", "version"};

/* ---- declarations ---- */

enum { BESIDE = 1 << 16 }; /* a flag of ours in evla_param.flags */

/* What a declaration may say about one parameter. */
typedef struct spec {
    const char *type, *doc, *unit, *element;
    evla_list choices; /* of const char * */
    double min, max;
    int32_t optional, input, beside, reserved;
} spec;

// clang-format off
static const evla_param spec_params[] = {
    {.name = "type", .doc = "bool, int, float, enum, string, path, size, duration, rate, shape, list",
     .type = EVLA_P_STRING, .offset = offsetof(spec, type)},
    {.name = "doc", .doc = "one line", .type = EVLA_P_STRING, .preset = "",
     .offset = offsetof(spec, doc)},
    {.name = "unit", .doc = "\"m\", \"rad\", ...", .type = EVLA_P_STRING,
     .flags = EVLA_PF_OPTIONAL, .offset = offsetof(spec, unit)},
    {.name = "of", .doc = "list: type of its entries", .type = EVLA_P_STRING, .preset = "string",
     .offset = offsetof(spec, element)},
    {.name = "choices", .doc = "enum: its words", .type = EVLA_P_LIST, .element = EVLA_P_STRING,
     .flags = EVLA_PF_OPTIONAL, .offset = offsetof(spec, choices)},
    {.name = "min", .doc = "smallest", .type = EVLA_P_FLOAT, .preset = "0",
     .offset = offsetof(spec, min)},
    {.name = "max", .doc = "largest", .type = EVLA_P_FLOAT, .preset = "0",
     .offset = offsetof(spec, max)},
    {.name = "optional", .doc = "may be absent", .type = EVLA_P_BOOL, .preset = "false",
     .offset = offsetof(spec, optional)},
    {.name = "input", .doc = "paths: files that are read", .type = EVLA_P_BOOL, .preset = "true",
     .offset = offsetof(spec, input)},
    {.name = "beside", .doc = "paths: files in the same folder are read as well", .type = EVLA_P_BOOL,
     .preset = "false", .offset = offsetof(spec, beside)},
};
// clang-format on
enum { N_SPEC = sizeof spec_params / sizeof *spec_params };

static int find_type(const char *name)
{
    for (int i = 0; i < N_TYPES; i++)
        if (!strcmp(type_names[i].name, name)) return i;
    return -1;
}

static int want_type(lua_State *L, script *s, const char *what, const char *name)
{
    const char *names[N_TYPES];
    int i = find_type(name);
    if (i >= 0) return i;
    for (i = 0; i < N_TYPES; i++)
        names[i] = type_names[i].name;
    const char *near = near_miss(name, names, N_TYPES);
    script_error(
        L, s,
        "%s: type: there is no type \"%.40s\"%s%s%s; there are bool, int, float, enum, "
        "string, path, size, duration, rate, shape, list",
        what, name, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* A preset as the tables of plugins write it: JSON, or bare text where that reads better.
 */
static const char *preset_text(lua_State *L, script *s, int32_t type, const value *v)
{
    int bare = type == EVLA_P_ENUM || type == EVLA_P_STRING || type == EVLA_P_PATH ||
               type == EVLA_P_SIZE || type == EVLA_P_DURATION;
    const char *text =
        bare && v->kind == VALUE_TEXT ? v->as.text : value_print(&s->cx->mem, v, NULL);
    if (!text) script_error(L, s, "out of memory");
    return text;
}

static int is_path(const evla_param *p)
{
    return p->type == EVLA_P_PATH || (p->type == EVLA_P_LIST && p->element == EVLA_P_PATH);
}

static void declare_one(lua_State *L, script *s, const char *what, const value_pair *pair,
                        evla_param *p, size_t *at)
{
    ctx *cx = s->cx;
    const value *preset = value_get(&pair->v, "default");
    value rest = pair->v, one = {.kind = VALUE_TABLE};
    spec d;
    what = arena_text(&cx->mem, "%s: %s", what, pair->name);
    if (!what) script_error(L, s, "out of memory");
    if (rest.kind != VALUE_TABLE || rest.n_items)
        script_error(L, s,
                     "%s: want a table such as { type = \"int\", default = 3 }, got %s",
                     what, value_describe(&cx->mem, &rest));
    one.pairs = arena_push(&cx->mem, (size_t)rest.n_pairs + 1, sizeof *one.pairs);
    if (!one.pairs) script_error(L, s, "out of memory");
    for (int32_t i = 0; i < rest.n_pairs; i++)
        if (strcmp(rest.pairs[i].name, "default") != 0)
            one.pairs[one.n_pairs++] = rest.pairs[i];
    param_site site = {.where = script_where(L, s), .what = what};
    ctx_clear(cx);
    if (param_fill(cx, &cx->mem, &site, spec_params, N_SPEC, &one, &d, sizeof d) < 0)
        script_throw(L, s);
    int type = want_type(L, s, what, d.type);
    *p = (evla_param){.name = pair->name,
                      .doc = d.doc,
                      .unit = d.unit,
                      .min = d.min,
                      .max = d.max,
                      .type = type_names[type].type};
    if (d.max == 0 && d.min != 0) p->max = 1e300; /* only a smallest was given */
    if (d.max != 0 && !value_get(&one, "min"))
        p->min = p->type == EVLA_P_INT || p->type == EVLA_P_FLOAT ? -1e300 : 0;
    if (p->type == EVLA_P_LIST)
        p->element = type_names[want_type(L, s, what, d.element)].type;
    if (is_path(p) && d.input) p->flags |= EVLA_PF_INPUT;
    if (is_path(p) && d.beside) p->flags |= BESIDE;
    if (d.optional) p->flags |= EVLA_PF_OPTIONAL;
    const char *const *words = d.choices.items;
    for (int64_t i = 0; i < d.choices.n; i++)
        p->choices =
            p->choices ? arena_text(&cx->mem, "%s|%s", p->choices, words[i]) : words[i];
    if (p->type == EVLA_P_ENUM && !p->choices)
        script_error(L, s, "%s: choices: is missing; want a list of words", what);
    if (preset) p->preset = preset_text(L, s, p->type, preset);
    *at = (*at + 15) / 16 * 16;
    p->offset = (uint32_t)*at;
    *at += type_names[type].size;
}

evla_param *bind_declare_params(lua_State *L, script *s, int at, const char *what,
                                int32_t *n, size_t *size)
{
    value all;
    tree_read(L, s, at, what, &all);
    if (all.kind != VALUE_TABLE || all.n_items || all.n_pairs > 64)
        script_error(L, s, "%s: want up to 64 names with their declarations", what);
    evla_param *params = arena_push(&s->cx->mem, (size_t)all.n_pairs + 1, sizeof *params);
    if (!params) script_error(L, s, "out of memory");
    *size = 0;
    for (int32_t i = 0; i < all.n_pairs; i++)
        declare_one(L, s, what, &all.pairs[i], &params[i], size);
    *n = all.n_pairs;
    return params;
}

/* ---- values ---- */

static void push_one(lua_State *L, script *s, const evla_param *p, int32_t type,
                     const char *from)
{
    switch (type) {
    case EVLA_P_BOOL:
        lua_pushboolean(L, *(const int32_t *)from);
        return;
    case EVLA_P_INT:
    case EVLA_P_SIZE:
        lua_pushinteger(L, *(const int64_t *)from);
        return;
    case EVLA_P_DURATION:
        lua_pushnumber(L, (double)*(const int64_t *)from * 1e-9);
        return;
    case EVLA_P_FLOAT:
    case EVLA_P_RATE:
        lua_pushnumber(L, *(const double *)from);
        return;
    case EVLA_P_STRING:
    case EVLA_P_PATH:
        lua_pushstring(L, *(const char *const *)from);
        return;
    case EVLA_P_ENUM: {
        const char *word = p->choices;
        for (int32_t i = *(const int32_t *)from; i > 0 && word; i--)
            word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL;
        if (word)
            lua_pushlstring(L, word, strcspn(word, "|"));
        else
            lua_pushnil(L);
        return;
    }
    case EVLA_P_SHAPE: {
        const evla_shape *shape = (const evla_shape *)from;
        lua_createtable(L, shape->rank, 0);
        for (int32_t i = 0; i < shape->rank; i++) {
            lua_pushinteger(L, shape->dim[i]);
            lua_rawseti(L, -2, i + 1);
        }
        return;
    }
    case EVLA_P_STRUCT:
        bind_push_filled(L, s, p->fields, (int32_t)p->n_fields, from);
        return;
    case EVLA_P_LIST:
    case EVLA_P_STRUCTS: {
        const evla_list *list = (const evla_list *)from;
        int32_t element = type == EVLA_P_LIST ? p->element : EVLA_P_STRUCT;
        size_t each = element == EVLA_P_STRUCT ? p->fields_size
                      : element == EVLA_P_ITEM ? sizeof(evla_choice)
                                               : 0;
        for (int i = 0; !each && i < N_TYPES; i++)
            if (type_names[i].type == element) each = type_names[i].size;
        lua_createtable(L, (int)list->n, 0);
        for (int64_t i = 0; each && i < list->n; i++) {
            push_one(L, s, p, element, (const char *)list->items + (size_t)i * each);
            lua_rawseti(L, -2, i + 1);
        }
        return;
    }
    case EVLA_P_ITEM: {
        const evla_choice *c = (const evla_choice *)from;
        lua_pushstring(L, c->item ? c->item->name : NULL);
        return;
    }
    case EVLA_P_VALUE: {
        const evla_value *v = *(const evla_value *const *)from;
        lua_pushstring(L, v ? v->job : NULL);
        return;
    }
    }
    lua_pushnil(L);
}

void bind_push_filled(lua_State *L, script *s, const evla_param *params, int32_t n,
                      const void *filled)
{
    luaL_checkstack(L, 4, "parameters nest too deep");
    lua_createtable(L, 0, n);
    for (int32_t i = 0; filled && i < n; i++) {
        push_one(L, s, &params[i], params[i].type, (const char *)filled + params[i].offset);
        lua_setfield(L, -2, params[i].name);
    }
}

/* ---- evla.options ---- */

/* An option's text becomes what a script would have written. */
static void option_value(lua_State *L, script *s, const evla_param *p, const char *text,
                         value *out)
{
    if (!text) {
        if (p->type != EVLA_P_BOOL)
            script_error(L, s, "options: %s: --%s wants a value: %s", p->name, p->name,
                         param_type_text(&s->cx->mem, p));
        *out = value_bool(1);
        return;
    }
    char *copy = arena_copy(&s->cx->mem, text);
    if (!copy) script_error(L, s, "out of memory");
    *out = value_text(copy);
    int plain = p->type == EVLA_P_ENUM || p->type == EVLA_P_STRING ||
                p->type == EVLA_P_PATH || p->type == EVLA_P_SIZE ||
                p->type == EVLA_P_DURATION || p->type == EVLA_P_RATE;
    int is_list = p->type == EVLA_P_SHAPE || p->type == EVLA_P_LIST;
    value v;
    if (!plain && value_parse(&s->cx->mem, copy, strlen(copy), &v, NULL) == 0 &&
        (!is_list || v.kind == VALUE_TABLE)) {
        *out = v;
        return;
    }
    if (!is_list) return;
    /* a,b,c or a alone */
    value list = {.kind = VALUE_TABLE};
    list.as.items = arena_push(&s->cx->mem, strlen(copy) + 1, sizeof(value));
    if (!list.as.items) script_error(L, s, "out of memory");
    for (char *at = copy; at;) {
        char *comma = strchr(at, ',');
        if (comma) *comma++ = 0;
        value *e = &list.as.items[list.n_items++];
        int is_number = p->type == EVLA_P_SHAPE || p->element == EVLA_P_INT ||
                        p->element == EVLA_P_FLOAT || p->element == EVLA_P_BOOL;
        if (!is_number || value_parse(&s->cx->mem, at, strlen(at), e, NULL) < 0)
            *e = value_text(at);
        at = comma;
    }
    *out = list;
}

static void print_help(script *s, const evla_param *params, int32_t n)
{
    printf("Options of %s:\n", s->prog->name);
    for (int32_t i = 0; i < n; i++) {
        const evla_param *p = &params[i];
        printf("  --%-16s %s\n    %-16s %s%s%s%s\n", p->name, p->doc, "",
               param_type_text(&s->cx->mem, p),
               p->preset                     ? "; default "
               : p->flags & EVLA_PF_OPTIONAL ? "; optional"
                                             : "; required",
               p->preset ? p->preset : "", "");
    }
}

/* The command line's values, checked against the declarations by name. */
static void read_given(lua_State *L, script *s, const evla_param *params, int32_t n,
                       value *given)
{
    const char *names[64];
    for (int32_t i = 0; i < n; i++)
        names[i] = params[i].name;
    given->pairs =
        arena_push(&s->cx->mem, (size_t)s->setup.n_options + 1, sizeof *given->pairs);
    if (!given->pairs) script_error(L, s, "out of memory");
    for (int32_t i = 0; i < s->setup.n_options; i++) {
        const script_option *o = &s->setup.options[i];
        int32_t k = 0;
        while (k < n && strcmp(names[k], o->name) != 0)
            k++;
        if (k == n) {
            const char *near = near_miss(o->name, names, n);
            script_error(L, s, "options: there is no --%s%s%s%s", o->name,
                         near ? "; did you mean --" : "", near ? near : "",
                         near ? "?" : "; --help lists them");
        }
        given->pairs[given->n_pairs].name = names[k];
        option_value(L, s, &params[k], o->value, &given->pairs[given->n_pairs++].v);
    }
    const char *twice = value_sort(given);
    if (twice) script_error(L, s, "options: --%s stands twice", twice);
}

static int l_option_missing(lua_State *L)
{
    script *s = script_of(L);
    const char *name = luaL_tolstring(L, 2, NULL), *names[64];
    lua_getmetatable(L, 1);
    lua_getfield(L, -1, "names");
    int32_t n = 0;
    for (lua_Integer i = 1; n < 64 && lua_rawgeti(L, -1, i) == LUA_TSTRING; i++) {
        names[n] = lua_tostring(L, -1);
        if (!strcmp(names[n++], name)) return 0; /* optional, and absent */
        lua_pop(L, 1);
        lua_getfield(L, -1, names[n - 1]);
        lua_pop(L, 1);
    }
    const char *near = near_miss(name, names, n);
    script_error(L, s, "options: there is no option \"%.60s\"%s%s%s", name,
                 near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* A path of the command line, or each of a list, starts at the current folder. */
static void start_here(lua_State *L, script *s, value *v)
{
    char here[4096];
    for (int32_t i = 0; v->kind == VALUE_TABLE && i < v->n_items; i++)
        start_here(L, s, &v->as.items[i]);
    if (v->kind != VALUE_TEXT || v->as.text[0] == '/') return;
    if (!getcwd(here, sizeof here)) script_error(L, s, "options: no current folder");
    v->as.text = arena_text(&s->cx->mem, "%s/%s", here, v->as.text);
}

/* Makes it absolute, sees that what is read is there, and lets the script at what the user
 * named: that is a declared data path; a script's own preset grants nothing. */
static void settle_path(lua_State *L, script *s, const evla_param *p, const char **path,
                        int was_given)
{
    if (!*path) return;
    *path = script_path(s, *path);
    if (p->flags & EVLA_PF_INPUT && access(*path, R_OK) < 0)
        script_error(L, s, "options: %s: there is no file \"%s\" that can be read", p->name,
                     *path);
    if (!was_given) return;
    const char *slash = strrchr(*path, '/');
    const char *folder = arena_copy_n(&s->cx->mem, *path, (size_t)(slash - *path));
    if (!folder) script_error(L, s, "out of memory");
    if (sandbox_allow(s, *path, !(p->flags & EVLA_PF_INPUT)) < 0 ||
        (p->flags & BESIDE && sandbox_allow(s, folder, 0) < 0))
        script_throw(L, s);
}

static int l_options(lua_State *L)
{
    script *s = script_of(L);
    ctx *cx = s->cx;
    int32_t n;
    size_t size;
    luaL_checktype(L, 1, LUA_TTABLE);
    if (s->has_options) script_error(L, s, "options: a program declares its options once");
    evla_param *params = bind_declare_params(L, s, 1, "options", &n, &size);
    for (int32_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof taken / sizeof *taken; k++)
            if (!strcmp(params[i].name, taken[k]))
                script_error(L, s,
                             "options: %s: --%s is the engine's own; choose another name",
                             taken[k], taken[k]);
    s->has_options = 1;
    if (s->setup.wants_help) {
        print_help(s, params, n);
        s->help_shown = 1;
        return luaL_error(L, "help was shown");
    }
    value given = {.kind = VALUE_TABLE};
    read_given(L, s, params, n, &given);
    /* the command line's paths start at the current folder, a default at the script's */
    for (int32_t i = 0; i < given.n_pairs; i++)
        for (int32_t k = 0; k < n; k++)
            if (is_path(&params[k]) && !strcmp(params[k].name, given.pairs[i].name))
                start_here(L, s, &given.pairs[i].v);
    char *filled = arena_push(&cx->mem, 1, size + 16);
    if (!filled) script_error(L, s, "out of memory");
    param_site site = {.where = script_where(L, s), .what = "options"};
    ctx_clear(cx);
    if (param_fill(cx, &cx->mem, &site, params, n, &given, filled, size) < 0) {
        for (int32_t i = 0; i < n && strstr(cx->why, "is missing"); i++)
            if (!params[i].preset && !(params[i].flags & EVLA_PF_OPTIONAL) &&
                !value_get(&given, params[i].name)) {
                size_t at = strlen(cx->why);
                snprintf(cx->why + at, sizeof cx->why - at, " (give it with --%s)",
                         params[i].name);
                break;
            }
        script_throw(L, s);
    }
    for (int32_t i = 0; i < n; i++) {
        int was_given = value_get(&given, params[i].name) != NULL;
        const evla_list *list = (const evla_list *)(filled + params[i].offset);
        if (is_path(&params[i]) && params[i].type == EVLA_P_LIST)
            for (int64_t k = 0; k < list->n; k++)
                settle_path(L, s, &params[i], (const char **)list->items + k, was_given);
        else if (is_path(&params[i]))
            settle_path(L, s, &params[i], (const char **)(filled + params[i].offset),
                        was_given);
    }
    bind_push_filled(L, s, params, n, filled);
    for (int32_t i = 0; i < n; i++) /* absent means nil, not zero */
        if (!params[i].preset && !value_get(&given, params[i].name)) {
            lua_pushnil(L);
            lua_setfield(L, -2, params[i].name);
        }
    tree_read(L, s, lua_gettop(L), "options", &s->prog->options);
    lua_newtable(L);
    lua_createtable(L, n, 0);
    for (int32_t i = 0; i < n; i++) {
        lua_pushstring(L, params[i].name);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "names");
    lua_pushcfunction(L, l_option_missing);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    return 1;
}

void bind_option_open(lua_State *L, script *s)
{
    (void)s;
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "evla.core");
    lua_pushcfunction(L, l_options);
    lua_setfield(L, -2, "options");
    lua_settop(L, 0);
}
