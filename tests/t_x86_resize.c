/*
 * t_x86_resize.c -- resize of plugins/cpu-x86 beside the portable kernel: the same bits,
 * for every mode, and no byte outside the output.
 */
#include "kernel_kit.h"
#include "tap.h"
#include <sys/mman.h>
#include <unistd.h>

static kit k;
static evla_machine machine;
static const char *isa;

/* Memory whose last byte is the last of a page, so that a read behind it ends the test. */
static unsigned char *at_the_end(size_t bytes, void **pages, size_t *size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *size = (bytes + page - 1) / page * page + page;
    *pages = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (*pages == MAP_FAILED) exit(1);
    if (mprotect((char *)*pages + *size - page, page, PROT_NONE) < 0) exit(1);
    return (unsigned char *)*pages + *size - page - bytes;
}

static int same_bits(kit_node *n)
{
    char name[64];
    void *pages[2];
    size_t size[2];
    if (kit_infer(&k, n) < 0) return note("%s", k.host.why), 0;
    size_t in = (size_t)kit_bytes(&k, &n->in[0]), out = (size_t)kit_bytes(&k, &n->out[0]);
    unsigned char *x = at_the_end(in, &pages[0], &size[0]);
    for (size_t i = 0; i < in && n->in[0].dtype == EVLA_U8; i++)
        x[i] = kit_draw() % 3 ? (uint8_t)kit_draw() : kit_draw() % 2 ? 255 : 0;
    for (size_t i = 0; i < in / 4 && n->in[0].dtype == EVLA_F32; i++)
        ((float *)(void *)x)[i] = kit_number();
    unsigned char *want = malloc(out + 1), *have = at_the_end(out, &pages[1], &size[1]);
    n->data[0] = x;
    n->made[0] = want;
    int good = kit_once(&k, "resize.portable", &machine, n, 1, 0) >= 0;
    snprintf(name, sizeof name, "resize.%s", isa);
    for (int backwards = 0; backwards < 2; backwards++) {
        memset(have, 0xa5 + backwards, out);
        n->made[0] = have;
        good = good && kit_once(&k, name, &machine, n, 1 + backwards, backwards) >= 0 &&
               !memcmp(have, want, out);
    }
    free(want);
    munmap(pages[0], size[0]), munmap(pages[1], size[1]);
    return good;
}

static void test_resize(int32_t dtype, const char *format)
{
    static const int64_t sizes[][5] = {
        /* lead, H, W, Ho, Wo */
        {1, 7, 5, 7, 5},         {1, 48, 64, 13, 17}, {2, 13, 17, 48, 64},
        {1, 1, 1, 5, 3},         {1, 40, 30, 1, 1},   {3, 1, 50, 20, 7},
        {1, 50, 1, 7, 20},       {1, 2, 3, 128, 127}, {1, 129, 131, 2, 3},
        {2, 120, 160, 113, 149}, {0, 4, 4, 2, 2},     {1, 200, 301, 60, 64}};
    int good = 0, cases = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int32_t mode = EVLA_RESIZE_NEAREST; mode <= EVLA_RESIZE_AREA; mode++)
            for (int32_t antialias = 0; antialias < 2; antialias++) {
                const int64_t *s = sizes[i];
                if (antialias && mode <= EVLA_RESIZE_NEAREST_FLOOR) continue;
                int64_t c = 1 + (int64_t)(i + (size_t)mode + (size_t)antialias) % 4;
                const evla_resize_params p = {
                    {.dim = {s[3], s[4]}, .rank = 2}, mode, antialias};
                kit_node n = {.op = "resize", .params = &p, .n_in = 1};
                n.in[0] = kit_type(dtype, 4, (int64_t[]){s[0], s[1], s[2], c});
                int same = same_bits(&n);
                if (!same)
                    note("%lldx%lldx%lld to %lldx%lld, mode %d, antialias %d",
                         (long long)s[1], (long long)s[2], (long long)c, (long long)s[3],
                         (long long)s[4], mode, antialias);
                good += same;
                cases++;
            }
    ok(good == cases,
       "%s: resize of %s has the bits of the portable kernel and reads no byte behind its "
       "input in %d of %d cases",
       isa, format, good, cases);
}

static void test_machine(const char *name)
{
    if (kit_detect(&k, name, &machine) < 0) {
        ok(strstr(k.host.why, "has no") != NULL, "%s # SKIP %s", name, k.host.why);
        return;
    }
    isa = name;
    test_resize(EVLA_U8, "u8");
    test_resize(EVLA_F32, "f32");
}

int main(void)
{
    if (!kit_load(&k, "ops")) return skip_all("plugins/ops.so is not built");
    if (!kit_load(&k, "cpu-x86")) return skip_all("plugins/cpu-x86.so is not built here");
    test_machine("avx2");
    test_machine("avx512");
    return tap_done();
}
