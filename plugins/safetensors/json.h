/*
 * json.h -- reads JSON where it lies, as much of it as this format has: texts, whole
 * numbers, and what stands between them. Never recurses.
 */
#ifndef EVLA_SAFETENSORS_JSON_H
#define EVLA_SAFETENSORS_JSON_H
#include "evla/abi.h"

typedef struct json {
    const evla_host *h;
    const char *path;
    const char *tensor; /* the one being read, for messages; NULL: none */
    const char *whole;  /* what `end` is the end of, for messages */
    const uint8_t *file, *at, *end;
    char *text; /* where the next text goes; all of them fit in what they are read from */
} json;

/* A name in a message: not too long, and no half of a character at its end. */
enum { JSON_SHOWN = 128 };
const char *json_shown(const char *text, char out[JSON_SHOWN]);
/* Tells the host, with path and tensor in front; returns code. */
__attribute__((format(printf, 3, 4))) int32_t json_fail(const json *j, int32_t code,
                                                        const char *format, ...);
/* EVLA_E_FORMAT: what stands here instead of what was wanted. */
int32_t json_wanted(const json *j, const char *want);
int64_t json_place(const json *j); /* the byte of the file that is read next */
void json_blanks(json *j);
int json_take(json *j, char c); /* skips blanks, and the character when it is there */
/* A text, decoded, UTF-8 without zeros; a whole number up to 2^63 - 1. Fail: EVLA_E_FORMAT.
 */
int32_t json_text(json *j, const char *want, const char **out);
int32_t json_number(json *j, const char *want, int64_t *out);
/* Is a text fit for a name? Names end up in tables, paths and messages: they are short
 * lines, not documents. Fails: EVLA_E_FORMAT for control characters. */
int32_t json_name(const json *j, const char *name, const char *what);
/* Steps over a value of any sort, of which only the end is looked for. Fails:
 * EVLA_E_FORMAT. */
int32_t json_skip(json *j);
/* Room for one more in a list of things of a size; 0: no memory. */
int json_grow(void *list, int64_t n, int64_t *cap, size_t each);
/* Bytes of well-formed UTF-8 that text starts with (RFC 3629), at most n. */
uint64_t json_utf8(const void *text, uint64_t n);

#endif
