/*
 * pack.h -- gives regions that live at different times addresses in one arena.
 *
 * Greedy placement in several orders, each with first and smallest fitting gap; when none
 * meets the lower bound, a short deterministic search from the best one. Source: Pisarchyk
 * & Lee 2020, arXiv 2001.03288 (greedy by size, by breadth).
 */
#ifndef EVLA_GRAPH_PACK_H
#define EVLA_GRAPH_PACK_H
#include "../ctx.h"

/* Bytes of the arena and the steps, both ends included, during which they belong to one
 * owner. */
typedef struct region {
    uint64_t bytes, offset;
    int32_t first, last;
    int32_t wire; /* the first wire in it; -1: scratch */
    int32_t step; /* scratch: whose; else -1 */
} region;

/* The most bytes alive at one time, and when. No packing can be smaller. */
uint64_t pack_lower_bound(const region *r, int32_t n, int32_t *peak);
/* Fills offsets, multiples of `align`; bytes must be multiples of it too. *order is the
 * name of the order that won. Temporary memory comes from cx->scratch. */
int32_t pack_regions(ctx *cx, region *r, int32_t n, uint64_t align, uint64_t *total,
                     const char **order);

#endif
