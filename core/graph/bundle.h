/*
 * bundle.h -- one file that holds a header and named tensors: saved models, saved states.
 *
 *   0   8 bytes  "evla\r\n\x1a\n"
 *   8   u32      version, 1
 *  12   u32      0
 *  16   u64      bytes of the header
 *  24   u64      bytes of the file
 *  32   header   JSON: {"head":{...},"kind":"evla.model","parts":[[name,type,offset],...]}
 *  ...           zeros up to a multiple of 64, then each part's dense rows, 64-byte aligned
 *
 * Numbers are little-endian. A file is written under a temporary name, synced and renamed.
 * Reading maps it; nothing in it is trusted.
 */
#ifndef EVLA_GRAPH_BUNDLE_H
#define EVLA_GRAPH_BUNDLE_H
#include "../tensor.h"
#include "../value.h"

typedef struct bundle_part {
    const char *name;
    evla_type type;
    const void *data;
} bundle_part;

typedef struct bundle {
    arena mem;
    value head;
    bundle_part *parts; /* by name; data points into the map */
    int32_t n_parts;
    void *map;
    size_t map_bytes;
} bundle;

/* Parts may come in any order; names may not stand twice. */
int32_t bundle_write(ctx *cx, const char *path, const char *kind, const value *head,
                     const bundle_part *parts, int32_t n);
/* 1 when a file starts as one of these; 0 also when it cannot be read. */
int bundle_claims(const char *path);
int32_t bundle_open(ctx *cx, const char *path, const char *kind, bundle *out);
/* The same on bytes in memory, borrowed; `path` is for messages. */
int32_t bundle_read(ctx *cx, const char *path, const char *kind, const void *bytes,
                    size_t n, bundle *out);
void bundle_close(bundle *b);
const bundle_part *bundle_find(const bundle *b, const char *name);

#endif
