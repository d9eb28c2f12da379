/*
 * weights.c -- a model's weights, from and to files. See weights.h.
 */
#include "weights.h"
#include "../data/format.h"
#include "../mem.h"
#include "../near.h"
#include "../registry.h"
#include "layout.h"
#include "save.h"
#include <stdio.h>
#include <string.h>

/* Reading one byte of a mapped file makes the system map what lies around it. What is
 * smaller than that is copied, so that it does not hold large neighbours that were given
 * back. */
enum { MOST_NAMED = 3, MAPPED_AROUND = 64 << 10 };
/* Rounded rows lie side by side in blocks of this size, so that few pages hold anything
 * else when they are given back. */
enum { ROUNDED_BLOCK = 16 << 20 };

/* A file of either sort: the engine's own, whose weights are parts "w:NAME", or another. */
typedef struct source {
    const char *path;
    bundle b;
    format_file f;
    int is_ours;
    struct source *beside; /* another file, for what this one lacks; or NULL */
} source;

static int32_t source_open(ctx *cx, const char *path, source *s)
{
    const evla_item *item;
    *s = (source){.path = path, .is_ours = bundle_claims(path)};
    if (s->is_ours) return bundle_open(cx, path, SAVE_KIND, &s->b);
    int32_t st = format_probe(cx, path, &item);
    if (st < 0 || item) return st < 0 ? st : format_open(cx, item, path, &s->f);
    arena_place mark = arena_mark(&cx->scratch);
    st = ctx_fail(cx, EVLA_E_FORMAT,
                  "%s: is no saved model and of no format that is loaded (%s)", path,
                  format_names(cx, &cx->scratch, 0));
    arena_reset(&cx->scratch, mark);
    return st;
}

static void source_close(source *s)
{
    if (s->beside) source_close(s->beside);
    mem_free(s->beside);
    if (s->is_ours)
        bundle_close(&s->b);
    else
        format_close(&s->f);
}

static int64_t source_count(const source *s)
{
    return s->is_ours ? s->b.n_parts : s->f.holds.n_tensors;
}

/* The name of entry i as a weight's; NULL: it is something else. */
static const char *source_name(const source *s, int64_t i)
{
    if (!s->is_ours) return s->f.holds.tensors[i].name;
    return !strncmp(s->b.parts[i].name, "w:", 2) ? s->b.parts[i].name + 2 : NULL;
}

/* The file that holds a weight: this one, or the one beside it; NULL: neither. */
static const source *source_find(ctx *cx, const source *s, const char *name,
                                 evla_tensor *out)
{
    const evla_field *f = s->is_ours ? NULL : format_find(&s->f, name);
    const char *own = s->is_ours ? arena_text(&cx->scratch, "w:%s", name) : NULL;
    const bundle_part *part = own ? bundle_find(&s->b, own) : NULL;
    if (f) *out = f->value;
    if (part) *out = tensor_view(cx->reg, &part->type, (void *)(uintptr_t)part->data);
    if (f || part) return s;
    return s->beside ? source_find(cx, s->beside, name, out) : NULL;
}

/* ---- names ---- */

/* "a, b, c and 4 more" */
typedef struct naming {
    const char *text;
    const char *first;
    int64_t n;
} naming;

static void add_name(ctx *cx, naming *list, const char *name)
{
    if (!list->n++) list->first = name;
    if (list->n > MOST_NAMED) return;
    const char *text = arena_text(&cx->scratch, "%s%s%.160s", list->text ? list->text : "",
                                  list->text ? ", " : "", name);
    if (text) list->text = text;
}

static const char *text_of(ctx *cx, const naming *list)
{
    const char *text = list->text ? list->text : "";
    if (list->n <= MOST_NAMED) return text;
    text = arena_text(&cx->scratch, "%s and %lld more", text,
                      (long long)(list->n - MOST_NAMED));
    return text ? text : "";
}

