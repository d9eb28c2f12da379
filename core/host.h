/*
 * host.h -- what the core lends to a plugin for the length of a call: an evla_host over a
 * ctx.
 */
#ifndef EVLA_HOST_H
#define EVLA_HOST_H
#include "ctx.h"

/* What a host needs to remember. One per thread that calls plugins. */
typedef struct host {
    evla_host table; /* first: plugins get &host.table */
    ctx *cx;
    arena *hold; /* memory of the object at hand; the ctx's own when NULL was given */
} host;

void host_init(host *h, ctx *cx, arena *hold);
/* Frees what the last call took from scratch. Call it after every call into a plugin. */
void host_done(host *h, arena_place mark);

#endif
