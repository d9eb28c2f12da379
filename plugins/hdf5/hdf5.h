/*
 * hdf5.h -- parameters of the stage, and what a sink's files share.
 */
#ifndef EVLA_HDF5_HDF5_H
#define EVLA_HDF5_HDF5_H
#include "common.h"

// clang-format off
enum { COMPRESS_NONE = 0, COMPRESS_GZIP = 1 };
enum { DEPTH_F16 = 0, DEPTH_F32 = 1 };
enum { IMAGES_SEPARATE = 0, IMAGES_REPEAT = 1 };
// clang-format on

typedef struct hdf5_params {
    const char *path;
    const char *mask; /* source: read only data/<names in mask/...>; NULL: all */
    int64_t shard;    /* bytes */
    int64_t chunk;    /* rows of a compressed chunk of images */
    int64_t level;    /* of deflate */
    double valid;
    int32_t layout;
    int32_t compress;
    int32_t depth;
    int32_t images;
} hdf5_params;

/* What a sink writes, fixed when it is opened. */
typedef struct settings {
    hdf5_params p;
    const evla_schema *schema; /* a copy that lives as long as the sink */
    const char *layout_id;     /* hash of all that shapes a stored episode */
    int32_t f16;               /* its id, EVLA_NONE when nobody brings it */
    int32_t reserved;
} settings;

/* Source slots (source.c) and sink slots (sink.c); hdf5.c picks by the place in the
 * pipeline. */
int32_t source_describe(const evla_host *h, const hdf5_params *p, evla_schema *out);
int32_t source_open(const evla_host *h, const hdf5_params *p, const evla_site *site,
                    void **self);
void source_close(const evla_host *h, void *self);
int32_t source_count(const evla_host *h, void *self, int64_t *n);
int32_t source_make(const evla_host *h, void *self, int64_t i, evla_record **out);
const char *source_report(const evla_host *h, void *self);

int32_t sink_describe(const evla_host *h, const hdf5_params *p, const evla_schema *in);
int32_t sink_open(const evla_host *h, const hdf5_params *p, const evla_site *site,
                  void **self);
void sink_close(const evla_host *h, void *self);
int32_t sink_put(const evla_host *h, void *self, const evla_record *in);
int32_t sink_has(const evla_host *h, void *self, int64_t i);
int32_t sink_finish(const evla_host *h, void *self);
const char *sink_report(const evla_host *h, void *self);
#endif
