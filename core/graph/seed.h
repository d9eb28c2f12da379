/*
 * seed.h -- a file of weights with seeded first values, in any number format: a model of a
 * given shape for those who measure speed or compare engines.
 */
#ifndef EVLA_GRAPH_SEED_H
#define EVLA_GRAPH_SEED_H
#include "model.h"

/* Every weight must have its type, in f32; formats[i] says how it is written. Values are
 * model_fill's, one weight at a time. */
int32_t seed_write(ctx *cx, const evla_item *format, const weight_info *weights,
                   int32_t n_weights, const char *path, const int32_t *formats,
                   uint64_t seed, const evla_attr *attrs, int32_t n_attrs);

#endif
