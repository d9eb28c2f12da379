/*
 * t_tokenizer.c -- the service "tokenizer" through its table: what attributes it refuses,
 * how much it writes, many threads at once, and texts made to be slow. Published
 * vocabularies: tokenizer.t.
 */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <time.h>

#include "stage_host.h"
#include "tap.h"

static const evla_tokenizer_service *service;
static stage_host host;

/* ---- attributes ---- */

static evla_text of(const char *text) { return (evla_text){text, strlen(text)}; }

static evla_attr text_attr(const char *name, const char *text)
{
    return (evla_attr){.name = name, .text = text, .type = EVLA_ATTR_TEXT};
}

static evla_attr int_attr(const char *name, int64_t x)
{
    return (evla_attr){.name = name, .integer = x, .type = EVLA_ATTR_INT};
}

static evla_attr list_attr(const char *name, int32_t element, const void *items, int64_t n)
{
    return (evla_attr){.name = name,
                       .type = EVLA_ATTR_NUMBERS,
                       .element = element,
                       .items = items,
                       .n_items = n};
}

static evla_attr texts_attr(const char *name, const evla_text *items, int64_t n)
{
    return (evla_attr){.name = name, .type = EVLA_ATTR_TEXTS, .items = items, .n_items = n};
}

/* A vocabulary of nine pieces. U+2581 is E2 96 81. */
enum { MODEL, TOKENS, SCORES, TYPES, BOS, EOS, UNK, N_SPM, N_PIECES = 9 };
static evla_text pieces[N_PIECES];
static const float scores[N_PIECES] = {0, 0, 0, -1, -2, -3, -4, -5, 0};
static const int32_t types[N_PIECES] = {2, 3, 3, 1, 1, 1, 1, 1, 4};

static void spm_attrs(evla_attr a[N_SPM])
{
    static const char *const names[N_PIECES] = {
        "<unk>", "<s>", "</s>", "\xe2\x96\x81", "a", "b", "ab", "\342\226\201ab", "<tool>"};
    for (int i = 0; i < N_PIECES; i++)
        pieces[i] = of(names[i]);
    a[MODEL] = text_attr("tokenizer.ggml.model", "llama");
    a[TOKENS] = texts_attr("tokenizer.ggml.tokens", pieces, N_PIECES);
    a[SCORES] = list_attr("tokenizer.ggml.scores", EVLA_F32, scores, N_PIECES);
    a[TYPES] = list_attr("tokenizer.ggml.token_type", EVLA_I32, types, N_PIECES);
    a[BOS] = int_attr("tokenizer.ggml.bos_token_id", 1);
    a[EOS] = int_attr("tokenizer.ggml.eos_token_id", 2);
    a[UNK] = int_attr("tokenizer.ggml.unknown_token_id", 0);
}

static void *open_spm(void)
{
    evla_attr a[N_SPM];
    void *self = NULL;
    spm_attrs(a);
    if (service->open(&host.h, a, N_SPM, &self) < 0) note("%s", host.why);
    return self;
}

/* Opens with attribute `which` replaced by another (its name included), and wants a
 * refusal. */
static void refuses(const char *title, int which, evla_attr other, int32_t code,
                    const char *words)
{
    evla_attr a[N_SPM];
    void *self = NULL;
    spm_attrs(a);
    a[which] = other;
    host_clear(&host);
    const int32_t st = service->open(&host.h, a, N_SPM, &self);
    const int is_so = st == code && strstr(host.why, words) && !strchr(host.why, '\n');
    ok(is_so, "%s is refused", title);
    if (!is_so) note("%d, \"%s\", wanted %d, \"%s\"", st, host.why, code, words);
    service->close(&host.h, self);
    host_clear(&host);
}

