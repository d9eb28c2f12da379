/*
 * png.c -- pictures as PNG files and as text for web pages, by libspng.
 *
 * Reads: a picture in memory.  Writes: a file, or a data URI into the caller's memory.
 * Not here: what the picture shows (strip.c, colour.c).
 */
#include "png.h"

#include <errno.h>
#include <spng.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

__attribute__((format(printf, 3, 4))) static int32_t fail(const evla_host *h, int32_t code,
                                                          const char *form, ...)
{
    char why[512];
    va_list ap;
    va_start(ap, form);
    vsnprintf(why, sizeof why, form, ap);
    va_end(ap);
    return h->fail(h, code, why);
}

static int32_t check(const evla_host *h, const evla_picture *p)
{
    if (p->channels != 1 && p->channels != 3 && p->channels != 4)
        return fail(h, EVLA_E_SHAPE, "png: %d channels, want 1, 3 or 4", p->channels);
    if (p->bits != 8 && p->bits != 16)
        return fail(h, EVLA_E_SHAPE, "png: %d bits, want 8 or 16", p->bits);
    if (p->width < 1 || p->height < 1 || p->width > PNG_MAX_SIDE ||
        p->height > PNG_MAX_SIDE)
        return fail(h, EVLA_E_SHAPE, "png: %d x %d pixels, want 1..%d", p->width, p->height,
                    PNG_MAX_SIDE);
    const int64_t dense = (int64_t)p->width * p->channels * (p->bits / 8);
    if (p->row_bytes != 0 && p->row_bytes < dense)
        return fail(h, EVLA_E_SHAPE, "png: rows of %lld bytes, want %lld or more",
                    (long long)p->row_bytes, (long long)dense);
    return p->data ? EVLA_OK : fail(h, EVLA_E_ARG, "png: no pixels");
}

static int encode_rows(spng_ctx *ctx, const evla_picture *p)
{
    const size_t dense = (size_t)p->width * (size_t)p->channels * (size_t)(p->bits / 8);
    const size_t step = p->row_bytes ? (size_t)p->row_bytes : dense;
    struct spng_ihdr head = {
        .width = (uint32_t)p->width,
        .height = (uint32_t)p->height,
        .bit_depth = (uint8_t)p->bits,
        .color_type = p->channels == 1   ? SPNG_COLOR_TYPE_GRAYSCALE
                      : p->channels == 3 ? SPNG_COLOR_TYPE_TRUECOLOR
                                         : SPNG_COLOR_TYPE_TRUECOLOR_ALPHA,
    };
    int st = spng_set_ihdr(ctx, &head);
    if (!st) st = spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1);
    if (!st)
        st = spng_encode_image(ctx, NULL, 0, SPNG_FMT_PNG,
                               SPNG_ENCODE_PROGRESSIVE | SPNG_ENCODE_FINALIZE);
    for (int32_t y = 0; !st && y < p->height; y++)
        st = spng_encode_row(ctx, (const unsigned char *)p->data + (size_t)y * step, dense);
    return st == SPNG_EOI ? 0 : st;
}

/* The PNG in malloc'ed memory. */
static int32_t encode(const evla_host *h, const evla_picture *p, unsigned char **png,
                      size_t *n)
{
    *png = NULL;
    int32_t st = check(h, p);
    if (st < 0) return st;
    spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
    int code = ctx ? encode_rows(ctx, p) : SPNG_EMEM;
    if (!code) *png = spng_get_png_buffer(ctx, n, &code);
    spng_ctx_free(ctx);
    if (code == SPNG_EMEM || code == SPNG_EZLIB_INIT)
        return fail(h, EVLA_E_NOMEM, "png: %d x %d pixels: out of memory", p->width,
                    p->height);
    if (code || !*png) return fail(h, EVLA_E_BUG, "png: %s", spng_strerror(code));
    return EVLA_OK;
}

static int32_t store(const evla_host *h, const char *path, const unsigned char *png,
                     size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f) return fail(h, EVLA_E_IO, "%s: %s", path, strerror(errno));
    const int wrote = fwrite(png, 1, n, f) == n && fflush(f) == 0;
    const int why = errno;
    if (fclose(f) == 0 && wrote) return EVLA_OK;
    return fail(h, EVLA_E_IO, "%s: %s", path, strerror(wrote ? errno : why));
}

int32_t png_write(const evla_host *h, const char *path, const evla_picture *p)
{
    unsigned char *png;
    size_t n = 0;
    struct stat old;
    char part[4096];
    int32_t st = encode(h, p, &png, &n);
    if (st < 0) return st;
    if (stat(path, &old) == 0 && !S_ISREG(old.st_mode) && !S_ISDIR(old.st_mode)) {
        st = store(h, path, png, n);
    } else if ((size_t)snprintf(part, sizeof part, "%s.part", path) >= sizeof part) {
        st = fail(h, EVLA_E_IO, "%.200s...: the path is too long", path);
    } else {
        st = store(h, part, png, n);
        if (st == EVLA_OK && rename(part, path) != 0)
            st = fail(h, EVLA_E_IO, "%s: %s", path, strerror(errno));
        if (st < 0) remove(part);
    }
    free(png);
    return st;
}
