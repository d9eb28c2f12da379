/*
 * seed.c -- a file of weights with seeded first values. See seed.h.
 */
#include "seed.h"
#include "../data/format.h"
#include "../mem.h"
#include "../registry.h"
#include <string.h>

enum { CHUNK = 1 << 16 }; /* values; a multiple of every block */

/* One weight, encoded, in memory of its own. */
static int32_t make_one(ctx *cx, const weight_info *w, int32_t dtype, uint64_t seed,
                        evla_field *out)
{
    evla_type t = w->type;
    int64_t n = type_count(&t), f32 = type_bytes(cx->reg, &t);
    t.dtype = dtype;
    int64_t bytes = type_bytes(cx->reg, &t);
    const dtype_info *d = dtype_get(cx->reg, dtype);
    if (bytes < 0 || !d || (dtype != EVLA_F32 && !(d->table && d->table->encode)))
        return ctx_fail(cx, EVLA_E_DTYPE, "weight %s: cannot be written as %s, %s", w->name,
                        d ? d->name : "?",
                        d && d->table && d->table->encode ? "its rows are no whole blocks"
                                                          : "a format that is not encoded");
    float *values = mem_alloc_aligned((size_t)f32 + 1, 64);
    unsigned char *codes = dtype == EVLA_F32 ? (unsigned char *)values
                                             : mem_alloc_aligned((size_t)bytes + 1, 64);
    int32_t st = values && codes ? 0 : ctx_fail(cx, EVLA_E_NOMEM, "weight %s", w->name);
    if (st >= 0) st = model_fill_one(cx, w->name, w->init, &w->type, seed, values);
    host h;
    host_init(&h, cx, NULL);
    for (int64_t i = 0; st >= 0 && dtype != EVLA_F32 && i < n; i += CHUNK) {
        int64_t k = n - i < CHUNK ? n - i : CHUNK;
        st = d->table->encode(&h.table, values + i, k,
                              codes + i / d->block_elements * d->block_bytes);
    }
    if (dtype != EVLA_F32) mem_free(values);
    *out = (evla_field){w->name, tensor_view(cx->reg, &t, codes)};
    return st;
}

int32_t seed_write(ctx *cx, const evla_item *format, const model *m, const char *path,
                   const int32_t *formats, uint64_t seed, const evla_attr *attrs,
                   int32_t n_attrs)
{
    arena_place mark = arena_mark(&cx->scratch);
    evla_field *fields = arena_push(&cx->scratch, (size_t)m->n_weights + 1, sizeof *fields);
    int32_t n = 0, st = fields ? 0 : ctx_fail(cx, EVLA_E_NOMEM, "%s", path);
    while (st >= 0 && n < m->n_weights) {
        if (m->weights[n].type.rank < 0 || m->weights[n].type.dtype != EVLA_F32)
            st = ctx_fail(cx, EVLA_E_SHAPE, "%s: the weight %s has no type in f32", path,
                          m->weights[n].name);
        else {
            st = make_one(cx, &m->weights[n], formats[n], seed, &fields[n]);
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
