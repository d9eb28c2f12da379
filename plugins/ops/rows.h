/*
 * rows.h -- rows of a tensor as f32, however they lie: as f32, in a format that a plugin
 * decodes, or packed for some kernel (evla_layout).
 */
#ifndef OPS_ROWS_H
#define OPS_ROWS_H
#include "types.h"

/* What prepare keeps of one tensor, so that run can read it. */
typedef struct rows_source {
    const evla_dtype *format;  /* NULL: the numbers are f32 */
    const evla_layout *layout; /* NULL: plain rows */
    int64_t width, bytes;      /* numbers and bytes of a plain row */
} rows_source;

/* Rows of input i can be told apart: its format has rows that end where these do. */
int32_t rows_infer(const evla_host *h, const evla_node *n, const evla_type *in, int32_t i,
                   const char *name);
/* Input i, of rank 1 or more, can be read by rows_read. */
int rows_accepts(const evla_host *h, const evla_node *n, int32_t i);
/* For evla_kernel.layout: rows are read however they lie. */
const evla_layout *rows_layout(const evla_host *h, const evla_machine *m,
                               const evla_node *n, int32_t i);
rows_source rows_of(const evla_host *h, const evla_node *n, int32_t i);
/* Floats that rows_read wants for n numbers; 0 when it never copies. */
int64_t rows_room(const evla_host *h, const evla_node *n, int32_t i, int64_t numbers);
/* Numbers [from, from + n) of a row of input i, where they lie or in `room`. Of a packed
 * weight whole rows only. */
int32_t rows_read(const evla_host *h, const rows_source *r, const evla_args *a, int32_t i,
                  int64_t row, int64_t from, int64_t n, float *room, const float **out);

#endif