static void test_refusals(void)
{
    static const float with_nan[N_PIECES] = {0, 0, 0, NAN};
    static const int32_t type_9[N_PIECES] = {2, 3, 3, 1, 1, 9};
    static char long_piece[2000];
    static evla_text with_long[N_PIECES];
    evla_attr a[N_SPM];
    spm_attrs(a);
    memset(long_piece, 'x', sizeof long_piece);
    memcpy(with_long, pieces, sizeof pieces);
    with_long[4] = (evla_text){long_piece, sizeof long_piece};
    refuses("no model", MODEL, text_attr("x", "y"), EVLA_E_MISSING,
            "tokenizer.ggml.model is missing");
    refuses("an unknown model", MODEL, text_attr("tokenizer.ggml.model", "rwkv"),
            EVLA_E_MISSING, "\"rwkv\"");
    refuses("a model's name that would break the line", MODEL,
            text_attr("tokenizer.ggml.model", "a\nb"), EVLA_E_MISSING, "\"a?b\"");
    refuses("a vocabulary without tokens", TOKENS, text_attr("x", "y"), EVLA_E_FORMAT,
            "tokens is missing");
    refuses("an empty vocabulary", TOKENS, texts_attr("tokenizer.ggml.tokens", pieces, 0),
            EVLA_E_FORMAT, "empty");
    refuses("a number where tokens belong", TOKENS, int_attr("tokenizer.ggml.tokens", 3),
            EVLA_E_FORMAT, "tokens is missing");
    refuses("a piece of 2000 bytes", TOKENS,
            texts_attr("tokenizer.ggml.tokens", with_long, N_PIECES), EVLA_E_LIMIT,
            "token 4 takes 2000 bytes");
    refuses("no scores", SCORES, text_attr("x", "y"), EVLA_E_FORMAT,
            "scores: want one f32");
    refuses("scores of another length", SCORES,
            list_attr("tokenizer.ggml.scores", EVLA_F32, scores, N_PIECES - 1),
            EVLA_E_FORMAT, "8 items for 9 tokens");
    refuses("scores in another format", SCORES,
            list_attr("tokenizer.ggml.scores", EVLA_I32, types, N_PIECES), EVLA_E_FORMAT,
            "want one f32");
    refuses("a score that is no number", SCORES,
            list_attr("tokenizer.ggml.scores", EVLA_F32, with_nan, N_PIECES), EVLA_E_FORMAT,
            "token 3");
    refuses("types of another length", TYPES,
            list_attr("tokenizer.ggml.token_type", EVLA_I32, types, 3), EVLA_E_FORMAT,
            "3 items for 9 tokens");
    refuses("types in a format of 8 bytes", TYPES,
            list_attr("tokenizer.ggml.token_type", EVLA_I64, types, N_PIECES),
            EVLA_E_FORMAT, "token_type");
    refuses("an unknown type", TYPES,
            list_attr("tokenizer.ggml.token_type", EVLA_I32, type_9, N_PIECES),
            EVLA_E_FORMAT, "token 5 has type 9");
    refuses("BOS outside the vocabulary", BOS,
            int_attr("tokenizer.ggml.bos_token_id", N_PIECES), EVLA_E_FORMAT,
            "bos_token_id is 9");
    refuses("EOS below zero", EOS, int_attr("tokenizer.ggml.eos_token_id", -1),
            EVLA_E_FORMAT, "eos_token_id is -1");
    refuses("EOS that is a text", EOS, text_attr("tokenizer.ggml.eos_token_id", "2"),
            EVLA_E_FORMAT, "want a number");
    refuses("EOT outside the vocabulary", EOS,
            int_attr("tokenizer.ggml.eot_token_id", 1 << 20), EVLA_E_FORMAT,
            "eot_token_id");
    refuses("nothing for unknown characters", UNK, text_attr("x", "y"), EVLA_E_FORMAT,
            "unknown token, or one for each byte");
    refuses("BPE without rules for words", MODEL, text_attr("tokenizer.ggml.model", "gpt2"),
            EVLA_E_MISSING, "tokenizer.ggml.pre is missing");
}

/* ---- byte-level BPE: two bytes that merge ---- */

enum { B_MODEL, B_PRE, B_TOKENS, B_MERGES, N_BPE };

