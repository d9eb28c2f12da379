/*
 * bench_hdf5.c -- rates of plugins/hdf5; bench_hdf5.py sets them beside h5py in one run.
 *
 *   bench_hdf5 make FOLDER none|gzip EPISODES   stores episodes of 390 frames 96x96 (22 MB
 * each) bench_hdf5 raw FOLDER EPISODES              the same bytes with write(2) and fsync
 *   bench_hdf5 random FILE READS SEED           reads of 2 frames at random places
 *   bench_hdf5 scan FILE THREADS                all frames of all episodes
 * Prints seconds and bytes.
 */
#include "../../plugins/hdf5/hdf5.h"
#include "../stage_host.h"
#include <fcntl.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

enum { SIDE = 96, FRAMES = 390, TICKS = 1300, PIXELS = SIDE * SIDE };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const evla_schema_field fields[] = {
    {"actions", "f32[T,8]", "", "", 100},
    {"states", "f64[T,60]", "", "", 100},
    {"rewards", "f32[T]", "", "", 100},
    {"dones", "u8[T]", "", "", 100},
    {"obs/proprio", "f32[T,48]", "", "", 100},
    {"cameras/front/rgb", "u8[F,96,96,3]", "", "", 30},
    {"cameras/front/depth", "f16[F,96,96,1]", "m", "", 30},
    {"cameras/front/labels", "u8[F,96,96,1]", "", "", 30},
    {"cameras/front/step", "i64[F]", "", "", 30},
};
enum { FIELDS = sizeof fields / sizeof *fields };

/* Flat-shaded surfaces, as a rasteriser draws them: a floor with a gradient and moving
 * boxes. */
static void draw(int64_t episode, int64_t frame, uint8_t *rgb, uint16_t *depth,
                 uint8_t *labels)
{
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++, rgb += 3, depth++, labels++) {
            int label = y > 40 ? 1 : 0, shade = label ? 80 + y / 2 : 200 - y;
            for (int b = 0; b < 6; b++) {
                int at = (int)((episode * 17 + b * 29 + frame * (b + 1) / 9) % 80);
                if (x >= at && x < at + 9 + b && y >= 20 + b * 9 && y < 32 + b * 11) {
                    label = 2 + b;
                    shade = 60 + 25 * b + (x - at > 4 ? 20 : 0);
                }
            }
            rgb[0] = (uint8_t)shade, rgb[1] = (uint8_t)(shade / 2 + 40 * label % 120);
            rgb[2] = (uint8_t)(shade * 3 / 4);
            *depth =
                (uint16_t)(0x3800 + (label ? 900 - y * 7 - label * 30 + x / 16 : 1000));
            *labels = (uint8_t)label;
        }
}

static evla_record *make(const evla_host *h, int64_t i)
{
    evla_field f[FIELDS];
    evla_record *r = NULL;
    for (int k = 0; k < FIELDS; k++) {
        evla_type t;
        h->type_parse(h, fields[k].type, &t);
        f[k] = (evla_field){.name = fields[k].name,
                            .value = {.dtype = t.dtype, .rank = t.rank}};
        memcpy(f[k].value.shape, t.shape, sizeof t.shape);
        f[k].value.shape[0] = k < 5 ? TICKS : FRAMES;
    }
    if (h->record_new(h, f, FIELDS, NULL, 0, &r)) exit(1);
    r->index = i;
    for (int k = 0; k < 5; k++) {
        uint8_t *p = r->fields[k].value.data[0];
        int64_t n = r->fields[k].value.stride[0] * TICKS;
        for (int64_t e = 0; e < n; e++)
            p[e] = (uint8_t)(e * 31 + (e >> 7) + i);
    }
    for (int64_t k = 0; k < FRAMES; k++)
        draw(i, k, (uint8_t *)r->fields[5].value.data[0] + k * PIXELS * 3,
             (uint16_t *)r->fields[6].value.data[0] + k * PIXELS,
             (uint8_t *)r->fields[7].value.data[0] + k * PIXELS);
    for (int64_t k = 0; k < FRAMES; k++)
        ((int64_t *)r->fields[8].value.data[0])[k] = (k * 100 + 29) / 30;
    return r;
}

static int store(stage_host *s, const char *folder, int is_gzip, int64_t n)
{
    const evla_stage *g = host_item("hdf5", EVLA_STAGE, "hdf5")->table;
    evla_schema schema = {.size = sizeof schema, .n_fields = FIELDS, .fields = fields};
    hdf5_params p = {.path = "demos.hdf5",
                     .shard = (int64_t)2 << 30,
                     .chunk = 8,
                     .level = 1,
                     .compress = is_gzip,
                     .valid = 0.1};
    const char *chunk = getenv("CHUNK");
    if (chunk) p.chunk = atoi(chunk);
    evla_site site = {.size = sizeof site,
                      .n_workers = 1,
                      .folder = folder,
                      .job = "bench",
                      .in = &schema};
    void *self = NULL;
    double put = 0, t;
    int32_t st = g->open(&s->h, &p, &site, &self);
    for (int64_t i = 0; !st && i < n; i++) {
        evla_record *r = make(&s->h, i);
        t = now();
        st = g->put(&s->h, self, r);
        put += now() - t;
        s->h.record_drop(&s->h, r);
    }
    t = now();
    if (!st) st = g->finish(&s->h, self);
    t = now() - t;
    if (st) fprintf(stderr, "%s\n", s->why);
    printf("{\"put_s\": %.4f, \"finish_s\": %.4f, \"report\": %s}\n", put, t,
           g->report(&s->h, self));
    g->close(&s->h, self);
    return st != 0;
}