/* The tensor that was probably meant by a weight's name, among those no weight has. */
static const char *nearest(ctx *cx, const model *m, const source *s, const char *name)
{
    const char **names =
        arena_push(&cx->scratch, (size_t)source_count(s) + 1, sizeof *names);
    int32_t n = 0;
    for (int64_t i = 0; names && i < source_count(s) && n < 4096; i++) {
        const char *other = source_name(s, i);
        if (other && model_weight(m, other) < 0) names[n++] = other;
    }
    const char *near = names ? near_miss(name, names, n) : NULL;
    for (int32_t i = 0; !near && i < n; i++) /* "blk.1.w" for "blk.1.weight" */
        if (!strncmp(names[i], name, strlen(name))) near = names[i];
    return near;
}

static int32_t check_names(ctx *cx, const model *m, const source *s, int leave_others)
{
    naming missing = {0}, others = {0};
    evla_tensor t;
    for (int32_t i = 0; i < m->n_weights; i++)
        if (!source_find(cx, s, m->weights[i].name, &t))
            add_name(cx, &missing, m->weights[i].name);
    for (int64_t i = 0; i < source_count(s); i++) {
        const char *name = source_name(s, i);
        if (name && model_weight(m, name) < 0) add_name(cx, &others, name);
    }
    if (!missing.n && (!others.n || leave_others)) return 0;
    const char *near = missing.n ? nearest(cx, m, s, missing.first) : NULL;
    char lacks[640] = "", has[640] = "";
    if (missing.n)
        snprintf(lacks, sizeof lacks, "it holds no weight %s (%lld of %d)",
                 text_of(cx, &missing), (long long)missing.n, m->n_weights);
    if (others.n && (!leave_others || others.n <= MOST_NAMED)) /* many are no slip */
        snprintf(has, sizeof has, "%s%s %s, which no weight is called (%lld of %lld)",
                 missing.n ? ", but " : "it holds", missing.n ? "has" : "",
                 text_of(cx, &others), (long long)others.n, (long long)source_count(s));
    return ctx_fail(cx, EVLA_E_MISSING, "%s: %s%s%s%s%s%s", s->path, lacks, has,
                    near ? "; is its " : "", near ? near : "", near ? " meant?" : "",
                    missing.n || leave_others ? ""
                                              : "; others = \"leave\" leaves them out");
}

/* ---- taking ---- */

/* The tensor's elements in their order have the wanted extents: equal ones, or products of
 * neighbours, as [1024,3,14,14] holds [1024,588]. */
static int has_extents(const evla_type *t, const evla_type *want)
{
    int32_t i = 0;
    if (t->rank == want->rank &&
        !memcmp(t->shape, want->shape, (size_t)t->rank * sizeof *t->shape))
        return 1;
    for (int32_t k = 0; k < want->rank; k++) {
        int64_t have = 1;
        while (i < t->rank && (have < want->shape[k] || t->shape[i] == 1))
            have *= t->shape[i++];
        if (have != want->shape[k]) return 0;
    }
    return i == t->rank;
}

static int32_t check_type(ctx *cx, const source *s, const weight_info *w,
                          const evla_tensor *t)
{
    evla_type found = format_type(t);
    if (has_extents(&found, &w->type) &&
        (found.dtype == w->type.dtype ||
         (w->type.dtype == EVLA_F32 && format_is_real(cx->reg, found.dtype))))
        return 0;
    return ctx_fail(cx, EVLA_E_SHAPE, "%s: weight %s: want %s, found %s", s->path, w->name,
                    type_text(cx->reg, &cx->scratch, &w->type),
                    type_text(cx->reg, &cx->scratch, &found));
}

/* Decoded straight into the model's memory. */
static int32_t take_decoded(ctx *cx, model *m, int32_t slot, const evla_tensor *t)
{
    weight_info *w = &m->weights[slot];
    int64_t bytes = type_bytes(cx->reg, &w->type);
    float *own = w->is_own ? (float *)(uintptr_t)w->data
                           : arena_push_aligned(&m->mem, (size_t)bytes, 1, 64);
    if (!own)
        return ctx_fail(cx, EVLA_E_NOMEM, "weight %s: %lld bytes", w->name,
                        (long long)bytes);
    int32_t st = format_f32(cx, t, own);
    if (st < 0) return st;
    w->data = own;
    w->is_own = 1;
    return 0;
}

