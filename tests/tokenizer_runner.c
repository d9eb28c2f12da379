/*
 * tokenizer_runner.c -- the service "tokenizer" behind a pipe, for tests whose oracle
 * speaks Python.
 *
 * tokenizer_runner FILE (a GGUF file, or tokenizer.json); then requests on stdin and
 * answers on stdout, both native-endian: request  u8 what, u32 flags, u32 bytes, then the
 * bytes answer   i32 status, u32 bytes, then the bytes: the result, or the sentence when
 * status < 0 what: 'i' nothing in, "name=value" lines out; 'e' text in, ids out; 'd' ids
 * in, text out; 's' ids in, the text of each and of the end out, each with a u32 length
 * before; 'f' a piece in, its id out; 'x' ids in, one 0 or 1 each out; 'c' role, NUL, text,
 * NUL, ... in, a chat out.
 */
#include "stage_host.h"

static const evla_tokenizer_service *service;
static stage_host host;
static void *self;

static void answer(int32_t status, const void *bytes, uint32_t n)
{
    if (status < 0) bytes = host.why, n = (uint32_t)strlen(host.why);
    fwrite(&status, 4, 1, stdout);
    fwrite(&n, 4, 1, stdout);
    if (n) fwrite(bytes, 1, n, stdout);
    fflush(stdout);
    host_clear(&host);
}

static void answer_info(void)
{
    char text[512];
    evla_tokenizer_info i;
    const int32_t st = service->describe(&host.h, self, &i);
    const int n = snprintf(text, sizeof text,
                           "n_tokens=%d\nbos=%d\neos=%d\nunk=%d\npad=%d\nadds_bos=%d\nadds_"
                           "eos=%d\nmethod=%s\npre=%s\nchat=%s\n",
                           i.n_tokens, i.bos, i.eos, i.unk, i.pad, i.adds_bos, i.adds_eos,
                           i.method, i.pre ? i.pre : "", i.chat ? i.chat : "");
    answer(st, text, (uint32_t)n);
}

/* Asked twice: first for the length. */
static void answer_ids(const char *text, uint32_t bytes, uint32_t flags)
{
    int64_t n = 0, again = 0;
    int32_t st = service->encode(&host.h, self, text, bytes, flags, NULL, 0, &n);
    int32_t *ids = calloc((size_t)n + 1, sizeof *ids);
    if (st >= 0) st = service->encode(&host.h, self, text, bytes, flags, ids, n, &again);
    if (again != n) abort();
    answer(st, ids, (uint32_t)n * 4);
    free(ids);
}

static void answer_text(const int32_t *ids, uint32_t n_ids, uint32_t flags)
{
    int64_t n = 0, again = 0;
    int32_t st = service->decode(&host.h, self, ids, n_ids, flags, NULL, 0, &n);
    char *text = calloc(1, (size_t)n + 1);
    if (st >= 0) st = service->decode(&host.h, self, ids, n_ids, flags, text, n, &again);
    if (st >= 0 && again != n) abort();
    answer(st, text, (uint32_t)n);
    free(text);
}

static void answer_stream(const int32_t *ids, uint32_t n_ids)
{
    evla_token_stream s = {0};
    int32_t st = 0;
    char *text = malloc(((size_t)n_ids + 1) * 4100), *at = text;
    for (uint32_t i = 0; st >= 0 && i <= n_ids; i++) {
        int64_t n = 0;
        st = service->stream(&host.h, self, &s, i < n_ids ? ids[i] : -1, at + 4, 4096, &n);
        const uint32_t k = (uint32_t)n;
        memcpy(at, &k, 4);
        at += 4 + k;
    }
    answer(st, text, (uint32_t)(at - text));
    free(text);
}

static void answer_chat(const char *bytes, uint32_t size)
{
    evla_message m[64];
    char text[1 << 16];
    int32_t n = 0;
    for (const char *p = bytes; p < bytes + size && n < 64; n++) {
        m[n].role = p, p += strlen(p) + 1;
        m[n].text = p, p += strlen(p) + 1;
    }
    int64_t k = 0;
    const int32_t st = service->chat(&host.h, self, m, n, text, sizeof text, &k);
    answer(st, text, (uint32_t)k);
}

static void answer_ends(const int32_t *ids, uint32_t n)
{
    char *is = calloc(1, n + 1);
    for (uint32_t i = 0; i < n; i++)
        is[i] = (char)service->ends(&host.h, self, ids[i]);
    answer(0, is, n);
    free(is);
}

static int serve(void)
{
    uint8_t what;
    uint32_t flags, bytes;
    while (fread(&what, 1, 1, stdin) == 1) {
        if (fread(&flags, 4, 1, stdin) != 1 || fread(&bytes, 4, 1, stdin) != 1) return 1;
        char *in = calloc(1, (size_t)bytes + 8);
        if (fread(in, 1, bytes, stdin) != bytes) return 1;
        const int32_t *ids = (const int32_t *)(const void *)in;
        int32_t id;
        switch (what) {
        case 'i':
            answer_info();
            break;
        case 'e':
            answer_ids(in, bytes, flags);
            break;
        case 'd':
            answer_text(ids, bytes / 4, flags);
            break;
        case 's':
            answer_stream(ids, bytes / 4);
            break;
        case 'f':
            answer((id = service->find(&host.h, self, in), 0), &id, 4);
            break;
        case 'x':
            answer_ends(ids, bytes / 4);
            break;
        case 'c':
            answer_chat(in, bytes);
            break;
        default:
            return 1;
        }
        free(in);
    }
    return 0;
}

/* A GGUF file is read by the plugin for it; `file` is its own. */
static int32_t open_gguf(const evla_format *format, const char *path, void **file)
{
    evla_archive all;
    const int32_t st = format->open(&host.h, path, file, &all);
    return st < 0 ? st : service->open(&host.h, all.attrs, all.n_attrs, &self);
}

int main(int n_words, char **words)
{
    const evla_item *item = host_item("tokenizer", EVLA_SERVICE, "tokenizer");
    const evla_item *gguf = host_item("gguf", EVLA_FORMAT, "gguf");
    const evla_host *h = host_init(&host);
    void *file = NULL;
    if (!item || !gguf || n_words != 2)
        return fprintf(stderr, "usage: tokenizer_runner FILE, with EVLA_BUILD\n"), 2;
    service = item->table;
    const evla_format *format = gguf->table;
    const size_t n = strlen(words[1]);
    const int is_json = n > 5 && !strcmp(words[1] + n - 5, ".json");
    const int32_t st = is_json ? service->open_file(h, words[1], &self)
                               : open_gguf(format, words[1], &file);
    answer(st, NULL, 0);
    const int code = st < 0 ? 1 : serve();
    service->close(h, self);
    format->close(h, file);
    host_free(&host);
    return code;
}
