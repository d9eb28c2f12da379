/*
 * param.c -- typed parameters: from a tree of values to a plugin's struct. See param.h.
 */
#include "param.h"
#include "near.h"
#include "registry.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- units as users write them ---- */

/* A number and the unit behind it. */
static int number_unit(const char *text, double *number, const char **unit)
{
    char *end;
    errno = 0;
    *number = strtod(text, &end);
    if (end == text || errno || !isfinite(*number)) return 0;
    while (*end == ' ')
        end++;
    *unit = end;
    return 1;
}

typedef struct scale {
    const char *unit;
    double factor;
} scale;

static int32_t scaled(const char *text, const scale *s, size_t n, double *out)
{
    const char *unit;
    if (!number_unit(text, out, &unit)) return -1;
    for (size_t i = 0; i < n; i++)
        if (!strcmp(s[i].unit, unit)) return *out *= s[i].factor, 0;
    return -1;
}

static int32_t whole(double v, int64_t *out)
{
    if (!(v >= 0) || v > 9e15) return -1;
    *out = (int64_t)llround(v);
    return 0;
}

int32_t param_size(const char *text, int64_t *bytes)
{
    static const scale s[] = {{"", 1},          {"B", 1},           {"KB", 1e3},
                              {"MB", 1e6},      {"GB", 1e9},        {"KiB", 1024},
                              {"MiB", 1048576}, {"GiB", 1073741824}};
    double v;
    return scaled(text, s, sizeof s / sizeof *s, &v) < 0 ? -1 : whole(v, bytes);
}

int32_t param_duration(const char *text, int64_t *ns)
{
    static const scale s[] = {{"", 1e9}, {"s", 1e9},    {"ms", 1e6},  {"us", 1e3},
                              {"ns", 1}, {"min", 60e9}, {"h", 3600e9}};
    double v;
    return scaled(text, s, sizeof s / sizeof *s, &v) < 0 ? -1 : whole(v, ns);
}

int32_t param_rate(const char *text, double *hz)
{
    static const scale s[] = {{"", 1}, {"Hz", 1}, {"kHz", 1e3}};
    return scaled(text, s, sizeof s / sizeof *s, hz) < 0 || *hz < 0 ? -1 : 0;
}

/* ---- filling ---- */

typedef struct fill {
    ctx *cx;
    arena *a;
    const param_site *site;
    const char *path; /* "cameras[2].size", or "" */
} fill;

__attribute__((format(printf, 4, 5))) static int32_t
fault(const fill *f, int32_t code, const char *name, const char *format, ...)
{
    char what[640];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    const param_site *s = f->site;
    return ctx_fail(f->cx, code, "%s%s%s: %s%s%s: %s", s->where ? s->where : "",
                    s->where ? ": " : "", s->what, f->path, *f->path ? "." : "", name,
                    what);
}

/* Says where, before a sentence that something below has already kept. */
static int32_t blame(const fill *f, const char *name)
{
    const param_site *s = f->site;
    ctx_prefix(f->cx, "%s%s%s: %s%s%s", s->where ? s->where : "", s->where ? ": " : "",
               s->what, f->path, *f->path ? "." : "", name);
    return f->cx->code;
}

static const char *unit_text(const evla_param *p)
{
    return p->unit && *p->unit ? p->unit : "";
}

static int32_t check_range(const fill *f, const evla_param *p, double v)
{
    if (p->min == 0 && p->max == 0) return 0;
    if (v >= p->min && v <= p->max) return 0;
    const char *sp = *unit_text(p) ? " " : "";
    if (p->max >= 1e300)
        return fault(f, EVLA_E_RANGE, p->name, "want at least %.12g%s%s, got %.12g", p->min,
                     sp, unit_text(p), v);
    return fault(f, EVLA_E_RANGE, p->name, "want %.12g to %.12g%s%s, got %.12g", p->min,
                 p->max, sp, unit_text(p), v);
}

static int32_t wrong(const fill *f, const evla_param *p, const value *v, const char *wanted)
{
    return fault(f, EVLA_E_ARG, p->name, "want %s, got %s", wanted,
                 value_describe(&f->cx->scratch, v));
}

