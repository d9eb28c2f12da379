/*
 * list.h -- the items of this plugin, for the table in cpu-x86.c.
 */
#ifndef CPU_X86_LIST_H
#define CPU_X86_LIST_H
#include "flat.h"

extern const evla_machine_kind avx2_machine, avx2_vnni_machine, avx512_machine,
    vnni_machine, bf16_machine;
extern const evla_kernel linear_avx2, linear_avx512, matmul_avx2, matmul_avx512;
extern const evla_kernel half_linear_bf16;
extern const evla_kernel quantized_linear_avx2, quantized_linear_avx2_vnni,
    quantized_linear_avx512, quantized_linear_vnni, quantize_avx2, quantize_avx512,
    quantize_blocks_avx2, quantize_blocks_avx512;
extern const evla_kernel coded_linear_avx2, coded_linear_avx2_vnni, coded_linear_avx512,
    coded_linear_vnni;
extern const evla_kernel paged_attention_avx2, paged_attention_avx512;
extern const evla_kernel attention_avx2, attention_avx512, attention_bf16,
    attention_grad_avx2, attention_grad_avx512;
extern const evla_kernel rms_norm_avx2, rms_norm_avx512, layer_norm_avx2, layer_norm_avx512,
    rope_avx2, rope_avx512;
extern const evla_kernel resize_avx2, resize_avx512;

#define X(op) extern const evla_kernel op##_avx2, op##_avx512;
X86_FLAT(X)
#undef X

#endif
