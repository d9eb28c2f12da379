/*
 * mjcf.c -- text that grows, and the two shapes made of boxes that MJCF lacks.
 *
 * Writes: the caller's mjcf.  Not here: what a scene consists of (arm.c, coffee_model.c,
 * reach.c).
 */
#include "mjcf.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const double PI = 3.14159265358979323846;

static bool reserve(mjcf *x, size_t more)
{
    size_t want = x->length + more + 1;
    if (x->failed) return false;
    if (want <= x->capacity) return true;
    size_t capacity = x->capacity ? x->capacity : 16384;
    while (capacity < want)
        capacity *= 2;
    char *text = realloc(x->text, capacity);
    if (!text) {
        x->failed = true;
        return false;
    }
    x->text = text;
    x->capacity = capacity;
    return true;
}

void mjcf_add(mjcf *x, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) x->failed = true;
    if (n < 0 || !reserve(x, (size_t)n)) return;
    va_start(args, format);
    vsnprintf(x->text + x->length, (size_t)n + 1, format, args);
    va_end(args);
    x->length += (size_t)n;
}

void mjcf_ring(mjcf *x, int n, double radius, double wall, double z0, double z1,
               const char *attributes)
{
    double middle = radius + wall / 2, half = (radius + wall) * tan(PI / n);
    for (int i = 0; i < n; i++) {
        double a = 2 * PI * i / n;
        mjcf_add(x, "<geom type='box' size='%.5f %.5f %.5f' pos='%.5f %.5f %.5f' ",
                 wall / 2, half, (z1 - z0) / 2, middle * cos(a), middle * sin(a),
                 (z0 + z1) / 2);
        mjcf_add(x, "euler='0 0 %.6f' %s/>\n", a, attributes);
    }
}

void mjcf_prism(mjcf *x, int n, double radius, double z0, double z1, const char *attributes)
{
    double half = PI / n;
    for (int i = 0; i < n / 2; i++) {
        mjcf_add(x, "<geom type='box' size='%.5f %.5f %.5f' pos='0 0 %.5f' ",
                 radius * cos(half), radius * sin(half), (z1 - z0) / 2, (z0 + z1) / 2);
        mjcf_add(x, "euler='0 0 %.6f' %s/>\n", 2 * i * half, attributes);
    }
}

void mjcf_free(mjcf *x)
{
    free(x->text);
    *x = (mjcf){0};
}