static int32_t fill_table(const fill *f, const evla_param *params, int32_t n,
                          const value *v, void *out);

static int32_t fill_enum(const fill *f, const evla_param *p, const value *v, void *to)
{
    const char *names[64];
    int32_t n = 0;
    char *list = arena_copy(&f->cx->scratch, p->choices);
    for (char *s = list; s && n < 64;) {
        names[n++] = s;
        if ((s = strchr(s, '|'))) *s++ = 0;
    }
    for (int32_t i = 0; v->kind == VALUE_TEXT && i < n; i++)
        if (!strcmp(names[i], v->as.text)) return *(int32_t *)to = i, 0;
    const char *near = v->kind == VALUE_TEXT ? near_miss(v->as.text, names, n) : NULL;
    return fault(f, EVLA_E_ARG, p->name, "want one of %s, got %s%s%s%s", p->choices,
                 value_describe(&f->cx->scratch, v), near ? "; did you mean \"" : "",
                 near ? near : "", near ? "\"?" : "");
}

static int32_t fill_shape(const fill *f, const evla_param *p, const value *v,
                          evla_shape *to)
{
    const char *wanted = "a shape such as {96, 96}";
    if (v->kind != VALUE_TABLE || v->n_pairs || v->n_items > EVLA_MAX_RANK)
        return wrong(f, p, v, wanted);
    to->rank = v->n_items;
    for (int32_t i = 0; i < v->n_items; i++) {
        const value *e = &v->as.items[i];
        if (e->kind == VALUE_INT)
            to->dim[i] = e->as.i;
        else if (e->kind == VALUE_TEXT && f->site->lenient)
            to->dim[i] = 1;
        else if (e->kind != VALUE_TEXT)
            return wrong(f, p, e, wanted);
        else if (size_eval(f->cx, e->as.text, strlen(e->as.text), f->site->symbols,
                           &to->dim[i]) < 0)
            return blame(f, p->name);
        if ((p->min || p->max) && check_range(f, p, (double)to->dim[i]) < 0)
            return f->cx->code;
    }
    return 0;
}

static int32_t fill_item(const fill *f, const evla_param *p, const value *v,
                         evla_choice *to)
{
    const char *kind = kind_short(&f->cx->scratch, p->choices);
    if (v->kind == VALUE_REF && !strcmp(v->ref_type, "choice")) {
        const evla_choice *c = v->as.ref;
        if (!strcmp(c->item->kind, p->choices)) return *to = *c, 0;
        return fault(f, EVLA_E_ARG, p->name, "want a %s, got the %s \"%s\"", kind,
                     kind_short(&f->cx->scratch, c->item->kind), c->item->name);
    }
    if (v->kind != VALUE_TEXT)
        return wrong(f, p, v, arena_text(&f->cx->scratch, "a %s", kind));
    /* a bare name means: with its presets */
    if (!(to->item = registry_want(f->cx, p->choices, v->as.text)))
        return blame(f, p->name);
    param_site site = *f->site;
    site.what = arena_text(&f->cx->scratch, "%s.%s", kind, to->item->name);
    return param_fill_item(f->cx, f->a, &site, to->item, NULL, &to->params);
}

/* Bytes of one value of a type in the struct. */
static size_t type_size(const evla_param *p, int32_t type)
{
    switch (type) {
    case EVLA_P_BOOL:
    case EVLA_P_ENUM:
        return sizeof(int32_t);
    case EVLA_P_INT:
    case EVLA_P_SIZE:
    case EVLA_P_DURATION:
        return sizeof(int64_t);
    case EVLA_P_FLOAT:
    case EVLA_P_RATE:
        return sizeof(double);
    case EVLA_P_STRING:
    case EVLA_P_PATH:
    case EVLA_P_VALUE:
        return sizeof(void *);
    case EVLA_P_SHAPE:
        return sizeof(evla_shape);
    case EVLA_P_LIST:
    case EVLA_P_STRUCTS:
        return sizeof(evla_list);
    case EVLA_P_STRUCT:
        return p->fields_size;
    case EVLA_P_ITEM:
        return sizeof(evla_choice);
    }
    return 0;
}

