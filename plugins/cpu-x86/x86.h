/*
 * x86.h -- what the files of this plugin share: one table of functions per instruction set.
 *
 * Sums over K (numerics id "f32.fma256"): K is cut into blocks of 256; a block's sum starts
 * from 0 and takes its terms in ascending k, each by one fused multiply-add; the blocks'
 * sums add up in ascending order. Lanes of a vector are different columns, never different
 * k. So a result depends on K alone: not on M, the tile, the thread, or how wide the
 * vectors are.
 */
#ifndef CPU_X86_H
#define CPU_X86_H
#include "evla/ops.h"

#define X86_NUMERICS       "f32.fma256"
#define X86_CODED_NUMERICS "f32.blocks"  /* coded_inner.h */
#define X86_BF16_NUMERICS  "bf16.dot256" /* with_bf16.c */
enum { X86_DEPTH = 256 /* terms of a block */, X86_WIDTH = 128 /* columns of a tile */ };

/* y[m,n] = sum over k of a[m,k] b[k,n]. Steps count floats; one of each pair is 1. */
typedef struct x86_product {
    const float *a, *b;
    float *y;
    int64_t m, n, k;
    int64_t a_row, a_k; /* from one m to the next, from one k to the next */
    int64_t b_k, b_col;
    int64_t y_row;
    const uint8_t *panels;  /* b instead, where it lies packed (packed.h) */
    int32_t format;         /* PACKED_F32, ... */
    const uint16_t *halves; /* a instead, in bf16 */
    int adds;               /* `packed` only: to y, from 0 on, comes the product */
} x86_product;

/* y[m,n] = (float)sum of q[m,k] w[n,k] * (qs[m] * ws[n]) + b[n], in the order written. */
typedef struct x86_codes {
    const int8_t *q, *w;      /* w: plain rows */
    const uint8_t *panels;    /* w instead, where it lies packed (packed.h) */
    const float *qs, *ws, *b; /* b may be NULL */
    float *y;
    int64_t m, n, k;
    int per_token; /* qs has an entry per row, else one */
} x86_codes;
enum { X86_CODES_HIGH = 64 /* rows of a tile */ };

/* y[m,n] = sum over k of q[m,k] s[m,k/32] w[n,k], w in packed panels (packed.h). Rows go in
 * `groups` of nearly equal size: group g starts at row m g / groups. */
typedef struct x86_coded {
    const int8_t *q;
    const float *s;
    const uint8_t *w;
    float *y;
    int64_t m, n, k, groups;
    int32_t format; /* PACKED_Q8_0, ... */
} x86_coded;

/* What a tile needs: of X86_CODED_DEPTH terms of a panel of 32 columns the scales and,
 * taken apart, the codes; sums of all its rows. 64-byte aligned. */
enum { X86_CODED_DEPTH = 512 };
typedef struct x86_coded_scratch {
    uint8_t codes[X86_CODED_DEPTH * 32];
    float scale[X86_CODED_DEPTH / 16 * 32];
    float sum[]; /* [rows][32] */
} x86_coded_scratch;

/* y[i] = f(x[i]); y may be x. */
typedef void x86_unary(const void *params, const float *x, float *y, int64_t n);
/* y[i] = f(a[i * a_step], b[i * b_step]), steps 0 or 1; y may be a or b. */
typedef void x86_binary(const float *a, int64_t a_step, const float *b, int64_t b_step,
                        float *y, int64_t n);

typedef struct x86_isa x86_isa;
struct x86_isa {
    const char *feature; /* what the machine must have */
    int32_t score;
    int32_t thin;       /* most rows of a product that is not worth packing */
    int32_t rows, cols; /* of the microkernel */
    /* Rows [r0, r1) and columns [c0, c1), at most X86_WIDTH of them, by packed panels;
     * scratch holds x86_scratch() bytes, 64-byte aligned. */
    void (*thick)(const x86_product *p, float *scratch, int64_t r0, int64_t r1, int64_t c0,
                  int64_t c1);
    /* All rows, at most `thin`, of columns [c0, c1), straight from memory. */
    void (*slim)(const x86_product *p, int64_t c0, int64_t c1);
    /* Rows [r0, r1) and columns [c0, c1), c0 a panel's first, of a product with panels. */
    void (*packed)(const x86_product *p, int64_t r0, int64_t r1, int64_t c0, int64_t c1);
    x86_unary *(*unary)(const char *op);   /* NULL: has none */
    x86_binary *(*binary)(const char *op); /* likewise */
    /* Rows [r0, r1), columns [c0, c1). codes_packed, for panels: c0 is a panel's first, and
     * rows are at most X86_CODES_HIGH; it has microkernels of codes_rows rows. */
    void (*codes)(const x86_codes *p, int64_t r0, int64_t r1, int64_t c0, int64_t c1);
    int32_t codes_rows;
    void (*codes_packed)(const x86_codes *p, int64_t r0, int64_t r1, int64_t c0,
                         int64_t c1);
    /* Codes with packed weights in blocks. A group has at most coded_rows rows. coded_sums
     * makes what `coded` must know of a group besides its codes: 2 numbers for each row and
     * block; `side` holds them group by group from group 0 on. coded: groups [g0, g1),
     * columns [c0, c1) from a panel's first. */
    int32_t coded_rows;
    void (*coded_sums)(const x86_coded *p, int64_t row, int64_t rows, float *side);
    void (*coded)(const x86_coded *p, const float *side, x86_coded_scratch *to, int64_t g0,
                  int64_t g1, int64_t c0, int64_t c1);
    /* Codes of x, and of groups of x that have a scale of their own each, which is written.
     */
    void (*encode)(const float *x, float scale, int64_t n, int8_t *q);
    void (*encode_groups)(const float *x, int64_t groups, int64_t group, float *scale,
                          int8_t *q);
    const x86_isa *base; /* whose element-wise functions to take; NULL: its own */
};

extern const x86_isa x86_avx2, x86_avx512;
/* Codes only; element-wise functions are those of the set they belong to. */
extern const x86_isa x86_avx2_vnni, x86_vnni;
/* Products of bf16 only: a is `halves`, b lies in panels. */
extern const x86_isa x86_bf16;

/* From f32 to bf16, to nearest even, subnormals as 0. */
typedef struct x86_halves {
    /* y[i] = x[i] scale; y may begin where x does. */
    void (*row)(const float *x, float scale, int64_t n, uint16_t *y);
    /* y[2 i] = even[i], y[2 i + 1] = odd[i], or 0 without odd: n of 32 pairs, then zeros.
     */
    void (*pairs)(const float *even, const float *odd, int64_t n, uint16_t *y);
} x86_halves;

extern const x86_halves x86_halves_bf16;

/* Bytes of scratch for thick tiles of a product with this k and n. */
uint64_t x86_scratch(const x86_isa *isa, int64_t k, int64_t n);

#endif
