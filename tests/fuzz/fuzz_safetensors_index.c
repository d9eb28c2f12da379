/*
 * fuzz_safetensors_index.c -- the index of a model in several files, on hostile bytes: what
 * is read names files that lie beside it, each tensor once.
 */
#include "../../plugins/safetensors/index.h"
#include "../stage_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    stage_host s;
    shard_index x;
    const evla_host *h = host_init(&s);
    uint8_t *exact = malloc(n);
    if (n && !exact) abort();
    if (n) memcpy(exact, data, n);
    if (index_read(h, "f", exact, n, &x) < 0) {
        if (!s.why[0] || strchr(s.why, '\n')) abort(); /* a refusal is a sentence */
    } else
        for (int64_t i = 0; i < x.n; i++) {
            const char *file = x.entries[i].file;
            if (!*file || strchr(file, '/') || !strcmp(file, "..")) abort();
            if (i && strcmp(x.entries[i - 1].file, file) > 0) abort();
            if (i && !strcmp(x.entries[i - 1].file, file) &&
                strcmp(x.entries[i - 1].tensor, x.entries[i].tensor) >= 0)
                abort();
        }
    index_free(&x);
    free(exact);
    host_free(&s);
    return 0;
}
