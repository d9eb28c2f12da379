/*
 * convert.h -- numbers of any plain format, a plugin's too, as f32 or f64.
 */
#ifndef EVLA_JOB_CONVERT_H
#define EVLA_JOB_CONVERT_H
#include "../registry.h"

enum { CONVERT_MOST = 256 }; /* numbers that convert_to_f64 takes at once */

/* 1 when its numbers stand one by one and can be read. */
int convert_is_plain(const registry *reg, int32_t dtype);
/* 1 when convert_numbers can: the same format, or a plain one to f32 or f64. */
int convert_can(const registry *reg, int32_t from, int32_t to);
/* n numbers, at most CONVERT_MOST, of a plain format. */
int32_t convert_to_f64(const evla_host *h, const registry *reg, int32_t from,
                       const void *codes, int64_t n, double *out);
/* Any n; codes and out do not overlap. */
int32_t convert_numbers(const evla_host *h, const registry *reg, int32_t from,
                        const unsigned char *codes, int32_t to, int64_t n, void *out);

#endif
