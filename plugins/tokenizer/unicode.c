/*
 * unicode.c -- characters: UTF-8, and what Unicode says of a code point.
 *
 * The tables (unicode_table.h) are generated: a library for four properties would weigh
 * megabytes and bring its own Unicode version, and words must be cut alike on every
 * machine.
 */
#include "unicode.h"

#include "unicode_table.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

size_t utf8_next(const char *text, size_t n, uint32_t *code)
{
    const uint8_t *p = (const uint8_t *)text;
    const uint32_t c = p[0];
    const size_t len = c < 0x80   ? 1
                       : c < 0xc2 ? 0
                       : c < 0xe0 ? 2
                       : c < 0xf0 ? 3
                       : c < 0xf5 ? 4
                                  : 0;
    *code = c;
    if (len == 1) return 1;
    *code = UTF8_BAD;
    if (len == 0 || len > n) return 1;
    uint32_t whole = c & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) return 1;
        whole = whole << 6 | (p[i] & 0x3f);
    }
    const int is_overlong = (len == 3 && whole < 0x800) || (len == 4 && whole < 0x10000);
    if (is_overlong || whole > 0x10ffff || (whole >= 0xd800 && whole < 0xe000)) return 1;
    *code = whole;
    return len;
}

size_t utf8_put(uint32_t code, char *out)
{
    if (code < 0x80) return out[0] = (char)code, 1;
    const size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00u >> len & 0xf0) | code);
    return len;
}

size_t utf8_unfinished(const char *text, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        const uint8_t c = (uint8_t)text[n - back];
        if ((c & 0xc0) == 0x80) continue;
        const size_t len = c < 0xc2 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 1;
        if (len <= back) return 0;
        /* whole if the right bytes followed? Zeros and ones as payload decide what they can
         * be. */
        uint32_t code;
        char whole[4] = {(char)c, (char)0x80, (char)0x80, (char)0x80};
        for (size_t i = 1; i < back; i++)
            whole[i] = text[n - back + i];
        if (back == 1 && (c == 0xe0 || c == 0xf0)) whole[1] = (char)0xbf;
        return utf8_next(whole, len, &code) == len ? back : 0;
    }
    return 0;
}

int unicode_class(uint32_t code)
{
    size_t low = 0, high = COUNT(unicode_runs);
    if (code < 0x80) {
        if ((code | 0x20) - 'a' < 26) return UNICODE_LETTER;
        if (code - '0' < 10) return UNICODE_NUMBER;
    }
    while (high - low > 1) { /* the last run that begins at or before code */
        const size_t middle = low + (high - low) / 2;
        if (unicode_runs[middle] >> 3 <= code)
            low = middle;
        else
            high = middle;
    }
    return (int)(unicode_runs[low] & 7);
}

uint32_t unicode_lower(uint32_t code)
{
    size_t low = 0, high = COUNT(unicode_lower_runs);
    if (code < 0x80) return code - 'A' < 26 ? code + 32 : code;
    while (low < high) { /* the first run that ends at or after code */
        const size_t middle = low + (high - low) / 2;
        if (unicode_lower_runs[middle].last < code)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == COUNT(unicode_lower_runs) || code < unicode_lower_runs[low].first)
        return code;
    if ((code - unicode_lower_runs[low].first) % (uint32_t)unicode_lower_runs[low].step)
        return code;
    return (uint32_t)((int32_t)code + unicode_lower_runs[low].add);
}

/* Hangul syllables decompose by arithmetic: Unicode standard, section 3.12. */
static size_t hangul_base(uint32_t code, uint32_t *out)
{
    const uint32_t s = code - 0xac00, t = s % 28;
    out[0] = 0x1100 + s / 588;
    out[1] = 0x1161 + s % 588 / 28;
    out[2] = 0x11a7 + t;
    return t ? 3 : 2;
}

size_t unicode_base(uint32_t code, uint32_t out[UNICODE_BASE_MAX])
{
    out[0] = code;
    if (code < 0xc0) return 1;
    if (code >= 0xac00 && code < 0xd7a4) return hangul_base(code, out);
    size_t low = 0, high = COUNT(unicode_base_index) / 2;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (unicode_base_index[2 * middle] < code)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == COUNT(unicode_base_index) / 2 || unicode_base_index[2 * low] != code)
        return unicode_class(code) != UNICODE_MARK;
    const uint32_t place = unicode_base_index[2 * low + 1];
    for (size_t i = 0; i < (place & 15); i++)
        out[i] = unicode_base_pool[(place >> 4) + i];
    return place & 15;
}
