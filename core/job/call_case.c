/*
 * call_case.c -- the inputs of one call. See call_case.h.
 */
#include "call_case.h"
#include "../data/picture.h"
#include "../file.h"
#include "../mix.h"
#include <string.h>

enum { MOST_PIXELS = 1 << 26 };

typedef struct case_file {
    const char *name, *path;
} case_file;

// clang-format off
const evla_param case_file_fields[2] = {
    {.name = "name", .doc = "of the input", .type = EVLA_P_STRING, .offset = offsetof(case_file, name)},
    {.name = "path", .doc = "raw numbers in the input's own format, dense rows", .type = EVLA_P_PATH,
     .flags = EVLA_PF_INPUT, .offset = offsetof(case_file, path)},
};
const evla_param case_picture_fields[2] = {
    {.name = "name", .doc = "of the input, u8[height,width,3]", .type = EVLA_P_STRING, .offset = offsetof(case_file, name)},
    {.name = "path", .doc = "a picture of that size", .type = EVLA_P_PATH, .flags = EVLA_PF_INPUT,
     .offset = offsetof(case_file, path)},
};
const evla_param case_values_fields[2] = {
    {.name = "name", .doc = "of the tensor", .type = EVLA_P_STRING, .offset = offsetof(case_values, name)},
    {.name = "numbers", .doc = "its elements in order", .type = EVLA_P_LIST, .element = EVLA_P_FLOAT,
     .offset = offsetof(case_values, numbers)},
};
// clang-format on

/* ---- what is given ---- */

static int32_t set_file(ctx *cx, const schedule *s, const case_file *f)
{
    const schedule_port *to;
    char *data;
    size_t n;
    int32_t st = schedule_want_input(cx, s, f->name, &to);
    if (st < 0) return st;
    size_t want = (size_t)type_bytes(cx->reg, &to->type);
    arena_place mark = arena_mark(&cx->scratch);
    st = file_read(cx, &cx->scratch, f->path, want + 1, &data, &n);
    if (st < 0) ctx_prefix(cx, "input %s", f->name);
    if (st >= 0 && n != want)
        st = ctx_fail(cx, EVLA_E_SHAPE, "input %s: %s holds %zu bytes; %s takes %zu",
                      f->name, f->path, n, type_text(cx->reg, &cx->scratch, &to->type),
                      want);
    if (st >= 0 && to->view.data[0] && n) memcpy(to->view.data[0], data, n);
    arena_reset(&cx->scratch, mark);
    return st;
}

static int32_t set_picture(ctx *cx, const schedule *s, const case_file *f)
{
    static const uint8_t white[3] = {255, 255, 255};
    const schedule_port *to;
    picture file = {0};
    int32_t st = schedule_want_input(cx, s, f->name, &to);
    if (st < 0) return st;
    st = picture_open(cx, f->path, MOST_PIXELS, &file);
    const evla_type is = {
        .dtype = EVLA_U8, .rank = 3, .shape = {file.height, file.width, 3}};
    if (st >= 0 && !type_equal(&is, &to->type)) {
        arena_place mark = arena_mark(&cx->scratch);
        st = ctx_fail(cx, EVLA_E_SHAPE, "%s: is a picture %s; input %s is %s", f->path,
                      type_text(cx->reg, &cx->scratch, &is), f->name,
                      type_text(cx->reg, &cx->scratch, &to->type));
        arena_reset(&cx->scratch, mark);
    }
    if (st >= 0 && to->view.data[0])
        st = picture_decode(cx, &file, white, to->view.data[0]);
    picture_close(&file);
    return st;
}

static int32_t set_values(ctx *cx, const schedule *s, const case_values *v)
{
    const schedule_port *to;
    const double *numbers = v->numbers.items;
    int32_t st = schedule_want_input(cx, s, v->name, &to);
    if (st < 0) return st;
    arena_place mark = arena_mark(&cx->scratch);
    const char *type = type_text(cx->reg, &cx->scratch, &to->type);
    if (type_count(&to->type) != v->numbers.n)
        st = ctx_fail(cx, EVLA_E_SHAPE, "input %s: got %lld numbers for %s", v->name,
                      (long long)v->numbers.n, type);
    for (int64_t i = 0; st >= 0 && i < v->numbers.n; i++)
        if (!call_put_number(&to->view, i, numbers[i]))
            st = ctx_fail(cx, EVLA_E_DTYPE, "input %s: %s cannot hold the number %g",
                          v->name, type, numbers[i]);
    arena_reset(&cx->scratch, mark);
    return st;
}

int32_t call_case_set(ctx *cx, const schedule *s, const call_case *c)
{
    int32_t st = 0;
    for (int64_t i = 0; st >= 0 && i < c->files.n; i++)
        st = set_file(cx, s, (const case_file *)c->files.items + i);
    for (int64_t i = 0; st >= 0 && i < c->pictures.n; i++)
        st = set_picture(cx, s, (const case_file *)c->pictures.items + i);
    for (int64_t i = 0; st >= 0 && i < c->values.n; i++)
        st = set_values(cx, s, (const case_values *)c->values.items + i);
    return st;
}

/* ---- what is drawn ---- */

/* How many rows an input of that name chooses from in this graph; 0: it chooses none. */
static int64_t rows_chosen(const bound *b, const char *name)
{
    for (int32_t i = 0; i < b->n_nodes; i++) {
        const bound_node *n = &b->nodes[i];
        int is_choice = !strcmp(n->op->name, "embedding") || !strcmp(n->op->name, "gather");
        if (n->is_gone || !is_choice || n->n_in < 2 || n->in[0] < 0 || n->in[1] < 0)
            continue;
        const bound_wire *ids = &b->wires[n->in[1]], *table = &b->wires[n->in[0]];
        if (ids->kind == WIRE_INPUT && !strcmp(ids->name, name))
            return table->type.shape[0];
    }
    return 0;
}

static int32_t draw_one(ctx *cx, const schedule *s, const schedule_port *p, uint64_t seed)
{
    const evla_type *t = &p->type;
    uint64_t lot = mix(seed * MIX_STEP);
    int64_t n = type_count(t), rows = 0;
    if (t->dtype == EVLA_F32 || t->dtype == EVLA_F64)
        return model_fill_one(cx, p->name, "normal:1", t, seed, p->view.data[0]);
    for (const char *c = p->name; *c; c++)
        lot = mix(lot + (uint8_t)*c);
    if (t->dtype == EVLA_I32 || t->dtype == EVLA_I64)
        rows = rows_chosen(schedule_plan_of(s, p->line)->graph, p->name);
    for (int64_t i = 0; i < n; i++) {
        uint64_t v = mix(lot + (uint64_t)i * MIX_STEP);
        if (t->dtype == EVLA_U8 || t->dtype == EVLA_BOOL)
            v = t->dtype == EVLA_U8 ? v & 255 : v & 1;
        else
            v = rows ? v % (uint64_t)rows : 0;
        call_put_number(&p->view, i, (double)v);
    }
    return 0;
}

int32_t call_case_draw(ctx *cx, const schedule *s, uint64_t seed)
{
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < schedule_n_inputs(s); i++)
        st = draw_one(cx, s, schedule_input(s, i), seed);
    return st;
}
