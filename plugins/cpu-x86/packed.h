/*
 * packed.h -- how weights lie for this plugin's matrix kernels: panels of 32 rows.
 *
 * The rows of a panel lie block by block, and the fields of a block, in the order that they
 * have in a plain row, field by field: first those of row 0, then of row 1, ... A field is
 * a 16-bit scale or 32 bits of codes. So a vector takes the same field of 16 (or 8) rows in
 * one load, a panel takes the bytes that its plain rows took, and all loads are aligned.
 *
 *   number format   a block                      elements  fields
 *   f32, bf16, f16  one word, a pair, a number   1, 2, 1
 *   i8              q                            4         codes offset by 128, so unsigned
 *   q8_0            d q                          32        codes offset by 128, so unsigned
 *   q4_0 q4_1       d (m) q                      32
 *   q5_0 q5_1       d (m) h q                    32        bit i of h's byte b: code 4 i +
 * b q4_k q5_k       d dmin s (h) q               256 q6_k            q h s d 256
 *
 * Last row of panels: what it lacks is filled with zeros. A row may end inside a block of
 * 32: what lies behind its end meets codes of 0. Source of the blocks: ggml-common.h and
 * ggml-quants.c of https://github.com/ggml-org/ggml.
 */
#ifndef CPU_X86_PACKED_H
#define CPU_X86_PACKED_H
#include "evla/ops.h"

enum { PACKED_ROWS = 32 };

/* Which format; the kernels are made per format. */
// clang-format off
enum { PACKED_Q8_0, PACKED_Q4_0, PACKED_Q4_1, PACKED_Q5_0, PACKED_Q5_1, PACKED_Q4_K, PACKED_Q5_K,
       PACKED_Q6_K, PACKED_BLOCKS /* all in blocks */, PACKED_F32 = PACKED_BLOCKS, PACKED_BF16,
       PACKED_F16, PACKED_I8, PACKED_FORMATS };
// clang-format on

typedef struct packed_format {
    evla_layout layout;      /* first: a node's layout leads here */
    const char *dtype;       /* name of the number format */
    int32_t elements, bytes; /* of a block */
    int32_t terms;           /* elements that share a scale */
    int32_t head, words;     /* fields: 16-bit ones, then 32-bit ones; one more 16-bit one
                                may follow */
    int32_t turn;            /* codes are changed on their way; see packed.c */
    void (*decode)(const uint8_t *block, float *out);
} packed_format;

extern const packed_format packed_formats[PACKED_FORMATS];

/* The format of input i, of rank 2, in plain rows or in panels; NULL: none of these, or it
 * lies in a way of somebody else. */
const packed_format *packed_of(const evla_host *h, const evla_node *n, int32_t i);
int packed_is(const evla_node *n, int32_t i); /* it lies in panels */
/* Its last panel lacks few rows, or none. */
int packed_fills(const evla_type *t);
/* Which it is: PACKED_Q8_0, ... */
int32_t packed_id(const packed_format *f);
/* Blocks of a row of k elements; bytes of a panel of such rows. */
int64_t packed_blocks(const packed_format *f, int64_t k);
int64_t packed_panel(const packed_format *f, int64_t k);

#endif
