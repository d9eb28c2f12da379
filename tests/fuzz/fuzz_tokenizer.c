/*
 * fuzz_tokenizer.c -- plugins/tokenizer on hostile vocabularies and texts: whatever opens
 * gives tokens of its vocabulary, the same number however much room there is, and streams
 * valid UTF-8.
 *
 * Bytes: the method; options; how many pieces, each a byte of kind and length, a score, and
 * its bytes; how many merges, each the numbers of two pieces (what they make becomes a
 * piece); the rest is the text.
 */
#include "../../plugins/tokenizer/unicode.h"
#include "../stage_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MOST = 512 };

typedef struct input {
    const uint8_t *at, *end;
} input;

static uint8_t take(input *in) { return in->at < in->end ? *in->at++ : 0; }

typedef struct vocabulary {
    evla_text piece[MOST], merge[MOST];
    float score[MOST];
    int32_t kind[MOST], n, n_merges;
    char *text[2 * MOST];
    int n_texts;
} vocabulary;

static evla_text keep(vocabulary *v, const void *bytes, size_t n)
{
    char *copy = malloc(n ? n : 1); /* exact, so that a read behind it shows */
    if (!copy) abort();
    memcpy(copy, bytes, n);
    v->text[v->n_texts++] = copy;
    return (evla_text){copy, n};
}

static void add_piece(vocabulary *v, evla_text text, int32_t kind, float score)
{
    if (v->n == MOST) return;
    v->piece[v->n] = text;
    v->kind[v->n] = kind;
    v->score[v->n++] = score;
}

static void read_pieces(input *in, vocabulary *v, uint8_t options)
{
    static char names[256][8];
    for (int b = 0; b < 256 && options & 1;
         b++) { /* the bytes, as the method writes them */
        size_t n = options & 2
                       ? (size_t)snprintf(names[b], 8, "<0x%02X>", b)
                       : utf8_put(b < 33 ? 256u + (unsigned)b : (unsigned)b, names[b]);
        add_piece(v, keep(v, names[b], n), options & 2 ? 6 : 1, 0);
    }
    for (int left = take(in); left > 0; left--) {
        const uint8_t head = take(in), score = take(in);
        size_t n = head & 31;
        if (n > (size_t)(in->end - in->at)) n = (size_t)(in->end - in->at);
        if (v->n_texts < MOST)
            add_piece(v, keep(v, in->at, n), head >> 5, (float)score - 128);
        in->at += n;
    }
}

static void read_merges(input *in, vocabulary *v)
{
    for (int left = take(in); left > 0 && v->n && v->n < MOST && v->n_texts < 2 * MOST - 2;
         left--) {
        char both[4096];
        const evla_text a = v->piece[take(in) % v->n], b = v->piece[take(in) % v->n];
        if (a.n + b.n > 1024) continue;
        memcpy(both, a.at, a.n), memcpy(both + a.n, b.at, b.n);
        add_piece(v, keep(v, both, a.n + b.n), 1, -1);
        memcpy(both, a.at, a.n), both[a.n] = ' ', memcpy(both + a.n + 1, b.at, b.n);
        v->merge[v->n_merges++] = keep(v, both, a.n + b.n + 1);
    }
}

static void check_stream(const evla_tokenizer_service *s, const evla_host *h, void *self,
                         const int32_t *ids, int64_t n)
{
    evla_token_stream state = {0};
    for (int64_t i = 0; i <= n; i++) {
        char text[4096];
        int64_t k = 0;
        if (s->stream(h, self, &state, i < n ? ids[i] : -1, text, sizeof text, &k) < 0 ||
            k > (int64_t)sizeof text)
            abort();
        for (int64_t at = 0; at < k;) {
            uint32_t code;
            const size_t step = utf8_next(text + at, (size_t)(k - at), &code);
            if (code == UTF8_BAD && step == 1) abort();
            at += (int64_t)step;
        }
    }
}

static void use(const evla_tokenizer_service *s, const evla_host *h, void *self,
                const uint8_t *text, size_t n, uint32_t flags)
{
    evla_tokenizer_info info;
    int64_t n_ids = 0, again = 0, n_text = 0;
    if (s->describe(h, self, &info) < 0) abort();
    if (s->encode(h, self, (const char *)text, n, flags, NULL, 0, &n_ids) < 0) abort();
    int32_t *ids = malloc(((size_t)n_ids + 1) * sizeof *ids);
    if (!ids || s->encode(h, self, (const char *)text, n, flags, ids, n_ids, &again) < 0 ||
        again != n_ids)
        abort();
    for (int64_t i = 0; i < n_ids; i++)
        if (ids[i] < 0 || ids[i] >= info.n_tokens) abort();
    if (s->decode(h, self, ids, n_ids, flags, NULL, 0, &n_text) < 0) abort();
    char *back = malloc((size_t)n_text + 1);
    if (!back || s->decode(h, self, ids, n_ids, flags, back, n_text, &again) < 0 ||
        again != n_text)
        abort();
    check_stream(s, h, self, ids, n_ids);
    free(back);
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const models[] = {"llama", "gpt2", "bert"};
    static const char *const pres[] = {"gpt-2", "smollm", "llama-bpe", "qwen2", "falcon"};
    stage_host host;
    const evla_host *h = host_init(&host);
    const evla_tokenizer_service *s = evla_plugin_entry()->items[0].table;
    input in = {data, data + n};
    vocabulary *v = calloc(1, sizeof *v);
    if (!v) abort();
    const uint8_t method = take(&in), options = take(&in);
    read_pieces(&in, v, options);
    if (method % 3 == 1) read_merges(&in, v);
    const evla_attr attrs[] = {
        {.name = "tokenizer.ggml.model",
         .type = EVLA_ATTR_TEXT,
         .text = models[method % 3]},
        {.name = "tokenizer.ggml.pre",
         .type = EVLA_ATTR_TEXT,
         .text = pres[method / 3 % 5]},
        {.name = "tokenizer.ggml.tokens",
         .type = EVLA_ATTR_TEXTS,
         .items = v->piece,
         .n_items = v->n},
        {.name = "tokenizer.ggml.merges",
         .type = EVLA_ATTR_TEXTS,
         .items = v->merge,
         .n_items = v->n_merges},
        {.name = "tokenizer.ggml.scores",
         .type = EVLA_ATTR_NUMBERS,
         .element = EVLA_F32,
         .items = v->score,
         .n_items = v->n},
        {.name = "tokenizer.ggml.token_type",
         .type = EVLA_ATTR_NUMBERS,
         .element = EVLA_I32,
         .items = v->kind,
         .n_items = v->n},
        {.name = "tokenizer.ggml.add_space_prefix",
         .type = EVLA_ATTR_INT,
         .integer = options >> 2 & 1},
        {.name = "tokenizer.ggml.bos_token_id",
         .type = EVLA_ATTR_INT,
         .integer = options >> 4},
        {.name = "tokenizer.ggml.unknown_token_id", .type = EVLA_ATTR_INT, .integer = 0},
    };
    void *self = NULL;
    const int32_t st =
        s->open(h, attrs, sizeof attrs / sizeof *attrs - (options >> 3 & 1), &self);
    if (st < 0 && (!host.why[0] || strchr(host.why, '\n')))
        abort(); /* a refusal is a sentence */
    for (uint32_t flags = 0; st >= 0 && flags < 4; flags++)
        use(s, h, self, in.at, (size_t)(in.end - in.at), flags);
    s->close(h, self);
    for (int i = 0; i < v->n_texts; i++)
        free(v->text[i]);
    free(v);
    host_free(&host);
    return 0;
}
