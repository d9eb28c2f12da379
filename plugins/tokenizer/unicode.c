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

/* The last row that begins at or before code; a row is code << bits | what. */
static uint32_t find_run(const uint32_t *runs, size_t n, int bits, uint32_t code)
{
    size_t low = 0;
    while (n - low > 1) {
        const size_t middle = low + (n - low) / 2;
        if (runs[middle] >> bits <= code)
            low = middle;
        else
            n = middle;
    }
    return runs[low];
}

int unicode_class(uint32_t code)
{
    if (code < 0x80) {
        if ((code | 0x20) - 'a' < 26) return UNICODE_LETTER;
        if (code - '0' < 10) return UNICODE_NUMBER;
    }
    return (int)(find_run(unicode_runs, COUNT(unicode_runs), 3, code) & 7);
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

/* ---- normal forms ---- */

/* Hangul: Unicode standard, section 3.12. */
enum {
    S = 0xac00,
    L = 0x1100,
    V = 0x1161,
    T = 0x11a7,
    N_L = 19,
    N_V = 21,
    N_T = 28,
    N_S = N_L * N_V * N_T
};

size_t unicode_decompose(uint32_t code, uint32_t out[UNICODE_MOST_PARTS])
{
    const uint32_t s = code - S;
    size_t low = 0, high = COUNT(unicode_steps) / 3;
    out[0] = code;
    if (code < 0xc0) return 1;
    if (s < N_S) {
        out[0] = L + s / (N_V * N_T);
        out[1] = V + s / N_T % N_V;
        out[2] = T + s % N_T;
        return s % N_T ? 3 : 2;
    }
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (unicode_steps[3 * middle] < code)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == COUNT(unicode_steps) / 3 || unicode_steps[3 * low] != code) return 1;
    const uint32_t second =
        unicode_steps[3 * low + 2]; /* only the first decomposes further */
    const size_t n = unicode_decompose(unicode_steps[3 * low + 1], out);
    out[n] = second;
    return second ? n + 1 : n;
}

uint32_t unicode_compose(uint32_t first, uint32_t second)
{
    if (first - L < N_L && second - V < N_V)
        return S + ((first - L) * N_V + second - V) * N_T;
    if (first - S < N_S && (first - S) % N_T == 0 && second - T - 1 < N_T - 1)
        return first + second - T;
    size_t low = 0, high = COUNT(unicode_pairs);
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const uint32_t *row = &unicode_steps[3 * unicode_pairs[middle]];
        if (row[1] == first && row[2] == second) return row[0];
        if (row[1] < first || (row[1] == first && row[2] < second))
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

int unicode_order(uint32_t code)
{
    return (int)(find_run(unicode_orders, COUNT(unicode_orders), 9, code) & 0xff);
}

int unicode_is_loose(uint32_t code)
{
    return code >= 0x300 &&
           (find_run(unicode_orders, COUNT(unicode_orders), 9, code) >> 8 & 1);
}
