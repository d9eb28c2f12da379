/*
 * seed.c -- a file of weights with seeded first values. See seed.h.
 */
#include "seed.h"
#include "../data/format.h"
#include "../mem.h"
#include "../registry.h"
#include <string.h>

/* One weight, encoded, in memory of its own. */
static int32_t make_one(ctx *cx, const weight_info *w, int32_t dtype, uint64_t seed,
                        evla_field *out)
{
    evla_type t = w->type;
    int64_t f32 = type_bytes(cx->reg, &t);
    t.dtype = dtype;
    if (!format_can_encode(cx->reg, &t, dtype))
        return ctx_fail(
            cx, EVLA_E_DTYPE,
            "weight %s: cannot be written as %s: that is not encoded, or has no "
            "rows of this length",
            w->name, dtype_name(cx->reg, dtype));
    float *values = mem_alloc_aligned((size_t)f32 + 1, 64);
    void *codes = dtype == EVLA_F32
                      ? (void *)values
                      : mem_alloc_aligned((size_t)type_bytes(cx->reg, &t) + 1, 64);
    int32_t st = values && codes ? 0 : ctx_fail(cx, EVLA_E_NOMEM, "weight %s", w->name);
    if (st >= 0) st = model_fill_one(cx, w->name, w->init, &w->type, seed, values);
    if (st >= 0 && codes != values) st = format_encode(cx, &t, values, codes);
    if (codes != values) mem_free(values);
    *out = (evla_field){w->name, tensor_view(cx->reg, &t, codes)};
    return st;
}

int32_t seed_write(ctx *cx, const evla_item *format, const weight_info *weights,
                   int32_t n_weights, const char *path, const int32_t *formats,
                   uint64_t seed, const evla_attr *attrs, int32_t n_attrs)
{
    arena_place mark = arena_mark(&cx->scratch);
    evla_field *fields = arena_push(&cx->scratch, (size_t)n_weights + 1, sizeof *fields);
    int32_t n = 0, st = fields ? 0 : ctx_fail(cx, EVLA_E_NOMEM, "%s", path);
    while (st >= 0 && n < n_weights) {
        const weight_info *w = &weights[n];
        if (w->type.rank < 0 || w->type.dtype != EVLA_F32)
            st = ctx_fail(cx, EVLA_E_SHAPE, "%s: the weight %s has no type in f32", path,
                          w->name);
        else {
            st = make_one(cx, w, formats[n], seed, &fields[n]);
            n++;
        }
        if (st >= 0 && ctx_stopping(cx)) st = ctx_fail(cx, EVLA_E_STOPPED, "%s", path);
    }
    const evla_archive all = {.size = sizeof all,
                              .n_attrs = n_attrs,
                              .n_tensors = n,
                              .tensors = fields,
                              .attrs = attrs};
    if (st >= 0) st = format_write(cx, format, path, &all);
    for (int32_t i = 0; fields && i < n; i++)
        mem_free(fields[i].value.data[0]);
    arena_reset(&cx->scratch, mark);
    return st;
}
