/*
 * machine.h -- which machine graphs are planned for.
 *
 * Machines are items of plugins: what they are called and what they can do is text that
 * only kernels read. Without any, or when none is there, it is "portable".
 */
#ifndef EVLA_CORE_MACHINE_H
#define EVLA_CORE_MACHINE_H
#include "registry.h"

/* Asks all machines of a sealed registry and keeps the highest that is there in
 * reg->machine. wanted (NULL or "": the best) names one to plan for instead. Fails:
 * EVLA_E_MISSING when nobody brings a machine of that name, or this is none. */
int32_t machine_find(ctx *cx, registry *reg, const char *wanted);

#endif
