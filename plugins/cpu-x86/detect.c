/*
 * detect.c -- the machines of this plugin, and which of them this processor is.
 *
 * A feature counts when the processor has it and the system saves its registers (XCR0).
 */
#include "list.h"
#include <cpuid.h>
#include <stdio.h>

typedef struct wanted {
    const char *name;
    uint32_t leaf, sub;
    int reg, bit;   /* reg: 0 eax, 1 ebx, 2 ecx, 3 edx */
    uint32_t saved; /* bits of XCR0 */
} wanted;

// clang-format off
enum { YMM = 0x6, ZMM = 0xe6 };
static const wanted avx2[] = {
    {"avx2", 7, 0, 1, 5, YMM}, {"fma", 1, 0, 2, 12, YMM}, {"avx", 1, 0, 2, 28, YMM}, {"f16c", 1, 0, 2, 29, YMM}};
static const wanted avx512[] = {
    {"avx512f", 7, 0, 1, 16, ZMM}, {"avx512bw", 7, 0, 1, 30, ZMM},
    {"avx512dq", 7, 0, 1, 17, ZMM}, {"avx512vl", 7, 0, 1, 31, ZMM}};
static const wanted avx_vnni[] = {{"avx_vnni", 7, 1, 0, 4, YMM}};
static const wanted avx512_vnni[] = {{"avx512_vnni", 7, 0, 2, 11, ZMM}};
static const wanted avx512_bf16[] = {{"avx512_bf16", 7, 1, 0, 5, ZMM}};
// clang-format on

static uint32_t saved_registers(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return 0; /* no OSXSAVE */
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

static int has(const wanted *w)
{
    uint32_t r[4] = {0};
    if (!__get_cpuid_count(w->leaf, w->sub, &r[0], &r[1], &r[2], &r[3])) return 0;
    return (r[w->reg] >> w->bit & 1) && (saved_registers() & w->saved) == w->saved;
}

static int32_t need(const evla_host *h, const wanted *w, size_t n)
{
    char text[96];
    for (size_t i = 0; i < n; i++) {
        if (has(&w[i])) continue;
        snprintf(text, sizeof text, "the processor, or the system, has no %s", w[i].name);
        return h->fail(h, EVLA_E_MISSING, text);
    }
    return EVLA_OK;
}
#define NEED(list) need(h, list, sizeof(list) / sizeof *(list))

static int32_t detect_avx2(const evla_host *h, evla_machine *out)
{
    out->features = "avx2 fma";
    return NEED(avx2);
}

static int32_t detect_avx2_vnni(const evla_host *h, evla_machine *out)
{
    int32_t st = NEED(avx2);
    out->features = "avx2 fma avx_vnni";
    return st < 0 ? st : NEED(avx_vnni);
}

static int32_t detect_avx512(const evla_host *h, evla_machine *out)
{
    int32_t st = NEED(avx2);
    out->features = "avx2 fma avx512";
    return st < 0 ? st : NEED(avx512);
}

static int32_t detect_vnni(const evla_host *h, evla_machine *out)
{
    int32_t st = detect_avx512(h, out);
    out->features = "avx2 fma avx512 avx512_vnni";
    return st < 0 ? st : NEED(avx512_vnni);
}

static int32_t detect_bf16(const evla_host *h, evla_machine *out)
{
    int32_t st = detect_vnni(h, out);
    out->features = "avx2 fma avx512 avx512_vnni avx512_bf16";
    return st < 0 ? st : NEED(avx512_bf16);
}

#define MACHINE(id, place)                                                                 \
    const evla_machine_kind id##_machine = {                                               \
        .size = sizeof id##_machine, .rank = (place), .detect = detect_##id};
MACHINE(avx2, 20)
MACHINE(avx2_vnni, 25)
MACHINE(avx512, 30)
MACHINE(vnni, 40)
MACHINE(bf16, 50)
