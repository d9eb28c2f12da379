/*
 * numbers.c -- from nested lists of numbers to the bytes of a dense tensor. See numbers.h.
 */
#include "numbers.h"

/* Writes a number as the type wants it. 0 when it does not fit. */
static int put_number(int32_t dtype, const value *v, char *data, int64_t i)
{
    int is_int = v->kind == VALUE_INT || v->kind == VALUE_BOOL;
    if (!is_int && v->kind != VALUE_FLOAT) return 0;
    double f = is_int ? (double)v->as.i : v->as.f;
    if (dtype == EVLA_F32) return ((float *)data)[i] = (float)f, 1;
    if (dtype == EVLA_F64) return ((double *)data)[i] = f, 1;
    if (!is_int && !(f >= -9e15 && f <= 9e15 && f == (double)(int64_t)f)) return 0;
    int64_t n = is_int ? v->as.i : (int64_t)f;
    switch (dtype) {
    case EVLA_I8:
        return ((int8_t *)data)[i] = (int8_t)n, n == (int8_t)n;
    case EVLA_I16:
        return ((int16_t *)data)[i] = (int16_t)n, n == (int16_t)n;
    case EVLA_I32:
        return ((int32_t *)data)[i] = (int32_t)n, n == (int32_t)n;
    case EVLA_I64:
        return ((int64_t *)data)[i] = n, 1;
    case EVLA_U8:
        return ((uint8_t *)data)[i] = (uint8_t)n, n == (uint8_t)n;
    case EVLA_U16:
        return ((uint16_t *)data)[i] = (uint16_t)n, n == (uint16_t)n;
    case EVLA_U32:
        return ((uint32_t *)data)[i] = (uint32_t)n, n == (uint32_t)n;
    case EVLA_U64:
        return ((uint64_t *)data)[i] = (uint64_t)n, n >= 0;
    case EVLA_BOOL:
        return ((uint8_t *)data)[i] = n != 0, 1;
    default:
        return 0;
    }
}

static int flatten(const value *v, const evla_type *t, int32_t axis, char *data,
                   int64_t *at)
{
    if (axis == t->rank) return put_number(t->dtype, v, data, (*at)++);
    if (v->kind != VALUE_TABLE || v->n_pairs || v->n_items != t->shape[axis]) return 0;
    for (int32_t i = 0; i < v->n_items; i++)
        if (!flatten(&v->as.items[i], t, axis + 1, data, at)) return 0;
    return 1;
}

int numbers_read(const value *v, const evla_type *type, void *data, int64_t *element)
{
    int64_t n = type_count(type);
    *element = 0;
    if (v->kind == VALUE_TABLE) return flatten(v, type, 0, data, element);
    while (*element < n)
        if (!put_number(type->dtype, v, data, (*element)++)) return 0;
    return 1;
}