static int32_t take_one(ctx *cx, model *m, int32_t slot, const source *s, int only_check)
{
    weight_info *w = &m->weights[slot];
    evla_tensor t;
    if (!source_find(cx, s, w->name, &t))
        return ctx_fail(cx, EVLA_E_MISSING, "%s: it holds no weight %s", s->path, w->name);
    int32_t st = check_type(cx, s, w, &t);
    if (st < 0 || only_check) return st;
    evla_type type = w->type;
    return t.dtype == w->type.dtype ? model_set_weight(cx, m, slot, &type, t.data[0], 1)
                                    : take_decoded(cx, m, slot, &t);
}

int32_t weights_take(ctx *cx, model *m, const char *path, int leave_others, int only_check)
{
    source s;
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = source_open(cx, path, &s);
    if (st < 0) return st;
    st = check_names(cx, m, &s, leave_others);
    for (int32_t i = 0; st >= 0 && i < m->n_weights; i++) {
        arena_place one = arena_mark(&cx->scratch);
        st = take_one(cx, m, i, &s, only_check);
        arena_reset(&cx->scratch, one);
    }
    source_close(&s);
    arena_reset(&cx->scratch, mark);
    return st;
}

/* ---- adopting ---- */

static void close_source(void *file)
{
    source_close(file);
    mem_free(file);
}

/* Rounds a tensor to another number format, some rows at a time. */
static int32_t take_rounded(ctx *cx, model *m, int32_t slot, const evla_tensor *t,
                            evla_type type)
{
    enum { VALUES = 1 << 16 };
    weight_info *w = &m->weights[slot];
    evla_type found = format_type(t);
    int64_t n = type_count(&type), row = type.rank ? type.shape[type.rank - 1] : 1;
    if (row < 1) row = 1;
    int64_t each = (row < VALUES ? VALUES / row : 1) * row;
    int64_t row_in = dtype_bytes(cx->reg, t->dtype, row),
            row_out = dtype_bytes(cx->reg, type.dtype, row);
    if (!format_is_real(cx->reg, t->dtype) || row_in < 0 ||
        !format_can_encode(cx->reg, &type, type.dtype))
        return ctx_fail(cx, EVLA_E_DTYPE,
                        "weight %s: %s cannot be rounded to %s: want a format with an "
                        "encoder whose blocks divide the rows",
                        w->name, type_text(cx->reg, &cx->scratch, &found),
                        dtype_name(cx->reg, type.dtype));
    char *own = arena_push_aligned(&m->mem, (size_t)type_bytes(cx->reg, &type) + 1, 1, 64);
    float *values = arena_push_aligned(&cx->scratch, (size_t)each, sizeof *values, 64);
    if (!own || !values)
        return ctx_fail(cx, EVLA_E_NOMEM, "weight %s: %s", w->name,
                        type_text(cx->reg, &cx->scratch, &type));
    int32_t st = 0;
    evla_type rows = {.dtype = t->dtype, .rank = 2, .shape = {0, row}};
    for (int64_t at = 0; st >= 0 && at < n; at += each) {
        rows.shape[0] = (n - at < each ? n - at : each) / row;
        evla_tensor some =
            tensor_view(cx->reg, &rows, (char *)t->data[0] + at / row * row_in);
        evla_type to = rows;
        to.dtype = type.dtype;
        st = format_f32(cx, &some, values);
        if (st >= 0) st = format_encode(cx, &to, values, own + at / row * row_out);
        layout_drop_pages(some.data[0], (size_t)(rows.shape[0] * row_in));
        if (st >= 0 && ctx_stopping(cx)) st = ctx_fail(cx, EVLA_E_STOPPED, "stopped");
    }
    /* reading on, the system has mapped pages behind it again */
    layout_drop_pages(t->data[0], (size_t)(n / row * row_in));
    if (st < 0) return ctx_prefix(cx, "weight %s", w->name), st;
    w->type = type;
    w->data = own;
    w->is_own = 1;
    return 0;
}

