/*
 * fuzz_gguf.c -- plugins/gguf on hostile files: what is read is looked at to the last byte,
 * and written so that it reads as the same again.
 */
#include "../../plugins/gguf/head.h"
#include "../../plugins/gguf/write.h"
#include "../stage_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint64_t bytes_of(const evla_host *h, const evla_tensor *t)
{
    int64_t n = 1;
    for (int32_t i = 0; i < t->rank; i++)
        if (!t->shape[i]) return 0;
    for (int32_t i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return (uint64_t)host_dtype_bytes(h, t->dtype, n);
}

/* Bytes that a list lies in, of all of which the sum is taken. */
static uint64_t look(const evla_host *h, const evla_attr *a, uint64_t *sum)
{
    uint64_t total = 0;
    const evla_text *t = a->items;
    const uint8_t *p = a->items;
    if (a->type == EVLA_ATTR_NUMBERS) {
        total = (uint64_t)(a->n_items * host_dtype_bytes(h, a->element, 1));
        for (uint64_t i = 0; i < total; i++)
            *sum += p[i];
    } else if (a->type == EVLA_ATTR_TEXTS) {
        for (int64_t i = 0; i < a->n_items; i++, t++)
            for (uint64_t k = 0; k < t->n; k++, total++)
                *sum += (uint8_t)t->at[k];
    } else if (a->type == EVLA_ATTR_TEXT)
        total = strlen(a->text);
    return total;
}

static int same(const evla_host *h, const evla_attr *a, const evla_attr *b)
{
    uint64_t x = 0, y = 0;
    return !strcmp(a->name, b->name) && a->type == b->type && a->element == b->element &&
           a->integer == b->integer && !memcmp(&a->number, &b->number, sizeof a->number) &&
           a->n_items == b->n_items && look(h, a, &x) == look(h, b, &y) && x == y &&
           (a->type != EVLA_ATTR_TEXT || !strcmp(a->text, b->text));
}

/* Names that no reader holds are refused, which is the one reason not to write a file. */
static int may_fail(const head *x)
{
    for (int64_t i = 0; i < x->n_tensors; i++)
        if (strlen(x->tensors[i].name) > 63) return 1;
    for (int32_t i = 0; i < x->n_attrs; i++)
        if (strlen(x->attrs[i].name) > 65535) return 1;
    return 0;
}

static void write_again(const evla_host *h, const head *x)
{
    static host_file file;
    head again;
    evla_archive all = {.size = sizeof all,
                        .n_attrs = x->n_attrs,
                        .n_tensors = x->n_tensors,
                        .tensors = x->tensors,
                        .attrs = x->attrs};
    if (write_archive(h, &all, host_file_init(&file, sizeof file.bytes)) < 0) {
        if (!may_fail(x)) abort();
        return;
    }
    uint8_t *bytes = malloc(file.n); /* exactly: a sanitizer sees what lies behind */
    if (!bytes) abort();
    memcpy(bytes, file.bytes, file.n);
    if (head_read(h, "again", bytes, file.n, &again) < 0) abort();
    if (again.n_tensors != x->n_tensors || again.n_attrs != x->n_attrs) abort();
    for (int64_t i = 0; i < x->n_tensors; i++) {
        const evla_tensor *a = &x->tensors[i].value, *b = &again.tensors[i].value;
        if (strcmp(x->tensors[i].name, again.tensors[i].name) || a->dtype != b->dtype ||
            a->rank != b->rank || memcmp(a->shape, b->shape, sizeof a->shape) ||
            memcmp(a->data[0], b->data[0], bytes_of(h, a)))
            abort();
    }
    for (int32_t i = 0; i < x->n_attrs; i++)
        if (!same(h, &x->attrs[i], &again.attrs[i])) abort();
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    stage_host s;
    head x;
    const evla_host *h = host_init(&s);
    uint8_t *exact = malloc(n);
    if (n && !exact) abort();
    if (n) memcpy(exact, data, n);
    int32_t st = head_read(h, "f", exact, n, &x);
    if (st >= 0) st = head_sort_tensors(h, "f", x.tensors, x.n_tensors);
    if (st < 0) {
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
        for (int32_t i = 0; i < x.n_attrs; i++)
            total += look(h, &x.attrs[i], &sum);
        if (total > n || sum == UINT64_MAX) abort();
        write_again(h, &x);
    }
    free(exact);
    host_free(&s);
    return 0;
}
