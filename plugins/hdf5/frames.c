/*
 * frames.c -- the service "frames": rows of stored records in any order, for any number of
 * threads.
 */
#include "frames.h"
#include "reader.h"
#include <string.h>

static int32_t fr_open(const evla_host *h, const char *path, const char *mask, void **self)
{
    reader *r = NULL;
    int32_t st = reader_open(h, path, mask, &r);
    *self = r;
    return st;
}

static void fr_close(const evla_host *h, void *self)
{
    (void)h;
    reader_close(self);
}

static int64_t fr_count(const evla_host *h, void *self)
{
    (void)h;
    return reader_count(self);
}

static int32_t find(const evla_host *h, reader *r, int64_t i, const char *name,
                    const reader_field **out)
{
    const reader_demo *d;
    int32_t st = reader_get(h, r, i, &d);
    if (st) return st;
    *out = reader_find(d, name);
    return *out && reader_dtype(h, *out) != EVLA_NONE ? EVLA_OK : EVLA_E_MISSING;
}

static int32_t fr_type(const evla_host *h, void *self, int64_t i, const char *name,
                       evla_type *out)
{
    const reader_field *f;
    int32_t st = find(h, self, i, name, &f);
    if (st) return st;
    *out = (evla_type){.dtype = reader_dtype(h, f), .rank = f->set.rank};
    memcpy(out->shape, f->set.shape, sizeof out->shape);
    return EVLA_OK;
}

static int32_t fr_read(const evla_host *h, void *self, int64_t i, const char *name,
                       int64_t first, int64_t n, void *out, uint64_t out_bytes)
{
    const reader_field *f;
    int32_t st = find(h, self, i, name, &f);
    if (st == EVLA_E_MISSING)
        return say(h, st, "frames: demo_%lld has no field %s that can be read",
                   (long long)reader_id(self, i), name);
    if (st) return st;
    int64_t rows = f->set.rank ? f->set.shape[0] : 1;
    uint64_t row = rows ? f->set.bytes / (uint64_t)rows : 0;
    if (n > 0 && row && (uint64_t)n > out_bytes / row)
        return say(h, EVLA_E_RANGE,
                   "frames: %lld rows of %s take %llu bytes each, but there is room "
                   "for %llu in all",
                   (long long)n, name, (unsigned long long)row,
                   (unsigned long long)out_bytes);
    return reader_rows(h, self, i, f, first, n, out);
}

static int32_t fr_attr(const evla_host *h, void *self, int64_t i, const char *name,
                       evla_attr *out)
{
    const reader_demo *d;
    int32_t n, st = reader_get(h, self, i, &d);
    if (st) return st;
    for (int32_t k = 0; k < d->n_attrs; k++)
        if (!strcmp(d->attrs[k].name, name)) return *out = d->attrs[k], EVLA_OK;
    const evla_attr *all = reader_attrs(self, &n);
    for (int32_t k = 0; k < n; k++)
        if (!strcmp(all[k].name, name)) return *out = all[k], EVLA_OK;
    return EVLA_E_MISSING;
}

const evla_frames_service frames_service = {
    .size = sizeof frames_service,
    .open = fr_open,
    .close = fr_close,
    .count = fr_count,
    .type = fr_type,
    .read = fr_read,
    .attr = fr_attr,
};
