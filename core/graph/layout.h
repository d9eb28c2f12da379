/*
 * layout.h -- one arrangement of bytes for each weight, and making it.
 *
 * While a plan is made its kernels may ask for a weight in panels (evla_kernel.layout). All
 * nodes that read the weight must be able to, else it stays in plain rows. What the first
 * plan settles holds for all later ones. Only models that allow it (model.packs): their
 * weights are neither swapped nor written.
 */
#ifndef EVLA_GRAPH_LAYOUT_H
#define EVLA_GRAPH_LAYOUT_H
#include "../run/pool.h"
#include "infer.h"

/* Settles the layouts of the weights that these nodes read. */
int32_t layout_settle(ctx *cx, const plan_options *o, const bound *b);
/* Packs all weights that have a layout and data and are not packed yet, by all workers of
 * the pool. Pages of a mapped file are given back as they have been read, and so are rows
 * that were rounded while they were read, unless they are f32 or lent: no second copy stays
 * in memory. Plain rows that lie at an odd address in their file are moved. */
int32_t layout_pack(ctx *cx, model *m, pool *workers);
/* Gives back the whole pages between two addresses. Those of a mapped file come back when
 * somebody reads them, all others as zeros. */
void layout_drop_pages(const void *from, size_t bytes);

#endif
