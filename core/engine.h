/*
 * engine.h -- what stands behind evla/evla.h's opaque names, for the core's own use.
 */
#ifndef EVLA_ENGINE_H
#define EVLA_ENGINE_H
#pragma GCC visibility push(default)
#include "evla/evla.h"
#pragma GCC visibility pop
#include "plugin.h"

struct evla_engine {
    registry reg;
    ctx cx;
    const char *kernels; /* which ones may be chosen; NULL: any */
    arena answers;       /* texts returned to the caller, until the next call */
    int is_up;           /* everything was loaded */
};

#endif
