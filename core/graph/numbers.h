/*
 * numbers.h -- from nested lists of numbers to the bytes of a dense tensor.
 */
#ifndef EVLA_GRAPH_NUMBERS_H
#define EVLA_GRAPH_NUMBERS_H
#include "../tensor.h"
#include "../value.h"

/* v is one number for every element, or nested lists of just the type's shape. 1, or 0 with
 * the number of the first element that is missing or does not fit the format (C's own
 * only). */
int numbers_read(const value *v, const evla_type *type, void *data, int64_t *element);

#endif
