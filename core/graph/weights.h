/*
 * weights.h -- a model's weights, from a saved model or a file of any format that is
 * loaded, and to one.
 */
#ifndef EVLA_GRAPH_WEIGHTS_H
#define EVLA_GRAPH_WEIGHTS_H
#include "model.h"

/* Gives every weight the tensor of its name: each weight needs one, and each tensor a
 * weight unless `leave_others`. Types must be equal, but an f32 weight also takes what a
 * plugin decodes to f32. With only_check 1 nothing but names and types is read. */
int32_t weights_take(ctx *cx, model *m, const char *path, int leave_others, int only_check);
/* How one weight of a file is to lie in memory. */
typedef struct weights_format {
    const char *name, *format;
} weights_format;

/* Weights that stay where they are in a file, which the model keeps open: each weight takes
 * the type that its tensor has there, so this comes before the graphs are bound. One that
 * was declared as f32 is decoded if need be, and those named in `as` are rounded to another
 * number format, in the model's memory. Tensors that no weight is called are left.
 * beside: another file for the weights that the first one lacks; or NULL. */
int32_t weights_adopt(ctx *cx, model *m, const char *path, const char *beside,
                      const weights_format *as, int64_t n_as);
/* Writes all weights as they are. */
int32_t weights_write(ctx *cx, const evla_item *format, const model *m, const char *path,
                      const evla_attr *attrs, int32_t n_attrs);

#endif
