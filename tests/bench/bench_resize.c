/*
 * bench_resize.c -- resize and JPEG files of this engine for images.py, which has Pillow do
 * the same in turns.
 *
 * Answers each line "MODE ANTIALIAS HEIGHT WIDTH" with milliseconds: one picture of
 * 1280x720 on one thread, eight of them on one and on two; and "jpeg FILE" with those of
 * reading it.
 */
#include "crew.h"
#include <unistd.h>

enum { H = 720, W = 1280, PICTURES = 8, TURNS = 8 };

static kit k;
static evla_machine machine;

static void part(void *to, int32_t w)
{
    kit_hand hand = {to, 0, w};
    kit_work(&hand);
}

static void nothing(void *to, int32_t w) { (void)to, (void)w; }

static double once(kit_run *r, int32_t n_workers)
{
    crew_start(n_workers);
    crew_run(nothing, NULL); /* the other one is there from now on */
    atomic_store(&r->next, 0);
    double from = now();
    crew_run(part, r);
    double seconds = now() - from;
    crew_stop();
    return seconds;
}

/* One and two threads over so many pictures. */
static void resize(const evla_resize_params *p, uint8_t *x, uint8_t *y, int64_t pictures,
                   double ms[2])
{
    static const char *const kernels[] = {"resize.avx512", "resize.avx2"};
    kit_node n = {.op = "resize", .params = p, .n_in = 1};
    kit_run r;
    int32_t st = -1;
    n.in[0] = kit_type(EVLA_U8, 4, (int64_t[]){pictures, H, W, 3});
    n.data[0] = x, n.made[0] = y;
    if (kit_infer(&k, &n) < 0) fprintf(stderr, "%s\n", k.host.why), exit(1);
    for (int i = 0; i < 2 && st < 0; i++) {
        st = kit_open(&k, kernels[i], &machine, &n, 2, &r);
        if (st < 0) kit_close(&r);
    }
    if (st < 0)
        fprintf(stderr, "bench_resize: no kernel of cpu-x86 takes resize\n"), exit(1);
    ms[0] = ms[1] = 1e9;
    for (int i = 0; i < TURNS; i++)
        for (int w = 0; w < 2; w++)
            ms[w] = least(ms[w], 1e3 * once(&r, w + 1));
    kit_close(&r);
}

static double read_jpeg(const char *name)
{
    const evla_codec *codec = kit_find(&k, EVLA_CODEC, "jpeg")->table;
    static const uint8_t behind[3];
    double best = 1e9;
    FILE *f = fopen(name, "rb");
    if (!f || fseek(f, 0, SEEK_END) < 0) exit(1);
    size_t bytes = (size_t)ftell(f);
    rewind(f);
    void *data = memory(bytes);
    if (fread(data, 1, bytes, f) != bytes) exit(1);
    fclose(f);
    evla_picture_file file = {name, data, bytes};
    int64_t size[2];
    if (codec->measure(&k.host.table, &file, size) < 0) exit(1);
    uint8_t *rgb = memory(3 * (size_t)(size[0] * size[1]));
    for (int i = 0; i < TURNS; i++) {
        double from = now();
        if (codec->decode(&k.host.table, &file, behind, rgb) < 0) exit(1);
        best = least(best, now() - from);
    }
    free(rgb), free(data);
    return 1e3 * best;
}

int main(void)
{
    static const char *const names[] = {"avx512", "avx2"};
    char line[4096];
    int is_there = 0;
    if (!kit_load(&k, "ops") || !kit_load(&k, "cpu-x86") || !kit_load(&k, "image"))
        return fprintf(stderr, "bench_resize: EVLA_BUILD lacks ops, cpu-x86 or image\n"), 1;
    for (int i = 0; i < 2 && !is_there; i++) {
        const evla_machine_kind *kind = kit_find(&k, EVLA_MACHINE, names[i])->table;
        machine = (evla_machine){.size = sizeof machine, .n_workers = 2, .name = names[i]};
        op_host_init(&k.host);
        is_there = kind->detect(&k.host.table, &machine) >= 0;
    }
    if (!is_there) return fprintf(stderr, "bench_resize: %s\n", k.host.why), 1;
    uint8_t *x = memory((size_t)PICTURES * H * W * 3),
            *y = memory((size_t)PICTURES * H * W * 3);
    uint32_t z = 1;
    for (size_t i = 0; i < (size_t)PICTURES * H * W * 3; i++)
        x[i] = (uint8_t)((z = z * 1664525u + 1013904223u) >> 24);
    while (fgets(line, sizeof line, stdin)) {
        evla_resize_params p = {.size.rank = 2};
        long long h, w;
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, "jpeg ", 5)) {
            printf("%.4f\n", read_jpeg(line + 5));
        } else if (sscanf(line, "%d %d %lld %lld", &p.mode, &p.antialias, &h, &w) == 4) {
            double one[2], eight[2];
            p.size.dim[0] = h, p.size.dim[1] = w;
            resize(&p, x, y, 1, one);
            resize(&p, x, y, PICTURES, eight);
            printf("%.4f %.4f %.4f\n", one[0], eight[0], eight[1]);
        }
        fflush(stdout);
    }
    free(x), free(y);
    return 0;
}
