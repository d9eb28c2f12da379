/*
 * with_avx2_vnni.c -- all that uses VNNI on 256 bits, without AVX-512.
 */
#include "x86.h"
#define LANES 8
#define VNNI

#include "lanes.h"

#include "codes_inner.h"

const x86_isa x86_avx2_vnni = {.feature = "avx_vnni", .score = 25, .codes = codes};
