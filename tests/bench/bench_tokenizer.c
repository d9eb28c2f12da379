/*
 * bench_tokenizer.c -- opening a vocabulary, and a megabyte through it and back.
 *
 * bench_tokenizer FILE...: GGUF files, each with a tokenizer. Best of several runs, one
 * thread. The plugin is found through EVLA_BUILD.
 */
#include "../stage_host.h"
#include <time.h>

enum { MEGABYTE = 1 << 20, RUNS = 7 };

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void stop(const evla_host *h)
{
    fprintf(stderr, "bench_tokenizer: %s\n", host_of(h)->why);
    exit(1);
}

typedef struct bench {
    const evla_tokenizer_service *s;
    const evla_host *h;
    void *self;
    char *text, *back;
    int32_t *ids;
} bench;

/* Words of a little English, numbers and Greek, so that all rules have work. */
static void fill_words(char *text)
{
    static const char *const words[] = {
        "the ", "robot ", "picks ", "up ",     "a ",        "red ",       "cube",
        ", ",   "then ",  "it's ",  "placed ", "at ",       "12",         "3.5 ",
        "cm ",  "\n",     "α",      "βγ ",     "grasping ", "trajectory "};
    uint64_t x = 1;
    for (size_t n = 0; n < MEGABYTE;) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        for (const char *w = words[(x >> 33) % (sizeof words / sizeof *words)];
             *w && n < MEGABYTE; w++)
            text[n++] = *w;
    }
}

static int64_t encode_once(const bench *b)
{
    int64_t n = 0;
    if (b->s->encode(b->h, b->self, b->text, MEGABYTE, 0, b->ids, 4 * MEGABYTE, &n) < 0)
        stop(b->h);
    return n;
}

static void measure(const bench *b, const char *what)
{
    double encode = 1e9, decode = 1e9;
    int64_t n = 0, n_back = 0;
    for (int i = 0; i < RUNS; i++) {
        const double begin = now_ms();
        n = encode_once(b);
        const double middle = now_ms();
        if (b->s->decode(b->h, b->self, b->ids, n, 0, b->back, 16 * MEGABYTE, &n_back) < 0)
            stop(b->h);
        const double end = now_ms();
        if (middle - begin < encode) encode = middle - begin;
        if (end - middle < decode) decode = end - middle;
    }
    printf("  %-28s encode %7.1f ms, decode %6.1f ms, %lld tokens\n", what, encode, decode,
           (long long)n);
}

static void bench_file(bench *b, const evla_format *format, const char *path)
{
    evla_archive all;
    void *file = NULL;
    double open = 1e9;
    if (format->open(b->h, path, &file, &all) < 0) stop(b->h);
    for (int i = 0; i < RUNS; i++) {
        if (b->self) b->s->close(b->h, b->self);
        const double begin = now_ms();
        if (b->s->open(b->h, all.attrs, all.n_attrs, &b->self) < 0) stop(b->h);
        const double took = now_ms() - begin;
        if (took < open) open = took;
    }
    evla_tokenizer_info info;
    b->s->describe(b->h, b->self, &info);
    printf("%s: %s, %d tokens, opened in %.1f ms\n", path, info.method, info.n_tokens,
           open);
    fill_words(b->text);
    measure(b, "1 MiB of words");
    memset(b->text, 'a', MEGABYTE);
    measure(b, "1 MiB of \"a\"");
    memset(b->text, ' ', MEGABYTE);
    measure(b, "1 MiB of blanks");
    memset(b->text, 0x80, MEGABYTE);
    measure(b, "1 MiB of no UTF-8");
    b->s->close(b->h, b->self);
    b->self = NULL;
    format->close(b->h, file);
}

int main(int n_words, char **words)
{
    stage_host host;
    const evla_item *item = host_item("tokenizer", EVLA_SERVICE, "tokenizer");
    const evla_item *gguf = host_item("gguf", EVLA_FORMAT, "gguf");
    bench b = {.h = host_init(&host),
               .text = malloc(MEGABYTE),
               .back = malloc(16 * MEGABYTE),
               .ids = malloc(16 * MEGABYTE)};
    if (!item || !gguf || !b.text || !b.back || !b.ids) return 1;
    b.s = item->table;
    for (int i = 1; i < n_words; i++)
        bench_file(&b, gguf->table, words[i]);
    free(b.text), free(b.back), free(b.ids);
    host_free(&host);
    return 0;
}
