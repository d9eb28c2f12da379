/*
 * rows_check.c -- what is known of rows before anything has run: does a job's dataset, or
 * the schema of what it will write, feed every input? See rows.h.
 */
#include "../data/record.h"
#include "../near.h"
#include "../registry.h"
#include "convert.h"
#include "rows_inner.h"
#include "types.h"
#include <string.h>

evla_type rows_sample(const evla_type *batched)
{
    evla_type t = {.dtype = batched->dtype, .rank = batched->rank - 1};
    for (int32_t i = 0; i < t.rank; i++)
        t.shape[i] = batched->shape[i + 1];
    return t;
}

int rows_is_text(const evla_type *sample)
{
    return sample->dtype == EVLA_U8 && sample->rank == 1;
}

/* "[T,7]" of a type's text: one row per tick. */
static int is_per_tick(const char *type)
{
    const char *open = strchr(type, '[');
    return open && open[1] == 'T' && (open[2] == ',' || open[2] == ']');
}

static int32_t no_field(ctx *cx, const char *job_name, const char *name, const char *near)
{
    return ctx_fail(
        cx, EVLA_E_MISSING, "data: %s has no field %s to feed the input of that name%s%s%s",
        job_name, name, near ? "; did you mean \"" : "; evla inspect lists what it has",
        near ? near : "", near ? "\"?" : "");
}

int32_t rows_compare(ctx *cx, const char *job_name, const char *name,
                     const evla_type *sample, const evla_type *stored)
{
    evla_type found = rows_sample(stored);
    int same = found.rank == sample->rank;
    for (int32_t i = 0; same && i < found.rank; i++)
        same = found.shape[i] == sample->shape[i];
    if (same && convert_can(cx->reg, found.dtype, sample->dtype)) return 0;
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = ctx_fail(cx, same ? EVLA_E_DTYPE : EVLA_E_SHAPE,
                          "data: %s: a row of %s is %s, but the input wants %s%s", job_name,
                          name, type_text(cx->reg, &cx->scratch, &found),
                          type_text(cx->reg, &cx->scratch, sample),
                          same ? "; only f32 and f64 are converted to" : "");
    arena_reset(&cx->scratch, mark);
    return st;
}

static int32_t check_schema(ctx *cx, const job *maker, const evla_schema *s,
                            const char *name, const evla_type *sample, int64_t n)
{
    const evla_schema_field *f = schema_field(s, name);
    evla_type stored;
    if (!f && sample && rows_is_text(sample)) {
        if (!strcmp(name, "instruction") || schema_attr(s, name)) return 0;
        return ctx_fail(
            cx, EVLA_E_MISSING,
            "data: %s has neither a field nor a text %s; the text every episode "
            "has is \"instruction\"",
            maker->name, name);
    }
    if (!f) {
        const char *names[256];
        int32_t k = 0;
        for (; k < s->n_fields && k < 256; k++)
            names[k] = s->fields[k].name;
        return no_field(cx, maker->name, name, near_miss(name, names, k));
    }
    if (!is_per_tick(f->type))
        return ctx_fail(
            cx, EVLA_E_SHAPE,
            "data: %s: %s is %s; want one row per tick, [T,...], so sample it at "
            "every tick",
            maker->name, name, f->type);
    if (type_parse(cx, f->type, NULL, &stored) < 0) return cx->code;
    if (sample) return rows_compare(cx, maker->name, name, sample, &stored);
    evla_type one = rows_sample(&stored);
    if (convert_is_plain(cx->reg, one.dtype) && (n <= 0 || n == 1 || type_count(&one) == n))
        return 0;
    return ctx_fail(cx, EVLA_E_SHAPE, "data: %s: %s is %s; want %lld numbers per tick",
                    maker->name, name, f->type, (long long)n);
}

const evla_frames_service *rows_frames(ctx *cx)
{
    const evla_item *item = registry_find(cx->reg, EVLA_SERVICE, "frames");
    const evla_frames_service *f = item ? item->table : NULL;
    if (f && f->size >= sizeof *f) return f;
    ctx_fail(
        cx, EVLA_E_MISSING,
        "data: no plugin here reads stored rows (the service \"frames\"%s); evla doctor "
        "says which package is missing",
        f ? " is older than this core" : "");
    return NULL;
}