static int32_t fill_one(const fill *f, const evla_param *p, int32_t type, const value *v,
                        void *to);

/* An entry of a list of tables may leave out names: { "head.*", keep = true } fills the
 * fields in their order. */
static int32_t name_values(const fill *f, const evla_param *p, const value *v, value *out)
{
    int32_t n = v->n_items;
    *out = *v;
    if (v->kind != VALUE_TABLE || !n || n > (int32_t)p->n_fields) return 0;
    out->pairs =
        arena_push(&f->cx->scratch, (size_t)n + (size_t)v->n_pairs, sizeof *out->pairs);
    if (!out->pairs) return ctx_fail(f->cx, EVLA_E_NOMEM, "%s", p->name);
    for (int32_t i = 0; i < n; i++)
        out->pairs[i] = (value_pair){p->fields[i].name, v->as.items[i]};
    if (v->n_pairs) memcpy(out->pairs + n, v->pairs, (size_t)v->n_pairs * sizeof *v->pairs);
    out->n_pairs += n;
    out->n_items = 0;
    out->as.items = NULL;
    const char *twice = value_sort(out);
    return twice ? fault(f, EVLA_E_ARG, p->name,
                         "%s is given twice, by its place and by name", twice)
                 : 0;
}

static int32_t fill_list(const fill *f, const evla_param *p, int32_t type, const value *v,
                         evla_list *to)
{
    value one = {.kind = VALUE_TABLE, .n_items = 1, .as.items = (value *)(uintptr_t)v};
    if (v->kind == VALUE_REF) v = &one; /* data = demos means data = { demos } */
    if (v->kind != VALUE_TABLE || v->n_pairs)
        return wrong(f, p, v, type == EVLA_P_STRUCT ? "a list of tables" : "a list");
    size_t each = type_size(p, type);
    char *items = arena_push(f->a, (size_t)v->n_items + 1, each);
    if (!items) return ctx_fail(f->cx, EVLA_E_NOMEM, "%s: %d entries", p->name, v->n_items);
    for (int32_t i = 0; i < v->n_items; i++) {
        fill inner = *f;
        evla_param element = *p;
        element.name = arena_text(&f->cx->scratch, "%s[%d]", p->name, i + 1);
        if (!element.name) element.name = p->name;
        value entry = v->as.items[i];
        int32_t st = type == EVLA_P_STRUCT
                         ? name_values(&inner, &element, &v->as.items[i], &entry)
                         : 0;
        if (st >= 0)
            st = fill_one(&inner, &element, type, &entry, items + (size_t)i * each);
        if (st < 0) return st;
    }
    *to = (evla_list){items, v->n_items};
    return 0;
}

static int32_t fill_scaled(const fill *f, const evla_param *p, int32_t type, const value *v,
                           void *to)
{
    double number = v->kind == VALUE_INT     ? (double)v->as.i
                    : v->kind == VALUE_FLOAT ? v->as.f
                                             : 0;
    int is_number = v->kind == VALUE_INT || v->kind == VALUE_FLOAT;
    if (type == EVLA_P_RATE) {
        double *hz = to;
        if (is_number && number >= 0 && isfinite(number))
            *hz = number;
        else if (v->kind != VALUE_TEXT || param_rate(v->as.text, hz) < 0)
            return wrong(f, p, v, "a rate such as 100 or \"100Hz\"");
        return check_range(f, p, *hz);
    }
    int is_size = type == EVLA_P_SIZE;
    if (is_number ? whole(is_size ? number : number * 1e9, to) < 0
                  : v->kind != VALUE_TEXT ||
                        (is_size ? param_size : param_duration)(v->as.text, to) < 0)
        return wrong(f, p, v,
                     is_size ? "a size such as \"2GiB\"" : "a duration such as \"10ms\"");
    return check_range(f, p, (double)*(int64_t *)to * (is_size ? 1 : 1e-9));
}