static void test_bpe_refusals(void)
{
    static const struct {
        const char *title, *pre, *merge;
        int32_t code;
        const char *words;
    } cases[] = {
        {"an unknown way to cut words", "tekken", "a b", EVLA_E_MISSING, "\"tekken\""},
        {"a merge without a blank", "gpt-2", "ab", EVLA_E_FORMAT, "item 0 is no pair"},
        {"a merge with nothing behind the blank", "gpt-2", "a ", EVLA_E_FORMAT,
         "item 0 is no pair"},
        {"an empty merge", "gpt-2", "", EVLA_E_FORMAT, "item 0 is no pair"},
        {"a merge of an unknown left part", "gpt-2", "c b", EVLA_E_FORMAT,
         "merge 0: its left part"},
        {"a merge of an unknown right part", "gpt-2", "a c", EVLA_E_FORMAT,
         "merge 0: its right part"},
        {"a merge that makes no token", "gpt-2", "b a", EVLA_E_FORMAT,
         "merge 0: what it makes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const evla_text tokens[] = {of("a"), of("b"), of("ab")},
                        merges[] = {of(cases[i].merge)};
        const evla_attr a[N_BPE] = {text_attr("tokenizer.ggml.model", "gpt2"),
                                    text_attr("tokenizer.ggml.pre", cases[i].pre),
                                    texts_attr("tokenizer.ggml.tokens", tokens, 3),
                                    texts_attr("tokenizer.ggml.merges", merges, 1)};
        void *self = NULL;
        const int32_t st = service->open(&host.h, a, N_BPE, &self);
        ok(st == cases[i].code && strstr(host.why, cases[i].words), "%s is refused",
           cases[i].title);
        if (st >= 0 || !strstr(host.why, cases[i].words)) note("%d, \"%s\"", st, host.why);
        service->close(&host.h, self);
        host_clear(&host);
    }
}

/* ---- how much is written ---- */

static void test_room(void *self)
{
    int32_t ids[8] = {-7, -7, -7, -7, -7, -7, -7, -7};
    int64_t n = 0;
    int32_t st = service->encode(&host.h, self, "ab ab", 5, EVLA_TOKENS_WHOLE, ids, 8, &n);
    ok(st == 0 && n == 3 && ids[0] == 1 && ids[1] == 7 && ids[2] == 7 && ids[3] == -7,
       "BOS and two pieces");
    ids[0] = ids[1] = -7;
    st = service->encode(&host.h, self, "ab ab", 5, EVLA_TOKENS_WHOLE, ids, 1, &n);
    ok(st == 0 && n == 3 && ids[0] == 1 && ids[1] == -7,
       "of three tokens one is written where there is room for one");
    st = service->encode(&host.h, self, "ab ab", 5, 0, NULL, 0, &n);
    ok(st == 0 && n == 2, "no room at all: they are counted");
    st = service->encode(&host.h, self, "", (256ull << 20) + 1, 0, NULL, 0, &n);
    ok(st == EVLA_E_LIMIT && strstr(host.why, "256 MiB"),
       "a text of more than 256 MiB is refused before it is read");
    host_clear(&host);
    st = service->encode(&host.h, self, NULL, 0, 0, NULL, 0, &n);
    ok(st == 0 && n == 0, "no text, no tokens");
    char text[8] = "#######";
    st = service->decode(&host.h, self, (int32_t[]){1, 7, 7}, 3, 0, text, 3, &n);
    ok(st == 0 && n == 5 && !memcmp(text, "ab ####", 7),
       "of five bytes three are written where there is room for three");
    st = service->decode(&host.h, self, (int32_t[]){7, N_PIECES}, 2, 0, text, 8, &n);
    ok(st == EVLA_E_RANGE && strstr(host.why, "token 9; want 0 to 8"),
       "a token outside the vocabulary is refused");
    host_clear(&host);
    st = service->decode(&host.h, self, (int32_t[]){-1}, 1, 0, text, 8, &n);
    ok(st == EVLA_E_RANGE, "and one below zero");
    host_clear(&host);
}

static void test_tokens(void *self)
{
    int32_t ids[8];
    int64_t n;
    service->encode(&host.h, self, "a<s>c<tool>", 11, 0, ids, 8, &n);
    ok(n == 7 && ids[0] == 3 && ids[1] == 4 && ids[2] == 0 && ids[6] == 8,
       "a user's token stands in any text, a special one does not; what is unknown is "
       "<unk>");
    service->encode(&host.h, self, "a<s>ab", 6, EVLA_TOKENS_SPECIAL, ids, 8, &n);
    ok(n == 4 && ids[2] == 1 && ids[3] == 7,
       "a special token by its name, and a blank behind it again");
    service->encode(&host.h, self, "<s>ab", 5, EVLA_TOKENS_SPECIAL | EVLA_TOKENS_WHOLE, ids,
                    8, &n);
    ok(n == 2 && ids[0] == 1 && ids[1] == 7,
       "a whole text that begins with BOS gets no second one");
    service->encode(&host.h, self, "<s>", 3, EVLA_TOKENS_WHOLE, ids, 8, &n);
    ok(n == 5 && ids[0] == 1 && ids[1] == 3, "unless BOS there is text");
    ok(service->find(&host.h, self, "ab") == 6 &&
           service->find(&host.h, self, "zz") == -1 &&
           service->find(&host.h, self, "") == -1,
       "a piece is found by its text");
    ok(service->ends(&host.h, self, 2) && !service->ends(&host.h, self, 6) &&
           !service->ends(&host.h, self, -5) && !service->ends(&host.h, self, 99),
       "EOS ends a generation, others and strangers do not");
}

/* ---- numbers at any address, in any whole format ---- */

static void test_unaligned(void)
{
    evla_attr a[N_SPM];
    char bytes[sizeof scores + 1];
    uint8_t small[N_PIECES];
    void *self = NULL;
    spm_attrs(a);
    memcpy(bytes + 1, scores, sizeof scores);
    for (int i = 0; i < N_PIECES; i++)
        small[i] = (uint8_t)types[i];
    a[SCORES].items = bytes + 1;
    a[TYPES] = list_attr("tokenizer.ggml.token_type", EVLA_U8, small, N_PIECES);
    int32_t ids[4];
    int64_t n = 0;
    const int32_t st = service->open(&host.h, a, N_SPM, &self);
    if (st >= 0) service->encode(&host.h, self, "ab", 2, 0, ids, 4, &n);
    ok(st == 0 && n == 1 && ids[0] == 7, "scores at an odd address and types in bytes");
    service->close(&host.h, self);
}

/* ---- bytes, and a stream of them ---- */

static void *open_bytes(void)
{
    static char names[256][8];
    static evla_text tokens[259];
    static float score[259];
    static int32_t type[259];
    tokens[0] = of("<unk>"), tokens[1] = of("\xe2\x96\x81"), tokens[2] = of("\xc3\xa9\xc3");
    type[0] = 2, type[1] = type[2] = 1;
    for (int b = 0; b < 256; b++) {
        snprintf(names[b], sizeof names[b], "<0x%02X>", b);
        tokens[3 + b] = of(names[b]);
        type[3 + b] = 6;
    }
    const evla_attr a[] = {text_attr("tokenizer.ggml.model", "llama"),
                           texts_attr("tokenizer.ggml.tokens", tokens, 259),
                           list_attr("tokenizer.ggml.scores", EVLA_F32, score, 259),
                           list_attr("tokenizer.ggml.token_type", EVLA_I32, type, 259),
                           int_attr("tokenizer.ggml.add_space_prefix", 0)};
    void *self = NULL;
    if (service->open(&host.h, a, sizeof a / sizeof *a, &self) < 0) note("%s", host.why);
    return self;
}

/* Streams bytes (as their tokens) and the end, all into text. */
static void stream_bytes(void *self, const char *bytes, size_t n_bytes, char *text)
{
    evla_token_stream s = {0};
    for (size_t i = 0; i <= n_bytes; i++) {
        int64_t n = 0;
        service->stream(&host.h, self, &s, i < n_bytes ? 3 + (uint8_t)bytes[i] : -1, text,
                        512, &n);
        text += n;
    }
    *text = 0;
}

static void test_stream(void *self)
{
    static const struct {
        const char *title, *in, *out;
    } cases[] = {
        {"a character of four bytes comes whole", "\xf0\x9f\x98\x80!", "\xf0\x9f\x98\x80!"},
        {"one that is cut off at the end is U+FFFD for each byte", "a\xf0\x9f\x98",
         "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"one that another byte breaks, too",
         "\xe2\x96"
         "a",
         "\xef\xbf\xbd\xef\xbf\xbd"
         "a"},
        {"a stray continuation waits for nobody",
         "\x80"
         "b",
         "\xef\xbf\xbd"
         "b"},
        {"a surrogate is no character",
         "\xed\xa0\x80"
         "c",
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
         "c"},
        {"nor is an overlong form",
         "\xe0\x80\x80"
         "d",
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
         "d"},
    };
    char text[4096];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stream_bytes(self, cases[i].in, strlen(cases[i].in), text);
        ok(!strcmp(text, cases[i].out), "stream: %s", cases[i].title);
    }
    evla_token_stream s = {0}, before;
    int64_t n = 0;
    service->stream(&host.h, self, &s, 2, text, 512, &n);
    ok(n == 2 && s.n_held == 1, "stream: a piece that ends inside a character gives what "
                                "is whole and holds the rest");
    before = s;
    const int32_t st = service->stream(&host.h, self, &s, 3 + 0xa9, text, 1, &n);
    ok(st == 0 && n == 2 && !memcmp(&s, &before, sizeof s),
       "stream: without room for it nothing changes, and the caller asks again");
    ok(service->stream(&host.h, self, &s, 259, text, 512, &n) == EVLA_E_RANGE,
       "stream: a token outside the vocabulary is refused");
    host_clear(&host);
    s.n_held = 77;
    ok(service->stream(&host.h, self, &s, 0, text, 512, &n) == EVLA_E_ARG,
       "stream: a state that was never zeroed is refused");
    host_clear(&host);
    int32_t ids[16];
    service->encode(&host.h, self, "\xff\xe2\x96z", 4, 0, ids, 16, &n);
    ok(n == 4 && ids[0] == 3 + 0xff && ids[1] == 3 + 0xe2 && ids[2] == 3 + 0x96 &&
           ids[3] == 3 + 'z',
       "spm: bytes that are no UTF-8 stay bytes");
}

