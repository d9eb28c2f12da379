/*
 * svg.h -- text that grows, with what SVG needs: escaped words, colours from names, sizes
 * for people.
 */
#ifndef EVLA_GRAPH_SVG_H
#define EVLA_GRAPH_SVG_H
#include "../arena.h"

typedef struct svg {
    arena *a;
    char *text;
    size_t n, cap;
    int failed;
} svg;

__attribute__((format(printf, 2, 3))) void svg_put(svg *s, const char *format, ...);
/* At most `most` letters of a text, with <, > and & made harmless. */
void svg_word(svg *s, const char *text, int most);
/* A hue, 0 to 359, that belongs to a name. */
int svg_hue(const char *name);
/* "1.5 MiB" and "3.2 MFLOP" into a buffer of 24. */
void svg_bytes(char *to, uint64_t bytes);
void svg_flops(char *to, double flops);
void svg_begin(svg *s, double width, double height, const char *title);
const char *svg_end(svg *s); /* NULL when memory was out */

#endif
