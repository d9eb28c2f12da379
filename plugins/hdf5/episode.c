/*
 * episode.c -- turns a record into the datasets of one demonstration.
 *
 * Reads: the record, its schema, the stage's parameters.  Writes: columns in the episode's
 * pool. Not here: HDF5 (part.c), compression itself (pack.c).
 */
#include "episode.h"
#include "pack.h"
#include <string.h>

// clang-format off
enum {
    SMALL       = 8192,    /* less is not compressed: an index of chunks takes 4 KiB */
    SMALL_ROWS  = 65536,   /* rows of numbers are compressed in chunks of about this size */
    LARGE_CHUNK = 1 << 26, /* of a large camera, fewer frames than asked for are enough */
    ALIGN_FROM  = 16384,   /* arrays of this size and more begin on a page (part.c) */
    ALIGNED     = 4096
};
// clang-format on

static const char *const own_attrs[] = {"num_samples", "stored_bytes",   "total",
                                        "evla_layout", "valid_fraction", NULL};

bool episode_owns_attr(const char *name)
{
    for (int i = 0; own_attrs[i]; i++)
        if (!strcmp(name, own_attrs[i])) return true;
    return false;
}

/* "f32[T,7]" is led by 'T'. */
static bool is_led_by_t(const char *type)
{
    const char *open = strchr(type, '[');
    return open && open[1] == 'T' && (open[2] == ',' || open[2] == ']');
}

static bool is_depth(const char *name)
{
    return !strcmp(base_name(name), "depth") || ends_in(name, "_depth");
}

static bool is_camera(const char *name) { return !strncmp(name, "cameras/", 8); }

/* A path whose parts HDF5 and file readers take literally. */
static bool is_path(const char *name)
{
    if (strlen(name) > 255) return false;
    for (const char *part = name;; part++) {
        const char *end = strchr(part, '/');
        size_t n = end ? (size_t)(end - part) : strlen(part);
        if (n == 0 || (n == 1 && *part == '.') || (n == 2 && !memcmp(part, "..", 2)))
            return false;
        if (!end) return true;
        part = end;
    }
}

/* "cameras/front/rgb" repeats into "obs/front_image", which is how robosuite names it. */
static const char *repeat_name(pool *mem, const char *name)
{
    const char *camera = name + 8, *slash = strchr(camera, '/');
    const char *what = slash ? slash + 1 : "";
    if (!slash || !*what || !strcmp(what, "step")) return NULL;
    return pool_text(mem, "obs/%.*s_%s", (int)(slash - camera), camera,
                     !strcmp(what, "rgb") ? "image" : what);
}

static const evla_schema_field *schema_find(const evla_schema *s, const char *name)
{
    for (int32_t i = 0; i < s->n_fields; i++)
        if (!strcmp(s->fields[i].name, name)) return &s->fields[i];
    return NULL;
}

static int32_t check_names(const evla_host *h, const hdf5_params *p, const evla_schema *in)
{
    pool mem = {0};
    int32_t st = EVLA_OK;
    for (int32_t i = 0; !st && i < in->n_fields; i++) {
        const char *name = in->fields[i].name;
        size_t n = strlen(name);
        if (!is_path(name))
            st =
                say(h, EVLA_E_ARG,
                    "hdf5: \"%s\" cannot name a dataset; want a path such as obs/joint_pos",
                    name);
        for (int32_t k = 0; !st && k < in->n_fields; k++) {
            const char *other = in->fields[k].name;
            if (k != i && !strncmp(name, other, n) && (!other[n] || other[n] == '/'))
                st = say(h, EVLA_E_ARG, "hdf5: field %s is in the way of field %s", name,
                         other);
        }
        if (st || p->images != IMAGES_REPEAT || !is_camera(name)) continue;
        const char *again = repeat_name(&mem, name);
        if (again && schema_find(in, again))
            st = say(h, EVLA_E_ARG,
                     "hdf5: images = \"repeat\" would write %s, which is a field already",
                     again);
    }
    pool_free(&mem);
    return st;
}

int32_t episode_describe(const evla_host *h, const hdf5_params *p, const evla_schema *in)
{
    int32_t f16 = h->dtype(h, "f16"), n_led = 0;
    for (int32_t i = 0; i < in->n_fields; i++) {
        const evla_schema_field *f = &in->fields[i];
        evla_type type;
        int32_t st = h->type_parse(h, f->type, &type);
        if (st) return st;
        if (!element_bytes(type.dtype, f16))
            return say(h, EVLA_E_DTYPE,
                       "hdf5: field %s is %s, which HDF5 has no type for; want f16, f32, "
                       "f64, bool "
                       "or an integer",
                       f->name, f->type);
        if (!strncmp(f->name, "obs/", 4) && !is_led_by_t(f->type))
            return say(
                h, EVLA_E_SHAPE,
                "hdf5: field %s is %s; robomimic wants everything in obs/ as long as "
                "actions, [T,...]; slower data belongs under cameras/",
                f->name, f->type);
        if (is_depth(f->name) && p->depth == DEPTH_F16 && type.dtype == EVLA_F32 && !f16)
            return say(h, EVLA_E_MISSING,
                       "hdf5: depth = \"f16\" wants the number format f16, which no plugin "
                       "brings; "
                       "load one, or set depth = \"f32\"");
        n_led += is_led_by_t(f->type);
    }
    if (!n_led)
        return say(h, EVLA_E_SHAPE,
                   "hdf5: no field has the length T of the record; robomimic's "
                   "layout wants at least actions f32[T,A]");
    return check_names(h, p, in);
}

