/*
 * colour.c -- depth and labels as colours that people can read.
 *
 * Reads: metres, label numbers.  Writes: RGB, 8 bits a channel.
 */
#include "colour.h"

#include <math.h>

static const uint8_t nothing[3] = {44, 44, 48};

/* Fifth-degree polynomials through six colours at 0, 0.2, ... 1: indigo, blue, turquoise,
 * green, orange, deep red. Own choice, in the spirit of rainbow maps with even lightness
 * steps. */
static const float ramp[3][6] = {{52.0f, 940.8f, -8039.6f, 21333.3f, -20885.4f, 6770.8f},
                                 {36.0f, 221.0f, 1108.3f, -1906.2f, 416.7f, 156.3f},
                                 {92.0f, 646.7f, 1762.5f, -13208.3f, 19062.5f, -8333.3f}};

int32_t colour_depth(const evla_host *h, const float *depth, int64_t n, float near_m,
                     float far_m, uint8_t *rgb)
{
    if (n < 0) return h->fail(h, EVLA_E_ARG, "depth colours: a negative number of pixels");
    if (!(near_m >= 0 && far_m > near_m && isfinite(far_m)))
        return h->fail(h, EVLA_E_RANGE, "depth colours: want 0 <= near < far, both finite");
    const float scale = 1 / (far_m - near_m);
    for (int64_t i = 0; i < n; i++, rgb += 3) {
        if (!(depth[i] > 0 && isfinite(depth[i]))) {
            for (int c = 0; c < 3; c++)
                rgb[c] = nothing[c];
            continue;
        }
        float t = (far_m - depth[i]) * scale;
        t = t < 0 ? 0 : t > 1 ? 1 : t;
        for (int c = 0; c < 3; c++) {
            const float *p = ramp[c];
            const float v =
                p[0] + t * (p[1] + t * (p[2] + t * (p[3] + t * (p[4] + t * p[5]))));
            rgb[c] = (uint8_t)(v < 0 ? 0 : v > 254.5f ? 255 : v + 0.5f);
        }
    }
    return EVLA_OK;
}

/* Each is as far from all earlier ones as a search over hues, saturations and values found.
 */
// clang-format off
static const uint8_t label_rgb[32][3] = {
    { 44,  44,  48}, { 60, 130, 235}, {242, 242,  36}, {242,  36, 174},
    { 36, 242,  71}, {191, 110,  29}, {133, 242, 206}, {206, 133, 242},
    { 29,  29, 191}, { 77, 140,  98}, {140,  21, 120}, {139,  36, 242},
    {242, 170, 133}, {137, 191,  29}, {242,  36,  36}, { 29, 191, 164},
    { 36, 242, 242}, {191, 105, 134}, {140,  21,  21}, {206, 242, 133},
    { 21, 140,  21}, { 77,  77, 140}, {133, 170, 242}, {242, 174,  36},
    {137, 242,  85}, {140,  77,  77}, {134, 105, 191}, {105, 191, 134},
    { 36,  71, 242}, {177, 191, 105}, {242,  85,  85}, {101, 140,  21}
};
// clang-format on

int32_t colour_labels(const evla_host *h, const uint8_t *labels, int64_t n, uint8_t *rgb)
{
    if (n < 0) return h->fail(h, EVLA_E_ARG, "label colours: a negative number of pixels");
    for (int64_t i = 0; i < n; i++) {
        /* from 32 on the colours return, darker */
        const uint8_t *from = label_rgb[labels[i] & 31];
        const int turn = labels[i] >> 5;
        for (int c = 0; c < 3; c++)
            rgb[3 * i + c] = (uint8_t)(from[c] * (10 - turn) / 10);
    }
    return EVLA_OK;
}
