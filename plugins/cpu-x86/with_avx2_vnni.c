/*
 * with_avx2_vnni.c -- all that uses VNNI on 256 bits, without AVX-512.
 */
#include "packed.h"
#include "x86.h"
#define LANES 8
#define VNNI

#include "lanes.h"

enum { CODED_ROWS = 3 };
#define CODED_SIZES(X, F) X(F, 1) X(F, 2) X(F, 3)
enum { CODES_ROWS = 5 };
#define CODES_SIZES(X) X(1) X(2) X(3) X(4) X(5)
#include "codes_inner.h"

#include "coded_inner.h"
#include "codes_packed_inner.h"

const x86_isa x86_avx2_vnni = {.feature = "avx_vnni",
                               .score = 25,
                               .codes = codes,
                               .codes_rows = CODES_ROWS,
                               .codes_packed = codes_packed,
                               .coded_rows = CODED_ROWS,
                               .coded_sums = coded_sums,
                               .coded = coded,
                               .base = &x86_avx2};