/* The number format that a weight is to be rounded to; EVLA_NONE: it stays as it is. */
static int32_t wanted_format(ctx *cx, const weights_format *as, int64_t n_as,
                             const char *name, int32_t *out)
{
    *out = EVLA_NONE;
    for (int64_t i = 0; i < n_as; i++)
        if (!strcmp(as[i].name, name)) {
            *out = dtype_find(cx->reg, as[i].format, strlen(as[i].format));
            if (*out == EVLA_NONE)
                return ctx_fail(cx, EVLA_E_DTYPE,
                                "weight %s: no loaded plugin brings a number format "
                                "called \"%.60s\"",
                                name, as[i].format);
        }
    return 0;
}

/* A weight that lies in a layout of kernels in a saved model stays so, whatever graphs it
 * has there. */
static int32_t adopt_packed(ctx *cx, model *m, int32_t slot, const source *from,
                            const value *row, const evla_tensor *t, int32_t round_to)
{
    weight_info *w = &m->weights[slot];
    evla_type bytes = format_type(t), want;
    w->type.rank = -1;
    int32_t st = model_set_weight(cx, m, slot, &bytes, t->data[0], 0);
    if (st >= 0) st = save_take_packed(cx, from->path, row, m, slot);
    if (st < 0) return st;
    w->typed_by = from->path;
    evla_type found = w->type;
    if (w->type_text) {
        if ((st = type_parse(cx, w->type_text, NULL, &want)) < 0) return st;
        if (w->is_open) want.dtype = found.dtype;
    }
    if (w->type_text && !type_equal(&want, &found))
        return ctx_fail(cx, EVLA_E_SHAPE, "%s: weight %s: want %s, found %s", from->path,
                        w->name, type_text(cx->reg, &cx->scratch, &want),
                        type_text(cx->reg, &cx->scratch, &found));
    if (round_to && round_to != found.dtype)
        return ctx_fail(cx, EVLA_E_DTYPE,
                        "%s: weight %s is packed as %s and cannot be rounded to %s; want "
                        "the file that it was made from",
                        from->path, w->name, dtype_name(cx->reg, found.dtype),
                        dtype_name(cx->reg, round_to));
    if (w->is_open) w->type_text = NULL;
    return 0;
}

static int32_t adopt_one(ctx *cx, model *m, int32_t slot, const source *s,
                         const weights_format *as, int64_t n_as)
{
    weight_info *w = &m->weights[slot];
    evla_tensor t;
    int32_t round_to;
    const source *from = source_find(cx, s, w->name, &t);
    if (!from)
        return ctx_fail(cx, EVLA_E_MISSING, "%s: it holds no weight %s", s->path, w->name);
    evla_type found = format_type(&t), want = found;
    int32_t st = wanted_format(cx, as, n_as, w->name, &round_to);
    const value *row = from->is_ours ? save_packed_row(&from->b, w->name) : NULL;
    if (st >= 0 && row) return adopt_packed(cx, m, slot, from, row, &t, round_to);
    if (st >= 0 && w->type_text) st = type_parse(cx, w->type_text, NULL, &want);
    if (st < 0) return st;
    if (w->type_text) {
        w->type = want;
        if ((st = check_type(cx, from, w, &t)) < 0) return st;
        if (!w->is_open && round_to)
            return ctx_fail(cx, EVLA_E_DTYPE,
                            "%s: weight %s is declared as %s and cannot be %s", from->path,
                            w->name, w->type_text, dtype_name(cx->reg, round_to));
        if (!w->is_open && want.dtype != found.dtype) return take_decoded(cx, m, slot, &t);
        want.dtype = found.dtype;
        if (w->is_open) w->type_text = NULL;
        found = want;
    }
    if (round_to && round_to != found.dtype) {
        found.dtype = round_to;
        st = take_rounded(cx, m, slot, &t, found);
    } else {
        w->type.rank = -1; /* what the file says is what it is */
        st = model_set_weight(cx, m, slot, &found, t.data[0],
                              type_bytes(cx->reg, &found) < MAPPED_AROUND);
    }
    if (st >= 0) w->typed_by = from->path;
    return st;
}

