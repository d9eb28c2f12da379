/*
 * model.c -- a model: named graphs over one table of weights and one of states. See
 * model.h.
 */
#include "model.h"
#include "../mem.h"
#include "../mix.h"
#include "../near.h"
#include "../registry.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int32_t model_new(ctx *cx, const char *name, model **out)
{
    model *m = mem_alloc(sizeof *m);
    if (!m) return ctx_fail(cx, EVLA_E_NOMEM, "model %s", name);
    *m = (model){.mem = arena_beside(&cx->mem, 8 << 10)};
    atomic_init(&m->refs, 1);
    pthread_mutex_init(&m->opening, NULL);
    if (!(m->name = arena_copy(&m->mem, name))) {
        model_drop(m);
        return ctx_fail(cx, EVLA_E_NOMEM, "model %s", name);
    }
    *out = m;
    return 0;
}

void model_keep(model *m) { atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed); }

void model_drop(model *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1) return;
    for (int32_t i = 0; i < m->n_weights; i++)
        if (!m->weights[i].packed_as) mem_free((void *)(uintptr_t)m->weights[i].packed);
    if (m->map) munmap(m->map, m->map_bytes);
    if (m->file) m->close_file(m->file);
    model_drop(m->base);
    pthread_mutex_destroy(&m->opening);
    arena_free(&m->mem);
    mem_free(m);
}

/* ---- lookup ---- */

graph *model_graph(const model *m, const char *name)
{
    for (int32_t i = 0; i < m->n_graphs; i++)
        if (!strcmp(m->graphs[i]->name, name)) return m->graphs[i];
    return NULL;
}

int32_t model_weight(const model *m, const char *name)
{
    for (int32_t i = 0; i < m->n_weights; i++)
        if (!strcmp(m->weights[i].name, name)) return i;
    return -1;
}

int32_t model_state(const model *m, const char *name)
{
    for (int32_t i = 0; i < m->n_states; i++)
        if (!strcmp(m->states[i].name, name)) return i;
    return -1;
}

int32_t model_want_graph(ctx *cx, const model *m, const char *name, graph **out)
{
    if ((*out = model_graph(m, name))) return 0;
    const char *names[64] = {NULL};
    int32_t n = m->n_graphs < 64 ? m->n_graphs : 64;
    for (int32_t i = 0; i < n; i++)
        names[i] = m->graphs[i]->name;
    const char *near = near_miss(name, names, n);
    if (near)
        return ctx_fail(cx, EVLA_E_MISSING,
                        "model %s: no graph is called \"%.60s\"; did you mean \"%s\"?",
                        m->name, name, near);
    return ctx_fail(
        cx, EVLA_E_MISSING,
        "model %s: no graph is called \"%.60s\"; it has %d, the first is \"%s\"", m->name,
        name, m->n_graphs, n ? names[0] : "");
}

/* ---- data ---- */

int32_t model_set_weight(ctx *cx, model *m, int32_t slot, const evla_type *type,
                         const void *data, int copy)
{
    weight_info *w = &m->weights[slot];
    if (w->type.rank >= 0 && !type_equal(&w->type, type)) {
        arena_place mark = arena_mark(&cx->scratch);
        ctx_fail(cx, EVLA_E_SHAPE, "weight %s: want %s%s%s, found %s", w->name,
                 type_text(cx->reg, &cx->scratch, &w->type), w->typed_by ? " as in " : "",
                 w->typed_by ? w->typed_by : "", type_text(cx->reg, &cx->scratch, type));
        arena_reset(&cx->scratch, mark);
        return EVLA_E_SHAPE;
    }
    int64_t bytes = type_bytes(cx->reg, type);
    if (bytes < 0)
        return ctx_fail(cx, EVLA_E_SHAPE, "weight %s: its type has no whole size", w->name);
    if (copy) {
        void *own = w->type.rank >= 0 && w->is_own
                        ? (void *)w->data
                        : arena_push_aligned(&m->mem, (size_t)bytes, 1, 64);
        if (!own)
            return ctx_fail(cx, EVLA_E_NOMEM, "weight %s: %lld bytes", w->name,
                            (long long)bytes);
        memmove(own, data, (size_t)bytes);
        data = own;
    }
    if (w->type.rank < 0) w->typed_by = "the data it was given";
    w->type = *type;
    w->data = data;
    w->is_own = copy;
    return 0;
}

