/*
 * t_image.c -- plugins/image: PNG, film strips and colours. Files are judged by decoders
 * nobody here wrote: libspng's and, where it is installed, Python's PIL.
 */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <spng.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../plugins/image/colour.h"
#include "../plugins/image/font.h"
#include "../plugins/image/png.h"
#include "../plugins/image/strip.h"
#include "tap.h"

/* ---- a host that remembers why
 * ------------------------------------------------------------ */

static char said[512];
static uint64_t scratch_limit = UINT64_MAX;
static void *scratch_block;

static int32_t host_fail(const evla_host *h, int32_t code, const char *sentence)
{
    (void)h;
    snprintf(said, sizeof said, "%s", sentence);
    return code;
}

static void *host_scratch(const evla_host *h, uint64_t bytes)
{
    free(scratch_block);
    scratch_block = bytes > scratch_limit ? NULL : calloc(1, bytes);
    if (!scratch_block) h->fail(h, EVLA_E_NOMEM, "scratch is full");
    return scratch_block;
}

static const evla_host host = {
    .size = sizeof host, .fail = host_fail, .scratch = host_scratch};

static int fails(int32_t got, int32_t wanted, const char *word)
{
    const int as_wanted = got == wanted && strstr(said, word);
    if (!as_wanted) note("got %d, \"%s\"", got, said);
    said[0] = '\0';
    return as_wanted;
}

/* ---- reading back
 * ------------------------------------------------------------------------- */

static char folder[] = "/tmp/evla-image-XXXXXX";
static char file_name[64];

static const char *in_folder(const char *name)
{
    snprintf(file_name, sizeof file_name, "%s/%s", folder, name);
    return file_name;
}

typedef struct decoded {
    unsigned char *data;
    size_t n;
    struct spng_ihdr head;
} decoded;

static decoded decode(const unsigned char *png, size_t n_png, FILE *f)
{
    decoded d = {0};
    spng_ctx *ctx = spng_ctx_new(0);
    int st = f ? spng_set_png_file(ctx, f) : spng_set_png_buffer(ctx, png, n_png);
    if (!st) st = spng_get_ihdr(ctx, &d.head);
    if (!st) st = spng_decoded_image_size(ctx, SPNG_FMT_PNG, &d.n);
    if (!st && (d.data = malloc(d.n)))
        st = spng_decode_image(ctx, d.data, d.n, SPNG_FMT_PNG, 0);
    if (st) note("libspng: %s", spng_strerror(st)), d.n = 0;
    spng_ctx_free(ctx);
    return d;
}

static decoded decode_file(const char *path)
{
    decoded d = {0};
    FILE *f = fopen(path, "rb");
    if (!f) return d;
    d = decode(NULL, 0, f);
    fclose(f);
    return d;
}

static int n_in_folder(void)
{
    char command[96];
    int n = -1;
    snprintf(command, sizeof command, "ls -A %s | wc -l", folder);
    FILE *f = popen(command, "r");
    if (f && fscanf(f, "%d", &n) != 1) n = -1;
    if (f) pclose(f);
    return n;
}

