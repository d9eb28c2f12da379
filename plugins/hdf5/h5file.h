/*
 * h5file.h -- reads the structure of an HDF5 file: objects, links, attributes, datasets.
 *
 * Why not the HDF5 library: a dataset is an untrusted file, and release 1.10 follows
 * damaged ones out of its buffers (the list of its CVEs is long). It also holds one lock
 * for the whole process. What is read: superblocks 0 to 3; object headers 1 and 2; groups
 * old, compact and dense; datasets compact, contiguous and in chunks under a version 1
 * B-tree, one chunk or a fixed array; deflate, shuffle, fletcher32, lzf; integers, floats,
 * numpy's bool and strings. The rest is refused by name. Source: "HDF5 File Format
 * Specification Version 3.0", The HDF Group.
 */
#ifndef EVLA_HDF5_H5FILE_H
#define EVLA_HDF5_H5FILE_H
#include "common.h"

// clang-format off
enum { H5_F16 = -16, H5_TEXT = -1, H5_OTHER = 0 }; /* beside EVLA_F32, ... */
enum { H5_COMPACT = 0, H5_CONTIGUOUS = 1, H5_CHUNKED = 2 };
enum { H5_HARD = 0, H5_SOFT = 1, H5_EXTERNAL = 64 };
enum { H5_DEFLATE = 1, H5_SHUFFLE = 2, H5_FLETCHER32 = 3, H5_LZF = 32000, H5_MAX_FILTERS = 4 };
// clang-format on

typedef struct h5file {
    const char *path; /* for sentences; borrowed */
    uint64_t size;    /* of the file */
    uint64_t base;    /* where addresses count from */
    uint64_t root;    /* object header of "/" */
    int32_t fd;
    uint8_t offset_bytes, length_bytes;
    uint8_t reserved[2];
} h5file;

/* One reading task: what it reads is kept in mem, and budget bounds how much that may be.
 */
typedef struct h5walk {
    const evla_host *h;
    const h5file *f;
    pool *mem;
    int64_t budget;
} h5walk;

typedef struct h5message {
    const uint8_t *body;
    uint32_t bytes;
    uint16_t type;
    uint16_t flags;
} h5message;

typedef struct h5object {
    h5message *message;
    uint64_t at;
    int32_t n;
    int32_t max;
} h5object;

typedef struct h5link {
    const char *name;
    const char *file;   /* external */
    const char *target; /* external and soft */
    uint64_t at;        /* hard */
    int32_t kind;
    int32_t reserved;
} h5link;

typedef struct h5links {
    h5link *link;
    int64_t n, max;
} h5links;

typedef struct h5attrs {
    evla_attr *attr;
    int64_t n, max;
} h5attrs;

typedef struct h5chunk {
    uint64_t at; /* 0: never written */
    uint32_t bytes;
    uint32_t skips; /* bit i: filter i was not applied */
} h5chunk;

typedef struct h5filter {
    uint32_t id;
    uint32_t value; /* shuffle: bytes of an element */
} h5filter;

/* A number or text type as stored. */
typedef struct h5type {
    int32_t dtype;  /* EVLA_F32, ..., H5_F16, H5_TEXT or H5_OTHER */
    uint32_t bytes; /* of an element */
    int32_t is_big_endian;
    int32_t is_variable; /* text: an address in a global heap */
} h5type;

typedef struct h5set {
    h5type type;
    int64_t shape[8];
    int64_t chunk[8]; /* extents of a chunk */
    int64_t grid[8];  /* chunks along each axis */
    h5filter filter[H5_MAX_FILTERS];
    uint64_t bytes; /* of all elements */
    uint64_t at;    /* contiguous; UINT64_MAX: never written, all zeros */
    uint64_t chunk_bytes;
    const uint8_t *compact;
    h5chunk *chunks; /* in row-major order of the grid */
    int64_t n_chunks;
    int32_t rank;
    int32_t layout; /* H5_COMPACT, ... */
    int32_t n_filters;
    int32_t reserved;
} h5set;

/* Opens and checks the superblock. f->fd is closed by h5file_close, also after failures. */
int32_t h5file_open(const evla_host *h, const char *path, h5file *f);
void h5file_close(h5file *f);
/* Bytes [at, at + n) counted from the base, into out. */
int32_t h5file_read(const evla_host *h, const h5file *f, uint64_t at, uint64_t n,
                    void *out);
h5walk h5file_walk(const evla_host *h, const h5file *f, pool *mem);
int32_t h5file_object(h5walk *w, uint64_t at, h5object *out);
/* A group's links, in no order; EVLA_E_MISSING without fail when it is no group. */
int32_t h5file_links(h5walk *w, const h5object *o, h5links *out);
/* Scalar numbers and texts; other attributes are left out. */
int32_t h5file_attrs(h5walk *w, const h5object *o, h5attrs *out);
/* EVLA_E_MISSING without fail when the object is no dataset. A dataset of a type we have no
 * name for comes back with H5_OTHER and nothing else. */
int32_t h5file_set(h5walk *w, const h5object *o, h5set *out);
/* Fails with EVLA_E_FORMAT: the file, what was found, what to do. */
int32_t h5file_damaged(h5walk *w, const char *what, uint64_t at);
int32_t h5file_unknown(h5walk *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Shared by h5file.c (objects), h5tree.c (what they point to) and h5set.c (datasets). */
typedef struct cursor {
    const uint8_t *p, *end;
    bool is_short; /* something was read past the end: what came back was 0 */
} cursor;

uint64_t cursor_get(cursor *c, uint32_t n_bytes);
const uint8_t *cursor_take(cursor *c, uint64_t n_bytes);
const char *cursor_text(h5walk *w, cursor *c, uint64_t n_bytes);
cursor h5file_at(h5walk *w, uint64_t at, uint64_t n); /* p is NULL after fail */
bool h5file_is(const uint8_t *p, const char *mark);   /* p begins with these 4 letters */
bool h5file_is_sealed(const uint8_t *p, uint64_t n); /* the last 4 bytes are its checksum */
bool h5file_is_nowhere(const h5file *f, uint64_t at);
const h5message *h5file_message(const h5object *o, uint16_t type);
int32_t h5file_link_message(h5walk *w, cursor c, h5links *out);
int32_t h5file_attr_message(h5walk *w, cursor c, h5attrs *out);
void h5file_type(cursor c, h5type *out);
int32_t h5file_space(h5walk *w, cursor c, int32_t *rank, int64_t *shape);
typedef int32_t (*h5each)(h5walk *w, cursor object, void *data);
int32_t h5tree_old_group(h5walk *w, uint64_t tree, uint64_t heap, h5links *out);
int32_t h5tree_dense(h5walk *w, uint64_t heap, uint64_t tree, uint32_t id_from, h5each each,
                     void *data);
int32_t h5tree_heap_text(h5walk *w, uint64_t at, uint32_t index, uint64_t n,
                         const char **out);
#endif
