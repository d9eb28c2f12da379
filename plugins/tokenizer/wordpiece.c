/*
 * wordpiece.c -- the method "wordpiece": text is cleaned, cut at blanks and punctuation,
 * and each word is taken piece by piece, the longest known one first.
 *
 * Source: Devlin et al. 2018 (BERT). Pieces are kept as llama.cpp writes them: one that
 * begins a word has U+2581 before it, and one that goes on has no "##".
 */
#include <string.h>

#include "encode.h"
#include "unicode.h"

enum { MAX_WORD = 100 /* code points; a longer one is unknown: BERT's own bound */ };

static int is_ideograph(uint32_t c)
{
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
           (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b820 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

/* Punctuation, or any sign of ASCII: it is a word of its own, as an ideograph is. */
static int stands_alone(uint32_t c)
{
    const int is_ascii_sign = (c >= 33 && c <= 47) || (c >= 58 && c <= 64) ||
                              (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
    return is_ascii_sign || is_ideograph(c) || unicode_class(c) == UNICODE_PUNCTUATION;
}

static int is_dropped(uint32_t c)
{
    return c == 0 || c == UTF8_BAD || unicode_class(c) == UNICODE_CONTROL;
}

/* A word, written behind the mark that begins it. */
typedef struct word {
    size_t n;     /* bytes of e->text */
    size_t chars; /* code points */
} word;

static void encode_word(encoding *e, const word *w)
{
    const int64_t before = e->n;
    const char *text = e->text;
    size_t at = 0;
    while (at < w->n && w->chars <= MAX_WORD) {
        size_t n = w->n - at < e->t->vocab.longest ? w->n - at : e->t->vocab.longest;
        int32_t id = -1;
        while (n > 0 && (id = vocab_find(&e->t->vocab, text + at, n)) < 0)
            n--;
        if (id < 0) break;
        encode_put(e, id);
        at += n;
    }
    if (at == w->n) return;
    e->n = before; /* a word that is not known in full is not known at all */
    encode_put(e, e->t->unk);
}

/* The last word goes out, and the next one begins. */
static void finish(encoding *e, word *w)
{
    if (w->chars) encode_word(e, w);
    *w = (word){BLANK_MARK_BYTES, 0};
}

static void add(encoding *e, word *w, uint32_t code)
{
    /* what is too long to be known need not be kept */
    if (w->chars++ < MAX_WORD) w->n += utf8_put(code, e->text + w->n);
}

int32_t wordpiece_encode(encoding *e, const char *text, size_t n)
{
    const tokenizer *t = e->t;
    word w = {BLANK_MARK_BYTES, 0};
    if (encode_grow(e, &e->text, &e->text_room, BLANK_MARK_BYTES + 4 * MAX_WORD, 1) < 0)
        return EVLA_E_NOMEM;
    memcpy(e->text, blank_mark, BLANK_MARK_BYTES);
    for (size_t at = 0; at < n;) {
        uint32_t code, part[UNICODE_MOST_PARTS] = {0};
        at += utf8_next(text + at, n - at, &code);
        if (unicode_class(code) == UNICODE_SPACE) {
            finish(e, &w);
            continue;
        }
        if (is_dropped(code)) continue;
        part[0] = code;
        const size_t k = t->strips_accents ? unicode_decompose(code, part) : 1;
        for (size_t i = 0; i < k; i++) {
            if (t->strips_accents && unicode_class(part[i]) == UNICODE_MARK) continue;
            const uint32_t c = t->lowers ? unicode_lower(part[i]) : part[i];
            const int is_alone = stands_alone(c);
            if (is_alone) finish(e, &w);
            add(e, &w, c);
            if (is_alone) finish(e, &w);
        }
    }
    finish(e, &w);
    return EVLA_OK;
}