/* ---- PNG
 * ---------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int32_t channels, bits;
} kinds[] = {{"gray8", 1, 8},  {"gray16", 1, 16}, {"rgb8", 3, 8},
             {"rgb16", 3, 16}, {"rgba8", 4, 8},   {"rgba16", 4, 16}};

enum { W = 37, H = 23, N_KINDS = sizeof kinds / sizeof kinds[0] };

static unsigned char pixels[H * (W * 8 + 16)];

static evla_picture picture_of(int kind, int64_t pad)
{
    evla_picture p = {pixels, 0, W, H, kinds[kind].channels, kinds[kind].bits};
    uint32_t z = 12345;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (unsigned char)((z = z * 1664525 + 1013904223) >> 24);
    if (pad) p.row_bytes = (int64_t)W * p.channels * (p.bits / 8) + pad;
    return p;
}

static int equals(const decoded *d, const evla_picture *p)
{
    const size_t row = (size_t)p->width * (size_t)p->channels * (size_t)p->bits / 8;
    const size_t step = p->row_bytes ? (size_t)p->row_bytes : row;
    int same = d->n == row * (size_t)p->height && d->head.bit_depth == p->bits;
    for (size_t y = 0; same && y < (size_t)p->height; y++)
        same = !memcmp(d->data + y * row, (unsigned char *)p->data + y * step, row);
    return same;
}

static void test_round_trip(void)
{
    for (int k = 0; k < N_KINDS; k++)
        for (int64_t pad = 0; pad <= 10; pad += 10) {
            const evla_picture p = picture_of(k, pad);
            const char *path = in_folder("a.png");
            const int32_t st = png_write(&host, path, &p);
            decoded d = decode_file(path);
            ok(st == 0 && equals(&d, &p),
               "%s with %d spare bytes a row comes back by libspng", kinds[k].name,
               (int)pad);
            free(d.data);
        }
    ok(n_in_folder() == 1, "nothing but the picture is left behind");
}

static void test_pil(void)
{
    static const char script[] = "import sys\n"
                                 "from PIL import Image\n"
                                 "im = Image.open(sys.argv[1])\n"
                                 "data = im.tobytes()\n"
                                 "raw = open(sys.argv[2], 'rb').read()\n"
                                 "sys.exit(0 if data == raw else 1)\n";
    if (system("python3 -c 'import PIL' 2>/dev/null") != 0) {
        /* another Python may come first in PATH */
        if (system("/usr/bin/python3 -c 'import PIL' 2>/dev/null") != 0) {
            ok(1, "comparison with PIL # SKIP no PIL (Debian: python3-pil)");
            return;
        }
    }
    const char *python =
        system("python3 -c 'import PIL' 2>/dev/null") ? "/usr/bin/python3" : "python3";
    static const int by_pil[] = {0, 2, 4}; /* 16-bit kinds lose their bytes' order in PIL */
    for (int i = 0; i < 3; i++) {
        char command[1024], png[64], raw[64];
        const evla_picture p = picture_of(by_pil[i], 0);
        snprintf(png, sizeof png, "%s", in_folder("p.png"));
        snprintf(raw, sizeof raw, "%s", in_folder("p.raw"));
        FILE *f = fopen(raw, "wb");
        if (f) fwrite(pixels, 1, (size_t)(W * H * p.channels), f), fclose(f);
        png_write(&host, png, &p);
        snprintf(command, sizeof command, "%s -c \"%s\" %s %s", python, script, png, raw);
        ok(system(command) == 0, "PIL reads the same %s pixels", kinds[by_pil[i]].name);
        remove(png);
        remove(raw);
    }
}

static void test_refusals(void)
{
    evla_picture p = picture_of(2, 0);
    const char *path = in_folder("bad.png");
    p.channels = 2;
    ok(fails(png_write(&host, path, &p), EVLA_E_SHAPE, "2 channels"),
       "2 channels are refused");
    p.channels = 3, p.bits = 4;
    ok(fails(png_write(&host, path, &p), EVLA_E_SHAPE, "4 bits"), "4 bits are refused");
    p.bits = 8, p.width = 0;
    ok(fails(png_write(&host, path, &p), EVLA_E_SHAPE, "0 x"),
       "an empty picture is refused");
    p.width = W, p.row_bytes = 3;
    ok(fails(png_write(&host, path, &p), EVLA_E_SHAPE, "rows of 3"),
       "short rows are refused");
    p.row_bytes = 0;
    ok(fails(png_write(&host, "/nowhere/x.png", &p), EVLA_E_IO, "No such file"),
       "a missing folder is named");
    ok(fails(png_write(&host, folder, &p), EVLA_E_IO, "directory"), "a folder is no file");
    if (access("/dev/full", W_OK) == 0)
        ok(fails(png_write(&host, "/dev/full", &p), EVLA_E_IO, "No space left"),
           "a full disk is reported");
    else
        ok(1, "a full disk is reported # SKIP no /dev/full");
}

/* A disk that fills up in the middle keeps the old file and leaves no half one. */
static void test_half_written(void)
{
    char path[64];
    evla_picture small = picture_of(0, 0), big = picture_of(4, 0);
    snprintf(path, sizeof path, "%s", in_folder("kept.png"));
    small.width = small.height = 4;
    int good = png_write(&host, path, &small) == 0;
    const int n_before = n_in_folder();
    struct rlimit old, tight = {1000, 1000};
    getrlimit(RLIMIT_FSIZE, &old);
    tight.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &tight);
    const int32_t st = png_write(&host, path, &big);
    setrlimit(RLIMIT_FSIZE, &old);
    decoded d = decode_file(path);
    good &=
        fails(st, EVLA_E_IO, "File too large") && d.n == 16 && n_in_folder() == n_before;
    ok(good, "a write that fails half-way keeps the old file and leaves no other");
    free(d.data);
}