static const void *dense(pool *mem, const evla_tensor *t, uint64_t element, uint64_t bytes)
{
    int64_t step = (int64_t)element, index[8] = {0};
    bool is_dense = true;
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        if (t->shape[i] > 1 && t->stride[i] != step) is_dense = false;
        step *= t->shape[i];
    }
    if (is_dense || !bytes) return t->data[0];
    uint8_t *out = pool_push(mem, bytes, 1), *to = out;
    for (uint64_t n = out ? bytes / element : 0; n; n--, to += element) {
        const uint8_t *from = t->data[0];
        for (int32_t i = 0; i < t->rank; i++)
            from += index[i] * t->stride[i];
        memcpy(to, from, element);
        for (int32_t i = t->rank - 1; i >= 0 && ++index[i] == t->shape[i]; i--)
            index[i] = 0;
    }
    return out;
}

static int32_t convert_depth(const evla_host *h, const settings *s, pool *mem, column *c)
{
    int64_t n = (int64_t)(c->bytes / (uint64_t)c->element);
    bool to_half = s->p.depth == DEPTH_F16 && c->dtype == EVLA_F32;
    bool to_single = s->p.depth == DEPTH_F32 && c->dtype == s->f16 && s->f16;
    if (!is_depth(c->name) || (!to_half && !to_single)) return EVLA_OK;
    void *out = pool_push(mem, (uint64_t)n, to_half ? 2 : 4);
    if (!out) return say_nomem(h, c->name);
    if (to_half)
        pack_f32_to_f16(c->data, n, out);
    else
        pack_f16_to_f32(c->data, n, out);
    c->data = out;
    c->dtype = to_half ? s->f16 : EVLA_F32;
    c->element = to_half ? 2 : 4;
    c->bytes = (uint64_t)n * (uint64_t)c->element;
    return EVLA_OK;
}

static int32_t column_make(const evla_host *h, const settings *s, pool *mem,
                           const evla_field *f, column *c)
{
    const evla_tensor *t = &f->value;
    const evla_schema_field *known = schema_find(s->schema, f->name);
    *c = (column){
        .name = f->name, .unit = "", .doc = "", .dtype = t->dtype, .rank = t->rank};
    if (known) {
        c->unit = known->unit ? known->unit : "";
        c->doc = known->doc ? known->doc : "";
        c->rate_hz = known->rate_hz;
    }
    if (!is_path(f->name))
        return say(h, EVLA_E_ARG, "hdf5: \"%s\" cannot name a dataset", f->name);
    c->element = element_bytes(t->dtype, s->f16);
    if (!c->element)
        return say(h, EVLA_E_DTYPE, "hdf5: field %s is %s, which HDF5 has no type for",
                   f->name, h->dtype_name(h, t->dtype));
    if (t->rank < 0 || t->rank > EVLA_MAX_RANK || t->space != 0 || t->layout != 0)
        return say(h, EVLA_E_SHAPE, "hdf5: field %s is no plain tensor in host memory",
                   f->name);
    c->bytes = (uint64_t)c->element;
    for (int32_t i = 0; i < t->rank; i++) {
        c->shape[i] = t->shape[i];
        if (t->shape[i] < 0 ||
            (t->shape[i] && c->bytes > INT64_MAX / (uint64_t)t->shape[i]))
            return say(h, EVLA_E_SHAPE, "hdf5: field %s has no sensible shape", f->name);
        c->bytes *= (uint64_t)t->shape[i];
    }
    c->data = dense(mem, t, (uint64_t)c->element, c->bytes);
    if (!c->data && c->bytes) return say_nomem(h, f->name);
    return convert_depth(h, s, mem, c);
}

/* The number of rows every field led by T has: that of actions, else of the first. */
static int32_t find_length(const evla_host *h, const settings *s, const evla_record *r,
                           int64_t *n)
{
    const char *from = NULL;
    *n = 0;
    for (int32_t i = 0; i < r->n_fields; i++) {
        const evla_field *f = &r->fields[i];
        const evla_schema_field *known = schema_find(s->schema, f->name);
        if (!known || !is_led_by_t(known->type)) continue;
        if (f->value.rank < 1)
            return say(h, EVLA_E_SHAPE,
                       "hdf5: record %lld: field %s has rank %d, the schema says %s",
                       (long long)r->index, f->name, f->value.rank, known->type);
        if (!from) from = f->name, *n = f->value.shape[0];
        if (f->value.shape[0] != *n)
            return say(h, EVLA_E_SHAPE,
                       "hdf5: record %lld: %s has %lld rows, but %s has %lld; the schema "
                       "gives both T",
                       (long long)r->index, f->name, (long long)f->value.shape[0], from,
                       (long long)*n);
    }
    if (!from)
        return say(h, EVLA_E_SHAPE, "hdf5: record %lld has no field of length T",
                   (long long)r->index);
    return EVLA_OK;
}

