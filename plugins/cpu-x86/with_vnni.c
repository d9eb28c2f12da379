/*
 * with_vnni.c -- all that uses VNNI on 512 bits.
 */
#include "x86.h"
#define LANES 16
#define VNNI

#include "lanes.h"

#include "codes_inner.h"

const x86_isa x86_vnni = {.feature = "avx512_vnni", .score = 40, .codes = codes};
