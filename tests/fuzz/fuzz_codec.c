/*
 * fuzz_codec.c -- picture files of plugins/image that mean harm: refused with a sentence,
 * or as many pixels as they measure. What is decoded twice is the same.
 */
#include "../../plugins/image/codec.h"
#include "../stage_host.h"

enum { MOST_PIXELS = 1 << 18 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void read_twice(const evla_codec *codec, stage_host *s, const evla_picture_file *f)
{
    static const uint8_t behind[3] = {10, 20, 30};
    int64_t size[2] = {0, 0};
    if (codec->measure(&s->h, f, size) < 0 || size[0] * size[1] > MOST_PIXELS) return;
    if (size[0] < 1 || size[1] < 1) abort();
    size_t bytes = 3 * (size_t)(size[0] * size[1]);
    uint8_t *a = malloc(bytes), *b = malloc(bytes);
    if (!a || !b) abort();
    memset(a, 0, bytes), memset(b, 0xff, bytes);
    int32_t st = codec->decode(&s->h, f, behind, a);
    if (codec->decode(&s->h, f, behind, b) != st) abort();
    if (st == 0 && memcmp(a, b, bytes)) abort();
    free(a);
    free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const evla_codec *const codecs[] = {&jpeg_codec, &png_codec};
    const evla_picture_file f = {"f", data, n};
    for (int i = 0; i < 2; i++) {
        stage_host s;
        const evla_host *h = host_init(&s);
        if (codecs[i]->probe(h, data, n)) read_twice(codecs[i], &s, &f);
        if (s.code && (!s.why[0] || strchr(s.why, '\n')))
            abort(); /* a refusal is a sentence */
        host_free(&s);
    }
    return 0;
}
