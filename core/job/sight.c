/*
 * sight.c -- a picture in a text. See sight.h.
 */
#include "sight.h"
#include "../run/clock.h"
#include <string.h>

enum { MOST_PIXELS = 1 << 26 };
enum { IMAGE, VISION, ACTION };
static const char *const names[] = {"image", "vision", "action"};
static const uint8_t white[3] = {255, 255, 255};

static int has_graph(const model *m, const char *name)
{
    for (int32_t i = 0; i < m->n_graphs; i++)
        if (!strcmp(m->graphs[i]->name, name)) return 1;
    return 0;
}

int32_t sight_open(ctx *cx, const model *m, const char *path, const language_params *given,
                   sight *s)
{
    picture file = {0};
    if (!has_graph(m, names[IMAGE]) || !has_graph(m, names[VISION]))
        return ctx_fail(cx, EVLA_E_MISSING,
                        "%s: model %s sees no pictures: it has no graphs \"%s\" and \"%s\"",
                        path, m->name, names[IMAGE], names[VISION]);
    *s = (sight){
        .path = path, .language = *given, .has_action = has_graph(m, names[ACTION])};
    int32_t st = picture_open(cx, path, MOST_PIXELS, &file);
    s->extents[0] = (job_symbol){"H", file.height};
    s->extents[1] = (job_symbol){"W", file.width};
    picture_close(&file);
    memcpy(s->graphs, names, sizeof s->graphs);
    s->language.others = (evla_list){.items = s->graphs, .n = s->has_action ? 3 : 2};
    s->language.symbols = (evla_list){.items = s->extents, .n = 2};
    return st;
}

/* One of the graphs: its number in the session and its plan. */
static const plan *plan_of(const completer *c, int which, int32_t *at)
{
    return decoder_other(completer_decoder((completer *)(uintptr_t)c), which, at);
}

static int32_t decode(ctx *cx, const sight *s, evla_tensor *to)
{
    picture file = {0};
    int32_t st = picture_open(cx, s->path, MOST_PIXELS, &file);
    if (st >= 0 && (!to || to->shape[0] != file.height || to->shape[1] != file.width))
        st = ctx_fail(
            cx, EVLA_E_SHAPE,
            "%s: is a picture of %lldx%lld pixels; the graph \"%s\" wants %lldx%lld",
            s->path, (long long)file.height, (long long)file.width, names[IMAGE],
            to ? (long long)to->shape[0] : 0, to ? (long long)to->shape[1] : 0);
    if (st >= 0) st = picture_decode(cx, &file, white, to->data[0]);
    picture_close(&file);
    return st;
}

/* The output of a graph, copied into the arena. */
static int32_t take(ctx *cx, session *of, int32_t at, const plan *p, const char *name,
                    int32_t dtype, arena *a, void **data, evla_type *type)
{
    int32_t slot = plan_output(p, name);
    if (slot < 0 || plan_output_type(p, slot)->dtype != dtype)
        return ctx_fail(cx, EVLA_E_SHAPE, "graph %s: want an output %s in %s",
                        p->graph->from->name, name, dtype_name(cx->reg, dtype));
    *type = *plan_output_type(p, slot);
    size_t bytes = (size_t)type_bytes(cx->reg, type);
    *data = arena_push(a, bytes + 1, 1);
    if (!*data)
        return ctx_fail(cx, EVLA_E_NOMEM, "%s of graph %s", name, p->graph->from->name);
    memcpy(*data, session_output(of, at, slot)->data[0], bytes);
    return 0;
}

int32_t sight_see(ctx *cx, sight *s, completer *c, arena *a, sequence_rows *out)
{
    s->began_ns = clock_ns();
    session *of = decoder_session(completer_decoder(c));
    int32_t image, vision;
    const plan *first = plan_of(c, IMAGE, &image), *second = plan_of(c, VISION, &vision);
    evla_type type;
    void *pixels, *rows;
    int32_t st = decode(cx, s, session_input(of, image, plan_input(first, "picture")));
    if (st >= 0) st = session_run(cx, of, image);
    if (st >= 0) st = take(cx, of, image, first, "pixels", EVLA_F32, a, &pixels, &type);
    if (st >= 0)
        st = session_set(cx, of, vision, "pixels", pixels,
                         (size_t)type_bytes(cx->reg, &type));
    if (st < 0) return st;
    s->pixels_ns = clock_ns();
    s->vision_bytes = second->weight_bytes;
    st = session_run(cx, of, vision);
    if (st >= 0) st = take(cx, of, vision, second, "rows", EVLA_F32, a, &rows, &type);
    s->seen_ns = clock_ns();
    if (st >= 0 && type.rank != 2)
        st = ctx_fail(cx, EVLA_E_SHAPE, "graph %s: want rows as f32[N,W]", names[VISION]);
    if (st < 0) return st;
    *out = (sequence_rows){
        .rows = rows, .n = (int32_t)type.shape[0], .width = (int32_t)type.shape[1]};
    return 0;
}

int32_t sight_action(ctx *cx, const sight *s, completer *c, arena *a, const evla_token *t,
                     int32_t n, const float **action, int32_t *n_action)
{
    session *of = decoder_session(completer_decoder(c));
    int32_t at;
    const plan *p = plan_of(c, ACTION, &at);
    int32_t slot = p ? plan_input(p, "ids") : -1;
    evla_tensor *ids = slot < 0 ? NULL : session_input(of, at, slot);
    evla_type type;
    void *data;
    if (!ids || ids->dtype != EVLA_I32 || ids->shape[0] != n)
        return ctx_fail(cx, EVLA_E_SHAPE,
                        "%s: %d tokens are no action: the graph \"%s\" wants %d", s->path,
                        n, names[ACTION], ids ? (int32_t)ids->shape[0] : 0);
    for (int32_t i = 0; i < n; i++)
        ((int32_t *)ids->data[0])[i] = t[i].id;
    int32_t st = session_run(cx, of, at);
    if (st >= 0) st = take(cx, of, at, p, "action", EVLA_F32, a, &data, &type);
    if (st < 0) return st;
    *action = data;
    *n_action = (int32_t)type_count(&type);
    return 0;
}
