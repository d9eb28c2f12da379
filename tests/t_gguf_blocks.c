/*
 * t_gguf_blocks.c -- plugins/gguf's number formats: what they say of themselves and refuse.
 * What they decode and encode is compared with ggml's own in gguf_blocks.t.
 */
#include "stage_host.h"
#include "tap.h"
#include <math.h>

static const struct {
    const char *name;
    int elements, bytes;
    float most; /* the largest magnitude */
} formats[] = {
    {"q8_0", 32, 34, 65504.0f * 127},  {"q4_0", 32, 18, 65504.0f * 8},
    {"q4_1", 32, 20, 65504},           {"q5_0", 32, 22, 65504.0f * 16},
    {"q5_1", 32, 24, 65504},           {"q4_k", 256, 144, 65504.0f * 63},
    {"q5_k", 256, 176, 65504.0f * 63}, {"q6_k", 256, 210, 65504.0f * 4096},
};
enum { FORMATS = sizeof formats / sizeof *formats, VALUES = 512 };

static void test_refusal(const evla_dtype *f, const char *name, float bad, const char *want)
{
    stage_host s;
    const evla_host *h = host_init(&s);
    float x[VALUES] = {0};
    uint8_t codes[VALUES * 2];
    x[300] = bad;
    int32_t st = f->encode(h, x, VALUES, codes);
    ok(st == EVLA_E_RANGE && strstr(s.why, want) && strstr(s.why, name), "%s: %g: %s", name,
       (double)bad, s.why);
    host_free(&s);
}

/* The greatest numbers stay finite, and lose no more than a code's width. */
static void test_most(const evla_dtype *f, const char *name, float most)
{
    stage_host s;
    const evla_host *h = host_init(&s);
    float x[VALUES], back[VALUES], worst = 0;
    uint8_t codes[VALUES * 2];
    for (int i = 0; i < VALUES; i++)
        x[i] = i / 32 % 3 == 0 ? most : i / 32 % 3 == 1 ? -most : i % 2 ? most : -most;
    int32_t st = f->encode(h, x, VALUES, codes);
    f->decode(h, codes, VALUES, back);
    for (int i = 0; i < VALUES; i++)
        worst = fmaxf(worst, fabsf(back[i] - x[i]) / most);
    ok(st == EVLA_OK && worst < 0.14f, "%s: its greatest numbers lose %.3f of themselves",
       name, (double)worst);
    host_free(&s);
}

int main(void)
{
    for (int i = 0; i < FORMATS; i++) {
        const evla_item *item = host_item("gguf", EVLA_DTYPE, formats[i].name);
        if (!ok(item != NULL, "the plugin has the number format %s", formats[i].name))
            continue;
        const evla_dtype *f = item->table;
        ok(f->block_elements == formats[i].elements && f->block_bytes == formats[i].bytes,
           "%s: blocks of %d numbers in %d bytes", item->name, f->block_elements,
           f->block_bytes);
        ok(f->is_ragged == (formats[i].elements == 32), "%s: rows %s end inside a block",
           item->name, f->is_ragged ? "may" : "may not");
        ok(!strcmp(f->linear, "coded_linear") &&
               !strcmp(f->activation, "quantize_blocks") && !f->activation_params,
           "%s: a linear multiplies its codes", item->name);
        test_refusal(f, item->name, NAN, "value 300 is NaN; want finite numbers");
        test_refusal(f, item->name, INFINITY, "value 300 is infinite; want finite numbers");
        test_refusal(f, item->name, -INFINITY, "value 300 is infinite");
        test_refusal(f, item->name, nextafterf(formats[i].most, INFINITY), "hold up to");
        test_refusal(f, item->name, -1e30f, "its scales hold up to");
        test_most(f, item->name, formats[i].most);
    }
    return tap_done();
}
