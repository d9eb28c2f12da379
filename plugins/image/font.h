/*
 * font.h -- short texts in pictures; see font.c.
 */
#ifndef EVLA_IMAGE_FONT_H
#define EVLA_IMAGE_FONT_H
#include <stdint.h>

enum {
    FONT_STEP = 6,
    FONT_HEIGHT = 8,
    FONT_MAX_TEXT = 4096
}; /* dots from glyph to glyph */

typedef struct font_canvas {
    uint8_t *rgb; /* [height, width, 3] */
    int32_t width, height;
} font_canvas;

/* Glyphs of a UTF-8 text; at most FONT_MAX_TEXT. */
int32_t font_length(const char *text);

/* Writes from (x, y), the top left corner, each dot zoom x zoom pixels. A text longer than
 * `width` pixels ends in "..". What falls outside the canvas is cut. */
void font_draw(const font_canvas *c, const char *text, int32_t x, int32_t y, int32_t width,
               int32_t zoom, const uint8_t rgb[3]);

#endif