static const column *column_find(const episode *e, const char *name)
{
    for (int32_t i = 0; i < e->n_columns; i++)
        if (!strcmp(e->columns[i].name, name)) return &e->columns[i];
    return NULL;
}

/* Row t of the copy is the newest frame whose step is not after t. */
static int32_t column_repeat(const evla_host *h, episode *e, const column *c,
                             const char *name, column *out)
{
    const char *step_name =
        pool_text(&e->mem, "%.*s/step", (int)(base_name(c->name) - c->name - 1), c->name);
    const column *step = step_name ? column_find(e, step_name) : NULL;
    if (!step || step->dtype != EVLA_I64 || step->rank != 1 || c->rank < 1 ||
        c->shape[0] < 1 || step->shape[0] != c->shape[0])
        return say(h, EVLA_E_SHAPE,
                   "hdf5: record %lld: images = \"repeat\" wants cameras/<name>/step "
                   "i64[F] with one "
                   "entry per frame beside %s",
                   (long long)e->id, c->name);
    const int64_t *at = step->data;
    uint64_t row = c->bytes / (uint64_t)c->shape[0];
    uint8_t *data = pool_push(&e->mem, (uint64_t)e->n_samples, row);
    if (!data) return say_nomem(h, name);
    int64_t frame = 0;
    for (int64_t t = 0; t < e->n_samples; t++) {
        while (frame + 1 < c->shape[0] && at[frame + 1] <= t)
            frame++;
        memcpy(data + (uint64_t)t * row, (const uint8_t *)c->data + (uint64_t)frame * row,
               row);
    }
    *out = *c;
    out->name = name;
    out->repeats = c->name;
    out->rate_hz = 0;
    out->data = data;
    out->shape[0] = e->n_samples;
    out->bytes = (uint64_t)e->n_samples * row;
    return EVLA_OK;
}

static int32_t columns_store(const evla_host *h, const settings *s, episode *e)
{
    e->stored = 4096;
    for (int32_t i = 0; i < e->n_columns; i++) {
        column *c = &e->columns[i];
        c->stored = c->bytes;
        if (s->p.compress == COMPRESS_GZIP && c->rank > 0 && c->bytes >= SMALL) {
            int64_t row = (int64_t)(c->bytes / (uint64_t)c->shape[0]),
                    rows = SMALL_ROWS / row;
            c->chunk_rows = rows > s->p.chunk ? rows : s->p.chunk;
            if (c->chunk_rows > LARGE_CHUNK / row) c->chunk_rows = LARGE_CHUNK / row;
            if (c->chunk_rows < 1) c->chunk_rows = 1;
            if (c->chunk_rows > c->shape[0]) c->chunk_rows = c->shape[0];
            int32_t st = pack_column(h, &e->mem, c, (int)s->p.level);
            if (st) return st;
        }
        e->stored += c->stored + 1024 + strlen(c->doc);
        if (c->n_chunks) /* B-tree nodes, at least half full of 64 entries */
            e->stored +=
                (2 + (uint64_t)c->n_chunks / 32) * (1024 + 520 * ((uint64_t)c->rank + 1));
        else if (c->stored >= ALIGN_FROM)
            e->stored += ALIGNED;
    }
    for (int32_t i = 0; i < e->record->n_attrs; i++) {
        const evla_attr *a = &e->record->attrs[i];
        e->stored += 256 + (a->type == EVLA_ATTR_TEXT && a->text ? strlen(a->text) : 0);
    }
    return EVLA_OK;
}

int32_t episode_make(const evla_host *h, const settings *s, const evla_record *r,
                     episode *e)
{
    *e = (episode){.record = r, .id = r->index, .success = -1};
    e->columns = pool_push(&e->mem, 2 * (uint64_t)r->n_fields + 1, sizeof *e->columns);
    if (!e->columns) return say_nomem(h, "an episode");
    int32_t st = find_length(h, s, r, &e->n_samples);
    for (int32_t i = 0; !st && i < r->n_fields; i++)
        st = column_make(h, s, &e->mem, &r->fields[i], &e->columns[e->n_columns++]);
    for (int32_t i = 0; !st && s->p.images == IMAGES_REPEAT && i < r->n_fields; i++) {
        const column *c = &e->columns[i];
        const char *again = is_camera(c->name) ? repeat_name(&e->mem, c->name) : NULL;
        if (!again) continue;
        st = column_repeat(h, e, c, again, &e->columns[e->n_columns]);
        e->n_columns += !st;
    }
    for (int32_t i = 0; i < r->n_attrs; i++)
        if (!strcmp(r->attrs[i].name, "success") && r->attrs[i].type == EVLA_ATTR_INT)
            e->success = r->attrs[i].integer != 0;
    return st ? st : columns_store(h, s, e);
}
