/*
 * fuzz_tokenizer_file.c -- plugins/tokenizer on hostile tokenizer.json files: refused with
 * a sentence, or open and then of use. The bytes are the document; behind a NUL, if there
 * is one, stands tokenizer_config.json.
 */
#include "../stage_host.h"
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void store(const char *folder, const char *name, const uint8_t *bytes, size_t n)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0) abort();
}

static void use(const evla_tokenizer_service *s, const evla_host *h, void *self)
{
    static const char text[] = "Hello  w\xc3\xb6rld 123 e\xcc\x81\n<s> \xff";
    static const evla_message chat[] = {{"system", "x"}, {"user", "y"}};
    int32_t ids[512];
    char back[8192];
    int64_t n_ids = 0, n = 0;
    evla_tokenizer_info info;
    if (s->describe(h, self, &info) < 0) abort();
    if (s->encode(h, self, text, sizeof text - 1, EVLA_TOKENS_WHOLE | EVLA_TOKENS_SPECIAL,
                  ids, 512, &n_ids) < 0 ||
        n_ids > 512)
        abort();
    for (int64_t i = 0; i < n_ids; i++)
        if (ids[i] < 0 || ids[i] >= info.n_tokens) abort();
    if (s->decode(h, self, ids, n_ids, EVLA_TOKENS_SPECIAL, back, sizeof back, &n) < 0)
        abort();
    const int32_t st = s->chat(h, self, chat, 2, back, sizeof back, &n);
    if ((st < 0) != !info.chat) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static char folder[] = "/dev/shm/evla-fuzz-XXXXXX";
    static int is_made;
    if (!is_made++ && !mkdtemp(folder)) abort();
    stage_host host;
    const evla_host *h = host_init(&host);
    const evla_tokenizer_service *s = evla_plugin_entry()->items[0].table;
    const uint8_t *cut = n ? memchr(data, 0, n) : NULL;
    char path[200];
    void *self = NULL;
    const size_t n_file = cut ? (size_t)(cut - data) : n;
    store(folder, "tokenizer.json", data, n_file);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    if (cut)
        store(folder, "tokenizer_config.json", cut + 1, n - n_file - 1);
    else
        unlink(path);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    const int32_t st = s->open_file(h, path, &self);
    if (st < 0 && (!host.why[0] || strchr(host.why, '\n')))
        abort(); /* a refusal is a sentence */
    if (st >= 0) use(s, h, self);
    s->close(h, self);
    host_free(&host);
    return 0;
}
