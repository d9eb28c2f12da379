/*
 * json.c -- see json.h.
 */
#include "json.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- refusing ---- */

const char *json_shown(const char *text, char out[JSON_SHOWN])
{
    size_t n = strlen(text), most = JSON_SHOWN - 4;
    int cut = n > most;
    if (cut) n = (size_t)json_utf8(text, most);
    snprintf(out, JSON_SHOWN, "%.*s%s", (int)n, text, cut ? "..." : "");
    return out;
}

int32_t json_fail(const json *j, int32_t code, const char *format, ...)
{
    char what[400], line[900], name[JSON_SHOWN];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    snprintf(line, sizeof line, "%.256s: %s%s%s%s", j->path, j->tensor ? "tensor " : "",
             j->tensor ? json_shown(j->tensor, name) : "", j->tensor ? ": " : "", what);
    return j->h->fail(j->h, code, line);
}

#define BAD(...) json_fail(j, EVLA_E_FORMAT, __VA_ARGS__)

int64_t json_place(const json *j) { return j->at - j->file; }

int32_t json_wanted(const json *j, const char *want)
{
    if (j->at >= j->end)
        return BAD("%s ends at byte %lld, where %s was wanted", j->whole,
                   (long long)json_place(j), want);
    if (*j->at > ' ' && *j->at < 127)
        return BAD("byte %lld of the file is '%c', want %s", (long long)json_place(j),
                   *j->at, want);
    return BAD("byte %lld of the file is 0x%02x, want %s", (long long)json_place(j), *j->at,
               want);
}

/* ---- JSON, as much of it as there is ---- */

void json_blanks(json *j)
{
    while (j->at < j->end &&
           (*j->at == ' ' || *j->at == '\n' || *j->at == '\t' || *j->at == '\r'))
        j->at++;
}

int json_take(json *j, char c)
{
    json_blanks(j);
    if (j->at >= j->end || *j->at != (uint8_t)c) return 0;
    j->at++;
    return 1;
}

uint64_t json_utf8(const void *text, uint64_t n)
{
    const uint8_t *s = text;
    uint64_t i = 0;
    while (i < n) {
        uint8_t c = s[i];
        int more = c < 0x80                ? 0
                   : c >= 0xc2 && c < 0xe0 ? 1
                   : c >= 0xe0 && c < 0xf0 ? 2
                   : c >= 0xf0 && c < 0xf5 ? 3
                                           : -1;
        if (more < 0 || (uint64_t)more >= n - i) break;
        if (more) { /* no overlong form, no surrogate, nothing above U+10FFFF */
            uint8_t low = c == 0xe0   ? 0xa0
                          : c == 0xf0 ? 0x90
                                      : 0x80,
                    high = c == 0xed   ? 0x9f
                           : c == 0xf4 ? 0x8f
                                       : 0xbf;
            if (s[i + 1] < low || s[i + 1] > high) break;
            if (more > 1 && (s[i + 2] & 0xc0) != 0x80) break;
            if (more > 2 && (s[i + 3] & 0xc0) != 0x80) break;
        }
        i += (uint64_t)more + 1;
    }
    return i;
}

static int hex4(json *j, uint32_t *out)
{
    if (j->end - j->at < 4) return 0;
    *out = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = *j->at++;
        int v = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (v < 0) return 0;
        *out = *out << 4 | (uint32_t)v;
    }
    return 1;
}

static void put_utf8(json *j, uint32_t c)
{
    if (c < 0x80)
        *j->text++ = (char)c;
    else if (c < 0x800) {
        *j->text++ = (char)(0xc0 | c >> 6);
        *j->text++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *j->text++ = (char)(0xe0 | c >> 12);
        *j->text++ = (char)(0x80 | (c >> 6 & 63));
        *j->text++ = (char)(0x80 | (c & 63));
    } else {
        *j->text++ = (char)(0xf0 | c >> 18);
        *j->text++ = (char)(0x80 | (c >> 12 & 63));
        *j->text++ = (char)(0x80 | (c >> 6 & 63));
        *j->text++ = (char)(0x80 | (c & 63));
    }
}

