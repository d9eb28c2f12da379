/*
 * relate.h -- the scene graph: which relation holds between which nodes, and the facts that
 * a rules text asks of it, as bits.
 */
#ifndef CAUSAL_RELATE_H
#define CAUSAL_RELATE_H

#include "track.h"

typedef struct relate {
    uint64_t row[IS_LIMIT][RULES_NODES]; /* bit j of row[r][i]: from node i to node j */
    uint64_t named;
} relate;

/* Fills every relation from where things are. */
void relate_scene(relate *g, const track *t);

/* Facts that the text defines, of these relations. */
uint64_t relate_facts(const relate *g, const track *t);

#endif
