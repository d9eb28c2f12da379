/*
 * fuzz_hdf5.c -- plugins/hdf5/reader.c on hostile files: opens, lists, and reads every row.
 *
 * Checksums count as right in this build, so that fuzzing gets past them.
 */
#include "../../plugins/hdf5/reader.h"
#include "../stage_host.h"
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void read_demo(const evla_host *h, reader *r, int64_t i, const reader_demo *d)
{
    for (int32_t k = 0; k < d->n_fields; k++) {
        const reader_field *f = &d->fields[k];
        if (f->set.bytes > 1 << 22) continue; /* what the records' owner would refuse */
        int64_t rows = f->set.rank ? f->set.shape[0] : 1;
        uint8_t *out = malloc(f->set.bytes + 1);
        if (!out) abort();
        reader_rows(h, r, i, f, 0, rows, out);
        if (rows > 1) reader_rows(h, r, i, f, rows / 2, 1, out);
        free(out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static int fd = -1;
    char path[64];
    stage_host s;
    reader *r = NULL;
    if (fd < 0) fd = memfd_create("fuzz", 0);
    if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, n, 0) != (ssize_t)n) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const evla_host *h = host_init(&s);
    int32_t st = reader_open(h, path, n & 1 ? "train" : NULL, &r);
    if (st && !s.why[0]) abort(); /* a refusal is a sentence */
    for (int64_t i = 0; !st && i < reader_count(r) && i < 8; i++) {
        const reader_demo *d;
        host_clear(&s);
        int32_t bad = reader_get(h, r, i, &d);
        if (bad && !s.why[0]) abort();
        if (!bad) read_demo(h, r, i, d);
    }
    reader_close(r);
    host_free(&s);
    return 0;
}
