/*
 * format.h -- model files that are not the engine's own, through items of kind evla.format.
 */
#ifndef EVLA_DATA_FORMAT_H
#define EVLA_DATA_FORMAT_H
#include "../host.h"
#include "../tensor.h"

typedef struct format_file {
    host h;
    arena mem;
    const evla_item *item;
    void *self;
    evla_archive holds;
    const evla_field **sorted; /* holds.tensors by name */
} format_file;

/* Whose file it is, by its first bytes or else by its name; *out NULL: of no format that is
 * loaded. Fails when it cannot be read. */
int32_t format_probe(ctx *cx, const char *path, const evla_item **out);
/* Opens a file of the format that probe found. format_close only after success. */
int32_t format_open(ctx *cx, const evla_item *item, const char *path, format_file *out);
void format_close(format_file *f);
const evla_field *format_find(const format_file *f, const char *name); /* or NULL */
/* The format that writes files of such a name; says which endings there are. */
int32_t format_writer(ctx *cx, const char *path, const evla_item **out);
int32_t format_write(ctx *cx, const evla_item *item, const char *path,
                     const evla_archive *in);
/* Names with commas between: of the formats that are loaded, or only of those that write.
 */
const char *format_names(ctx *cx, arena *a, int writers);

evla_type format_type(const evla_tensor *t);
/* 1 when format_f32 can read it: f32, or a number format that a plugin decodes. */
int format_is_real(const registry *reg, int32_t dtype);
/* All its values as f32; its bytes may lie at any alignment. */
int32_t format_f32(ctx *cx, const evla_tensor *t, float *out);
/* The way back: all values of a dense tensor of a type that can be encoded, or f32. */
int32_t format_encode(ctx *cx, const evla_type *t, const float *values, void *out);
/* 1 when a tensor of this type could be written as `dtype`. */
int format_can_encode(const registry *reg, const evla_type *t, int32_t dtype);

#endif
