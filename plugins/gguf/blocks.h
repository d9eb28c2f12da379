/*
 * blocks.h -- number formats in blocks, as ggml defined them: small codes that share 16-bit
 * scales.
 *
 * Integers and scales are little endian, at any alignment. decode is exact: what the layout
 * says, computed in f32, where only the addition of a minimum rounds. encode refuses with
 * EVLA_E_RANGE: NaN, infinities, and what the scales cannot hold.
 *
 *   name  bytes/elements  x =
 *   q8_0   34/32          d q             q8_0 to q5_1: blocks.c
 *   q4_0   18/32          d (q - 8)
 *   q4_1   20/32          d q + m
 *   q5_0   22/32          d (q - 16)
 *   q5_1   24/32          d q + m
 *   q4_k  144/256         d s q - dmin m  q4_k to q6_k: kblocks.c; s and m for each 32
 *   q5_k  176/256         d s q - dmin m
 *   q6_k  210/256         d s (q - 32)    s for each 16
 *
 * Rows in blocks of 32 may end inside one. What the last block lacks then repeats the row's
 * last number, which moves neither scale nor minimum. ggml's own files have no such rows.
 *
 * Source: ggml-common.h, ggml-quants.c and docs/gguf.md of
 * https://github.com/ggml-org/ggml.
 */
#ifndef EVLA_GGUF_BLOCKS_H
#define EVLA_GGUF_BLOCKS_H
#include "evla/abi.h"
#include <string.h>

extern const evla_dtype blocks_q8_0, blocks_q4_0, blocks_q4_1, blocks_q5_0, blocks_q5_1;
extern const evla_dtype kblocks_q4_k, kblocks_q5_k, kblocks_q6_k;

/* A 16-bit scale, IEEE 754 binary16, to and from f32; rounds to nearest even. */
float block_scale(const uint8_t *at);
void block_set_scale(uint8_t *at, float d);
/* Are all n values finite and of magnitudes up to `most`? Fails: EVLA_E_RANGE. */
int32_t block_check(const evla_host *h, const char *format, const float *x, int64_t n,
                    float most);

/* What all formats here say of themselves; a linear reads them against activations in 8
 * bits. */
#define BLOCK_DTYPE(id, elements, bytes)                                                   \
    {                                                                                      \
        .size = sizeof(evla_dtype), .block_elements = (elements), .block_bytes = (bytes),  \
        .is_ragged = (elements) == 32, .decode = id##_decode_row,                          \
        .encode = id##_encode_row,                                                         \
        .source = "ggml-common.h and ggml-quants.c of https://github.com/ggml-org/ggml",   \
        .linear = "coded_linear", .activation = "quantize_blocks",                         \
    }

/* id##_decode(block, out) and id##_encode(x, block) for each block of a row; what of the
 * row is no whole block goes through one. */
#define BLOCK_ROWS(id, elements, bytes, most)                                              \
    static int32_t id##_decode_row(const evla_host *h, const void *codes, int64_t n,       \
                                   float *out)                                             \
    {                                                                                      \
        const uint8_t *block = codes;                                                      \
        float last[elements];                                                              \
        int64_t i = 0;                                                                     \
        (void)h;                                                                           \
        for (; i + (elements) <= n; i += (elements), block += (bytes))                     \
            id##_decode(block, out + i);                                                   \
        if (i < n) {                                                                       \
            id##_decode(block, last);                                                      \
            memcpy(out + i, last, (size_t)(n - i) * sizeof *out);                          \
        }                                                                                  \
        return EVLA_OK;                                                                    \
    }                                                                                      \
    static int32_t id##_encode_row(const evla_host *h, const float *values, int64_t n,     \
                                   void *codes)                                            \
    {                                                                                      \
        uint8_t *block = codes;                                                            \
        float last[elements];                                                              \
        int64_t i = 0;                                                                     \
        int32_t st = block_check(h, #id, values, n, most);                                 \
        if (st < 0) return st;                                                             \
        for (; i + (elements) <= n; i += (elements), block += (bytes))                     \
            id##_encode(values + i, block);                                                \
        if (i == n) return EVLA_OK;                                                        \
        for (int k = 0; k < (elements); k++)                                               \
            last[k] = values[i + k < n ? i + k : n - 1];                                   \
        id##_encode(last, block);                                                          \
        return EVLA_OK;                                                                    \
    }

#endif
