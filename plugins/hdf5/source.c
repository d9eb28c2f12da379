/*
 * source.c -- makes records of stored demonstrations: see docs/data-layout.md for the
 * names.
 *
 * Reads: a dataset, through reader.c.  Writes: records and their schema.
 * Not here: random access to rows (frames.c).
 */
#include "episode.h"
#include "reader.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct source {
    reader *r;
    const char *path;
    pool mem;
    char json[160];
} source;

/* ---- schema ------------------------------------------------------------------------ */

/* A few demonstrations stand for all when types are described; make checks every one. */
static int32_t samples_of(int64_t n, int64_t *out)
{
    int64_t picks[3] = {0, n / 2, n - 1};
    int32_t k = 0;
    for (int i = 0; i < 3; i++)
        if (n > 0 && (k == 0 || picks[i] > out[k - 1])) out[k++] = picks[i];
    return k;
}

/* What extent 0 of a field is: 'T', the record's length; '=', the same everywhere; 'F',
 * neither. */
static char leading(const reader_demo *const *d, int32_t n, const char *name)
{
    bool is_t = true, is_same = true;
    int64_t first = -1;
    for (int32_t i = 0; i < n; i++) {
        const reader_field *f = reader_find(d[i], name);
        if (!f || !f->set.rank) return '=';
        if (first < 0) first = f->set.shape[0];
        is_t = is_t && f->set.shape[0] == d[i]->n_samples;
        is_same = is_same && f->set.shape[0] == first;
    }
    return is_t ? 'T' : is_same && strncmp(name, "cameras/", 8) != 0 ? '=' : 'F';
}

/* One letter per group whose datasets share an extent: F, then G, ... without T. */
static char letter_of(const reader_demo *d, int32_t until, const reader_demo *const *all,
                      int32_t n)
{
    char letter = 'F';
    const char *name = d->fields[until].name, *seen[26];
    size_t length = folder_length(name);
    int n_seen = 0;
    for (int32_t i = 0; i < until && n_seen < 19; i++) {
        const char *other = d->fields[i].name;
        if (d->fields[i].repeats || leading(all, n, other) != 'F') continue;
        bool is_new = true;
        for (int s = 0; s < n_seen; s++)
            is_new = is_new && (folder_length(seen[s]) != folder_length(other) ||
                                strncmp(seen[s], other, folder_length(other)) != 0);
        if (is_new) seen[n_seen++] = other;
    }
    for (int s = 0; s < n_seen; s++) {
        if (length && folder_length(seen[s]) == length && !strncmp(seen[s], name, length))
            return letter;
        letter = letter == 'S' ? 'U' : (char)(letter + 1);
    }
    return letter;
}

static const char *type_text(const evla_host *h, pool *mem, const reader_field *f,
                             char lead, char letter)
{
    char dims[200] = "";
    size_t at = 0;
    for (int32_t i = 0; i < f->set.rank; i++) {
        const char *comma = i ? "," : "";
        if (i == 0 && lead != '=')
            at += (size_t)snprintf(dims + at, sizeof dims - at, "%c",
                                   lead == 'T' ? 'T' : letter);
        else
            at += (size_t)snprintf(dims + at, sizeof dims - at, "%s%lld", comma,
                                   (long long)f->set.shape[i]);
    }
    const char *dtype = h->dtype_name(h, reader_dtype(h, f));
    return f->set.rank ? pool_text(mem, "%s[%s]", dtype, dims)
                       : pool_text(mem, "%s", dtype);
}

static const char *held_text(const evla_host *h, const char *text)
{
    size_t n = strlen(text ? text : "") + 1;
    char *kept = h->hold(h, n);
    return kept ? memcpy(kept, text ? text : "", n) : NULL;
}

static int32_t describe_attrs(const evla_host *h, const reader *r, evla_schema *out)
{
    int32_t n, kept = 0;
    const evla_attr *a = reader_attrs(r, &n);
    evla_attr *held = h->hold(h, ((uint64_t)n + 1) * sizeof *held);
    if (!held) return EVLA_E_NOMEM;
    for (int32_t i = 0; i < n; i++) {
        if (episode_owns_attr(a[i].name)) continue;
        held[kept] = a[i];
        held[kept].name = held_text(h, a[i].name);
        held[kept].text = a[i].type == EVLA_ATTR_TEXT ? held_text(h, a[i].text) : NULL;
        if (!held[kept].name || (a[i].type == EVLA_ATTR_TEXT && !held[kept].text))
            return EVLA_E_NOMEM;
        kept++;
    }
    out->attrs = held;
    out->n_attrs = kept;
    return EVLA_OK;
}

/* Repeats are left out: they are the frames of another field. */
static bool is_field(const evla_host *h, const reader_field *f)
{
    return !f->repeats && reader_dtype(h, f) != EVLA_NONE;
}

