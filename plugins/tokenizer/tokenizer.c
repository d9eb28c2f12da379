/*
 * tokenizer.c -- the plugin evla.tokenizer: the service "tokenizer", text to numbers and
 * back.
 *
 * Not here: what files say (attrs.c, file.c), the methods (spm.c, bpe.c, wordpiece.c), the
 * way back (decode.c), chats (chat.c).
 */
#include "tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpe.h"
#include "decode.h"
#include "encode.h"
#include "fail.h"
#include "unicode.h"

/* ---- what encoding needs, made once ---- */

static void find_bytes(tokenizer *t)
{
    for (int b = 0; b < 256; b++) {
        char text[8];
        const size_t n = t->method == METHOD_BPE
                             ? utf8_put(bpe_char((uint8_t)b), text)
                             : (size_t)snprintf(text, sizeof text, "<0x%02X>", b);
        const int32_t id = t->byte_token[b] = vocab_find(&t->vocab, text, n);
        if (t->method == METHOD_SPM && id >= 0 && t->vocab.kind[id] == PIECE_NORMAL)
            t->vocab.kind[id] = PIECE_BYTE; /* where the file does not say so */
    }
}

/* An unknown character must become something; a vocabulary for bytes may lack those that no
 * text has, and drops them as its peers do. */
static int32_t check_unknown(const evla_host *h, const tokenizer *t)
{
    int has_all = 1;
    for (int b = 0; b < 256; b++)
        has_all &= t->byte_token[b] >= 0;
    if (t->unk >= 0 || t->method == METHOD_BPE || (t->method == METHOD_SPM && has_all))
        return EVLA_OK;
    return fail(h, EVLA_E_FORMAT,
                "%.256s: no token for what the vocabulary does not know; want an "
                "unknown token%s",
                t->vocab.source, t->method == METHOD_SPM ? ", or one for each byte" : "");
}

/* Is there a piece in which a blank follows something else? */
static int cuts_at_blanks(const vocab *v)
{
    for (int32_t id = 0; id < v->n; id++) {
        const evla_text p = v->piece[id];
        int was_mark = 1;
        for (size_t i = 0; i < p.n;) {
            const int is_mark = p.n - i >= BLANK_MARK_BYTES &&
                                !memcmp(p.at + i, blank_mark, BLANK_MARK_BYTES);
            if (is_mark && !was_mark) return 0;
            was_mark = is_mark;
            i += is_mark ? BLANK_MARK_BYTES : 1;
        }
    }
    return 1;
}

/* Names under which models end their turn, whatever the file says of them. */
static void find_ends(tokenizer *t)
{
    static const char *const names[] = {
        "<|im_end|>",    "<|eot_id|>",         "<|eom_id|>",
        "<|end|>",       "<|endoftext|>",      "<|end_of_text|>",
        "<end_of_turn>", "<end_of_utterance>", "<EOT>"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const int32_t id = vocab_find(&t->vocab, names[i], strlen(names[i]));
        if (id >= 0) t->ends[id] = 1;
    }
    if (t->eos >= 0) t->ends[t->eos] = 1;
}

int32_t tokenizer_finish(const evla_host *h, tokenizer *t)
{
    enum { USER = 1 << PIECE_USER, NAMED = USER | 1 << PIECE_CONTROL | 1 << PIECE_UNKNOWN };
    const vocab *v = &t->vocab;
    find_bytes(t);
    find_ends(t);
    t->adds_bos &= t->bos >= 0;
    t->adds_eos &= t->eos >= 0;
    t->cuts_at_blanks = t->method == METHOD_SPM && cuts_at_blanks(v);
    int32_t st = check_unknown(h, t);
    if (st >= 0) st = special_sort(h, &t->mem, v, USER, &t->user);
    if (st >= 0) st = special_sort(h, &t->mem, v, NAMED, &t->special);
    t->vocab.source = NULL; /* the caller's text */
    return st;
}

/* ---- the service ---- */

static int32_t new_tokenizer(const evla_host *h, void **self)
{
    *self = calloc(1, sizeof(tokenizer));
    return *self ? EVLA_OK : fail(h, EVLA_E_NOMEM, "tokenizer: no memory");
}

static int32_t open_attrs(const evla_host *h, const evla_attr *attrs, int32_t n_attrs,
                          void **self)
{
    int32_t st = new_tokenizer(h, self);
    if (st >= 0) st = attrs_read(h, attrs, n_attrs, *self);
    return st < 0 ? st : tokenizer_finish(h, *self);
}

static int32_t open_file(const evla_host *h, const char *path, void **self)
{
    int32_t st = new_tokenizer(h, self);
    if (st >= 0) st = file_read(h, path, *self);
    return st < 0 ? st : tokenizer_finish(h, *self);
}

static void close_any(const evla_host *h, void *self)
{
    tokenizer *t = self;
    (void)h;
    if (!t) return;
    mem_free(&t->mem);
    free(t);
}

static int32_t describe(const evla_host *h, const void *self, evla_tokenizer_info *out)
{
    static const char *const methods[] = {NULL, "spm", "bpe", "wordpiece"};
    const tokenizer *t = self;
    (void)h;
    *out = (evla_tokenizer_info){
        .size = sizeof *out,
        .n_tokens = t->vocab.n,
        .bos = t->bos,
        .eos = t->eos,
        .unk = t->unk,
        .pad = t->pad,
        .adds_bos = t->adds_bos,
        .adds_eos = t->adds_eos,
        .method = methods[t->method],
        .pre = t->split ? split_name(t->split) : NULL,
        .chat = chat_name(&t->chat),
    };
    return EVLA_OK;
}

static int32_t encode(const evla_host *h, const void *self, const char *text,
                      uint64_t bytes, uint32_t flags, int32_t *out, int64_t room,
                      int64_t *n)
{
    return encode_text(h, self, text, bytes, flags, out, room, n);
}

static int32_t decode(const evla_host *h, const void *self, const int32_t *ids,
                      int64_t n_ids, uint32_t flags, char *out, int64_t room, int64_t *n)
{
    return decode_text(h, self, ids, n_ids, flags, out, room, n);
}

static int32_t stream(const evla_host *h, const void *self, evla_token_stream *s,
                      int32_t id, char *out, int64_t room, int64_t *n)
{
    return decode_stream(h, self, s, id, out, room, n);
}

static int32_t find(const evla_host *h, const void *self, const char *piece)
{
    const tokenizer *t = self;
    (void)h;
    return vocab_find(&t->vocab, piece, strlen(piece));
}

static int32_t ends(const evla_host *h, const void *self, int32_t id)
{
    const tokenizer *t = self;
    (void)h;
    return id >= 0 && id < t->vocab.n && t->ends[id];
}

static int32_t write_chat(const evla_host *h, const void *self, const evla_message *m,
                          int32_t n_messages, char *out, int64_t room, int64_t *n)
{
    return chat_write(h, self, m, n_messages, out, room, n);
}

static const evla_tokenizer_service service = {
    .size = sizeof service,
    .open = open_attrs,
    .open_file = open_file,
    .close = close_any,
    .describe = describe,
    .encode = encode,
    .decode = decode,
    .stream = stream,
    .find = find,
    .ends = ends,
    .chat = write_chat,
};
static const evla_item items[] = {
    {EVLA_SERVICE, "tokenizer", &service, "text to numbers of its pieces, and back", 0, 0,
     0},
};
static const evla_plugin plugin = {
    .magic = EVLA_MAGIC,
    .size = sizeof plugin,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .id = "evla.tokenizer",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof items[0],
};
__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &plugin;
}