static int store_raw(stage_host *s, const char *folder, int64_t n)
{
    double spent = 0;
    int64_t bytes = 0;
    for (int64_t i = 0; i < n; i++) {
        char path[512];
        evla_record *r = make(&s->h, i);
        snprintf(path, sizeof path, "%s/raw%lld", folder, (long long)i);
        double t = now();
        int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0666);
        for (int k = 0; k < FIELDS; k++) {
            const evla_tensor *v = &r->fields[k].value;
            ssize_t got = write(fd, v->data[0], (size_t)(v->stride[0] * v->shape[0]));
            if (got < 0) return 1;
            bytes += got;
        }
        fsync(fd);
        close(fd);
        spent += now() - t;
        s->h.record_drop(&s->h, r);
    }
    printf("{\"put_s\": %.4f, \"bytes\": %lld}\n", spent, (long long)bytes);
    return 0;
}

static int random_reads(stage_host *s, const evla_frames_service *f, const char *path,
                        int64_t n, uint32_t seed)
{
    static uint8_t out[2 * PIXELS * 3];
    void *self = NULL;
    uint64_t sum = 0;
    double t = now();
    if (f->open(&s->h, path, NULL, &self)) return 1;
    for (int64_t i = 0; i < f->count(&s->h, self); i++) /* structure, as h5py caches it */
        f->read(&s->h, self, i, "cameras/front/rgb", 0, 1, out, sizeof out);
    double opened = now() - t;
    t = now();
    for (int64_t k = 0; k < n; k++) {
        seed = seed * 1664525u + 1013904223u;
        int64_t i = (seed >> 8) % (uint32_t)f->count(&s->h, self);
        seed = seed * 1664525u + 1013904223u;
        if (f->read(&s->h, self, i, "cameras/front/rgb", (seed >> 8) % (FRAMES - 1), 2, out,
                    sizeof out))
            return 1;
        sum += out[5000];
    }
    printf("{\"open_s\": %.6f, \"read_us\": %.3f, \"sum\": %llu}\n", opened,
           (now() - t) / (double)n * 1e6, (unsigned long long)sum);
    f->close(&s->h, self);
    return 0;
}

typedef struct scanner {
    const evla_frames_service *f;
    void *self;
    int64_t from, step, bytes;
    int32_t status, reserved;
} scanner;

static void *scan(void *data)
{
    scanner *x = data;
    stage_host s;
    host_init(&s);
    uint8_t *out = malloc((size_t)FRAMES * PIXELS * 3);
    for (int64_t i = x->from; !x->status && i < x->f->count(&s.h, x->self); i += x->step)
        for (int k = 5; !x->status && k < 8; k++) {
            evla_type t;
            x->status = x->f->type(&s.h, x->self, i, fields[k].name, &t);
            if (!x->status)
                x->status = x->f->read(&s.h, x->self, i, fields[k].name, 0, t.shape[0], out,
                                       (size_t)FRAMES * PIXELS * 3);
            x->bytes += t.shape[0] * PIXELS * (k == 5 ? 3 : k == 6 ? 2 : 1);
        }
    free(out);
    host_free(&s);
    return NULL;
}

static int scans(stage_host *s, const evla_frames_service *f, const char *path, int n)
{
    pthread_t thread[16];
    scanner x[16];
    void *self = NULL;
    int64_t bytes = 0;
    int32_t st = 0;
    double t = now();
    if (n > 16 || f->open(&s->h, path, NULL, &self)) return 1;
    for (int i = 0; i < n; i++) {
        x[i] = (scanner){.f = f, .self = self, .from = i, .step = n};
        pthread_create(&thread[i], NULL, scan, &x[i]);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(thread[i], NULL);
        bytes += x[i].bytes;
        st |= x[i].status;
    }
    printf("{\"read_s\": %.4f, \"bytes\": %lld}\n", now() - t, (long long)bytes);
    f->close(&s->h, self);
    return st != 0;
}

int main(int argc, char **argv)
{
    stage_host s;
    const evla_item *frames = host_item("hdf5", EVLA_SERVICE, "frames");
    if (argc < 4 || !frames) {
        fprintf(stderr, "usage: see the head of tests/bench/bench_hdf5.c\n");
        return 2;
    }
    host_init(&s);
    if (!strcmp(argv[1], "make"))
        return store(&s, argv[2], !strcmp(argv[3], "gzip"), atoll(argv[4]));
    if (!strcmp(argv[1], "raw")) return store_raw(&s, argv[2], atoll(argv[3]));
    if (!strcmp(argv[1], "random"))
        return random_reads(&s, frames->table, argv[2], atoll(argv[3]),
                            (uint32_t)atoi(argv[4]));
    return scans(&s, frames->table, argv[2], atoi(argv[3]));
}
