/*
 * unicode.h -- characters: UTF-8, and what Unicode says of a code point; see unicode.c.
 */
#ifndef EVLA_TOKENIZER_UNICODE_H
#define EVLA_TOKENIZER_UNICODE_H
#include <stddef.h>
#include <stdint.h>

enum { UTF8_BAD = 0xfffd }; /* stands for a byte that belongs to no character */

/* The character at text, of which n > 0 bytes may be read: its code point, and how many
 * bytes it takes. A byte that belongs to no character (a stray or missing continuation, an
 * overlong form, a surrogate) counts alone, as UTF8_BAD. */
size_t utf8_next(const char *text, size_t n, uint32_t *code);

/* Writes a code point up to U+10FFFF as 1 to 4 bytes; returns how many. */
size_t utf8_put(uint32_t code, char *out);

/* How many bytes at the end of text begin a character that is cut off, 0 to 3. */
size_t utf8_unfinished(const char *text, size_t n);

/* What cutting text into words asks of a code point. White space is Unicode's White_Space.
 */
// clang-format off
enum {
    UNICODE_OTHER = 0, UNICODE_LETTER = 1, UNICODE_NUMBER = 2, UNICODE_PUNCTUATION = 3,
    UNICODE_SPACE = 4, UNICODE_MARK = 5 /* non-spacing: Mn */, UNICODE_CONTROL = 6 /* Cc, Cf, Co, Cs, Cn */
};
// clang-format on
int unicode_class(uint32_t code);

/* The lower-case letter; code itself when it has none, or more than one. */
uint32_t unicode_lower(uint32_t code);

/* Canonical decomposition, 1 to UNICODE_MOST_PARTS code points, in no order but their own.
 */
enum { UNICODE_MOST_PARTS = 4 };
size_t unicode_decompose(uint32_t code, uint32_t out[UNICODE_MOST_PARTS]);

/* What two code points compose to; 0: they do not. */
uint32_t unicode_compose(uint32_t first, uint32_t second);

/* Canonical combining class; 0: a character that starts anew. */
int unicode_order(uint32_t code);

/* 1: NFC may change it, or what stands before it. */
int unicode_is_loose(uint32_t code);

#endif
