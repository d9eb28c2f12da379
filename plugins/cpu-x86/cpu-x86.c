/*
 * cpu-x86.c -- the plugin "cpu-x86": machines and kernels for x86-64, table of items.
 *
 * Machines: detect.c. Kernels: matrix.c, codes.c, coded.c, flat.c, attention.c,
 * attention_grad.c, paged.c, row.c, resize.c; what they do with an instruction set is in
 * with_avx2.c and with_avx512.c.
 */
#include "list.h"

// clang-format off
#define KERNEL(op, isa) {.kind = EVLA_KERNEL, .name = #op "." #isa, .table = &op##_##isa}
#define KERNELS(op) KERNEL(op, avx2), KERNEL(op, avx512)
static const evla_item items[] = {
    {.kind = EVLA_MACHINE, .name = "avx2", .table = &avx2_machine, .doc = "AVX2 and FMA"},
    {.kind = EVLA_MACHINE, .name = "avx2_vnni", .table = &avx2_vnni_machine, .doc = "AVX2, FMA and VNNI on 256 bits"},
    {.kind = EVLA_MACHINE, .name = "avx512", .table = &avx512_machine, .doc = "AVX-512 F, BW, DQ and VL"},
    {.kind = EVLA_MACHINE, .name = "vnni", .table = &vnni_machine, .doc = "AVX-512 with VNNI"},
    {.kind = EVLA_MACHINE, .name = "bf16", .table = &bf16_machine, .doc = "AVX-512 with VNNI and BF16"},
    KERNELS(linear),
    KERNELS(matmul),
    KERNEL(half_linear, bf16),
#define X(op) KERNELS(op),
    X86_FLAT(X)
#undef X
    KERNELS(quantize),
    KERNELS(quantize_blocks),
    KERNELS(quantized_linear),
    KERNEL(quantized_linear, avx2_vnni),
    KERNEL(quantized_linear, vnni),
    KERNELS(coded_linear),
    KERNEL(coded_linear, avx2_vnni),
    KERNEL(coded_linear, vnni),
    KERNELS(paged_attention),
    KERNELS(attention),
    KERNEL(attention, bf16),
    KERNELS(attention_grad),
    KERNELS(rms_norm),
    KERNELS(layer_norm),
    KERNELS(rope),
    KERNELS(resize),
};
// clang-format on

static const evla_plugin self = {.magic = EVLA_MAGIC,
                                 .size = sizeof self,
                                 .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
                                 .id = "evla.cpu-x86",
                                 .version = "0.1.0",
                                 .license = "Apache-2.0",
                                 .items = items,
                                 .n_items = sizeof items / sizeof *items};

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