static int32_t read_escape(json *j)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (j->at >= j->end) return json_wanted(j, "an escape");
    const uint8_t c = *j->at++;
    const char *k = c ? strchr(from, c) : NULL;
    uint32_t u, low;
    if (k) {
        *j->text++ = to[k - from];
        return EVLA_OK;
    }
    if (c != 'u' || !hex4(j, &u))
        return BAD("an escape at byte %lld is none of JSON's", (long long)json_place(j));
    if (u >= 0xd800 && u < 0xdc00 && j->end - j->at >= 2 && j->at[0] == '\\' &&
        j->at[1] == 'u') {
        j->at += 2;
        if (!hex4(j, &low) || low < 0xdc00 || low > 0xdfff) low = 0;
        u = low ? 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00) : 0xd800;
    }
    if (!u || (u >= 0xd800 && u < 0xe000))
        return BAD("the escape before byte %lld is %s, which no text may hold",
                   (long long)json_place(j), u ? "half a character" : "a zero");
    put_utf8(j, u);
    return EVLA_OK;
}

int32_t json_text(json *j, const char *want, const char **out)
{
    if (!json_take(j, '"')) return json_wanted(j, want);
    *out = j->text;
    for (;;) {
        const uint8_t *from = j->at;
        while (j->at < j->end && *j->at != '"' && *j->at != '\\' && *j->at >= ' ')
            j->at++;
        uint64_t n = (uint64_t)(j->at - from), fine = json_utf8(from, n);
        if (fine < n) {
            j->at = from + fine;
            return BAD("byte %lld of the file, 0x%02x, is no UTF-8",
                       (long long)json_place(j), *j->at);
        }
        memcpy(j->text, from, n);
        j->text += n;
        if (j->at >= j->end || *j->at < ' ') return json_wanted(j, "the end of a text");
        if (*j->at++ == '"') break;
        int32_t st = read_escape(j);
        if (st < 0) return st;
    }
    *j->text++ = 0;
    return EVLA_OK;
}

int32_t json_number(json *j, const char *want, int64_t *out)
{
    json_blanks(j);
    if (j->at >= j->end || *j->at < '0' || *j->at > '9') return json_wanted(j, want);
    int64_t from = json_place(j);
    if (*j->at == '0' && j->end - j->at > 1 && j->at[1] >= '0' && j->at[1] <= '9')
        return BAD("the number at byte %lld starts with a zero", (long long)from);
    int64_t x = 0;
    for (; j->at < j->end && *j->at >= '0' && *j->at <= '9'; j->at++) {
        if (x > (INT64_MAX - (*j->at - '0')) / 10)
            return BAD("the number at byte %lld is above 2^63", (long long)from);
        x = 10 * x + (*j->at - '0');
    }
    if (j->at < j->end && (*j->at == '.' || *j->at == 'e' || *j->at == 'E'))
        return BAD("the number at byte %lld is no integer", (long long)from);
    *out = x;
    return EVLA_OK;
}

int32_t json_name(const json *j, const char *name, const char *what)
{
    for (const char *c = name; *c; c++)
        if ((uint8_t)*c < ' ' || *c == 127)
            return BAD("%s before byte %lld holds a control character, 0x%02x", what,
                       (long long)json_place(j), (uint8_t)*c);
    return EVLA_OK;
}

int32_t json_skip(json *j)
{
    char *text = j->text; /* not kept */
    int64_t depth = 0;
    do {
        const char *unused;
        json_blanks(j);
        if (j->at >= j->end) return json_wanted(j, "a value");
        uint8_t c = *j->at;
        if (c == '"') {
            int32_t st = json_text(j, "a text", &unused);
            if (st < 0) return st;
            j->text = text;
            continue;
        }
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (depth < 0) return json_wanted(j, "a value");
        j->at++;
        if (c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'))
            while (j->at < j->end && *j->at != ',' && *j->at != '}' && *j->at != ']' &&
                   *j->at > ' ')
                j->at++;
        else if (!strchr("{}[],:", c))
            return j->at--, json_wanted(j, "a value");
    } while (depth);
    return EVLA_OK;
}

int json_grow(void *list, int64_t n, int64_t *cap, size_t each)
{
    if (n < *cap) return 1;
    int64_t wide = *cap ? 2 * *cap : 64;
    void *p = realloc(*(void **)list, (size_t)wide * each);
    if (!p) return 0;
    *(void **)list = p;
    *cap = wide;
    return 1;
}
