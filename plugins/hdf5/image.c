/*
 * image.c -- the file driver described in image.h.
 *
 * Why not the library's own drivers: with sec2, a full disk leaves the library with dirty
 * caches that it can neither write nor drop, and its lock is held while the disk works;
 * with core, every array is copied into the image and the image is copied out of the
 * library. Here a 22 MB episode costs the library's lock about a millisecond, and nothing
 * is copied.
 */
#include "image.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PAGE = 4096,
    LARGE = 1 << 14 /* lent arrays from here on are not copied */
};

typedef struct driver_file {
    H5FD_t pub;
    image *im;
    haddr_t eoa;
} driver_file;

typedef struct driver_info {
    image *im;
    const h5lib *lib;
} driver_info;

/* The open callback gets no argument of ours but the access list, and needs the library to
 * read it: set once, under the lock, by image_register. */
static const h5lib *the_lib;

static H5FD_t *im_open(const char *name, unsigned flags, hid_t fapl, haddr_t maxaddr)
{
    const driver_info *info = the_lib->H5Pget_driver_info(fapl);
    (void)name, (void)maxaddr;
    if (!info || (info->im->mode != IMAGE_READ && !(flags & H5LIB_CREATE)))
        return NULL; /* before it creates a file, the library tries whether it exists */
    driver_file *f = calloc(1, sizeof *f);
    if (f) f->im = info->im;
    return (H5FD_t *)f;
}

static herr_t im_close(H5FD_t *file)
{
    free(file);
    return 0;
}

static int im_cmp(const H5FD_t *a, const H5FD_t *b)
{
    const image *x = ((const driver_file *)a)->im, *y = ((const driver_file *)b)->im;
    return (x > y) - (x < y);
}

static herr_t im_query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA |
             H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t im_get_eoa(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const driver_file *)file)->eoa;
}

static herr_t im_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t eoa)
{
    (void)type;
    ((driver_file *)file)->eoa = eoa;
    return 0;
}

static haddr_t im_get_eof(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const driver_file *)file)->im->eof;
}

static uint8_t *page_at(image *im, uint64_t i)
{
    if (i >= im->n_pages) {
        uint64_t n = im->n_pages ? im->n_pages * 2 : 64;
        while (n <= i)
            n *= 2;
        uint8_t **grown = realloc(im->page, n * sizeof *grown);
        if (!grown) return NULL;
        memset(grown + im->n_pages, 0, (n - im->n_pages) * sizeof *grown);
        im->page = grown;
        im->n_pages = n;
    }
    if (!im->page[i]) im->page[i] = calloc(1, PAGE);
    return im->page[i];
}

static void keep_error(image *im, int error, uint64_t at, uint64_t bytes)
{
    if (im->error) return;
    im->error = error;
    im->bad_at = at;
    im->bad_bytes = bytes;
}

static bool is_lent(const image *im, const uint8_t *data, uint64_t bytes)
{
    for (int32_t i = 0; i < im->n_lent; i++) {
        const uint8_t *p = im->lent[i].data;
        if (data >= p && data - p <= (ptrdiff_t)im->lent[i].bytes &&
            bytes <= im->lent[i].bytes - (uint64_t)(data - p))
            return true;
    }
    return false;
}

static bool point_at(image *im, uint64_t at, uint64_t bytes, const uint8_t *data)
{
    if (im->n_extents == im->max_extents) {
        int32_t n = im->max_extents ? im->max_extents * 2 : 32;
        image_extent *grown = realloc(im->extent, (size_t)n * sizeof *grown);
        if (!grown) return false;
        im->extent = grown;
        im->max_extents = n;
    }
    im->extent[im->n_extents++] = (image_extent){at, bytes, data};
    return true;
}

static herr_t im_write(H5FD_t *file, H5FD_mem_t type, hid_t dxpl, haddr_t addr, size_t size,
                       const void *buffer)
{
    image *im = ((driver_file *)file)->im;
    const uint8_t *data = buffer;
    (void)dxpl;
    if (addr + size > im->eof) im->eof = addr + size;
    if (im->mode == IMAGE_THROUGH) {
        int error =
            im->error ? 0
                      : window_write(&im->window, addr, data, size, type == H5FD_MEM_DRAW);
        if (error) keep_error(im, error, addr, size);
        return 0;
    }
    if (size >= LARGE && addr % PAGE == 0 && is_lent(im, data, size)) {
        if (!point_at(im, addr, size, data)) keep_error(im, ENOMEM, addr, size);
        return 0;
    }
    while (size) {
        uint64_t from = addr % PAGE, n = PAGE - from < size ? PAGE - from : size;
        uint8_t *page = page_at(im, addr / PAGE);
        if (!page) {
            keep_error(im, ENOMEM, addr, size);
            return 0;
        }
        memcpy(page + from, data, n);
        addr += n, data += n, size -= n;
    }
    return 0;
}

