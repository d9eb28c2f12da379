/*
 * show.h -- pictures of a graph and of a plan's arena, as SVG.
 */
#ifndef EVLA_GRAPH_SHOW_H
#define EVLA_GRAPH_SHOW_H
#include "plan.h"

/* Nodes in layers from inputs to outputs, each with operator, type, bytes and FLOPs. For a
 * picture from before the rewrites, bind with all of them left out. NULL when memory is
 * out. */
const char *show_graph(ctx *cx, arena *a, const bound *b, const char *title);
/* Time from left to right, addresses upwards: who has which bytes of the arena when; the
 * lower bound as a line. */
const char *show_arena(ctx *cx, arena *a, const plan *p, const char *title);

#endif
