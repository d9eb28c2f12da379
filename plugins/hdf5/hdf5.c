/*
 * hdf5.c -- the plugin evla.hdf5: datasets in robomimic's layout, as source and as sink.
 *
 * Stage "hdf5" reads when it stands first in a pipeline (source.c) and writes otherwise
 * (sink.c); service "frames" reads single rows (frames.c). docs/data-layout.md describes
 * the files.
 */
#include "hdf5.h"
#include "frames.h"
#include <stdlib.h>
#include <string.h>

typedef struct stage {
    void *self;
    int32_t is_source;
    int32_t reserved;
} stage;

static int32_t st_describe(const evla_host *h, const void *params, const evla_schema *in,
                           evla_schema *out)
{
    if (!in) return source_describe(h, params, out);
    *out = *in;
    return sink_describe(h, params, in);
}

static int32_t st_open(const evla_host *h, const void *params, const evla_site *site,
                       void **self)
{
    stage *s = calloc(1, sizeof *s);
    *self = s;
    if (!s) return say_nomem(h, "a stage");
    s->is_source = site->in == NULL;
    return s->is_source ? source_open(h, params, site, &s->self)
                        : sink_open(h, params, site, &s->self);
}

static void st_close(const evla_host *h, void *self)
{
    stage *s = self;
    if (!s) return;
    if (s->is_source)
        source_close(h, s->self);
    else
        sink_close(h, s->self);
    free(s);
}

static int32_t st_count(const evla_host *h, void *self, int64_t *n)
{
    return source_count(h, ((stage *)self)->self, n);
}

static int32_t st_make(const evla_host *h, void *self, int64_t i, evla_record **out)
{
    return source_make(h, ((stage *)self)->self, i, out);
}

static int32_t st_put(const evla_host *h, void *self, const evla_record *in)
{
    return sink_put(h, ((stage *)self)->self, in);
}

static int32_t st_has(const evla_host *h, void *self, int64_t i)
{
    return sink_has(h, ((stage *)self)->self, i);
}

static int32_t st_finish(const evla_host *h, void *self)
{
    return sink_finish(h, ((stage *)self)->self);
}

static const char *st_report(const evla_host *h, void *self)
{
    stage *s = self;
    return s->is_source ? source_report(h, s->self) : sink_report(h, s->self);
}

// clang-format off
#define AT(field) offsetof(hdf5_params, field)
static const evla_param params[] = {
    {.name = "path", .type = EVLA_P_PATH, .offset = AT(path),
     .doc = "the dataset: one file, or the index of shards beside it"},
    {.name = "layout", .type = EVLA_P_ENUM, .offset = AT(layout), .choices = "robomimic",
     .preset = "robomimic", .doc = "names and attributes inside the file"},
    {.name = "shard", .type = EVLA_P_SIZE, .offset = AT(shard), .preset = "2GiB",
     .min = 65536, .max = 1e15, .unit = "bytes", .doc = "a further file is begun rather than pass this size"},
    {.name = "compress", .type = EVLA_P_ENUM, .offset = AT(compress), .choices = "none|gzip",
     .preset = "none", .doc = "none is fastest to read; gzip (with byte shuffling) takes 5 % of the room for rendered frames"},
    {.name = "chunk", .type = EVLA_P_INT, .offset = AT(chunk), .preset = "8", .min = 1,
     .max = 4096, .unit = "frames", .doc = "frames compressed together: fewer read faster one by one"},
    {.name = "level", .type = EVLA_P_INT, .offset = AT(level), .preset = "1", .min = 1, .max = 9,
     .doc = "effort of gzip"},
    {.name = "depth", .type = EVLA_P_ENUM, .offset = AT(depth), .choices = "f16|f32",
     .preset = "f16", .doc = "number format of fields called depth"},
    {.name = "images", .type = EVLA_P_ENUM, .offset = AT(images), .choices = "separate|repeat",
     .preset = "separate", .doc = "repeat: also write cameras/<name>/... into obs/, as long as actions"},
    {.name = "valid", .type = EVLA_P_FLOAT, .offset = AT(valid), .preset = "0.1", .min = 0,
     .max = 1, .doc = "fraction of episodes in mask/valid; the others are in mask/train"},
    {.name = "mask", .type = EVLA_P_STRING, .offset = AT(mask), .flags = EVLA_PF_OPTIONAL,
     .doc = "source: read only the episodes of this mask, such as train"},
};
#undef AT

static const evla_stage hdf5 = {
    .size = sizeof hdf5,
    .flags = EVLA_STAGE_PARALLEL,
    .describe = st_describe,
    .open = st_open,
    .close = st_close,
    .count = st_count,
    .make = st_make,
    .put = st_put,
    .has = st_has,
    .finish = st_finish,
    .report = st_report,
};
static const evla_item items[] = {
    {EVLA_STAGE, "hdf5", &hdf5, "episodes in HDF5 files of robomimic's layout: reads them as a source, stores them as a sink",
     params, sizeof params / sizeof *params, sizeof(hdf5_params)},
    {EVLA_SERVICE, "frames", &frames_service, "single rows of stored episodes", NULL, 0, 0},
};
// clang-format on

static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16,
    .id = "evla.hdf5",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof *items,
};

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
