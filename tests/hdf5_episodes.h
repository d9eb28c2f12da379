/*
 * hdf5_episodes.h -- small episodes whose every byte follows from their number, for the
 * tests of the stage hdf5.
 */
#ifndef EVLA_TESTS_HDF5_EPISODES_H
#define EVLA_TESTS_HDF5_EPISODES_H
#include "../plugins/hdf5/hdf5.h"
#include "stage_host.h"

enum { EP_W = 12, EP_H = 8, EP_FIELDS = 11 };

static const evla_schema_field ep_fields[EP_FIELDS] = {
    {"actions", "f32[T,7]", "", "normalised joint deltas and gripper", 100},
    {"states", "f64[T,9]", "", "time, positions, velocities", 100},
    {"rewards", "f32[T]", "", "", 0},
    {"dones", "u8[T]", "", "", 0},
    {"events", "u64[T]", "", "", 0},
    {"obs/joint_pos", "f32[T,7]", "rad", "measured joint angles", 100},
    {"obs/is_closed", "bool[T]", "", "", 0},
    {"cameras/front/rgb", "u8[F,8,12,3]", "", "", 30},
    {"cameras/front/depth", "f32[F,8,12,1]", "m", "distance along the optical axis", 30},
    {"cameras/front/labels", "u8[F,8,12,1]", "", "", 30},
    {"cameras/front/step", "i64[F]", "", "", 30},
};
static const evla_attr ep_attrs[] = {
    {.name = "env_args",
     .type = EVLA_ATTR_TEXT,
     .text = "{\"env_name\": \"Bench\", \"type\": 1, \"env_kwargs\": {}}"},
    {.name = "model_file",
     .type = EVLA_ATTR_TEXT,
     .text = "<mujoco model=\"b\u00e4nch\"/>"},
    {.name = "rate_hz", .type = EVLA_ATTR_FLOAT, .number = 100},
};
static const evla_schema ep_schema = {.size = sizeof ep_schema,
                                      .n_fields = EP_FIELDS,
                                      .n_attrs = 3,
                                      .fields = ep_fields,
                                      .attrs = ep_attrs};

static inline int64_t ep_ticks(int64_t i) { return 20 + i * 7 % 13; }

/* Record i. large multiplies the size of the pictures' sides. */
static inline evla_record *ep_make(const evla_host *h, int64_t i, int large)
{
    evla_field f[EP_FIELDS];
    int64_t t = ep_ticks(i), frames = (t * 30 + 99) / 100;
    char text[64];
    snprintf(text, sizeof text, "pick up the mug, take %lld", (long long)i);
    evla_attr a[] = {
        {.name = "seed", .type = EVLA_ATTR_INT, .integer = 1000 + i},
        {.name = "instruction", .type = EVLA_ATTR_TEXT, .text = text},
        {.name = "success", .type = EVLA_ATTR_INT, .integer = i % 3 != 0},
        {.name = "length_s", .type = EVLA_ATTR_FLOAT, .number = (double)t / 100}};
    evla_record *r = NULL;
    for (int k = 0; k < EP_FIELDS; k++) {
        evla_type type;
        host_type_parse(h, ep_fields[k].type, &type);
        f[k] = (evla_field){.name = ep_fields[k].name,
                            .value = {.dtype = type.dtype, .rank = type.rank}};
        for (int32_t d = 0; d < type.rank; d++)
            f[k].value.shape[d] = type.shape[d];
        f[k].value.shape[0] = strchr(ep_fields[k].type, 'F') ? frames : t;
        if (type.rank == 4) f[k].value.shape[1] *= large, f[k].value.shape[2] *= large;
    }
    if (h->record_new(h, f, EP_FIELDS, a, 4, &r)) return NULL;
    r->index = i;
    for (int k = 0; k < EP_FIELDS; k++) {
        const evla_tensor *v = &r->fields[k].value;
        int64_t n = v->stride[0] / host_dtype_bytes(h, v->dtype, 1) * v->shape[0];
        uint32_t x = (uint32_t)(i * 977 + k * 131 + 1);
        for (int64_t e = 0; e < n; e++) {
            x = x * 1664525u + 1013904223u;
            int smooth = (int)((e / 3 + i * 5 + k) % 251);
            switch (v->dtype) {
            case EVLA_F32:
                ((float *)v->data[0])[e] =
                    k == 8 ? 0.5f + (float)smooth / 256 : (float)(x >> 8) / 8388608 - 1;
                break;
            case EVLA_F64:
                ((double *)v->data[0])[e] = (double)x / 65536;
                break;
            case EVLA_U64:
                ((uint64_t *)v->data[0])[e] = (uint64_t)x << 20;
                break;
            case EVLA_I64:
                ((int64_t *)v->data[0])[e] = (e * 100 + 29) / 30;
                break;
            case EVLA_BOOL:
                ((uint8_t *)v->data[0])[e] = x >> 31;
                break;
            default:
                ((uint8_t *)v->data[0])[e] = k == 3 ? e == n - 1 : (uint8_t)smooth;
            }
        }
    }
    return r;
}

static inline hdf5_params ep_params(const char *path)
{
    return (hdf5_params){.path = path,
                         .shard = (int64_t)2 << 30,
                         .chunk = 8,
                         .level = 1,
                         .valid = 0.25,
                         .depth = DEPTH_F16};
}

/* Stores records [from, to) through the stage, skipping what it has. 0 or the first
 * failure. */
static inline int32_t ep_store(stage_host *s, const evla_stage *g, const hdf5_params *p,
                               const char *folder, int64_t from, int64_t to, int large,
                               char *report, size_t report_size)
{
    evla_site site = {.size = sizeof site,
                      .n_workers = 1,
                      .folder = folder,
                      .job = "test",
                      .in = &ep_schema};
    void *self = NULL;
    evla_schema out;
    int32_t st = g->describe(&s->h, p, &ep_schema, &out);
    if (st) return st;
    st = g->open(&s->h, p, &site, &self);
    for (int64_t i = from; !st && i < to; i++) {
        if (g->has(&s->h, self, i)) continue;
        evla_record *r = ep_make(&s->h, i, large);
        st = g->put(&s->h, self, r);
        s->h.record_drop(&s->h, r);
    }
    if (!st) st = g->finish(&s->h, self);
    if (report) snprintf(report, report_size, "%s", g->report(&s->h, self));
    g->close(&s->h, self);
    return st;
}
#endif
