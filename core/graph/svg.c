/*
 * svg.c -- text that grows, with what SVG needs. See svg.h.
 */
#include "svg.h"
#include <stdio.h>
#include <string.h>

static int room(svg *s, size_t more)
{
    if (s->failed) return 0;
    if (s->cap - s->n > more) return 1;
    size_t cap = (s->cap + more) * 2 + 4096;
    char *wide = arena_push_aligned(s->a, cap, 1, 1);
    if (!wide) return s->failed = 1, 0;
    if (s->n) memcpy(wide, s->text, s->n);
    s->text = wide;
    s->cap = cap;
    return 1;
}

void svg_put(svg *s, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    if (n > 0 && room(s, (size_t)n + 1)) {
        vsnprintf(s->text + s->n, (size_t)n + 1, format, again);
        s->n += (size_t)n;
    }
    va_end(again);
    va_end(ap);
}

void svg_word(svg *s, const char *text, int most)
{
    int n = (int)strlen(text), cut = n > most;
    for (int i = 0; i < (cut ? most - 1 : n); i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '<')
            svg_put(s, "&lt;");
        else if (c == '>')
            svg_put(s, "&gt;");
        else if (c == '&')
            svg_put(s, "&amp;");
        else if (c >= ' ')
            svg_put(s, "%c", c);
    }
    if (cut) svg_put(s, "\xe2\x80\xa6");
}

int svg_hue(const char *name)
{
    uint32_t h = 2166136261u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return (int)((h >> 8) % 24) * 15; /* hues far enough apart to tell */
}

void svg_bytes(char *to, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    int u = 0;
    for (; v >= 1024 && u < 4; u++)
        v /= 1024;
    snprintf(to, 24,
             v < 10 && u    ? "%.2f %s"
             : v < 100 && u ? "%.1f %s"
                            : "%.0f %s",
             v, units[u]);
}

void svg_flops(char *to, double flops)
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    int u = 0;
    for (; flops >= 1000 && u < 4; u++)
        flops /= 1000;
    snprintf(to, 24, flops < 10 && u ? "%.2f %sFLOP" : "%.0f %sFLOP", flops, units[u]);
}

void svg_begin(svg *s, double width, double height, const char *title)
{
    svg_put(s,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
            "width=\"%.0f\" "
            "height=\"%.0f\" font-family=\"system-ui,DejaVu Sans,sans-serif\" "
            "font-size=\"12\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fbfbfa\"/>\n"
            "<text x=\"24\" y=\"30\" font-size=\"16\" font-weight=\"600\" fill=\"#222\">",
            width, height, width, height);
    svg_word(s, title, 120);
    svg_put(s, "</text>\n");
}

const char *svg_end(svg *s)
{
    svg_put(s, "</svg>\n");
    return s->failed ? NULL : s->text;
}