/* Gives back what was mapped of the tensors that the model has in its own memory now. */
static void drop_sources(ctx *cx, const model *m, const source *s)
{
    evla_tensor t;
    for (int32_t i = 0; i < m->n_weights; i++) {
        arena_place one = arena_mark(&cx->scratch);
        if (m->weights[i].is_own && source_find(cx, s, m->weights[i].name, &t)) {
            evla_type found = format_type(&t);
            layout_drop_pages(t.data[0], (size_t)type_bytes(cx->reg, &found));
        }
        arena_reset(&cx->scratch, one);
    }
}

/* An open file in memory of its own, whose path lives as long as the model; or NULL. */
static source *source_new(ctx *cx, model *m, const char *path)
{
    source *s = mem_alloc(sizeof *s);
    const char *own = arena_copy(&m->mem, path);
    if (!s || !own)
        ctx_fail(cx, EVLA_E_NOMEM, "%s", path);
    else if (source_open(cx, own, s) >= 0)
        return s;
    mem_free(s);
    return NULL;
}

int32_t weights_adopt(ctx *cx, model *m, const char *path, const char *beside,
                      const weights_format *as, int64_t n_as)
{
    if (m->file)
        return ctx_fail(cx, EVLA_E_STATE, "%s: model %s has the weights of a file already",
                        path, m->name);
    source *s = source_new(cx, m, path);
    if (s && beside && !(s->beside = source_new(cx, m, beside))) {
        close_source(s);
        s = NULL;
    }
    if (!s) return cx->code;
    int32_t st;
    arena_place mark = arena_mark(&cx->scratch);
    if (n_as) m->mem.grow = ROUNDED_BLOCK;
    st = check_names(cx, m, s, 1);
    for (int32_t i = 0; st >= 0 && i < m->n_weights; i++) {
        arena_place one = arena_mark(&cx->scratch);
        st = adopt_one(cx, m, i, s, as, n_as);
        arena_reset(&cx->scratch, one);
    }
    drop_sources(cx, m, s);
    arena_reset(&cx->scratch, mark);
    m->file = s;
    m->close_file = close_source;
    if (!s->is_ours) {
        m->attrs = s->f.holds.attrs;
        m->n_attrs = s->f.holds.n_attrs;
    } else if (st >= 0)
        st = save_attrs(cx, s->path, &s->b, m);
    return st;
}

/* ---- writing ---- */

int32_t weights_write(ctx *cx, const evla_item *format, const model *m, const char *path,
                      const evla_attr *attrs, int32_t n_attrs)
{
    arena_place mark = arena_mark(&cx->scratch);
    evla_field *fields = arena_push(&cx->scratch, (size_t)m->n_weights + 1, sizeof *fields);
    int32_t st =
        fields ? 0 : ctx_fail(cx, EVLA_E_NOMEM, "%s: %d weights", path, m->n_weights);
    for (int32_t i = 0; st >= 0 && i < m->n_weights; i++) {
        const weight_info *w = &m->weights[i];
        if (!w->data)
            st = ctx_fail(cx, EVLA_E_STATE, "%s: the weight %s %s", path, w->name,
                          w->packed ? "lies as this machine's kernels read it only; write "
                                      "the model before it runs"
                                    : "has no data to write");
        else
            fields[i] = (evla_field){
                w->name, tensor_view(cx->reg, &w->type, (void *)(uintptr_t)w->data)};
    }
    evla_archive all = {.size = sizeof all,
                        .n_attrs = n_attrs,
                        .n_tensors = m->n_weights,
                        .tensors = fields,
                        .attrs = attrs};
    if (st >= 0) st = format_write(cx, format, path, &all);
    arena_reset(&cx->scratch, mark);
    return st;
}
