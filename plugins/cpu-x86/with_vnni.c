/*
 * with_vnni.c -- all that uses VNNI on 512 bits.
 */
#include "packed.h"
#include "x86.h"
#define LANES 16
#define VNNI

#include "lanes.h"

enum { CODED_ROWS = 6 };
#define CODED_SIZES(X, F) X(F, 1) X(F, 2) X(F, 3) X(F, 4) X(F, 5) X(F, 6)
enum { CODES_ROWS = 12 };
#define CODES_SIZES(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#include "codes_inner.h"

#include "coded_inner.h"
#include "codes_packed_inner.h"

const x86_isa x86_vnni = {.feature = "avx512_vnni",
                          .score = 40,
                          .codes = codes,
                          .codes_rows = CODES_ROWS,
                          .codes_packed = codes_packed,
                          .coded_rows = CODED_ROWS,
                          .coded_sums = coded_sums,
                          .coded = coded,
                          .base = &x86_avx512};
