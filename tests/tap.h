/*
 * tap.h -- the few lines that a C test needs to speak TAP (https://testanything.org).
 *
 * A title is the claim, so that a failing line reads as a bug report.
 */
#ifndef EVLA_TESTS_TAP_H
#define EVLA_TESTS_TAP_H
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 2, 3))) static inline int ok(int claim, const char *title,
                                                           ...)
{
    va_list ap;
    va_start(ap, title);
    tap_count++;
    if (!claim) tap_failed++;
    printf("%s %d - ", claim ? "ok" : "not ok", tap_count);
    vprintf(title, ap);
    putchar('\n');
    fflush(stdout);
    va_end(ap);
    return claim;
}

/* A line for the reader, ignored by the harness. */
__attribute__((format(printf, 1, 2))) static inline void note(const char *text, ...)
{
    va_list ap;
    va_start(ap, text);
    printf("# ");
    vprintf(text, ap);
    putchar('\n');
    va_end(ap);
}

static inline int skip_all(const char *why)
{
    printf("1..0 # SKIP %s\n", why);
    exit(0);
}

static inline int tap_done(void)
{
    printf("1..%d\n", tap_count);
    return tap_failed != 0;
}
#endif