static void test_memory(void)
{
    if (getenv("EVLA_SAN")) {
        ok(1, "out of memory in libspng # SKIP address limits do not go with sanitizers");
        return;
    }
    const pid_t child = fork();
    if (child == 0) {
        enum { SIDE = 6000 };
        unsigned char *noise =
            malloc((size_t)SIDE * SIDE); /* touched below, incompressible */
        uint32_t z = 1;
        for (size_t i = 0; noise && i < (size_t)SIDE * SIDE; i++)
            noise[i] = (unsigned char)((z = z * 1664525 + 1013904223) >> 24);
        long pages = 0;
        FILE *f = fopen("/proc/self/statm", "r");
        if (!noise || !f || fscanf(f, "%ld", &pages) != 1) _exit(2);
        fclose(f);
        const rlim_t limit = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (4 << 20);
        const struct rlimit tight = {limit, limit};
        setrlimit(RLIMIT_AS, &tight);
        const evla_picture p = {noise, 0, SIDE, SIDE, 1, 8};
        _exit(fails(png_write(&host, in_folder("m.png"), &p), EVLA_E_NOMEM, "memory") ? 0
                                                                                      : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    ok(status == 0, "running out of memory in libspng is a refusal, not a crash");
}

/* ---- film strips
 * -------------------------------------------------------------------------- */

enum { F = 11, FW = 20, FH = 12 };
static uint8_t film[F][FH][FW][3];

static evla_tensor film_tensor(void)
{
    const evla_tensor t = {.data = {film},
                           .dtype = EVLA_U8,
                           .rank = 4,
                           .shape = {F, FH, FW, 3},
                           .stride = {FH * FW * 3, FW * 3, 3, 1}};
    for (int f = 0; f < F; f++)
        for (int y = 0; y < FH; y++)
            for (int x = 0; x < FW; x++) {
                film[f][y][x][0] = (uint8_t)(20 * f);
                film[f][y][x][1] = (uint8_t)(10 * x);
                film[f][y][x][2] = (uint8_t)(20 * y);
            }
    return t;
}

/* 1 when the enlarged frame stands at (left, top) of the picture. */
static int shows(const decoded *d, int32_t left, int32_t top, int64_t frame, int32_t scale)
{
    for (int32_t y = 0; y < FH * scale; y++)
        for (int32_t x = 0; x < FW * scale; x++) {
            const size_t at = 3 * ((size_t)(top + y) * d->head.width + (size_t)(left + x));
            if (memcmp(d->data + at, film[frame][y / scale][x / scale], 3)) return 0;
        }
    return 1;
}

static void test_strips(void)
{
    const evla_tensor t = film_tensor();
    const char *path = in_folder("s.png");
    evla_strip s = {.frames = &t, .n_picks = 5, .scale = 1};
    int32_t st = strip_write(&host, path, &s);
    decoded d = decode_file(path);
    ok(st == 0 && d.head.width == 4 + 5 * (FW + 4) && d.head.height == FH + 8,
       "five frames in a row are 4 pixels apart");
    int good = d.n > 0;
    static const int64_t even[] = {0, 3, 5, 8, 10}; /* 0, 2.5, 5, 7.5, 10 rounded */
    for (int i = 0; good && i < 5; i++)
        good = shows(&d, 4 + i * (FW + 4), 4, even[i], 1);
    ok(good, "frames are spread evenly, first and last included");
    free(d.data);

    static const int64_t picks[] = {7, 0, 10};
    static const char *const captions[] = {"0.5 s", NULL, "g\xc3\xb6tt"};
    s = (evla_strip){&t, picks, captions, "a title longer than it fits", 3, 2, 3, 0};
    st = strip_write(&host, path, &s);
    d = decode_file(path);
    const int32_t row = FH * 3 + 11 + 12; /* frame, caption bar, gap */
    good = st == 0 && d.head.width == 12 + 2 * (FW * 3 + 12) &&
           d.head.height == 12 + 11 + 2 * row;
    ok(good,
       "two columns of threefold frames with captions and a title have room for them");
    good = good && shows(&d, 12, 23, 7, 3) && shows(&d, 24 + FW * 3, 23, 0, 3) &&
           shows(&d, 12, 23 + row, 10, 3);
    ok(good, "picked frames stand left to right, top to bottom, enlarged");
    int32_t ink = 0, title = 0;
    for (uint32_t y = 0; good && y < d.head.height; y++)
        for (uint32_t x = 0; x < d.head.width; x++) {
            const int is_ink = d.data[3 * (y * d.head.width + x)] < 100 &&
                               d.data[3 * (y * d.head.width + x) + 2] > 20;
            title += is_ink && y < 23;
            ink += is_ink && y >= 23 + FH * 3 && y < 23 + FH * 3 + 11 && x < 12 + FW * 3;
        }
    ok(title > 50 && ink > 20, "title and captions leave ink");
    free(d.data);

    s = (evla_strip){.frames = &t, .n_picks = 99, .scale = 1};
    st = strip_write(&host, path, &s);
    d = decode_file(path);
    ok(st == 0 && d.head.width == 4 + F * (FW + 4),
       "more picks than frames show every frame once");
    free(d.data);
    evla_tensor flipped = t; /* upside down and BGR, by strides alone */
    flipped.data[0] = &film[0][FH - 1][0][2];
    flipped.stride[1] = -FW * 3, flipped.stride[3] = -1;
    s = (evla_strip){.frames = &flipped, .n_picks = 1, .scale = 1};
    st = strip_write(&host, path, &s);
    d = decode_file(path);
    ok(st == 0 && d.n &&
           !memcmp(d.data + 3 * (4 * d.head.width + 4),
                   (uint8_t[]){20 * (FH - 1), 0, 20 * 5}, 3),
       "strides are followed, negative ones too; one pick is the middle frame");
    free(d.data);
}

static void test_strip_refusals(void)
{
    evla_tensor t = film_tensor();
    static const int64_t outside[] = {3, F};
    const char *path = in_folder("r.png");
    evla_strip s = {.frames = &t, .picks = outside, .n_picks = 2, .scale = 1};
    ok(fails(strip_write(&host, path, &s), EVLA_E_RANGE, "frame 11 of a film of 11"),
       "a pick outside the film is named");
    s = (evla_strip){.frames = &t, .n_picks = 3, .scale = 0};
    ok(fails(strip_write(&host, path, &s), EVLA_E_RANGE, "scale 0"), "scale 0 is refused");
    s.scale = 1, s.n_picks = 0;
    ok(fails(strip_write(&host, path, &s), EVLA_E_RANGE, "one frame"),
       "no frames are refused");
    s.n_picks = 3, scratch_limit = 100;
    ok(fails(strip_write(&host, path, &s), EVLA_E_NOMEM, "memory"),
       "full scratch is reported");
    scratch_limit = UINT64_MAX;
    t.dtype = EVLA_F32;
    ok(fails(strip_write(&host, path, &s), EVLA_E_DTYPE, "u8"),
       "frames that are not u8 are refused");
    t.dtype = EVLA_U8, t.shape[3] = 4;
    ok(fails(strip_write(&host, path, &s), EVLA_E_SHAPE, "[F,H,W,3]"),
       "four channels are refused");
    t = film_tensor();
    t.shape[1] = t.shape[2] = 60000;
    ok(fails(strip_write(&host, path, &s), EVLA_E_LIMIT, "too many"),
       "a giant strip is refused");
    ok(access(path, F_OK) != 0, "a refused strip leaves no file");
}

/* ---- colours
 * ------------------------------------------------------------------------------ */

static void test_colours(void)
{
    const float depth[] = {0, -1, NAN, INFINITY, .5f, 1, 2, 9};
    uint8_t rgb[3 * 256], label[256];
    int good = colour_depth(&host, depth, 8, 1, 2, rgb) == 0;
    ok(good && !memcmp(rgb, rgb + 3, 3) && !memcmp(rgb, rgb + 6, 3) &&
           !memcmp(rgb, rgb + 9, 3),
       "depth 0, negative, NaN and infinite look alike: nothing seen");
    ok(!memcmp(rgb + 12, rgb + 15, 3) && !memcmp(rgb + 18, rgb + 21, 3) &&
           rgb[15] > rgb[17] && rgb[20] > rgb[18],
       "near is warm, far is cold, beyond the range is clamped");
    ok(fails(colour_depth(&host, depth, 8, 2, 2, rgb), EVLA_E_RANGE, "near < far") &&
           fails(colour_depth(&host, depth, 8, NAN, 2, rgb), EVLA_E_RANGE, "near < far"),
       "an empty depth range is refused");
    double nearest = 1e9;
    for (int i = 0; i < 256; i++)
        label[i] = (uint8_t)i;
    good = colour_labels(&host, label, 256, rgb) == 0;
    for (int i = 0; i < 24; i++)
        for (int k = 0; k < i; k++) {
            const double a = rgb[3 * i] - rgb[3 * k], b = rgb[3 * i + 1] - rgb[3 * k + 1];
            const double c = rgb[3 * i + 2] - rgb[3 * k + 2];
            nearest = fmin(nearest, sqrt(a * a + b * b + c * c));
        }
    ok(good && nearest > 30, "the first 24 labels are at least 30 of 255 apart (%.0f)",
       nearest);
    ok(colour_labels(&host, label, 0, rgb) == 0 &&
           fails(colour_labels(&host, label, -1, rgb), EVLA_E_ARG, "negative"),
       "no labels are fine, a negative number of them is not");
    ok(font_length("a\xc2\xb0\xe2\x82\xac!") == 4,
       "letters outside ASCII are one glyph each");
}

int main(void)
{
    if (!mkdtemp(folder))
        return ok(0, "a temporary folder: %s", strerror(errno)), tap_done();
    test_round_trip();
    test_pil();
    test_refusals();
    test_half_written();
    test_memory();
    test_strips();
    test_strip_refusals();
    test_colours();
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) note("%s is left behind", folder);
    free(scratch_block);
    return tap_done();
}
