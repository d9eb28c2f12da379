/*
 * convert.c -- numbers of any plain format as f32 or f64. See convert.h.
 */
#include "convert.h"
#include "../tensor.h"
#include <string.h>

int convert_is_plain(const registry *reg, int32_t dtype)
{
    const dtype_info *d = dtype_get(reg, dtype);
    return d && d->block_elements == 1 && (!d->table || d->table->decode);
}

int convert_can(const registry *reg, int32_t from, int32_t to)
{
    return from == to ||
           (convert_is_plain(reg, from) && (to == EVLA_F32 || to == EVLA_F64));
}

// clang-format off
#define OWN_FORMATS(X)                                                                     \
    X(F32, float) X(F64, double) X(I8, int8_t) X(I16, int16_t) X(I32, int32_t)             \
    X(I64, int64_t) X(U8, uint8_t) X(U16, uint16_t) X(U32, uint32_t) X(U64, uint64_t)      \
    X(BOOL, uint8_t)
// clang-format on

/* n numbers, at most CONVERT_MOST when a plugin decodes them. */
int32_t convert_to_f64(const evla_host *h, const registry *reg, int32_t from,
                       const void *codes, int64_t n, double *out)
{
    switch (from) {
#define X(id, type)                                                                        \
    case EVLA_##id:                                                                        \
        for (int64_t i = 0; i < n; i++)                                                    \
            out[i] = (double)((const type *)codes)[i];                                     \
        return 0;
        OWN_FORMATS(X)
#undef X
    default: {
        float some[CONVERT_MOST];
        int32_t st = dtype_get(reg, from)->table->decode(h, codes, n, some);
        for (int64_t i = 0; st >= 0 && i < n; i++)
            out[i] = (double)some[i];
        return st;
    }
    }
}

static int32_t to_f32(const evla_host *h, const registry *reg, int32_t from,
                      const void *codes, int64_t n, float *out)
{
    switch (from) {
#define X(id, type)                                                                        \
    case EVLA_##id:                                                                        \
        for (int64_t i = 0; i < n; i++)                                                    \
            out[i] = (float)((const type *)codes)[i];                                      \
        return 0;
        OWN_FORMATS(X)
#undef X
    default:
        return dtype_get(reg, from)->table->decode(h, codes, n, out);
    }
}

int32_t convert_numbers(const evla_host *h, const registry *reg, int32_t from,
                        const unsigned char *codes, int32_t to, int64_t n, void *out)
{
    int64_t each = dtype_bytes(reg, from, 1);
    int32_t st = 0;
    if (from == to) return memcpy(out, codes, (size_t)(n * each)), 0;
    if (to == EVLA_F32) return to_f32(h, reg, from, codes, n, out);
    for (int64_t i = 0; st >= 0 && i < n; i += CONVERT_MOST)
        st = convert_to_f64(h, reg, from, codes + i * each,
                            n - i < CONVERT_MOST ? n - i : CONVERT_MOST, (double *)out + i);
    return st;
}