static int32_t describe_fields(const evla_host *h, const char *path,
                               const reader_demo *const *d, int32_t n, evla_schema *out)
{
    pool mem = {0};
    int32_t st = EVLA_OK;
    evla_schema_field *held = h->hold(h, ((uint64_t)d[0]->n_fields + 1) * sizeof *held);
    if (!held) return EVLA_E_NOMEM;
    for (int32_t i = 0; !st && i < d[0]->n_fields; i++) {
        const reader_field *f = &d[0]->fields[i];
        if (!is_field(h, f)) {
            if (!f->repeats)
                tell(h, EVLA_LOG_WARN,
                     "hdf5: %s: %s is left out: no plugin brings its number format", path,
                     f->name);
            continue;
        }
        char lead = leading(d, n, f->name);
        const char *type = type_text(h, &mem, f, lead, letter_of(d[0], i, d, n));
        evla_schema_field *to = &held[out->n_fields];
        *to = (evla_schema_field){.name = held_text(h, f->name),
                                  .type = type ? held_text(h, type) : NULL,
                                  .unit = held_text(h, f->unit),
                                  .doc = held_text(h, f->doc),
                                  .rate_hz = f->rate_hz};
        if (!to->name || !to->type || !to->unit || !to->doc) st = say_nomem(h, path);
        out->n_fields += !st;
    }
    out->fields = held;
    pool_free(&mem);
    return st;
}

int32_t source_describe(const evla_host *h, const hdf5_params *p, evla_schema *out)
{
    reader *r = NULL;
    const reader_demo *d[3] = {NULL, NULL, NULL};
    int64_t picks[3];
    *out = (evla_schema){.size = sizeof *out};
    int32_t st = reader_open(h, p->path, p->mask, &r);
    if (st) return st;
    int32_t n = samples_of(reader_count(r), picks);
    if (n == 0)
        st = say(h, EVLA_E_MISSING,
                 "hdf5: %s: has no demonstrations%s%s; want data/demo_<i>", p->path,
                 p->mask ? " in mask " : "", p->mask ? p->mask : "");
    for (int32_t i = 0; !st && i < n; i++)
        st = reader_get(h, r, picks[i], &d[i]);
    if (!st) st = describe_attrs(h, r, out);
    if (!st && d[0]) st = describe_fields(h, p->path, d, n, out);
    reader_close(r);
    return st;
}

/* ---- records ----------------------------------------------------------------------- */

int32_t source_open(const evla_host *h, const hdf5_params *p, const evla_site *site,
                    void **self)
{
    source *s = calloc(1, sizeof *s);
    *self = s;
    if (!s) return say_nomem(h, "a source");
    s->path = pool_text(&s->mem, "%s", p->path);
    if (!s->path) return say_nomem(h, "a source");
    (void)site; /* describe has no site, and must have looked at the same file */
    return reader_open(h, p->path, p->mask, &s->r);
}

void source_close(const evla_host *h, void *self)
{
    source *s = self;
    (void)h;
    if (!s) return;
    reader_close(s->r);
    pool_free(&s->mem);
    free(s);
}

int32_t source_count(const evla_host *h, void *self, int64_t *n)
{
    (void)h;
    *n = reader_count(((source *)self)->r);
    return EVLA_OK;
}

static int32_t fill_record(const evla_host *h, source *s, int64_t i, const reader_demo *d,
                           pool *mem, evla_record **out)
{
    evla_field *fields = pool_push(mem, (uint64_t)d->n_fields + 1, sizeof *fields);
    const reader_field **from =
        pool_push(mem, (uint64_t)d->n_fields + 1, sizeof(const reader_field *));
    evla_attr *attrs = pool_push(mem, (uint64_t)d->n_attrs + 1, sizeof *attrs);
    int32_t n = 0, n_attrs = 0, st;
    if (!fields || !from || !attrs) return say_nomem(h, s->path);
    for (int32_t k = 0; k < d->n_fields; k++) {
        const reader_field *f = &d->fields[k];
        if (!is_field(h, f)) continue;
        fields[n] = (evla_field){
            .name = f->name, .value = {.dtype = reader_dtype(h, f), .rank = f->set.rank}};
        for (int32_t a = 0; a < f->set.rank; a++)
            fields[n].value.shape[a] = f->set.shape[a];
        from[n++] = f;
    }
    for (int32_t k = 0; k < d->n_attrs; k++)
        if (!episode_owns_attr(d->attrs[k].name)) attrs[n_attrs++] = d->attrs[k];
    if ((st = h->record_new(h, fields, n, attrs, n_attrs, out)) != 0) return st;
    (*out)->index = i;
    for (int32_t k = 0; !st && k < n; k++) {
        const evla_tensor *t = &(*out)->fields[k].value;
        st = reader_rows(h, s->r, i, from[k], 0, t->rank ? t->shape[0] : 1, t->data[0]);
    }
    if (st) {
        h->record_drop(h, *out);
        *out = NULL;
    }
    return st;
}

int32_t source_make(const evla_host *h, void *self, int64_t i, evla_record **out)
{
    source *s = self;
    const reader_demo *d;
    pool mem = {0};
    int32_t st = reader_get(h, s->r, i, &d);
    if (!st) st = fill_record(h, s, i, d, &mem, out);
    pool_free(&mem);
    return st;
}

const char *source_report(const evla_host *h, void *self)
{
    source *s = self;
    (void)h;
    snprintf(s->json, sizeof s->json, "{\"episodes\": %lld}",
             (long long)reader_count(s->r));
    return s->json;
}
