/*
 * part.c -- writes files in robomimic's layout with the HDF5 library: see part.h.
 *
 * Reads: episodes, lists of stored episodes.  Writes: whole files, through commit.c.
 * Errors inside the library are told apart from those of the disk: image.c keeps the latter
 * away from it, so that a full disk leaves no half-open file behind. Files are closed with
 * everything that is open in them, which is why failures simply return.
 */
#include "part.h"
#include "commit.h"
#include "image.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ALIGN_FROM = 1 << 14, ALIGN_NEVER = 1 << 30 };

static hid_t type_of(const h5lib *lib, const settings *s, int32_t dtype)
{
    if (dtype > EVLA_NONE && dtype <= EVLA_BOOL) return lib->type[dtype];
    return dtype == s->f16 ? lib->f16 : -1;
}

static int write_attr(const h5lib *lib, hid_t at, const evla_attr *a)
{
    const char *text = a->text ? a->text : "";
    hid_t type = a->type == EVLA_ATTR_INT     ? lib->type[EVLA_I64]
                 : a->type == EVLA_ATTR_FLOAT ? lib->type[EVLA_F64]
                                              : lib->text;
    const void *value = a->type == EVLA_ATTR_INT     ? (const void *)&a->integer
                        : a->type == EVLA_ATTR_FLOAT ? (const void *)&a->number
                                                     : (const void *)&text;
    hid_t space = lib->H5Screate(H5S_SCALAR);
    hid_t attr = lib->H5Acreate2(at, a->name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    int st = attr < 0 ? -1 : lib->H5Awrite(attr, type, value);
    if (attr >= 0) lib->H5Aclose(attr);
    lib->H5Sclose(space);
    return st < 0 ? -1 : 0;
}

static int write_int(const h5lib *lib, hid_t at, const char *name, int64_t value)
{
    return write_attr(lib, at,
                      &(evla_attr){.name = name, .type = EVLA_ATTR_INT, .integer = value});
}

static int write_text(const h5lib *lib, hid_t at, const char *name, const char *text)
{
    return write_attr(lib, at,
                      &(evla_attr){.name = name, .type = EVLA_ATTR_TEXT, .text = text});
}

/* The group `data` with the schema's attributes. */
static hid_t write_data(const h5lib *lib, const settings *s, hid_t file, int64_t total)
{
    hid_t data = lib->H5Gcreate2(file, "data", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (data < 0 || write_int(lib, data, "total", total) ||
        write_text(lib, data, "evla_layout", s->layout_id) ||
        write_attr(lib, data,
                   &(evla_attr){.name = "valid_fraction",
                                .type = EVLA_ATTR_FLOAT,
                                .number = s->p.valid}))
        return -1;
    for (int32_t i = 0; i < s->schema->n_attrs; i++)
        if (!episode_owns_attr(s->schema->attrs[i].name) &&
            write_attr(lib, data, &s->schema->attrs[i]))
            return -1;
    return data;
}

static int write_chunks(const h5lib *lib, hid_t set, const column *c)
{
    for (int64_t i = 0; i < c->n_chunks; i++) {
        hsize_t at[8] = {(hsize_t)(i * c->chunk_rows)};
        if (lib->H5Dwrite_chunk(set, H5P_DEFAULT, 0, at, c->chunk_bytes[i], c->chunk[i]) <
            0)
            return -1;
    }
    return 0;
}

static int write_column(const h5lib *lib, const settings *s, hid_t demo, const column *c)
{
    hsize_t shape[8], chunk[8];
    hid_t dcpl = lib->dcpl, type = type_of(lib, s, c->dtype);
    for (int32_t i = 0; i < c->rank; i++)
        shape[i] = chunk[i] = (hsize_t)c->shape[i];
    hid_t space =
        c->rank ? lib->H5Screate_simple(c->rank, shape, NULL) : lib->H5Screate(H5S_SCALAR);
    if (c->n_chunks) {
        chunk[0] = (hsize_t)c->chunk_rows;
        dcpl = lib->H5Pcreate(lib->class_dataset_create);
        if (lib->H5Pset_obj_track_times(dcpl, 0) < 0 ||
            lib->H5Pset_chunk(dcpl, c->rank, chunk) < 0 ||
            lib->H5Pset_fill_time(dcpl, H5D_FILL_TIME_NEVER) < 0 ||
            (c->element > 1 && lib->H5Pset_shuffle(dcpl) < 0) ||
            lib->H5Pset_deflate(dcpl, (unsigned)s->p.level) < 0)
            return -1;
    }
    hid_t set = lib->H5Dcreate2(demo, c->name, type, space, lib->lcpl, dcpl, H5P_DEFAULT);
    if (set < 0) return -1;
    int st = c->n_chunks ? write_chunks(lib, set, c)
             : c->bytes  ? lib->H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, c->data)
                         : 0;
    if (st >= 0 && *c->unit) st = write_text(lib, set, "unit", c->unit);
    if (st >= 0 && *c->doc) st = write_text(lib, set, "doc", c->doc);
    if (st >= 0 && c->repeats) st = write_text(lib, set, "repeats", c->repeats);
    if (st >= 0 && c->rate_hz > 0)
        st = write_attr(
            lib, set,
            &(evla_attr){.name = "rate_hz", .type = EVLA_ATTR_FLOAT, .number = c->rate_hz});
    lib->H5Sclose(space);
    if (dcpl != lib->dcpl) lib->H5Pclose(dcpl);
    lib->H5Dclose(set);
    return st < 0 ? -1 : 0;
}

static int write_demo(const h5lib *lib, const settings *s, hid_t data, const episode *e)
{
    char name[32];
    snprintf(name, sizeof name, "demo_%lld", (long long)e->id);
    hid_t demo = lib->H5Gcreate2(data, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (demo < 0 || write_int(lib, demo, "num_samples", e->n_samples) ||
        write_int(lib, demo, "stored_bytes", (int64_t)e->stored))
        return -1;
    for (int32_t i = 0; i < e->record->n_attrs; i++)
        if (!episode_owns_attr(e->record->attrs[i].name) &&
            write_attr(lib, demo, &e->record->attrs[i]))
            return -1;
    for (int32_t i = 0; i < e->n_columns; i++)
        if (write_column(lib, s, demo, &e->columns[i])) return -1;
    return lib->H5Gclose(demo) < 0 ? -1 : 0;
}

/* mask/<name>: the listed episodes' names as fixed-length strings. */
static int write_mask(const h5lib *lib, hid_t file, const char *name, const stored *e,
                      const uint8_t *is_in, int32_t n)
{
    enum { WIDTH = 24 }; /* "demo_" and 19 digits */
    char path[64];
    hsize_t n_in = 0;
    size_t width = 1;
    for (int32_t i = 0; i < n; i++) {
        if (!is_in[i]) continue;
        size_t length =
            (size_t)snprintf(path, sizeof path, "demo_%lld", (long long)e[i].id);
        if (length > width) width = length;
        n_in++;
    }
    char *text = calloc(n_in + 1, width + 1), *to = text; /* + 1: snprintf ends in NUL */
    if (!text) return -1;
    for (int32_t i = 0; i < n; i++) {
        if (!is_in[i]) continue;
        snprintf(to, width + 1, "demo_%lld", (long long)e[i].id);
        to += width;
    }
    hid_t type = lib->H5Tcopy(lib->c_string);
    hid_t space = lib->H5Screate_simple(1, &n_in, NULL);
    snprintf(path, sizeof path, "mask/%s", name);
    int st = -1;
    if (lib->H5Tset_size(type, width) >= 0 &&
        lib->H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0) {
        hid_t set =
            lib->H5Dcreate2(file, path, type, space, lib->lcpl, lib->dcpl, H5P_DEFAULT);
        st = set < 0 ? -1
             : n_in  ? lib->H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text)
                     : 0;
        if (set >= 0) lib->H5Dclose(set);
    }
    lib->H5Sclose(space);
    lib->H5Tclose(type);
    free(text);
    return st < 0 ? -1 : 0;
}

static int write_masks(const h5lib *lib, const settings *s, hid_t file, const stored *e,
                       int32_t n)
{
    uint8_t *is_in = calloc((size_t)n + 1, 1);
    int st = is_in ? 0 : -1, n_told = 0;
    for (int32_t i = 0; !st && i < n; i++)
        is_in[i] = episode_hash(e[i].id) >= s->p.valid;
    if (!st) st = write_mask(lib, file, "train", e, is_in, n);
    for (int32_t i = 0; !st && i < n; i++)
        is_in[i] = !is_in[i];
    if (!st) st = write_mask(lib, file, "valid", e, is_in, n);
    for (int32_t i = 0; !st && i < n; i++) {
        is_in[i] = e[i].success == 1;
        n_told += e[i].success >= 0;
    }
    if (!st && n_told) st = write_mask(lib, file, "success", e, is_in, n);
    free(is_in);
    return st;
}

/* After a file was closed: the disk's error if there was one, else the library's. */
static int32_t explain(const evla_host *h, const char *path, const image *im,
                       const char *why, int32_t st)
{
    char wanted[96];
    if (im->error) {
        snprintf(wanted, sizeof wanted, "write %llu bytes at %llu",
                 (unsigned long long)im->bad_bytes, (unsigned long long)im->bad_at);
        return commit_fail(h, path, wanted, im->error);
    }
    if (st == EVLA_E_STOPPED) return say(h, st, "hdf5: %s: stopped as asked", path);
    return st ? say(h, st, "hdf5: %s: the HDF5 library refuses: %s", path, why) : EVLA_OK;
}

/* A window onto <path>.tmp. 0 or errno. */
static int open_window(window *w, const char *path, int fd)
{
    char temp[4096];
    snprintf(temp, sizeof temp, "%s" COMMIT_TAIL, path);
    return window_open(w, fd, temp, false);
}

static int store(image *im, const char *path, int fd)
{
    window w = {.direct = -1};
    im->error = open_window(&w, path, fd);
    int error = im->error ? im->error : image_store(im, &w);
    window_close(&w);
    return error;
}

int32_t part_write(const evla_host *h, const settings *s, const char *path,
                   const episode *e)
{
    const h5lib *lib = h5lib_get(h);
    image_lent *lent = calloc((size_t)e->n_columns + 1, sizeof *lent);
    image im = {.lent = lent, .n_lent = e->n_columns};
    char why[256] = "";
    int fd = -1;
    if (!lib || !lent) {
        free(lent);
        return lib ? say_nomem(h, "an episode") : EVLA_E_MISSING;
    }
    for (int32_t i = 0; i < e->n_columns; i++)
        lent[i] = (image_lent){e->columns[i].data, e->columns[i].bytes};
    h5lib_lock();
    hid_t file = image_create(lib, &im, path,
                              s->p.compress == COMPRESS_GZIP ? ALIGN_NEVER : ALIGN_FROM);
    hid_t data = file < 0 ? -1 : write_data(lib, s, file, e->n_samples);
    stored one = {.id = e->id, .success = e->success};
    int32_t st =
        data < 0 || write_demo(lib, s, data, e) || write_masks(lib, s, file, &one, 1)
            ? EVLA_E_BUG
            : EVLA_OK;
    if (st) h5lib_why(lib, why, sizeof why);
    if (file >= 0 && lib->H5Fclose(file) < 0 && !st) {
        h5lib_why(lib, why, sizeof why);
        st = EVLA_E_BUG;
    }
    h5lib_unlock();
    if (st || im.error) st = explain(h, path, &im, why, st);
    if (!st) st = commit_begin(h, path, &fd);
    if (!st) {
        if (store(&im, path, fd)) {
            st = explain(h, path, &im, why, st);
            commit_abort(path, fd);
        } else {
            st = commit_end(h, path, fd);
        }
    }
    image_free(&im);
    free(lent);
    return st;
}

/* Copies one demonstration; arrays and chunks go over as they are. from keeps its window.
 */
static int copy_demo(const h5lib *lib, hid_t to, image *from, const char *path, int64_t id,
                     char *why, size_t size)
{
    char name[64];
    struct stat info = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC), st = -1;
    snprintf(name, sizeof name, "data/demo_%lld", (long long)id);
    int error =
        fd < 0 || fstat(fd, &info) ? errno : window_open(&from->window, fd, path, true);
    from->error = error;
    if (!error) {
        hid_t file = image_open(lib, from, path, (uint64_t)info.st_size);
        if (file >= 0) st = lib->H5Ocopy(file, name, to, name, H5P_DEFAULT, H5P_DEFAULT);
        if (st < 0) h5lib_why(lib, why, size); /* closing forgets it */
        if (file >= 0) lib->H5Fclose(file);
    }
    if (fd >= 0) close(fd);
    return st < 0 ? -1 : 0;
}

