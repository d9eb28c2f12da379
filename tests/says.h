/*
 * says.h -- compares a context's sentence with the one a test expects, and clears it.
 */
#ifndef EVLA_TESTS_SAYS_H
#define EVLA_TESTS_SAYS_H
#include "ctx.h"
#include "tap.h"
#include <string.h>

/* The code and the whole sentence; when they differ, the reader sees what was there. */
static inline int says(ctx *cx, int32_t code, const char *sentence)
{
    int same = cx->code == code && !strcmp(cx->why, sentence);
    if (!same) note("got  %d: %s", cx->code, cx->why);
    if (!same) note("want %d: %s", code, sentence);
    ctx_clear(cx);
    return same;
}
#endif