/* The library reads back metadata that left its cache. Arrays are read from parts only. */
static herr_t im_read(H5FD_t *file, H5FD_mem_t type, hid_t dxpl, haddr_t addr, size_t size,
                      void *buffer)
{
    image *im = ((driver_file *)file)->im;
    uint8_t *out = buffer;
    (void)type, (void)dxpl;
    if (im->error) return -1;
    if (im->mode == IMAGE_READ) {
        int error = window_fetch(&im->window, addr, buffer, size);
        if (error) keep_error(im, error, addr, size);
        return error ? -1 : 0;
    }
    if (im->mode == IMAGE_THROUGH)
        return window_read(&im->window, addr, buffer, size) ? -1 : 0;
    memset(out, 0, size);
    while (size) {
        uint64_t from = addr % PAGE, n = PAGE - from < size ? PAGE - from : size;
        if (addr / PAGE < im->n_pages && im->page[addr / PAGE])
            memcpy(out, im->page[addr / PAGE] + from, n);
        addr += n, out += n, size -= n;
    }
    return 0;
}

static herr_t im_truncate(H5FD_t *file, hid_t dxpl, hbool_t closing)
{
    driver_file *f = (driver_file *)file;
    (void)dxpl, (void)closing;
    if (f->im->mode != IMAGE_READ) f->im->eof = f->eoa;
    return 0;
}

static const H5FD_class_t driver = {
    .name = "evla",
    .maxaddr = (haddr_t)1 << 62,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(driver_info),
    .open = im_open,
    .close = im_close,
    .cmp = im_cmp,
    .query = im_query,
    .get_eoa = im_get_eoa,
    .set_eoa = im_set_eoa,
    .get_eof = im_get_eof,
    .read = im_read,
    .write = im_write,
    .truncate = im_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

hid_t image_register(const h5lib *lib)
{
    the_lib = lib;
    return lib->H5FDregister(&driver);
}

static hid_t with_driver(const h5lib *lib, image *im)
{
    driver_info info = {im, lib};
    hid_t fapl = lib->H5Pcreate(lib->class_file_access);
    if (fapl >= 0 && lib->H5Pset_driver(fapl, lib->driver, &info) < 0) {
        lib->H5Pclose(fapl);
        return -1;
    }
    return fapl;
}

hid_t image_create(const h5lib *lib, image *im, const char *path, uint64_t align_from)
{
    hid_t fapl = with_driver(lib, im), file = -1;
    if (fapl < 0) return -1;
    /* arrays on page borders: they can be pointed at here, and mapped by whoever reads */
    if (lib->H5Pset_alignment(fapl, align_from, PAGE) >= 0 &&
        lib->H5Pset_meta_block_size(fapl, 8192) >= 0)
        file = lib->H5Fcreate(path, H5LIB_TRUNCATE, lib->fcpl, fapl);
    lib->H5Pclose(fapl);
    return file;
}

hid_t image_open(const h5lib *lib, image *im, const char *path, uint64_t n)
{
    hid_t fapl = with_driver(lib, im), file;
    if (fapl < 0) return -1;
    im->mode = IMAGE_READ;
    im->eof = n;
    file = lib->H5Fopen(path, H5LIB_READ, fapl);
    lib->H5Pclose(fapl);
    return file;
}

static int by_place(const void *a, const void *b)
{
    const image_extent *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

/* Blocks may have been written past the end. */
static int set_length(image *im, const window *w)
{
    if (ftruncate(w->fd, (off_t)im->eof)) keep_error(im, errno, im->eof, 0);
    return im->error;
}

int image_finish(image *im)
{
    int error = im->error ? 0 : window_flush(&im->window);
    if (error) keep_error(im, error, im->window.at, im->window.top);
    return im->error ? im->error : set_length(im, &im->window);
}

int image_store(image *im, window *w)
{
    static const uint8_t zeros[PAGE];
    uint64_t at = 0;
    int next = 0;
    if (im->error) return im->error;
    if (im->n_extents)
        qsort(im->extent, (size_t)im->n_extents, sizeof *im->extent, by_place);
    while (at < im->eof) {
        const uint8_t *data = NULL;
        uint64_t part = PAGE - at % PAGE;
        while (next < im->n_extents && im->extent[next].at + im->extent[next].bytes <= at)
            next++;
        const image_extent *e = next < im->n_extents ? &im->extent[next] : NULL;
        if (e && e->at <= at) {
            data = e->data + (at - e->at);
            part = e->at + e->bytes - at;
        } else {
            uint64_t i = at / PAGE;
            data = i < im->n_pages && im->page[i] ? im->page[i] + at % PAGE : zeros;
        }
        if (part > im->eof - at) part = im->eof - at;
        int error = window_write(w, at, data, part, true);
        if (error) {
            keep_error(im, error, at, part);
            return error;
        }
        at += part;
    }
    int error = window_flush(w);
    if (error) keep_error(im, error, w->at, w->top);
    return error ? error : set_length(im, w);
}

void image_free(image *im)
{
    for (uint64_t i = 0; i < im->n_pages; i++)
        free(im->page[i]);
    free(im->page);
    free(im->extent);
    im->page = NULL, im->extent = NULL;
    im->n_pages = 0, im->n_extents = im->max_extents = 0;
}
