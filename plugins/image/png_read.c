/*
 * png_read.c -- PNG files, by libspng: 1 to 16 bits, palettes, grey, transparency,
 * interlaced, turned as their EXIF chunk says. 16 bits lose their lower half. Writing:
 * png.c.
 */
#include "codec.h"
#include "turn.h"

#include <libdeflate.h>
#include <spng.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 16 << 20, CHUNKS_BYTES = 64 << 20 /* what is not pixels */ };

static int32_t refuse(const evla_host *h, const evla_picture_file *f, int code)
{
    return codec_fail(
        h, code == SPNG_EMEM || code == SPNG_EZLIB_INIT ? EVLA_E_NOMEM : EVLA_E_FORMAT, f,
        "PNG", code == SPNG_IO_EOF ? "the file ends too early" : spng_strerror(code));
}

static uint32_t number(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Orientation, from the first chunk eXIf, before the pixels or behind them; one that is
 * damaged says nothing. */
static int orientation_of(const evla_picture_file *f)
{
    const uint8_t *bytes = f->bytes;
    uint64_t at = 8, n;
    for (; at + 12 <= f->n_bytes; at += n + 12) {
        n = number(bytes + at);
        if (n > f->n_bytes - at - 12) break;
        if (memcmp(bytes + at + 4, "eXIf", 4) != 0) continue;
        int is_whole =
            libdeflate_crc32(0, bytes + at + 4, n + 4) == number(bytes + at + 8 + n);
        return is_whole ? turn_orientation(bytes + at + 8, n) : 1;
    }
    return 1;
}

/* Header, orientation, and whether a colour or a palette's entries are transparent; *ctx is
 * to be freed whatever comes. */
static int open_file(const evla_picture_file *f, spng_ctx **ctx, struct spng_ihdr *head,
                     turn *t, int *has_holes)
{
    struct spng_trns trns;
    *ctx = spng_ctx_new(0);
    int code = *ctx ? spng_set_chunk_limits(*ctx, CHUNK_BYTES, CHUNKS_BYTES) : SPNG_EMEM;
    if (!code) code = spng_set_png_buffer(*ctx, f->bytes, f->n_bytes);
    if (!code) code = spng_get_ihdr(*ctx, head);
    if (code) return code;
    *t = turn_of(orientation_of(f), head->height, head->width);
    code = spng_get_trns(*ctx, &trns); /* reads all that comes before the pixels */
    *has_holes = !code;
    return code == SPNG_ECHUNKAVAIL ? 0 : code;
}

static int32_t probe(const evla_host *h, const void *head, uint64_t n)
{
    return (void)h, n >= 8 && !memcmp(head, "\x89PNG\r\n\x1a\n", 8);
}

static int32_t measure(const evla_host *h, const evla_picture_file *f, int64_t size[2])
{
    spng_ctx *ctx;
    struct spng_ihdr head;
    turn t = {0};
    int has_holes, code = open_file(f, &ctx, &head, &t, &has_holes);
    spng_ctx_free(ctx);
    size[0] = t.height;
    size[1] = t.width;
    return code ? refuse(h, f, code) : EVLA_OK;
}

/* Pixels with transparency to where they are seen. */
static void place(const uint8_t *rgba, const struct spng_ihdr *head, const turn *t,
                  const uint8_t behind[3], uint8_t *rgb)
{
    for (int64_t y = 0; y < head->height; y++)
        for (int64_t x = 0; x < head->width; x++, rgba += 4) {
            uint8_t *to = rgb + 3 * (t->first + y * t->down + x * t->right);
            for (int k = 0; k < 3; k++)
                to[k] = codec_255((uint32_t)rgba[k] * rgba[3] +
                                  (uint32_t)behind[k] * (255u - rgba[3]));
        }
}

static int decode_pixels(const evla_picture_file *f, spng_ctx **ctx,
                         const uint8_t behind[3], uint8_t *rgb)
{
    struct spng_ihdr head;
    turn t;
    int has_holes, code = open_file(f, ctx, &head, &t, &has_holes);
    if (code) return code;
    int has_alpha = head.color_type & SPNG_COLOR_TYPE_GRAYSCALE_ALPHA || has_holes;
    size_t n = (size_t)head.height * head.width;
    if (!has_alpha && t.right == 1 && t.first == 0) {
        code = spng_decode_image(*ctx, rgb, 3 * n, SPNG_FMT_RGB8, 0);
    } else {
        uint8_t *rgba = malloc(4 * n);
        code = rgba ? spng_decode_image(*ctx, rgba, 4 * n, SPNG_FMT_RGBA8, SPNG_DECODE_TRNS)
                    : SPNG_EMEM;
        if (!code) place(rgba, &head, &t, behind, rgb);
        free(rgba);
    }
    return code ? code : spng_decode_chunks(*ctx); /* up to the end mark */
}

static int32_t decode(const evla_host *h, const evla_picture_file *f,
                      const uint8_t behind[3], uint8_t *rgb)
{
    spng_ctx *ctx;
    int code = decode_pixels(f, &ctx, behind, rgb);
    spng_ctx_free(ctx);
    return code ? refuse(h, f, code) : EVLA_OK;
}

const evla_codec png_codec = {.size = sizeof png_codec,
                              .source = "PNG specification, third edition",
                              .probe = probe,
                              .measure = measure,
                              .decode = decode};