/* ---- first values ---- */

static double unit(uint64_t *s) { return (double)(mix(*s += MIX_STEP) >> 11) * 0x1p-53; }

/* Sum of 12 uniforms: near enough to normal, and exact arithmetic, so the same bits
 * anywhere. */
static double normal(uint64_t *s)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += unit(s);
    return sum;
}

int32_t model_fill_one(ctx *cx, const char *name, const char *init, const evla_type *type,
                       uint64_t seed, void *data)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (const char *c = name; *c; c++)
        h = (h ^ (unsigned char)*c) * 0x100000001b3u;
    h ^= mix(seed + MIX_STEP);
    int64_t n = type_count(type), bytes = type_bytes(cx->reg, type);
    int64_t last = type->rank ? type->shape[type->rank - 1] : 1;
    double scale = 0;
    int is_normal = 0, is_ones = 0;
    if (!init)
        scale = type->rank >= 2 && last ? 1 / sqrt((double)last) : 0;
    else if (!strncmp(init, "uniform:", 8) || !strncmp(init, "normal:", 7)) {
        char *end;
        is_normal = init[0] == 'n';
        scale = strtod(strchr(init, ':') + 1, &end);
        if (*end || !(scale >= 0) || !isfinite(scale)) scale = -1;
    } else if (!strcmp(init, "ones") || !strncmp(init, "std:", 4))
        is_ones = 1;
    else if (strcmp(init, "zeros") != 0 && strncmp(init, "mean:", 5) != 0)
        scale = -1;
    if (scale < 0)
        return ctx_fail(cx, EVLA_E_ARG,
                        "%s: init \"%.40s\": want zeros, ones, uniform:0.1, normal:0.02, "
                        "mean:FIELD or std:FIELD",
                        name, init);
    if (bytes < 0) return ctx_fail(cx, EVLA_E_SHAPE, "%s: its type has no size", name);
    memset(data, 0, (size_t)bytes);
    if (!is_ones && scale == 0) return 0;
    if (type->dtype != EVLA_F32 && type->dtype != EVLA_F64)
        return ctx_fail(cx, EVLA_E_DTYPE,
                        "%s: only f32 and f64 can start as anything but zeros, not %s",
                        name, dtype_name(cx->reg, type->dtype));
    for (int64_t i = 0; i < n; i++) {
        double v = is_ones     ? 1
                   : is_normal ? scale * normal(&h)
                               : scale * (2 * unit(&h) - 1);
        if (type->dtype == EVLA_F32)
            ((float *)data)[i] = (float)v;
        else
            ((double *)data)[i] = v;
    }
    return 0;
}

int32_t model_fill(ctx *cx, model *m, uint64_t seed)
{
    for (int32_t i = 0; i < m->n_weights; i++) {
        weight_info *w = &m->weights[i];
        if (w->data || w->packed || w->type.rank < 0) continue;
        int64_t bytes = type_bytes(cx->reg, &w->type);
        void *data = bytes < 0 ? NULL : arena_push_aligned(&m->mem, (size_t)bytes, 1, 64);
        if (!data)
            return ctx_fail(cx, EVLA_E_NOMEM, "weight %s: %lld bytes", w->name,
                            (long long)bytes);
        int32_t st = model_fill_one(cx, w->name, w->init, &w->type, seed, data);
        if (st < 0) {
            ctx_prefix(cx, "%s%sweight", w->where ? w->where : "", w->where ? ": " : "");
            return st;
        }
        w->data = data;
        w->is_own = 1;
    }
    return 0;
}
