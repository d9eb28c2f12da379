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
#include "codes_inner.h"

#include "coded_inner.h"

const x86_isa x86_vnni = {.feature = "avx512_vnni",
                          .score = 40,
                          .codes = codes,
                          .coded_rows = CODED_ROWS,
                          .coded_sums = coded_sums,
                          .coded = coded,
                          .base = &x86_avx512};