static int32_t fill_shard(const evla_host *h, const h5lib *lib, const settings *s,
                          hid_t file, const image *im, const stored *e, int32_t n,
                          const shard_source *from)
{
    char path[4096], why[256] = "";
    image source = {.mode = IMAGE_READ};
    int32_t st = EVLA_OK;
    int64_t total = 0;
    for (int32_t i = 0; i < n; i++)
        total += e[i].n_samples;
    hid_t data = write_data(lib, s, file, total);
    for (int32_t i = 0; !st && data >= 0 && i < n && !im->error; i++) {
        const char *part = from->path(from->self, i, path, sizeof path);
        if (h->stopping(h))
            st = EVLA_E_STOPPED;
        else if (copy_demo(lib, file, &source, part, e[i].id, why, sizeof why) &&
                 !im->error)
            st = source.error
                     ? commit_fail(h, part, "read it", source.error)
                     : say(h, EVLA_E_FORMAT, "hdf5: %s: cannot be copied: %s", part, why);
    }
    window_close(&source.window);
    image_free(&source);
    if (st) return st;
    return data < 0 || write_masks(lib, s, file, e, n) ? EVLA_E_BUG : EVLA_OK;
}

static int fill_index(const h5lib *lib, const settings *s, hid_t file, const stored *e,
                      int32_t n, const shard_source *shards)
{
    char path[4096], name[64];
    int64_t total = 0;
    for (int32_t i = 0; i < n; i++)
        total += e[i].n_samples;
    hid_t data = write_data(lib, s, file, total);
    for (int32_t i = 0; data >= 0 && i < n; i++) {
        snprintf(name, sizeof name, "data/demo_%lld", (long long)e[i].id);
        if (lib->H5Lcreate_external(
                shards->path(shards->self, e[i].shard, path, sizeof path), name, file, name,
                H5P_DEFAULT, H5P_DEFAULT) < 0)
            return -1;
    }
    return data < 0 ? -1 : write_masks(lib, s, file, e, n);
}

