/*
 * decode.c -- tokens to text, all at once or piece by piece.
 *
 * The blank that spm puts before a text and wordpiece before a word is no part of it: of
 * the first piece that is written a leading blank is left out.
 */
#include "decode.h"

#include <string.h>

#include "bpe.h"
#include "encode.h"
#include "fail.h"
#include "unicode.h"

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* "<0x0A>" */
static size_t put_byte(evla_text p, char *out)
{
    const int is_byte = p.n == 6 && hex(p.at[3]) >= 0 && hex(p.at[4]) >= 0;
    if (is_byte) out[0] = (char)(hex(p.at[3]) << 4 | hex(p.at[4]));
    return (size_t)is_byte;
}

static size_t put_blanks(evla_text p, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < p.n;) {
        const int is_mark =
            p.n - i >= BLANK_MARK_BYTES && !memcmp(p.at + i, blank_mark, BLANK_MARK_BYTES);
        out[n++] = is_mark ? ' ' : p.at[i];
        i += is_mark ? BLANK_MARK_BYTES : 1;
    }
    return n;
}

/* A piece with a character that stands for no byte is meant as it is written. */
static size_t put_mapped(evla_text p, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < p.n;) {
        uint32_t code;
        i += utf8_next(p.at + i, p.n - i, &code);
        const int byte = bpe_byte(code);
        if (byte < 0) return memcpy(out, p.at, p.n), p.n;
        out[n++] = (char)byte;
    }
    return n;
}

/* The bytes of one token; at most VOCAB_MAX_PIECE. */
static size_t put_piece(const tokenizer *t, int32_t id, uint32_t flags, char *out)
{
    const evla_text p = t->vocab.piece[id];
    const int kind = t->vocab.kind[id] & PIECE_KIND;
    const int is_named = kind == PIECE_CONTROL || kind == PIECE_UNKNOWN;
    if (p.n == 0 || (is_named && !(flags & EVLA_TOKENS_SPECIAL))) return 0;
    if (is_named || kind == PIECE_USER) return memcpy(out, p.at, p.n), p.n;
    if (kind == PIECE_BYTE) return put_byte(p, out);
    return t->method == METHOD_BPE ? put_mapped(p, out) : put_blanks(p, out);
}

/* The same, without the blank that stands before the first piece. */
static size_t put_next(const tokenizer *t, int32_t id, uint32_t flags, int *begun,
                       char *out)
{
    size_t n = put_piece(t, id, flags, out);
    const int drops =
        t->method == METHOD_WORDPIECE || (t->method == METHOD_SPM && t->prefix);
    const int is_text = (t->vocab.kind[id] & PIECE_KIND) == PIECE_NORMAL;
    if (!*begun && drops && is_text && n && out[0] == ' ') memmove(out, out + 1, --n);
    if (n || is_text) *begun = 1;
    return n;
}

static int32_t check_id(const evla_host *h, const tokenizer *t, int32_t id)
{
    if (id >= 0 && id < t->vocab.n) return EVLA_OK;
    return fail(h, EVLA_E_RANGE, "tokenizer: token %d; want 0 to %d", id, t->vocab.n - 1);
}

int32_t decode_text(const evla_host *h, const tokenizer *t, const int32_t *ids,
                    int64_t n_ids, uint32_t flags, char *out, int64_t room, int64_t *n)
{
    char piece[VOCAB_MAX_PIECE];
    int begun = 0;
    int64_t all = 0;
    for (int64_t i = 0; i < n_ids; i++) {
        const int32_t st = check_id(h, t, ids[i]);
        if (st < 0) return st;
        const size_t k = put_next(t, ids[i], flags, &begun, piece);
        if (all < room)
            memcpy(out + all, piece, (int64_t)k < room - all ? k : (size_t)(room - all));
        all += (int64_t)k;
    }
    *n = all;
    return EVLA_OK;
}

int32_t decode_stream(const evla_host *h, const tokenizer *t, evla_token_stream *s,
                      int32_t id, char *out, int64_t room, int64_t *n)
{
    char bytes[sizeof s->held + VOCAB_MAX_PIECE];
    int begun = s->begun;
    if (s->n_held < 0 || s->n_held > 3)
        return fail(h, EVLA_E_ARG, "tokenizer: a stream that holds %d bytes; zero it first",
                    s->n_held);
    size_t all = (size_t)s->n_held, whole = 0;
    memcpy(bytes, s->held, all);
    if (id != -1) {
        const int32_t st = check_id(h, t, id);
        if (st < 0) return st;
        all += put_next(t, id, 0, &begun, bytes + all);
    }
    const size_t held = id == -1 ? 0 : utf8_unfinished(bytes, all);
    int64_t written = 0;
    for (int pass = 0; pass < 2; pass++) { /* first it is measured */
        written = 0;
        for (size_t at = 0; at < all - held; at += whole) {
            uint32_t code;
            char c[4];
            whole = utf8_next(bytes + at, all - held - at, &code);
            const size_t k = utf8_put(code, c);
            if (pass) memcpy(out + written, c, k);
            written += (int64_t)k;
        }
        *n = written;
        if (written > room) return EVLA_OK;
    }
    memcpy(s->held, bytes + all - held, held);
    s->n_held = (int32_t)held;
    s->begun = begun;
    return EVLA_OK;
}
