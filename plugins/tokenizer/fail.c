/*
 * fail.c -- a refusal with numbers and names in its sentence.
 */
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "unicode.h"

int32_t fail(const evla_host *h, int32_t code, const char *form, ...)
{
    char why[1000];
    va_list ap;
    va_start(ap, form);
    vsnprintf(why, sizeof why, form, ap);
    va_end(ap);
    const size_t n = strlen(why);
    for (size_t i = 0, step; i < n; i += step) {
        uint32_t c;
        step = utf8_next(why + i, n - i, &c);
        if (c < 0x20 || c == 0x7f || (c == UTF8_BAD && step == 1)) why[i] = '?';
    }
    return h->fail(h, code, why);
}
