/*
 * fuzz_npy.c -- plugins/npy on hostile files: what is read is looked at to the last byte.
 */
#include "../../plugins/npy/head.h"
#include "../stage_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    stage_host s;
    evla_tensor t;
    const evla_host *h = host_init(&s);
    uint8_t *exact = malloc(n); /* exactly: a sanitizer sees what lies behind */
    if (n && !exact) abort();
    if (n) memcpy(exact, data, n);
    if (head_read(h, "f", exact, n, &t) < 0) {
        if (!s.why[0] || strchr(s.why, '\n')) abort(); /* a refusal is a sentence */
    } else {
        uint64_t bytes = (uint64_t)host_dtype_bytes(h, t.dtype, 1), sum = 0;
        for (int32_t i = 0; i < t.rank; i++)
            bytes *= (uint64_t)t.shape[i];
        const uint8_t *p = t.data[0];
        if (bytes > n || p + bytes != exact + n) abort();
        for (uint64_t i = 0; i < bytes; i++)
            sum += p[i];
        if (sum == UINT64_MAX) abort();
    }
    free(exact);
    host_free(&s);
    return 0;
}
