/*
 * bench_rss.c -- what the engine itself costs: resident memory with the operators loaded,
 * before any weights. Prints the growth over the bare process and the whole.
 */
#include "evla/evla.h"
#include <stdio.h>
#include <string.h>

static long status_kb(const char *name)
{
    char line[256];
    long kb = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name))) sscanf(line + strlen(name), "%ld", &kb);
    if (f) fclose(f);
    return kb;
}

int main(int argc, char **argv)
{
    if (argc < 2) return fprintf(stderr, "usage: bench_rss PLUGIN...\n"), 2;
    long before = status_kb("VmRSS:");
    evla_engine_options o = {.size = sizeof o, .plugins = (const char *const *)(argv + 1)};
    evla_engine *e = NULL;
    if (evla_engine_new(&o, &e) < 0) return fprintf(stderr, "%s\n", evla_why(e)), 1;
    long after = status_kb("VmRSS:");
    printf("{\"rss_bytes\":%ld,\"engine_bytes\":%ld}\n", after * 1024,
           (after - before) * 1024);
    evla_engine_free(e);
    return 0;
}
