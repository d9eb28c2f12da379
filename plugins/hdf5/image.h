/*
 * image.h -- a file driver for the HDF5 library that never fails inside the library.
 *
 * In memory: metadata is kept in pages, large arrays are only pointed at, and image_store
 * writes the file afterwards, without the library and outside its lock. Through: writes go
 * to the file at once; after the first that fails, the rest is swallowed and the error is
 * kept, so that the library can close what it opened. Reading: a committed part, on its way
 * into a shard.
 */
#ifndef EVLA_HDF5_IMAGE_H
#define EVLA_HDF5_IMAGE_H
#include "h5lib.h"
#include "window.h"

/* Memory that outlives the image, so that it need not be copied. */
typedef struct image_lent {
    const void *data;
    uint64_t bytes;
} image_lent;

typedef struct image_extent {
    uint64_t at, bytes;
    const uint8_t *data;
} image_extent;

enum { IMAGE_MEMORY = 0, IMAGE_THROUGH = 1, IMAGE_READ = 2 };

typedef struct image {
    window window; /* through and reading */
    const image_lent *lent;
    image_extent *extent;
    uint8_t **page;
    uint64_t n_pages;
    uint64_t eof;    /* bytes of the finished file */
    uint64_t bad_at; /* where the failed write began */
    uint64_t bad_bytes;
    int32_t n_lent, n_extents, max_extents;
    int32_t mode;  /* IMAGE_MEMORY, ... */
    int32_t error; /* errno of the first failed write */
    int32_t reserved;
} image;

hid_t image_register(const h5lib *lib);
/* A file in the image, closed like any other; keep the image until then. Arrays and chunks
 * of align_from bytes or more begin on a page. Inside the lock. */
hid_t image_create(const h5lib *lib, image *im, const char *path, uint64_t align_from);
/* A committed file, for reading; n bytes long. Inside the lock. */
hid_t image_open(const h5lib *lib, image *im, const char *path, uint64_t n);
/* Writes an image from memory through w. 0, or errno with bad_at and bad_bytes filled. */
int image_store(image *im, window *w);
/* Through, after the file was closed: what is still in the window, and the file's length.
 */
int image_finish(image *im);
void image_free(image *im);
#endif
