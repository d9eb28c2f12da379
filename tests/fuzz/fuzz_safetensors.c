/*
 * fuzz_safetensors.c -- plugins/safetensors on hostile files: what is read is looked at to
 * the last byte, and written so that it reads as the same again. The first byte chooses
 * between raw bytes and a header's text with its right length.
 */
#include "../../plugins/safetensors/header.h"
#include "../../plugins/safetensors/write.h"
#include "../stage_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint64_t bytes_of(const evla_host *h, const evla_tensor *t)
{
    int64_t n = 1;
    for (int32_t i = 0; i < t->rank; i++)
        n = t->shape[i] ? n * t->shape[i] : 0;
    for (int32_t i = 0; i < t->rank; i++)
        if (!t->shape[i]) n = 0;
    return (uint64_t)host_dtype_bytes(h, t->dtype, n);
}

static void write_again(const evla_host *h, const header *x)
{
    static host_file file;
    header again;
    evla_archive all = {.size = sizeof all,
                        .n_attrs = x->n_attrs,
                        .n_tensors = x->n_tensors,
                        .tensors = x->tensors,
                        .attrs = x->attrs};
    if (write_archive(h, &all, host_file_init(&file, sizeof file.bytes)) < 0) abort();
    uint8_t *bytes = malloc(file.n); /* exactly: a sanitizer sees what lies behind */
    if (!bytes) abort();
    memcpy(bytes, file.bytes, file.n);
    if (header_read(h, "again", bytes, file.n, &again) < 0) abort();
    if (again.n_tensors != x->n_tensors || again.n_attrs != x->n_attrs) abort();
    for (int64_t i = 0; i < x->n_tensors; i++) {
        const evla_tensor *a = &x->tensors[i].value, *b = &again.tensors[i].value;
        if (strcmp(x->tensors[i].name, again.tensors[i].name) || a->dtype != b->dtype ||
            a->rank != b->rank || memcmp(a->shape, b->shape, sizeof a->shape) ||
            memcmp(a->data[0], b->data[0], bytes_of(h, a)))
            abort();
    }
    for (int32_t i = 0; i < x->n_attrs; i++)
        if (strcmp(x->attrs[i].name, again.attrs[i].name) ||
            strcmp(x->attrs[i].text, again.attrs[i].text))
            abort();
    header_free(&again);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    stage_host s;
    header x;
    if (!n) return 0;
    const evla_host *h = host_init(&s);
    /* data behind a header that is all text: as much as a few small tensors take */
    size_t more = data[0] & 1 ? 0 : 8 + (data[0] >> 1), size = n - 1 + more;
    uint8_t *file = calloc(1, size + 1);
    uint8_t *exact = malloc(size);
    if (!file || (size && !exact)) abort();
    if (more)
        for (int i = 0; i < 8; i++)
            file[i] = (uint8_t)((n - 1) >> 8 * i);
    memcpy(file + (more ? 8 : 0), data + 1, n - 1);
    if (size) memcpy(exact, file, size);
    if (header_read(h, "f", exact, size, &x) < 0) {
        if (!s.why[0] || strchr(s.why, '\n')) abort(); /* a refusal is a sentence */
    } else {
        uint64_t sum = 0, total = 0;
        for (int64_t i = 0; i < x.n_tensors; i++) {
            const uint8_t *p = x.tensors[i].value.data[0];
            uint64_t k = bytes_of(h, &x.tensors[i].value);
            total += k;
            for (uint64_t b = 0; b < k; b++)
                sum += p[b];
        }
        if (total > size || sum == UINT64_MAX) abort();
        write_again(h, &x);
    }
    header_free(&x);
    free(file);
    free(exact);
    host_free(&s);
    return 0;
}
