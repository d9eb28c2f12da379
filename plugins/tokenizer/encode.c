/*
 * encode.c -- text to tokens: cuts out special tokens and gives what is between to the
 * method.
 */
#include "encode.h"

#include <stdlib.h>

#include "fail.h"

enum { MAX_TEXT = 256 << 20 };

void encode_put(encoding *e, int32_t id)
{
    if (e->n < e->room) e->out[e->n] = id;
    e->n++;
}

int32_t encode_grow(encoding *e, void *p, size_t *room, size_t n, size_t size)
{
    void **at = p;
    if (n <= *room) return EVLA_OK;
    const size_t more = n + n / 2 + 64;
    void *grown = realloc(*at, more * size);
    if (!grown)
        return fail(e->h, EVLA_E_NOMEM, "tokenizer: no memory for a text of this length");
    *at = grown, *room = more;
    return EVLA_OK;
}

static int32_t encode_fragment(encoding *e, const char *text, size_t n, int is_start)
{
    if (n == 0) return EVLA_OK;
    switch (e->t->method) {
    case METHOD_SPM:
        return spm_encode(e, text, n, is_start);
    case METHOD_BPE:
        return bpe_encode(e, text, n);
    default:
        return wordpiece_encode(e, text, n);
    }
}

int32_t encode_text(const evla_host *h, const tokenizer *t, const char *text,
                    uint64_t bytes, uint32_t flags, int32_t *out, int64_t room, int64_t *n)
{
    encoding e = {.h = h, .t = t, .out = out, .room = room};
    const special_list *names = flags & EVLA_TOKENS_SPECIAL ? &t->special : &t->user;
    int32_t st = EVLA_OK;
    if (bytes > MAX_TEXT)
        return fail(h, EVLA_E_LIMIT,
                    "tokenizer: a text of %llu bytes; want 256 MiB or less",
                    (unsigned long long)bytes);
    special_hit hit = special_next(names, &t->vocab, text, bytes, 0);
    const int has_bos = hit.begin == 0 && hit.id == t->bos; /* a chat brings its own */
    if (flags & EVLA_TOKENS_WHOLE && t->adds_bos && !has_bos) encode_put(&e, t->bos);
    for (size_t at = 0; st >= 0 && at < bytes;) {
        st = encode_fragment(&e, text + at, hit.begin - at, at == 0);
        if (hit.id >= 0) encode_put(&e, hit.id);
        at = hit.end;
        hit = special_next(names, &t->vocab, text, bytes, at);
    }
    if (flags & EVLA_TOKENS_WHOLE && t->adds_eos) encode_put(&e, t->eos);
    free(e.symbols);
    free(e.heap);
    free(e.text);
    *n = e.n;
    return st;
}
