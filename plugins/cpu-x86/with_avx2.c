/*
 * with_avx2.c -- all that uses AVX2 and FMA.
 */
#include "packed.h"
#include "x86.h"
#define LANES 8
#include "lanes.h"
enum { ROWS = 6, THIN = 4, PANEL_MOST = 4 };
#define PANELS(X)      X(1) X(2) X(3) X(4) X(5) X(6)
#define SLIMS(X)       X(1) X(2) X(3) X(4)
#define PANEL_SIZES(X) X(1) X(2) X(3) X(4)
enum { CODED_ROWS = 3 };
#define CODED_SIZES(X, F) X(F, 1) X(F, 2) X(F, 3)
enum { CODES_ROWS = 3 };
#define CODES_SIZES(X) X(1) X(2) X(3)
#include "codes_inner.h"

#include "coded_inner.h"
#include "codes_packed_inner.h"
#include "element_inner.h"
#include "encode_inner.h"
#include "matrix_inner.h"
#include "panel_inner.h"

const x86_isa x86_avx2 = {.feature = "avx2",
                          .score = 20,
                          .thin = THIN,
                          .rows = ROWS,
                          .cols = COLS,
                          .thick = thick,
                          .slim = slim,
                          .packed = packed,
                          .unary = unary,
                          .binary = binary,
                          .codes = codes,
                          .codes_rows = CODES_ROWS,
                          .codes_packed = codes_packed,
                          .coded_rows = CODED_ROWS,
                          .coded_sums = coded_sums,
                          .coded = coded,
                          .encode = encode,
                          .encode_groups = encode_groups};

#define FLAT x86_flat_avx2
#include "flat_inner.h"

#define PAGED x86_paged_avx2
#include "paged_inner.h"

#define ROW_TABLE x86_row_avx2
#include "row_inner.h"

#define RESIZE_TABLE x86_resize_avx2
#include "resize_inner.h"
