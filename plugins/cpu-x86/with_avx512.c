/*
 * with_avx512.c -- all that uses AVX-512 (F, BW, DQ, VL).
 */
#include "packed.h"
#include "x86.h"
#define LANES 16
#include "lanes.h"
enum { ROWS = 14, THIN = 8, PANEL_MOST = 12 };
#define PANELS(X)      X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#define SLIMS(X)       X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#define PANEL_SIZES(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
enum { CODED_ROWS = 3 };
#define CODED_SIZES(X, F) X(F, 1) X(F, 2) X(F, 3)
enum { CODES_ROWS = 6 };
#define CODES_SIZES(X) X(1) X(2) X(3) X(4) X(5) X(6)
#include "codes_inner.h"

#include "coded_inner.h"
#include "codes_packed_inner.h"
#include "element_inner.h"
#include "encode_inner.h"
#include "matrix_inner.h"
#include "panel_inner.h"

const x86_isa x86_avx512 = {.feature = "avx512",
                            .score = 30,
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

#define FLAT x86_flat_avx512
#include "flat_inner.h"

#define PAGED x86_paged_avx512
#include "paged_inner.h"

#define ROW_TABLE x86_row_avx512
#include "row_inner.h"

#define RESIZE_TABLE x86_resize_avx512
#include "resize_inner.h"