static int32_t write_joined(const evla_host *h, const settings *s, const char *path,
                            const stored *e, int32_t n, const shard_source *from,
                            bool is_index)
{
    const h5lib *lib = h5lib_get(h);
    image im = {.mode = IMAGE_THROUGH};
    char why[256] = "";
    int fd = -1;
    int32_t st = lib ? commit_begin(h, path, &fd) : EVLA_E_MISSING;
    if (st) return st;
    im.error = open_window(&im.window, path, fd);
    h5lib_lock();
    hid_t file = image_create(lib, &im, path,
                              s->p.compress == COMPRESS_GZIP ? ALIGN_NEVER : ALIGN_FROM);
    if (file < 0)
        st = EVLA_E_BUG;
    else if (is_index)
        st = fill_index(lib, s, file, e, n, from) ? EVLA_E_BUG : EVLA_OK;
    else
        st = fill_shard(h, lib, s, file, &im, e, n, from);
    if (st) h5lib_why(lib, why, sizeof why);
    if (file >= 0 && lib->H5Fclose(file) < 0 && !st) {
        h5lib_why(lib, why, sizeof why);
        st = EVLA_E_BUG;
    }
    h5lib_unlock();
    if (!st) image_finish(&im);
    window_close(&im.window);
    if (st || im.error) {
        st = explain(h, path, &im, why, st);
        commit_abort(path, fd);
    } else {
        st = commit_end(h, path, fd);
    }
    image_free(&im);
    return st;
}

int32_t shard_write(const evla_host *h, const settings *s, const char *path,
                    const stored *e, int32_t n, const shard_source *from)
{
    return write_joined(h, s, path, e, n, from, false);
}

int32_t index_write(const evla_host *h, const settings *s, const char *path,
                    const stored *e, int32_t n, const shard_source *shards)
{
    return write_joined(h, s, path, e, n, shards, true);
}