/* "2*D": a whole number of a graph may be an expression over its symbols. */
static int is_size_text(const value *v)
{
    return v->kind == VALUE_TEXT &&
           strpbrk(v->as.text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL;
}

static int32_t fill_one(const fill *f, const evla_param *p, int32_t type, const value *v,
                        void *to)
{
    switch (type) {
    case EVLA_P_BOOL:
        if (v->kind != VALUE_BOOL) return wrong(f, p, v, "true or false");
        return *(int32_t *)to = (int32_t)v->as.i, 0;
    case EVLA_P_INT:
        if (v->kind == VALUE_FLOAT && v->as.f == floor(v->as.f) && fabs(v->as.f) < 9e15)
            *(int64_t *)to = (int64_t)v->as.f;
        else if (v->kind == VALUE_INT)
            *(int64_t *)to = v->as.i;
        else if (is_size_text(v) && f->site->lenient)
            return *(int64_t *)to = 1, 0; /* checked again when symbols are bound */
        else if (!is_size_text(v) || !f->site->symbols)
            return wrong(f, p, v, "a whole number");
        else if (size_eval(f->cx, v->as.text, strlen(v->as.text), f->site->symbols, to) <
                 0) {
            ctx_prefix(f->cx, "%s%s%s: %s", f->site->where ? f->site->where : "",
                       f->site->where ? ": " : "", f->site->what, p->name);
            return f->cx->code;
        }
        return check_range(f, p, (double)*(int64_t *)to);
    case EVLA_P_FLOAT:
        if (v->kind != VALUE_INT && v->kind != VALUE_FLOAT)
            return wrong(f, p, v, "a number");
        *(double *)to = v->kind == VALUE_INT ? (double)v->as.i : v->as.f;
        if (!isfinite(*(double *)to)) return wrong(f, p, v, "a finite number");
        return check_range(f, p, *(double *)to);
    case EVLA_P_ENUM:
        return fill_enum(f, p, v, to);
    case EVLA_P_STRING:
    case EVLA_P_PATH: {
        if (v->kind != VALUE_TEXT)
            return wrong(f, p, v, type == EVLA_P_PATH ? "a path" : "a text");
        const char *text = arena_copy(f->a, v->as.text);
        if (!text) return ctx_fail(f->cx, EVLA_E_NOMEM, "%s", p->name);
        if (type == EVLA_P_PATH && !*text) return wrong(f, p, v, "a path");
        return *(const char **)to = text, 0;
    }
    case EVLA_P_SIZE:
    case EVLA_P_DURATION:
    case EVLA_P_RATE:
        return fill_scaled(f, p, type, v, to);
    case EVLA_P_SHAPE:
        return fill_shape(f, p, v, to);
    case EVLA_P_LIST:
        return fill_list(f, p, p->element, v, to);
    case EVLA_P_STRUCTS:
        return fill_list(f, p, EVLA_P_STRUCT, v, to);
    case EVLA_P_STRUCT: {
        if (v->kind != VALUE_TABLE) return wrong(f, p, v, "a table");
        fill inner = *f;
        inner.path =
            *f->path ? arena_text(&f->cx->scratch, "%s.%s", f->path, p->name) : p->name;
        if (!inner.path) inner.path = p->name;
        return fill_table(&inner, p->fields, (int32_t)p->n_fields, v, to);
    }
    case EVLA_P_ITEM:
        return fill_item(f, p, v, to);
    case EVLA_P_VALUE: {
        const evla_value *r = NULL;
        if (v->kind == VALUE_REF)
            r = f->site->resolve ? f->site->resolve(f->site->to, v) : v->as.ref;
        if (r && p->choices && strcmp(r->type, p->choices) != 0)
            return fault(f, EVLA_E_ARG, p->name,
                         "want a job that makes %s, got %.100s, which makes %s", p->choices,
                         r->job && *r->job ? r->job : "a job", r->type);
        if (!r && v->kind == VALUE_TEXT && p->choices && !strcmp(p->choices, "model") &&
            strstr(v->as.text, ".evla"))
            return fault(f, EVLA_E_ARG, p->name,
                         "want a job that makes model, got the file %s; evla.model \"its "
                         "name\" { weights = %s } is one",
                         value_describe(&f->cx->scratch, v),
                         value_describe(&f->cx->scratch, v));
        if (!r)
            return wrong(f, p, v,
                         arena_text(&f->cx->scratch, "a job that makes %s",
                                    p->choices ? p->choices : "a value"));
        return *(const evla_value **)to = r, 0;
    }
    }
    return ctx_fail(f->cx, EVLA_E_BUG, "%s: unknown parameter type %d", p->name, type);
}

/* A preset is written as a user would write it; text may leave out its quotes. */
static int32_t preset_value(const fill *f, const evla_param *p, value *out)
{
    switch (p->type) {
    case EVLA_P_ENUM:
    case EVLA_P_STRING:
    case EVLA_P_PATH:
    case EVLA_P_SIZE:
    case EVLA_P_DURATION:
    case EVLA_P_RATE:
    case EVLA_P_ITEM:
        return *out = value_text(p->preset), 0;
    default:
        break;
    }
    char *text = arena_copy(f->a, p->preset);
    if (!text) return ctx_fail(f->cx, EVLA_E_NOMEM, "%s", p->name);
    /* a user writes lists in braces */
    int is_braced = *text == '{';
    for (char *s = text; is_braced && *s; s++)
        *s = *s == '{' ? '[' : *s == '}' ? ']' : *s;
    if (value_parse(f->a, text, strlen(text), out, NULL) < 0)
        return fault(f, EVLA_E_BUG, p->name, "its preset \"%s\" cannot be read", p->preset);
    return 0;
}

static int32_t fill_table(const fill *f, const evla_param *params, int32_t n,
                          const value *v, void *out)
{
    static const value none = {.kind = VALUE_TABLE};
    if (!v || v->kind == VALUE_NIL) v = &none;
    const char *names[128];
    for (int32_t i = 0; i < n && i < 128; i++)
        names[i] = params[i].name;
    if (v->kind != VALUE_TABLE || v->n_items)
        return fault(f, EVLA_E_ARG, "parameters",
                     "want names with values, such as { %s = ... }, got %s",
                     n ? names[0] : "name",
                     v->kind == VALUE_TABLE ? "a value without a name"
                                            : value_describe(&f->cx->scratch, v));
    for (int32_t i = 0; i < v->n_pairs; i++) {
        int32_t k = 0;
        while (k < n && strcmp(params[k].name, v->pairs[i].name) != 0)
            k++;
        if (k < n) continue;
        const char *near = near_miss(v->pairs[i].name, names, n < 128 ? n : 128);
        if (near)
            return fault(f, EVLA_E_ARG, v->pairs[i].name,
                         "there is no such parameter; did you mean \"%s\"?", near);
        char all[400] = "";
        for (k = 0; k < n && k < 128 && strlen(all) + strlen(names[k]) + 3 < sizeof all;
             k++)
            strcat(strcat(all, k ? ", " : ""), names[k]);
        return fault(f, EVLA_E_ARG, v->pairs[i].name,
                     "there is no such parameter; there are: %s", n ? all : "none");
    }
    for (int32_t i = 0; i < n; i++) {
        const evla_param *p = &params[i];
        const value *given = value_get(v, p->name);
        value preset = {0};
        if (given && given->kind == VALUE_NIL) given = NULL;
        if (!given && p->preset) {
            int32_t st = preset_value(f, p, &preset);
            if (st < 0) return st;
            given = &preset;
        }
        void *to = (char *)out + p->offset;
        if (!given && p->flags & EVLA_PF_OPTIONAL) continue;
        /* an absent struct still has the presets of its fields */
        if (!given && p->type == EVLA_P_STRUCT) given = &none;
        if (!given)
            return fault(f, EVLA_E_ARG, p->name, "is missing; want %s: %s",
                         param_type_text(&f->cx->scratch, p), p->doc ? p->doc : "");
        int32_t st = fill_one(f, p, p->type, given, to);
        if (st < 0) return st;
    }
    return 0;
}

int32_t param_fill(ctx *cx, arena *a, const param_site *site, const evla_param *params,
                   int32_t n, const value *v, void *out, size_t out_size)
{
    arena_place mark = arena_mark(&cx->scratch);
    fill f = {.cx = cx, .a = a, .site = site, .path = ""};
    memset(out, 0, out_size);
    int32_t st = fill_table(&f, params, n, v, out);
    if (a != &cx->scratch) arena_reset(&cx->scratch, mark);
    return st;
}

int32_t param_fill_item(ctx *cx, arena *a, const param_site *site, const evla_item *item,
                        const value *v, const void **out)
{
    void *params = arena_push(a, 1, item->params_size);
    if (!params) return ctx_fail(cx, EVLA_E_NOMEM, "%s: parameters", site->what);
    *out = item->params_size ? params : NULL;
    return param_fill(cx, a, site, item->params, (int32_t)item->n_params, v, params,
                      item->params_size);
}

/* ---- checking a table ---- */

static int is_name(const char *s)
{
    return *s >= 'a' && *s <= 'z' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(s);
}

/* The preset must be what a user could have written. */
static int32_t check_preset(ctx *cx, const char *what, const evla_param *p, size_t bytes)
{
    /* the items of other plugins are not known yet */
    if (!p->preset || p->type == EVLA_P_ITEM) return 0;
    param_site site = {.what = "preset", .lenient = 1};
    arena_place mark = arena_mark(&cx->scratch);
    fill f = {.cx = cx, .a = &cx->scratch, .site = &site, .path = ""};
    value v = {0};
    void *to = arena_push(&cx->scratch, 1, bytes);
    int32_t st = to ? preset_value(&f, p, &v)
                    : ctx_fail(cx, EVLA_E_NOMEM, "preset: %zu bytes", bytes);
    if (st >= 0) st = fill_one(&f, p, p->type, &v, to);
    arena_reset(&cx->scratch, mark);
    if (st < 0) ctx_prefix(cx, "item \"%s\"", what);
    return st;
}

/* What is wrong with a row by itself, apart from its place in the struct; NULL: nothing. */
static const char *row_fault(const evla_param *p)
{
    int is_list = p->type == EVLA_P_LIST;
    int32_t type = is_list ? p->element : p->type;
    if (!is_name(p->name)) return "its name is not lower_case";
    if ((type == EVLA_P_ENUM || type == EVLA_P_ITEM) && (!p->choices || !*p->choices))
        return "has no choices; name them";
    if (is_list && (!type_size(p, type) || type == EVLA_P_LIST || type == EVLA_P_STRUCT ||
                    type == EVLA_P_STRUCTS))
        return "its element is no type a list may hold; a list of tables is EVLA_P_STRUCTS";
    if (p->min > p->max) return "its min is above its max";
    return NULL;
}

int32_t param_check_table(ctx *cx, const char *what, const evla_param *params, int32_t n,
                          size_t size)
{
    if (n < 0 || n > 128 || (n && !params))
        return ctx_fail(cx, EVLA_E_PLUGIN,
                        "item \"%s\": %d parameters; want a table of 0 to 128", what, n);
    for (int32_t i = 0; i < n; i++) {
        const evla_param *p = &params[i];
        if (!p->name || !p->doc)
            return ctx_fail(cx, EVLA_E_PLUGIN,
                            "item \"%s\": parameter %d has no %s; give it one", what, i + 1,
                            p->name ? "doc" : "name");
        size_t bytes = type_size(p, p->type);
        if (!bytes || p->offset > size || size - p->offset < bytes)
            return ctx_fail(
                cx, EVLA_E_PLUGIN,
                "item \"%s\": parameter \"%s\" of type %d at offset %u does not fit "
                "the struct of %zu bytes; use offsetof and sizeof",
                what, p->name, p->type, p->offset, size);
        size_t align = bytes % 8 ? 4 : 8;
        if (p->offset % align)
            return ctx_fail(cx, EVLA_E_PLUGIN,
                            "item \"%s\": parameter \"%s\" at offset %u is not aligned to "
                            "%zu bytes; use offsetof",
                            what, p->name, p->offset, align);
        for (int32_t k = 0; k < i; k++) {
            const evla_param *q = &params[k];
            if (!strcmp(p->name, q->name))
                return ctx_fail(cx, EVLA_E_PLUGIN,
                                "item \"%s\": parameter \"%s\" stands twice; rename one",
                                what, p->name);
            if (p->offset < q->offset + type_size(q, q->type) &&
                q->offset < p->offset + bytes)
                return ctx_fail(cx, EVLA_E_PLUGIN,
                                "item \"%s\": parameters \"%s\" and \"%s\" overlap in the "
                                "struct at offset %u; use offsetof of each one's own field",
                                what, q->name, p->name, p->offset);
        }
        const char *fault_text = row_fault(p);
        if (fault_text)
            return ctx_fail(cx, EVLA_E_PLUGIN, "item \"%s\": parameter \"%s\": %s", what,
                            p->name, fault_text);
        if (check_preset(cx, what, p, bytes) < 0) return cx->code;
        if (p->type == EVLA_P_STRUCT || p->type == EVLA_P_STRUCTS) {
            int32_t st = param_check_table(cx, what, p->fields, (int32_t)p->n_fields,
                                           p->fields_size);
            if (st < 0) return st;
        }
    }
    return 0;
}

/* ---- help ---- */

const char *param_type_text(arena *a, const evla_param *p)
{
    static const char *const plain[] = {
        "?",         "true or false",    "whole number",
        "number",    "choice",           "text",
        "path",      "size (\"2GiB\")",  "duration (\"10ms\")",
        "rate (Hz)", "shape ({96, 96})", "list",
        "table",     "list of tables"};
    const char *s;
    if (p->type == EVLA_P_ENUM)
        s = arena_text(a, "one of %s", p->choices);
    else if (p->type == EVLA_P_ITEM)
        s = arena_text(a, "%s", kind_short(a, p->choices));
    else if (p->type == EVLA_P_VALUE)
        s = arena_text(a, "job that makes %s", p->choices ? p->choices : "a value");
    else if (p->type == EVLA_P_LIST && p->element == EVLA_P_ITEM)
        s = arena_text(a, "list of %s", kind_short(a, p->choices));
    else if (p->type == EVLA_P_LIST && p->element == EVLA_P_VALUE)
        s = arena_text(a, "list of jobs that make %s", p->choices ? p->choices : "values");
    else if (p->type == EVLA_P_LIST && p->element > 0 && p->element <= EVLA_P_SHAPE)
        s = arena_text(a, "list of %s", plain[p->element]);
    else
        s = p->type > 0 && p->type <= EVLA_P_STRUCTS ? plain[p->type] : plain[0];
    if (s && p->unit && *p->unit) s = arena_text(a, "%s in %s", s, p->unit);
    if (s && p->max >= 1e300)
        s = arena_text(a, "%s, at least %.12g", s, p->min);
    else if (s && (p->min != 0 || p->max != 0))
        s = arena_text(a, "%s, %.12g to %.12g", s, p->min, p->max);
    return s ? s : "?";
}

static const char *help_rows(arena *a, const char *text, const evla_param *params,
                             int32_t n, int indent)
{
    for (int32_t i = 0; text && i < n; i++) {
        const evla_param *p = &params[i];
        text = arena_text(a, "%s%*s%-14s %s\n%*s%-14s %s%s%s\n", text, indent, "", p->name,
                          p->doc, indent, "", "", param_type_text(a, p),
                          p->preset                     ? "; default "
                          : p->flags & EVLA_PF_OPTIONAL ? "; optional"
                                                        : "; required",
                          p->preset ? p->preset : "");
        if (p->type == EVLA_P_STRUCT || p->type == EVLA_P_STRUCTS)
            text = help_rows(a, text, p->fields, (int32_t)p->n_fields, indent + 4);
    }
    return text;
}

const char *param_help(arena *a, const char *what, const char *doc,
                       const evla_param *params, int32_t n)
{
    const char *text = arena_text(a, "%s%s%s\n", what, doc ? ": " : "", doc ? doc : "");
    text = help_rows(a, text, params, n, 2);
    return text ? text : "?";
}
