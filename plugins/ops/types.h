/*
 * types.h -- what every infer needs: sentences about types, broadcasting, untyped weights.
 *
 * Not here: the arithmetic (elementwise.c, order.h, fmath.h).
 */
#ifndef OPS_TYPES_H
#define OPS_TYPES_H
#include "evla/ops.h"

enum { TYPES_TEXT = 160 };

/* host->fail with a format. */
__attribute__((format(printf, 3, 4))) int32_t types_fail(const evla_host *h, int32_t code,
                                                         const char *format, ...);
/* "f32[2,3]" into TYPES_TEXT bytes. */
const char *types_text(const evla_host *h, const evla_type *t, char *text);
/* The same into a buffer that lives as long as the enclosing block. */
#define TEXT(h, t) types_text(h, t, (char[TYPES_TEXT]){0})

/* Input i is there: its index is in range and it is not the empty slot of an absent input.
 */
int types_present(const evla_node *n, const evla_type *in, int32_t i);
/* A required input with a type. */
int32_t types_need(const evla_host *h, const evla_node *n, const evla_type *in, int32_t i,
                   const char *name);
/* f32, f64, f16 or bf16; integers that index; both with needs and a sentence. */
int types_is_real(const evla_host *h, int32_t dtype);
int types_is_index(int32_t dtype);
int32_t types_real(const evla_host *h, const evla_node *n, const evla_type *in, int32_t i,
                   const char *name);
int32_t types_index(const evla_host *h, const evla_node *n, const evla_type *in, int32_t i,
                    const char *name);
/* A weight of this shape: typed in f32 when nobody has typed it, else compared. */
int32_t types_weight(const evla_host *h, const evla_node *n, evla_type *in, int32_t i,
                     const char *name, int32_t rank, const int64_t *shape);
/* An axis in [0, rank), counted from the end when negative. */
int32_t types_axis(const evla_host *h, const evla_node *n, int64_t axis, int32_t rank,
                   int32_t *out);

evla_type types_make(int32_t dtype, int32_t rank, const int64_t *shape);
int types_equal_shape(const evla_type *a, const evla_type *b);
int types_equal(const evla_type *a, const evla_type *b); /* number format too */
int types_is_weight(const evla_type *t, int32_t rank, const int64_t *shape);
/* NumPy's rule on shapes; out->dtype is left alone. 0: they do not meet. */
int types_broadcast(const evla_type *a, const evla_type *b, evla_type *out);
int64_t types_count(const evla_type *t);
/* Product of extents [from, to); at most INT64_MAX. */
int64_t types_span(const int64_t *shape, int32_t from, int32_t to);
int64_t types_last(const evla_type *t); /* last extent, 1 for rank 0 */
int64_t types_rows(const evla_type *t); /* product of the others */
/* Bytes of one element of C's own formats, 0 for others. */
int32_t types_bytes(int32_t dtype);
/* The same for registered formats too; 0 for block formats. */
int32_t types_element_bytes(const evla_host *h, int32_t dtype);

static inline int64_t types_ceil(int64_t n, int64_t d) { return (n + d - 1) / d; }

/* What accepts answers: one portable kernel per operator, so the score is always 1. */
int32_t types_offer(evla_offer *offer, int32_t alias_in, const char *numerics);
/* Elements of input i are whole bytes, so that they can be moved without being understood.
 */
int32_t types_movable(const evla_host *h, const evla_node *n, const evla_type *in,
                      int32_t i, const char *name);
/* accepts of a kernel that moves them, whatever they are. */
int32_t types_exact(const evla_host *h, const evla_machine *m, const evla_node *n,
                    evla_offer *offer);
/* No input is packed for some kernel (evla_layout). */
int types_all_plain(const evla_node *n);
/* All present inputs and the outputs are f32, in plain rows. */
int types_all_f32(const evla_node *n);
/* One phase of so many tiles. */
int32_t types_tiles(evla_work *work, int64_t tiles);

#endif
