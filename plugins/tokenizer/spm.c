/*
 * spm.c -- the method "spm": blanks become U+2581, characters merge, the best score first,
 * and what no piece has falls back to its bytes.
 *
 * Source: Kudo and Richardson 2018, SentencePiece, as llama.cpp applies it to Llama's
 * vocabularies.
 */
#include <string.h>

#include "encode.h"
#include "unicode.h"

const char blank_mark[BLANK_MARK_BYTES + 1] = "\xe2\x96\x81";

/* Floats as integers in falling order: the sign bit of IEEE 754 turned, the rest of
 * negatives too. */
static uint32_t order_of(float score)
{
    uint32_t bits;
    score += 0.0f; /* -0 becomes 0 */
    memcpy(&bits, &score, sizeof bits);
    return bits >> 31 ? bits : ~(bits | 0x80000000u);
}

/* The token with this text; -1: none, or one that no text may turn into, such as "<s>". */
static int32_t find(const tokenizer *t, const char *text, size_t n)
{
    const int32_t id = vocab_find(&t->vocab, text, n);
    const int kind = id < 0 ? 0 : t->vocab.kind[id] & PIECE_KIND;
    return kind == PIECE_NORMAL || kind == PIECE_USER || kind == PIECE_UNUSED ? id : -1;
}

static vocab_pair by_score(const tokenizer *t, const symbol *left, const symbol *right)
{
    const int32_t id = find(t, left->at, (size_t)left->n + right->n);
    if (id < 0) return (vocab_pair){UINT32_MAX, VOCAB_NEVER};
    return (vocab_pair){order_of(t->score[id]), id};
}

static void put(encoding *e, const symbol *s)
{
    const tokenizer *t = e->t;
    if (s->id >= 0) {
        encode_put(e, s->id);
        return;
    }
    for (uint32_t i = 0; i < s->n; i++)
        if (t->byte_token[(uint8_t)s->at[i]] < 0) {
            encode_put(e, t->unk);
            return;
        }
    for (uint32_t i = 0; i < s->n; i++)
        encode_put(e, t->byte_token[(uint8_t)s->at[i]]);
}

static int32_t encode_word(encoding *e, const char *text, size_t n)
{
    int32_t count = 0;
    for (size_t at = 0, step; at < n; at += step) {
        uint32_t code;
        step = utf8_next(text + at, n - at, &code);
        if (encode_grow(e, &e->symbols, &e->symbols_room, (size_t)count + 1,
                        sizeof *e->symbols) < 0)
            return EVLA_E_NOMEM;
        const int32_t id = find(e->t, text + at, step);
        e->symbols[count++] = (symbol){.at = text + at, .n = (uint32_t)step, .id = id};
    }
    const int32_t st =
        merge_symbols(e, count, e->t->vocab.merges ? merge_by_list : by_score);
    for (int32_t i = 0; st >= 0 && i >= 0; i = e->symbols[i].next)
        put(e, &e->symbols[i]);
    return st;
}

static int is_mark(const char *text, size_t n)
{
    return n >= BLANK_MARK_BYTES && !memcmp(text, blank_mark, BLANK_MARK_BYTES);
}

static int wants_blank(const tokenizer *t, const char *text, size_t n, int is_start)
{
    const int has_blank = text[0] == ' ' || is_mark(text, n);
    if (t->prefix == PREFIX_FIRST) return is_start && !has_blank;
    return t->prefix == PREFIX_ALWAYS || (t->prefix == PREFIX_MISSING && !has_blank);
}

int32_t spm_encode(encoding *e, const char *text, size_t n, int is_start)
{
    size_t n_marked = 0, begin = 0;
    if (encode_grow(e, &e->text, &e->text_room, BLANK_MARK_BYTES * (n + 1), 1) < 0)
        return EVLA_E_NOMEM;
    if (wants_blank(e->t, text, n, is_start))
        memcpy(e->text, blank_mark, n_marked = BLANK_MARK_BYTES);
    for (size_t i = 0; i < n; i++) {
        if (text[i] == ' ')
            memcpy(e->text + n_marked, blank_mark, BLANK_MARK_BYTES),
                n_marked += BLANK_MARK_BYTES;
        else
            e->text[n_marked++] = text[i];
    }
    for (size_t at = 1; e->t->cuts_at_blanks && at < n_marked; at++) {
        if (!is_mark(e->text + at, n_marked - at)) continue;
        if (at >= BLANK_MARK_BYTES &&
            is_mark(e->text + at - BLANK_MARK_BYTES, BLANK_MARK_BYTES))
            continue;
        const int32_t st = encode_word(e, e->text + begin, at - begin);
        if (st < 0) return st;
        begin = at;
    }
    return encode_word(e, e->text + begin, n_marked - begin);
}
