/*
 * save.h -- a model as one file: graphs, symbols, types and weights. The container is
 * bundle.h's.
 *
 * The header's "head" is {"graphs":[...],"name":...}; a graph is
 *   {"name":"policy", "symbols":[["B","bucket{1,8}"]], "inputs":[["state","f32[B,9]"]],
 *    "states":[["h","f32[8]",init]], "weights":["w"], "consts":["0"],
 *    "nodes":[{"id":"n0","op":"linear","in":["i:state","w:w",null],"params":{...}}, ...],
 *    "outputs":[["action","n0"]]}
 * A node's further outputs are "n0:1", ...; nodes may stand in any order, a cycle is
 * refused by naming it. Parts are "w:NAME" and "c:GRAPH:ID".
 *
 * A weight that lies in a layout (layout.h) is a part of bytes, and "packed" has its row
 * [name, layout, type]. What a file says beside its tensors is in "attrs", rows of [name,
 * value]; a list of numbers is the part "a:NAME", a list of texts the bytes of all of them,
 * "t:NAME", and where each ends, "e:NAME", and its row is [name].
 */
#ifndef EVLA_GRAPH_SAVE_H
#define EVLA_GRAPH_SAVE_H
#include "bundle.h"
#include "graph.h"

#define SAVE_KIND "evla.model" /* of the bundle */

/* Every weight needs its data. */
int32_t save_model(ctx *cx, const model *m, const char *path);
/* The same with other attributes than the model's own. */
int32_t save_model_with(ctx *cx, const model *m, const char *path, const evla_attr *attrs,
                        int32_t n_attrs);
/* Weights stay in the mapped file, which the model keeps. */
int32_t save_open(ctx *cx, const char *path, model **out);
/* The same from bytes in memory, which must outlive the model. */
int32_t save_read(ctx *cx, const char *path, const void *bytes, size_t n, model **out);

/* For other graphs over the weights of such a file. The row of "packed" that a weight has
 * in it; NULL: it lies in plain rows. */
const value *save_packed_row(const bundle *b, const char *weight);
/* A weight whose type and data are those of its part, as its row of "packed" says. */
int32_t save_take_packed(ctx *cx, const char *path, const value *row, model *m,
                         int32_t slot);
/* What the file says beside its tensors; lists stay in the file. */
int32_t save_attrs(ctx *cx, const char *path, const bundle *b, model *m);

#endif