/* ---- threads ---- */

static void *encode_often(void *self)
{
    stage_host mine;
    const evla_host *h = host_init(&mine);
    intptr_t wrong = 0;
    for (int i = 0; i < 300; i++) {
        int32_t ids[64];
        char text[128];
        int64_t n, k;
        evla_token_stream s = {0};
        service->encode(h, self, "ab ab a b ab", 12, 0, ids, 64, &n);
        service->decode(h, self, ids, n, 0, text, 128, &k);
        wrong += k != 12 || memcmp(text, "ab ab a b ab", 12) != 0;
        service->stream(h, self, &s, ids[0], text, 128, &k);
        wrong += k != 2;
    }
    host_free(&mine);
    return (void *)wrong;
}

static void test_threads(void *self)
{
    pthread_t t[4];
    intptr_t wrong = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, encode_often, self);
    for (int i = 0; i < 4; i++) {
        void *result = NULL;
        pthread_join(t[i], &result);
        wrong += (intptr_t)result;
    }
    ok(wrong == 0, "four threads use one tokenizer");
}

/* ---- texts made to be slow ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Every step merges: pieces of 1, 2, 4, ... 1024 letters. Quadratic work on 1 MiB would
 * take hours. */
static void test_slow(void)
{
    enum { N = 12, BYTES = 1 << 20 };
    static char letters[1024];
    static evla_text tokens[N];
    static float score[N];
    static int32_t type[N] = {2};
    char *text = malloc(BYTES);
    memset(letters, 'a', sizeof letters);
    tokens[0] = of("<unk>");
    for (int i = 1; i < N; i++) {
        tokens[i] = (evla_text){letters, (uint64_t)1 << (i - 1)};
        score[i] = (float)-i;
        type[i] = 1;
    }
    const evla_attr a[] = {text_attr("tokenizer.ggml.model", "llama"),
                           texts_attr("tokenizer.ggml.tokens", tokens, N),
                           list_attr("tokenizer.ggml.scores", EVLA_F32, score, N),
                           list_attr("tokenizer.ggml.token_type", EVLA_I32, type, N),
                           int_attr("tokenizer.ggml.unknown_token_id", 0),
                           int_attr("tokenizer.ggml.add_space_prefix", 0)};
    void *self = NULL;
    int64_t n = 0;
    service->open(&host.h, a, sizeof a / sizeof *a, &self);
    memset(text, 'a', BYTES);
    const double begin = seconds();
    const int32_t st = service->encode(&host.h, self, text, BYTES, 0, NULL, 0, &n);
    const double took = seconds() - begin;
    ok(st == 0 && n == BYTES / 1024 && took < 20,
       "1 MiB of one letter that merges at every step: %lld tokens in %.2f s", (long long)n,
       took);
    service->close(&host.h, self);
    free(text);
}

int main(void)
{
    const evla_item *item = host_item("tokenizer", EVLA_SERVICE, "tokenizer");
    if (!item) skip_all("plugins/tokenizer.so is not built");
    service = item->table;
    host_init(&host);
    void *self = open_spm();
    ok(self && !host.why[0], "a vocabulary of nine pieces is opened");
    test_room(self);
    test_tokens(self);
    test_threads(self);
    service->close(&host.h, self);
    test_refusals();
    test_bpe_refusals();
    test_unaligned();
    self = open_bytes();
    test_stream(self);
    service->close(&host.h, self);
    test_slow();
    service->close(&host.h, NULL);
    host_free(&host);
    return tap_done();
}
