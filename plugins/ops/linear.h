/*
 * linear.h -- a tile of x w^T + b and its tails, which linear and coded_linear share.
 */
#ifndef OPS_LINEAR_H
#define OPS_LINEAR_H
#include "rows.h"

enum { LINEAR_ROWS = 16, LINEAR_COLS = 64 };

/* Rows and columns of the output that a tile computes. */
typedef struct linear_box {
    int64_t row[2], col[2];
} linear_box;

int64_t linear_tiles(const evla_node *n);
linear_box linear_box_of(const evla_node *n, int64_t tile);
/* Floats that linear_tile wants. w: index of the weight among the inputs; a bias follows
 * it. */
int64_t linear_room(const evla_host *h, const evla_node *n, int32_t w);
/* x: the box's rows, dense. */
int32_t linear_tile(const evla_host *h, const evla_args *a, const linear_box *box,
                    const float *x, const rows_source *weight, int32_t w, float *room);

#endif