int32_t rows_open_file(ctx *cx, host *h, const evla_frames_service *frames,
                       const char *path, const rows_options *how, const char *job_name,
                       int is_told, void **file)
{
    const char *mask = how->mask && *how->mask ? how->mask : NULL;
    arena_place mark = arena_mark(&cx->scratch);
    *file = NULL;
    int32_t is_all = !mask;
    int32_t st = frames->open(&h->table, path, mask, file);
    if (st == EVLA_E_MISSING && mask && how->without != ROWS_REFUSE) {
        ctx_clear(cx);
        is_all = 1;
        st = frames->open(&h->table, path, NULL, file);
        if (st >= 0 && how->without == ROWS_NONE) {
            frames->close(&h->table, *file);
            *file = NULL;
        } else if (st >= 0 && is_told) {
            ctx_say(cx, EVLA_LOG_INFO, "%s: has no mask %s: all episodes are taken",
                    job_name, mask);
        }
    }
    host_done(h, mark);
    if (st < 0 && !cx->code) ctx_fail(cx, st, "data: %s: %s", path, ctx_code_text(st));
    return st < 0 ? st : is_all;
}

/* The first episode of an open file stands for all; rows_open looks at every one. */
static int32_t check_stored(ctx *cx, host *h, const evla_frames_service *frames, void *file,
                            const char *job_name, const char *name, const evla_type *sample,
                            int64_t n)
{
    evla_type stored;
    evla_attr attr;
    int32_t st = frames->type(&h->table, file, 0, name, &stored);
    if (st == EVLA_E_MISSING && !cx->code && sample && rows_is_text(sample)) {
        st = frames->attr(&h->table, file, 0, name, &attr);
        if (st >= 0 && attr.type != EVLA_ATTR_TEXT)
            return ctx_fail(cx, EVLA_E_DTYPE, "data: %s: the attribute %s is no text",
                            job_name, name);
        if (st == EVLA_E_MISSING && !cx->code)
            return ctx_fail(cx, st, "data: %s has neither a field nor a text %s", job_name,
                            name);
        return st;
    }
    if (st == EVLA_E_MISSING && !cx->code) return no_field(cx, job_name, name, NULL);
    if (st < 0) return st;
    if (stored.rank < 1)
        return ctx_fail(cx, EVLA_E_SHAPE, "data: %s: %s has no rows", job_name, name);
    if (sample) return rows_compare(cx, job_name, name, sample, &stored);
    evla_type one = rows_sample(&stored);
    if (convert_is_plain(cx->reg, one.dtype) && (n <= 0 || n == 1 || type_count(&one) == n))
        return 0;
    return ctx_fail(cx, EVLA_E_SHAPE, "data: %s: %s has %lld numbers per tick; want %lld",
                    job_name, name, (long long)type_count(&one), (long long)n);
}

/* Looks for inputs (n_in of them), or for one field of n numbers. */
static int32_t look(ctx *cx, const job *maker, const rows_options *how,
                    const rows_input *in, int32_t n_in, const char *field, int64_t n)
{
    const evla_schema *schema = job_pipeline_schema(maker);
    int32_t st = 0;
    if (maker->type == &job_pipeline) {
        for (int32_t i = 0; schema && st >= 0 && i < n_in; i++) {
            evla_type sample = rows_sample(&in[i].type);
            st = check_schema(cx, maker, schema, in[i].name, &sample, 0);
        }
        return schema && st >= 0 && field ? check_schema(cx, maker, schema, field, NULL, n)
                                          : st;
    }
    const char *path = job_dataset_path(maker);
    if (!path) return 0; /* known when it has been made */
    const evla_frames_service *frames = rows_frames(cx);
    host h;
    void *file;
    if (!frames) return cx->code;
    host_init(&h, cx, NULL);
    arena_place mark = arena_mark(&cx->scratch);
    st = rows_open_file(cx, &h, frames, path, how, maker->name, 0, &file);
    if (st > 0) st = 0; /* all episodes instead of a mask */
    if (st >= 0 && file && frames->count(&h.table, file) < 1) { /* see open_sets */
        if (how->without == ROWS_REFUSE)
            st = ctx_fail(cx, EVLA_E_MISSING, "data: %s: no episode is in the mask %s",
                          maker->name, how->mask ? how->mask : "");
        frames->close(&h.table, file);
        file = NULL;
    }
    for (int32_t i = 0; file && st >= 0 && i < n_in; i++) {
        evla_type sample = rows_sample(&in[i].type);
        st = check_stored(cx, &h, frames, file, maker->name, in[i].name, &sample, 0);
    }
    if (file && st >= 0 && field)
        st = check_stored(cx, &h, frames, file, maker->name, field, NULL, n);
    if (file) frames->close(&h.table, file);
    host_done(&h, mark);
    return st;
}

int32_t rows_check(ctx *cx, const job *maker, const rows_options *how, const rows_input *in,
                   int32_t n_in)
{
    return look(cx, maker, how, in, n_in, NULL, 0);
}

int32_t rows_check_field(ctx *cx, const job *maker, const rows_options *how,
                         const char *field, int64_t n)
{
    return look(cx, maker, how, NULL, 0, field, n);
}
