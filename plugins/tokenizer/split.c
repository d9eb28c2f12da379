/*
 * split.c -- cuts text into the words that byte pairs merge in.
 *
 * Tokenizers define words by regular expressions with look-ahead over Unicode properties. A
 * handful is in use, and they differ in few places; here these places are fields and one
 * function matches them all, alternative by alternative, in linear time. What each set
 * stands for, as published:
 *
 *   gpt-2      's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   llama-bpe  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
 *               ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *   qwen2      the same with \p{N}
 *   smollm     \p{N} alone first, then gpt-2 on what is between
 *   falcon     [\p{P}$+<=>^~|`]+ alone first, then gpt-2, then [0-9][0-9][0-9] alone
 */
#include "split.h"

#include <string.h>

#include "unicode.h"

/* What is set apart before words are looked for. */
enum { APART_NOTHING = 0, APART_DIGITS = 1, APART_SIGNS = 2 };

struct split_rules {
    const char *name;
    int apart;
    int is_modern; /* the second family of expressions: llama-bpe, qwen2 */
    int digits;    /* modern: the most digits in a word */
    int cuts_triples;
};

static const split_rules known[] = {
    {.name = "gpt-2"},
    {.name = "smollm", .apart = APART_DIGITS},
    {.name = "llama-bpe", .is_modern = 1, .digits = 3},
    {.name = "qwen2", .is_modern = 1, .digits = 1},
    {.name = "falcon", .apart = APART_SIGNS, .cuts_triples = 1},
};
const char split_names[] = "gpt-2, smollm, llama-bpe, qwen2 or falcon";

const split_rules *split_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].name, name)) return &known[i];
    return NULL;
}

const char *split_name(const split_rules *r) { return r->name; }

/* ---- characters in [at, end) ---- */

typedef struct look {
    size_t next; /* where the character ends; at itself when there is none */
    uint32_t code;
    int class; /* UNICODE_*; -1: no character */
} look;

static look look_at(const char *text, size_t end, size_t at)
{
    look c = {at, 0, -1};
    if (at >= end) return c;
    c.next = at + utf8_next(text + at, end - at, &c.code);
    c.class = unicode_class(c.code);
    return c;
}

static int is_letter(look c) { return c.class == UNICODE_LETTER; }
static int is_number(look c) { return c.class == UNICODE_NUMBER; }
static int is_space(look c) { return c.class == UNICODE_SPACE; }
static int is_line(look c) { return c.code == '\r' || c.code == '\n'; }
static int is_sign(look c)
{
    return c.class >= 0 && !is_letter(c) && !is_number(c) && !is_space(c);
}
static int is_apart_sign(look c)
{
    return c.class == UNICODE_PUNCTUATION ||
           (c.code && c.code < 0x80 && strchr("$+<=>^~|`", (int)c.code));
}

static size_t run(const char *text, size_t end, size_t at, int (*is)(look), int most)
{
    for (look c; most > 0 && (c = look_at(text, end, at), c.class >= 0 && is(c)); most--)
        at = c.next;
    return at;
}
enum { ANY = INT32_MAX };

/* 's|'t|'re|'ve|'m|'ll|'d: the end of one that begins at `at`, or at. Without case, U+017F
 * is an s: simple case folding. */
static size_t contraction(const char *text, size_t end, size_t at, int without_case)
{
    static const char one[] = "stmd", two[] = "revell";
    if (at + 1 >= end || text[at] != '\'') return at;
    look c = look_at(text, end, at + 1);
    if (without_case && c.code == 0x17f) c.code = 's';
    const uint32_t a = without_case ? unicode_lower(c.code) : c.code;
    if (a && a < 0x80 && strchr(one, (int)a)) return c.next;
    const look d = look_at(text, end, c.next);
    const uint32_t b = without_case ? unicode_lower(d.code) : d.code;
    for (const char *p = two; *p; p += 2)
        if (a == (uint32_t)p[0] && b == (uint32_t)p[1]) return d.next;
    return at;
}

/* \s+(?!\S)|\s+: all of the run at the end of the text, else all but its last character. */
static size_t spaces(const char *text, size_t end, size_t at)
{
    size_t last = at, next = at;
    for (look c; c = look_at(text, end, next), is_space(c); next = c.next)
        last = next;
    return next == end || last == at ? next : last;
}

static size_t gpt2_word(const char *text, size_t end, size_t at)
{
    size_t to = contraction(text, end, at, 0);
    if (to > at) return to;
    const size_t body = text[at] == ' ' ? at + 1 : at;
    const look c = look_at(text, end, body);
    if (is_letter(c)) return run(text, end, body, is_letter, ANY);
    if (is_number(c)) return run(text, end, body, is_number, ANY);
    if (is_sign(c)) return run(text, end, body, is_sign, ANY);
    return spaces(text, end, at);
}

static size_t modern_word(const char *text, size_t end, size_t at, int digits)
{
    size_t to = contraction(text, end, at, 1);
    if (to > at) return to;
    const look c = look_at(text, end, at);
    if (is_letter(c)) return run(text, end, at, is_letter, ANY);
    if (is_number(c)) return run(text, end, at, is_number, digits);
    if (!is_line(c) && is_letter(look_at(text, end, c.next)))
        return run(text, end, c.next, is_letter, ANY);
    const size_t body = text[at] == ' ' ? at + 1 : at;
    if (is_sign(look_at(text, end, body)))
        return run(text, end, run(text, end, body, is_sign, ANY), is_line, ANY);
    size_t line = at; /* \s*[\r\n]+: to the last line end of the run */
    for (look s = c; is_space(s); s = look_at(text, end, s.next))
        if (is_line(s)) line = s.next;
    return line > at ? line : spaces(text, end, at);
}

/* ---- stretches and triples ---- */

static int is_apart(const split_rules *r, look c)
{
    return r->apart == APART_DIGITS  ? is_number(c)
           : r->apart == APART_SIGNS ? is_apart_sign(c)
                                     : 0;
}

/* Where the stretch that begins at `at` ends: what is set apart, or what is between. */
static size_t stretch_end(const split_rules *r, const char *text, size_t n, size_t at)
{
    if (r->apart == APART_NOTHING) return n;
    look c = look_at(text, n, at);
    const int first = is_apart(r, c);
    if (first && r->apart == APART_DIGITS) return c.next;
    while (c.class >= 0 && is_apart(r, c) == first)
        c = look_at(text, n, at = c.next);
    return at;
}

static int is_triple(const char *text, size_t end, size_t at)
{
    for (size_t i = at; i < at + 3; i++)
        if (i >= end || text[i] < '0' || text[i] > '9') return 0;
    return 1;
}

split_words split_begin(const split_rules *rules, const char *text, size_t n)
{
    return (split_words){.rules = rules, .text = text, .n = n};
}

void split_next(split_words *w)
{
    const split_rules *r = w->rules;
    if (w->at == w->stretch) w->stretch = stretch_end(r, w->text, w->n, w->at);
    if (w->at == w->word)
        w->word = r->is_modern ? modern_word(w->text, w->stretch, w->at, r->digits)
                               : gpt2_word(w->text, w->stretch, w->at);
    size_t to = w->word;
    if (r->cuts_triples) {
        to = w->at;
        while (to < w->word && !is_triple(w->text, w->word, to))
            to++;
        if (to == w->at) to = is_triple(w->text, w->word, to) ? to + 3 : w->word;
    }
    w->at = to;
}
