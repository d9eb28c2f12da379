/*
 * strip.c -- film strips: some frames of a film side by side, with captions and a title.
 *
 * Reads: a stack of RGB frames.  Writes: one PNG.
 * Not here: letters (font.c), the file (png.c).
 */
#include "strip.h"

#include <stdio.h>
#include <string.h>

#include "font.h"
#include "png.h"

static const uint8_t paper[3] = {250, 250, 248}, ink[3] = {40, 42, 46},
                     frame_ink[3] = {86, 88, 94};

enum { GAP = 4, MAX_SCALE = 64, MAX_PIXELS = 64 << 20 };

/* Everything in pixels. */
typedef struct layout {
    int32_t n, columns, rows;
    int32_t tile_w, tile_h; /* one enlarged frame */
    int32_t gap, zoom;      /* zoom: pixels per dot of the font */
    int32_t title_h, caption_h;
    int64_t width, height;
} layout;

static int32_t check(const evla_host *h, const evla_strip *s)
{
    char why[160];
    const evla_tensor *t = s->frames;
    if (t->dtype != EVLA_U8)
        return h->fail(h, EVLA_E_DTYPE, "film strip: frames must be u8");
    if (t->rank != 4 || t->shape[3] != 3 || t->shape[0] < 1 || t->shape[1] < 1 ||
        t->shape[2] < 1 || t->shape[1] > PNG_MAX_SIDE || t->shape[2] > PNG_MAX_SIDE)
        return h->fail(h, EVLA_E_SHAPE,
                       "film strip: frames must be [F,H,W,3], none of them empty");
    if (s->scale < 1 || s->scale > MAX_SCALE) {
        snprintf(why, sizeof why, "film strip: scale %d, want 1..%d", s->scale, MAX_SCALE);
        return h->fail(h, EVLA_E_RANGE, why);
    }
    if (s->n_picks < 1 || s->columns < 0)
        return h->fail(h, EVLA_E_RANGE, "film strip: want at least one frame");
    for (int32_t i = 0; s->picks && i < s->n_picks; i++)
        if (s->picks[i] < 0 || s->picks[i] >= t->shape[0]) {
            snprintf(why, sizeof why, "film strip: frame %lld of a film of %lld",
                     (long long)s->picks[i], (long long)t->shape[0]);
            return h->fail(h, EVLA_E_RANGE, why);
        }
    return EVLA_OK;
}

static layout lay_out(const evla_strip *s)
{
    const evla_tensor *t = s->frames;
    layout l = {.n = s->n_picks, .gap = GAP * s->scale};
    if (!s->picks && l.n > t->shape[0]) l.n = (int32_t)t->shape[0];
    l.columns = s->columns > 0 && s->columns < l.n ? s->columns : l.n;
    l.rows = (l.n + l.columns - 1) / l.columns;
    l.tile_w = (int32_t)t->shape[2] * s->scale;
    l.tile_h = (int32_t)t->shape[1] * s->scale;
    l.gap = l.gap > 12 ? 12 : l.gap;
    l.zoom = l.tile_w >= 720 ? 3 : l.tile_w >= 180 ? 2 : 1;
    l.title_h = s->title ? (FONT_HEIGHT + 3) * l.zoom : 0;
    l.caption_h = s->captions ? (FONT_HEIGHT + 3) * l.zoom : 0;
    l.width = l.gap + (int64_t)l.columns * (l.tile_w + l.gap);
    l.height = l.gap + l.title_h + (int64_t)l.rows * (l.tile_h + l.caption_h + l.gap);
    return l;
}

static int64_t pick_of(const evla_strip *s, const layout *l, int32_t i)
{
    if (s->picks) return s->picks[i];
    if (l->n == 1) return s->frames->shape[0] / 2;
    return (2 * i * (s->frames->shape[0] - 1) + l->n - 1) / (2 * (l->n - 1)); /* rounded */
}

static void draw_frame(const font_canvas *c, const evla_tensor *t, int64_t frame,
                       int32_t scale, int32_t left, int32_t top)
{
    const uint8_t *from = (const uint8_t *)t->data[0] + frame * t->stride[0];
    for (int32_t y = 0; y < t->shape[1]; y++) {
        uint8_t *to =
            c->rgb + 3 * ((size_t)(top + y * scale) * (size_t)c->width + (size_t)left);
        uint8_t *first = to;
        for (int32_t x = 0; x < t->shape[2]; x++) {
            const uint8_t *p = from + y * t->stride[1] + x * t->stride[2];
            for (int32_t k = 0; k < scale; k++, to += 3)
                for (int32_t i = 0; i < 3; i++)
                    to[i] = p[i * t->stride[3]];
        }
        for (int32_t k = 1; k < scale; k++)
            memcpy(first + 3 * (size_t)k * (size_t)c->width, first, (size_t)(to - first));
    }
}

int32_t strip_write(const evla_host *h, const char *path, const evla_strip *s)
{
    int32_t st = check(h, s);
    if (st < 0) return st;
    const layout l = lay_out(s);
    if (l.width > PNG_MAX_SIDE || l.height > PNG_MAX_SIDE ||
        l.width * l.height > MAX_PIXELS) {
        char why[160];
        snprintf(why, sizeof why,
                 "film strip: %lld x %lld pixels are too many; want fewer frames or "
                 "a smaller scale",
                 (long long)l.width, (long long)l.height);
        return h->fail(h, EVLA_E_LIMIT, why);
    }
    font_canvas c = {NULL, (int32_t)l.width, (int32_t)l.height};
    const size_t n_pixels = (size_t)c.width * (size_t)c.height;
    c.rgb = h->scratch(h, 3 * n_pixels);
    if (!c.rgb) return h->fail(h, EVLA_E_NOMEM, "film strip: out of memory");
    for (size_t i = 0; i < n_pixels; i++)
        memcpy(c.rgb + 3 * i, paper, 3);
    if (s->title) font_draw(&c, s->title, l.gap, l.gap, c.width - 2 * l.gap, l.zoom, ink);
    for (int32_t i = 0; i < l.n; i++) {
        const int32_t x = l.gap + i % l.columns * (l.tile_w + l.gap);
        const int32_t y =
            l.gap + l.title_h + i / l.columns * (l.tile_h + l.caption_h + l.gap);
        draw_frame(&c, s->frames, pick_of(s, &l, i), s->scale, x, y);
        if (s->captions && s->captions[i])
            font_draw(&c, s->captions[i], x, y + l.tile_h + 2 * l.zoom, l.tile_w, l.zoom,
                      frame_ink);
    }
    const evla_picture p = {c.rgb, 0, c.width, c.height, 3, 8};
    return png_write(h, path, &p);
}
