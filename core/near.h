/*
 * near.h -- the name that was probably meant, for "did you mean".
 */
#ifndef EVLA_NEAR_H
#define EVLA_NEAR_H
#include <stdint.h>

/* The name nearest to `name`, if it is near enough to suggest; else NULL. */
const char *near_miss(const char *name, const char *const *names, int32_t n);

#endif
