/*
 * t_gguf.c -- plugins/gguf: what a file may say, each refusal by its sentence, models in
 * several files, and files that come back as they were written.
 */
#include "../plugins/gguf/head.h"
#include "../plugins/gguf/parts.h"
#include "../plugins/gguf/write.h"
#include "stage_host.h"
#include "tap.h"
#include <errno.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static stage_host s;
static const evla_host *h;
static head got;

/* A file written down as words: GGUF; bN hN iN qN an integer of 1, 2, 4, 8 bytes; fN dN a
 * real of 4, 8; 'text a text with its length; zN N zero bytes; xHH a byte; pN zeros up to a
 * multiple of N. */
static size_t assemble(const char *words, uint8_t *out, size_t room)
{
    size_t n = 0;
    memset(out, 0, room);
    while (*(words += strspn(words, " "))) {
        size_t k = strcspn(words, " "), bytes = 0;
        uint64_t x = strtoull(words + 1, NULL, *words == 'x' ? 16 : 10);
        if (words[1] == '-') x = (uint64_t)strtoll(words + 1, NULL, 10);
        double d = strtod(words + 1, NULL);
        float f = (float)d;
        if (n + k + 64 > room) abort();
        switch (*words) {
        case 'G':
            memcpy(out + n, words, bytes = k);
            break;
        case 'x':
        case 'b':
            bytes = 1;
            break;
        case 'h':
            bytes = 2;
            break;
        case 'i':
            bytes = 4;
            break;
        case 'q':
            bytes = 8;
            break;
        case 'f':
            memcpy(out + n, &f, bytes = 4);
            break;
        case 'd':
            memcpy(out + n, &d, bytes = 8);
            break;
        case 'z':
            n += x;
            break;
        case 'p':
            n += (x - n % x) % x;
            break;
        case '\'':
            out[n] = (uint8_t)(k - 1);
            memcpy(out + n + 8, words + 1, k - 1);
            n += 8 + k - 1;
            break;
        default:
            abort();
        }
        if (strchr("xbhiq", *words))
            for (size_t i = 0; i < bytes; i++)
                out[n + i] = (uint8_t)(x >> 8 * i);
        n += bytes;
        words += k;
    }
    return n;
}

/* Behind an allocation of just its size, so that a sanitizer sees a step too far; the last
 * one is kept, since what was read lies in it. */
static int32_t read_bytes(const uint8_t *bytes, size_t n)
{
    static uint8_t *file;
    free(file);
    file = malloc(n);
    if (n && !file) abort();
    if (n) memcpy(file, bytes, n);
    host_clear(&s);
    host_free(&s);
    return head_read(h, "f", file, n, &got);
}

static int32_t read_words(const char *words)
{
    static uint8_t file[4096];
    return read_bytes(file, assemble(words, file, sizeof file));
}

static const evla_attr *attr(const char *name)
{
    static const evla_attr none;
    for (int32_t i = 0; i < got.n_attrs; i++)
        if (!strcmp(got.attrs[i].name, name)) return &got.attrs[i];
    return &none;
}

/* ---- what is fine ---- */

static void fine(void)
{
    ok(read_words("GGUF i3 q0 q0") == 0 && !got.n_tensors && !got.n_attrs,
       "nothing at all");
    ok(read_words("GGUF i2 q0 q0 p32") == 0, "version 2, and padding behind the head");
    ok(read_words(
           "GGUF i3 q0 q11 'u8 i0 b200 'i8 i1 b200 'u16 i2 h65535 'i16 i3 h-2 'u32 i4 "
           "i4000000000 'i32 i5 i-3 'f32 i6 f0.1 'yes i7 b1 'u64 i10 q9223372036854775807 "
           "'i64 i11 q-9223372036854775808 'f64 i12 d0.1") == 0 &&
           got.n_attrs == 11 && attr("u8")->integer == 200 && attr("i8")->integer == -56 &&
           attr("u16")->integer == 65535 && attr("i16")->integer == -2 &&
           attr("u32")->integer == 4000000000 && attr("i32")->integer == -3 &&
           attr("u64")->integer == INT64_MAX && attr("i64")->integer == INT64_MIN &&
           attr("yes")->integer == 1 && attr("f32")->number == (double)0.1f &&
           attr("f64")->number == 0.1,
       "numbers of all widths: %s", s.why);
    ok(attr("yes")->type == EVLA_ATTR_INT && attr("yes")->element == EVLA_BOOL &&
           attr("u16")->element == EVLA_U16 && attr("f64")->type == EVLA_ATTR_FLOAT &&
           attr("f64")->element == EVLA_F64,
       "each says how wide it was");
    ok(read_words("GGUF i3 q0 q3 'z i8 'last 'a i8 'caf\xc3\xa9 'm i8 q0") == 0 &&
           !strcmp(got.attrs[0].text, "caf\xc3\xa9") && !strcmp(got.attrs[1].text, "") &&
           !strcmp(got.attrs[2].name, "z") && !strcmp(got.attrs[2].text, "last"),
       "texts, sorted by their keys");
    ok(read_words("GGUF i3 q0 q4 'tokens i9 i8 q3 'a q2 xff x00 q0 'scores i9 i6 q2 f1.5 "
                  "f-2 'flags i9 "
                  "i7 q2 b1 b0 'none i9 i8 q0") == 0,
       "lists: %s", s.why);
    const evla_text *t = attr("tokens")->items;
    float score;
    ok(attr("tokens")->type == EVLA_ATTR_TEXTS && attr("tokens")->n_items == 3 &&
           t[0].n == 1 && *t[0].at == 'a' && t[1].n == 2 && !memcmp(t[1].at, "\xff\0", 2) &&
           !t[2].n,
       "a list of texts, which may be any bytes");
    if (attr("scores")->items) memcpy(&score, (const char *)attr("scores")->items + 4, 4);
    ok(attr("scores")->type == EVLA_ATTR_NUMBERS && attr("scores")->element == EVLA_F32 &&
           attr("scores")->n_items == 2 && score == -2,
       "a list of numbers where it lies");
    ok(attr("flags")->element == EVLA_BOOL && attr("flags")->n_items == 2 &&
           attr("none")->type == EVLA_ATTR_TEXTS && !attr("none")->n_items,
       "a list of bools, and one of nothing");

    ok(read_words(
           "GGUF i3 q4 q0 'b i2 q3 q2 i0 q32 'a i0 i1 q0 'q i2 q64 q2 i8 q64 'e i1 q0 i26 "
           "q32 p32 h15360 z30 z24 z8 z136") == 0,
       "tensors: %s", s.why);
    ok(got.n_tensors == 4 && !strcmp(got.tensors[0].name, "b") &&
           got.tensors[0].value.rank == 2 && got.tensors[0].value.shape[0] == 2 &&
           got.tensors[0].value.shape[1] == 3 && got.tensors[0].value.stride[0] == 12 &&
           got.tensors[0].value.stride[1] == 4,
       "extents from the outermost");
    ok(got.tensors[1].value.rank == 0 && got.tensors[1].value.dtype == HOST_F16 &&
           (char *)got.tensors[0].value.data[0] - (char *)got.tensors[1].value.data[0] ==
               32,
       "a scalar; data in another order than names");
    ok(got.tensors[2].value.dtype == HOST_Q8_0 && got.tensors[2].value.shape[1] == 64 &&
           got.tensors[2].value.stride[0] == 68 && got.tensors[2].value.stride[1] == 34,
       "rows in blocks");
    ok(got.tensors[3].value.shape[0] == 0, "a tensor of nothing");
    ok(read_words("GGUF i3 q2 q1 'general.alignment i4 i8 'a i1 q3 i24 q0 'b i1 q1 i24 q8 "
                  "p8 z8 b7") == 0 &&
           !got.n_attrs && *(uint8_t *)got.tensors[1].value.data[0] == 7,
       "another alignment, which is no attribute; no padding at the end");
    ok(read_words(
           "GGUF i3 q0 q3 'split.no i2 h1 'split.count i2 h3 'split.tensors.count i5 i9") ==
               0 &&
           got.part == 1 && got.n_parts == 3 && got.n_tensors_of_all == 9 && !got.n_attrs,
       "a part of several says so");
}

/* ---- what is refused ---- */

#define KEY(more)    "GGUF i3 q0 q1 'k " more
#define TENSOR(more) "GGUF i3 q1 q0 'x " more

// clang-format off
static const struct {
    const char *words;
    int32_t code;
    const char *why, *title;
} refused[] = {
    {"", EVLA_E_FORMAT, "is no GGUF file: it does not start with \"GGUF\"", "an empty file"},
    {"GGUX i3 q0 q0", EVLA_E_FORMAT, "is no GGUF file", "another file"},
    {"GGUF", EVLA_E_FORMAT, "the file ends inside its version, which starts at byte 4; was it cut off?", "a version cut off"},
    {"GGUF i3 q0", EVLA_E_FORMAT, "the file ends inside the number of its keys, which starts at byte 16", "a start cut off"},
    {"GGUF i1 i0 i0", EVLA_E_FORMAT, "is of version 1; versions 2 and 3 are read; convert it again with newer tools", "version 1"},
    {"GGUF i4 q0 q0", EVLA_E_FORMAT, "is of version 4; versions 2 and 3 are read", "a version to come"},
    {"GGUF x00 x00 x00 x03 q0 q0", EVLA_E_FORMAT, "is big-endian; only little-endian files are read", "a big-endian file"},
    {"GGUF i3 q0 q99", EVLA_E_FORMAT, "claims 99 keys, more than its 24 bytes have room for", "more keys than fit"},
    {"GGUF i3 q18446744073709551615 q0", EVLA_E_FORMAT, "claims 18446744073709551615 tensors, more than", "2^64 - 1 tensors"},
    {"GGUF i3 q2 q1 'k i9 i0 q30 z30 z20", EVLA_E_FORMAT, "claims 2 tensors, more than its", "tensors that the keys took the room of"},
    {KEY(""), EVLA_E_FORMAT, "claims 1 keys, more than", "a key cut off"},
    {KEY("i4 x1"), EVLA_E_FORMAT, "key k: the file ends inside its value", "a value cut off"},
    {KEY("i13 i1"), EVLA_E_FORMAT, "key k: its value is of type 13; there are 0 to 12", "a type of value that there is not"},
    {KEY("i7 b2"), EVLA_E_FORMAT, "key k: its bool is 2", "a bool of 2"},
    {KEY("i10 q9223372036854775808"), EVLA_E_RANGE, "key k: its value 9223372036854775808 is above 2^63 - 1", "an integer above 2^63"},
    {KEY("i8 q5 z4"), EVLA_E_FORMAT, "key k: its text at byte 37 claims 5 bytes, and 4 follow; was it cut off?", "a text longer than the file"},
    {KEY("i8 q18446744073709551615"), EVLA_E_FORMAT, "claims 18446744073709551615 bytes, and 0 follow", "a text of 2^64 - 1 bytes"},
    {KEY("i8 q3 x61 x00 x62"), EVLA_E_FORMAT, "key k: byte 46 of the file, in its text, is a zero", "a zero in a text"},
    {KEY("i8 q2 x61 xff"), EVLA_E_FORMAT, "key k: byte 46 of the file, 0xff, in its text, is no UTF-8", "a text that is no UTF-8"},
    {KEY("i8 q2 xc0 xaf"), EVLA_E_FORMAT, "byte 45 of the file, 0xc0", "an overlong character"},
    {KEY("i8 q3 xed xa0 x80"), EVLA_E_FORMAT, "byte 45 of the file, 0xed", "half a surrogate pair"},
    {KEY("i8 q4 xf4 x90 x80 x80"), EVLA_E_FORMAT, "byte 45 of the file, 0xf4", "a character above U+10FFFF"},
    {KEY("i8 q3 xe0 x80 x80"), EVLA_E_FORMAT, "byte 45 of the file, 0xe0", "a long form of nothing"},
    {KEY("i8 q2 xe2 x82"), EVLA_E_FORMAT, "byte 45 of the file, 0xe2", "a character cut off"},
    {KEY("i9 i9 q0"), EVLA_E_FORMAT, "key k: is a list of lists, which the engine cannot hold", "a list of lists"},
    {KEY("i9 i77 q0"), EVLA_E_FORMAT, "key k: its value is of type 77", "a list of what there is not"},
    {KEY("i9 i4"), EVLA_E_FORMAT, "key k: the file ends inside the length of its list", "a list without a length"},
    {KEY("i9 i4 q3 i1 i2"), EVLA_E_FORMAT, "key k: claims a list of 3 numbers of 4 bytes, and 8 bytes follow; was it cut off?", "a list cut off"},
    {KEY("i9 i10 q2305843009213693952"), EVLA_E_FORMAT, "claims a list of 2305843009213693952 numbers of 8 bytes", "a list whose size overflows"},
    {KEY("i9 i7 q3 b1 b0 b3"), EVLA_E_FORMAT, "key k: bool 2 of its list is 3", "a list with a bool of 3"},
    {KEY("i9 i8 q99 'a"), EVLA_E_FORMAT, "key k: claims a list of 99 texts, more than the file has room for", "a list of more texts than fit"},
    {KEY("i9 i8 q2 'a q9 z1"), EVLA_E_FORMAT, "key k: a text of its list at byte 58 claims 9 bytes, and 1 follow", "a text of a list cut off"},
    {KEY("i9 i8 q2 'abcdefgh"), EVLA_E_FORMAT, "key k: the file ends inside a text of its list", "a list of texts cut off"},
    {"GGUF i3 q0 q1 q0 i4 i1 z9", EVLA_E_FORMAT, "the name of a key before byte 32 is empty", "a key without a name"},
    {"GGUF i3 q0 q1 q2 x61 x0a i4 i1", EVLA_E_FORMAT, "the name of a key before byte 34 holds a control character, 0x0a", "a line break in a key"},
    {"GGUF i3 q0 q3 'b i4 i1 'a i4 i1 'b i4 i2", EVLA_E_FORMAT, "key b: the key stands twice", "a key that stands twice"},
    {"GGUF i3 q0 q2 'split.no i2 h0 'split.no i2 h0", EVLA_E_FORMAT, "key split.no: the key stands twice", "also one that is no attribute"},
    {"GGUF i3 q0 q1 'general.alignment i4 i0", EVLA_E_FORMAT, "key general.alignment: is 0; want a power of two", "an alignment of nothing"},
    {"GGUF i3 q0 q1 'general.alignment i4 i24", EVLA_E_FORMAT, "key general.alignment: is 24; want a power of two", "an alignment of 24"},
    {"GGUF i3 q0 q1 'general.alignment i8 'big", EVLA_E_FORMAT, "key general.alignment: want an integer from 0 to 2147483647", "an alignment that is a text"},
    {"GGUF i3 q0 q1 'split.no i3 h-1", EVLA_E_FORMAT, "key split.no: want an integer from 0 to 2147483647", "a part before the first"},
    {TENSOR("i1 q4"), EVLA_E_FORMAT, "claims 1 tensors, more than", "a tensor cut off"},
    {TENSOR("i1 q4 z8"), EVLA_E_FORMAT, "tensor x: the file ends inside where it lies, which starts at byte 49", "a tensor cut off at its end"},
    {TENSOR("i5 q1 q1 q1 q1 q1 i0 q0 p32 z4"), EVLA_E_FORMAT, "tensor x: has 5 dimensions; the format has at most 4", "five dimensions"},
    {TENSOR("i4294967295 z40"), EVLA_E_FORMAT, "tensor x: has 4294967295 dimensions", "2^32 - 1 dimensions"},
    {TENSOR("i1 q9223372036854775808 i24 q0"), EVLA_E_FORMAT, "tensor x: has an extent of 9223372036854775808", "an extent above 2^63"},
    {TENSOR("i2 q4294967296 q4294967296 i24 q0"), EVLA_E_FORMAT, "tensor x: i8[4294967296,4294967296] is above 2^63 numbers", "2^64 numbers"},
    {TENSOR("i2 q4294967296 q1073741824 i0 q0"), EVLA_E_FORMAT, "tensor x: f32[1073741824,4294967296] is above 2^63 bytes", "2^64 bytes"},
    {TENSOR("i1 q256 i10 q0 p32 z84"), EVLA_E_DTYPE, "tensor x: is in q2_k, a number format that no loaded plugin brings", "q2_k"},
    {TENSOR("i1 q256 i11 q0"), EVLA_E_DTYPE, "tensor x: is in q3_k,", "q3_k"},
    {TENSOR("i1 q256 i16 q0"), EVLA_E_DTYPE, "tensor x: is in iq2_xxs,", "iq2_xxs"},
    {TENSOR("i1 q32 i20 q0"), EVLA_E_DTYPE, "tensor x: is in iq4_nl,", "iq4_nl"},
    {TENSOR("i1 q256 i34 q0"), EVLA_E_DTYPE, "tensor x: is in tq1_0,", "tq1_0"},
    {TENSOR("i1 q32 i39 q0"), EVLA_E_DTYPE, "tensor x: is in mxfp4,", "mxfp4"},
    {TENSOR("i1 q32 i4 q0"), EVLA_E_FORMAT, "tensor x: is of type 4, which is unknown", "a type given up long ago"},
    {TENSOR("i1 q32 i4000000000 q0"), EVLA_E_FORMAT, "tensor x: is of type 4000000000, which is unknown", "a type that there is not"},
    {TENSOR("i2 q33 q2 i8 q0 p32 z80"), EVLA_E_FORMAT, "tensor x: q8_0[2,33], but q8_0 has blocks of 32 numbers in a row", "half a block"},
    {TENSOR("i0 i8 q0"), EVLA_E_FORMAT, "tensor x: q8_0[], but q8_0 has blocks of 32 numbers in a row", "a scalar in blocks"},
    {TENSOR("i1 q4 i0 q4 p32 z32"), EVLA_E_FORMAT, "tensor x: its data starts at byte 4 of the data, no multiple of 32", "data at an odd place"},
    {TENSOR("i1 q4 i0 q18446744073709551584 p32 z32"), EVLA_E_FORMAT, "tensor x: its data starts at byte 18446744073709551584 of the data", "data near 2^64"},
    {TENSOR("i1 q9 i0 q0 p32 z35"), EVLA_E_FORMAT, "tensor x: its data ends at byte 36 of the data, where the file has 35; was it cut off?", "data cut off"},
    {TENSOR("i1 q9 i0 q0"), EVLA_E_FORMAT, "tensor x: its data ends at byte 36 of the data, where the file has 0; was it cut off?", "no data at all"},
    {TENSOR("i1 q9 i0 q32 p32 z96"), EVLA_E_FORMAT, "tensor x: its data starts at byte 32 of the data, and the 32 bytes before it belong to no tensor", "a hole"},
    {TENSOR("i1 q9 i0 q0 p32 z65"), EVLA_E_FORMAT, "f: the last 29 bytes belong to no tensor", "bytes at the end that nobody has"},
    {"GGUF i3 q0 q0 z9", EVLA_E_FORMAT, "f: the last 1 bytes belong to no tensor", "data without tensors"},
    {"GGUF i3 q2 q0 'a i1 q9 i0 q0 'b i1 q9 i0 q32 p32 z96", EVLA_E_FORMAT, "tensor b: its data starts at byte 32 of the data, inside that of a, which ends at 36", "overlap"},
    {"GGUF i3 q2 q0 'a i1 q9 i0 q0 'b i1 q9 i0 q0 p32 z96", EVLA_E_FORMAT, "its data starts at byte 0 of the data, inside that of", "two tensors in one place"},
    {"GGUF i3 q1 q0 q0 i1 q9 i0 q0 p32 z64", EVLA_E_FORMAT, "the name of a tensor before byte 32 is empty", "a tensor without a name"},
    {"GGUF i3 q1 q0 q2 x61 x1b i1 q9 i0 q0 p32 z64", EVLA_E_FORMAT, "holds a control character, 0x1b", "an escape sequence in a name"},
};
// clang-format on

static void bad(void)
{
    static uint8_t file[1 << 21];
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        int32_t st = read_words(refused[i].words);
        if (!ok(st == refused[i].code && strstr(s.why, refused[i].why) &&
                    !strchr(s.why, '\n') && !strncmp(s.why, "f: ", 3),
                "refused: %s", refused[i].title))
            note("%d, \"%s\", want \"%s\"", st, s.why, refused[i].why);
    }
    size_t n = assemble("GGUF i3 q0 q65537", file, sizeof file);
    ok(read_bytes(file, n + 14 * 65537) == EVLA_E_LIMIT &&
           strstr(s.why, "f: has 65537 keys; at most 65536 are read"),
       "refused: more keys than any model has");
    n = assemble("GGUF i3 q0 q1", file, sizeof file);
    memset(file + n, 'k', 8 + 300);
    memcpy(file + n, &(uint64_t){300}, 8);
    ok(read_bytes(file, n + 308) == EVLA_E_FORMAT &&
           strstr(s.why, "kkk...: the file ends inside"),
       "a long name is cut short in a message");

    /* every prefix and every single wrong byte: refused or read, never a step too far */
    static const char whole[] =
        "GGUF i3 q2 q4 'a i8 'text 't i9 i8 q2 'x 'yz 'n i9 i5 q2 i1 i2 'v i6 f1 "
        "'b i2 q3 q1 i0 q0 'q i1 q32 i8 q32 p32 z64 z2";
    n = assemble(whole, file, sizeof file);
    int told = read_bytes(file, n) == 0;
    for (size_t k = 0; k < n; k++)
        told &= read_bytes(file, k) < 0 && *s.why;
    ok(told, "every prefix of a file is refused with a sentence");
    for (size_t i = 0; i < n; i++) {
        uint8_t right = file[i];
        for (int c = 0; c < 256; c++) {
            file[i] = (uint8_t)c;
            told &= read_bytes(file, n) == 0 || *s.why;
        }
        file[i] = right;
    }
    ok(told, "every wrong byte is read or refused with a sentence");
}

/* ---- files ---- */

static char folder[] = "/tmp/evla-gguf-XXXXXX";

static const char *at(const char *name)
{
    static char path[2][200];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void put_file(const char *name, const char *words)
{
    uint8_t file[4096];
    size_t n = assemble(words, file, sizeof file);
    FILE *f = fopen(at(name), "wb");
    if (!f || fwrite(file, 1, n, f) != n || fclose(f)) abort();
}

/* Opens, tells whether the sentence is the wanted one, and closes. */
static int refuses(const char *name, int32_t code, const char *why)
{
    void *self = NULL;
    evla_archive all = {0};
    host_clear(&s);
    int32_t st = parts_open(h, at(name), &self, &all);
    parts_close(h, self);
    if (st == code && strstr(s.why, why)) return 1;
    note("%d, \"%s\", want \"%s\"", st, s.why, why);
    return 0;
}

#define PART(no, more)                                                                     \
    "GGUF i3 q1 q4 'split.no i2 h" #no " 'split.count i2 h3 "                              \
    "'split.tensors.count i5 i3 'k i4 i4" #no " " more " p32 i1" #no
#define LAST "m-00003-of-00003.gguf"

static void several(void)
{
    void *self = NULL;
    evla_archive all;
    put_file("m-00001-of-00003.gguf", PART(0, "'b i1 q1 i26 q0"));
    put_file("m-00002-of-00003.gguf", PART(1, "'c i1 q1 i26 q0"));
    put_file(LAST, PART(2, "'a i1 q1 i26 q0"));
    for (int i = 1; i <= 3; i++) {
        char name[40];
        snprintf(name, sizeof name, "m-0000%d-of-00003.gguf", i);
        host_clear(&s);
        all = (evla_archive){.size = sizeof all};
        int32_t st = parts_open(h, at(name), &self, &all);
        ok(st == 0 && all.n_tensors == 3 && !strcmp(all.tensors[0].name, "a") &&
               *(int32_t *)all.tensors[0].value.data[0] == 12 &&
               *(int32_t *)all.tensors[1].value.data[0] == 10 &&
               *(int32_t *)all.tensors[2].value.data[0] == 11,
           "a model in 3 files is opened by its part %d: %s", i, s.why);
        ok(st == 0 && all.n_files == 2 &&
               strstr(all.files[0], i == 1 ? "m-00002-of" : "m-00001-of") &&
               strstr(all.files[1], i == 3 ? "m-00002-of" : "m-00003-of"),
           "and the two others are named");
        ok(st == 0 && all.n_attrs == 1 && all.attrs[0].integer == 40,
           "the first part's attributes are the model's");
        parts_close(h, self);
    }
    put_file(LAST, PART(2, "'b i1 q1 i26 q0"));
    ok(refuses("m-00001-of-00003.gguf", EVLA_E_FORMAT, "tensor b: the name stands twice"),
       "refused: a tensor in two parts");
    put_file(LAST, PART(1, "'a i1 q1 i26 q0"));
    ok(refuses("m-00001-of-00003.gguf", EVLA_E_FORMAT,
               LAST ": its name says part 3 of 3, it says 2 of 3"),
       "refused: a part under another's name");
    put_file(LAST, "GGUF i3 q0 q0");
    ok(refuses("m-00002-of-00003.gguf", EVLA_E_FORMAT,
               LAST ": its name says part 3 of 3, it says 1 of 0"),
       "refused: a whole model under a part's name");
    put_file(LAST,
             "GGUF i3 q0 q3 'split.no i2 h2 'split.count i2 h3 'split.tensors.count i5 i3");
    ok(refuses("m-00001-of-00003.gguf", EVLA_E_FORMAT,
               "claims 3 tensors in 3 files, there are 2"),
       "refused: parts that hold less than they say");
    put_file(LAST, "GGUF i3");
    ok(refuses("m-00001-of-00003.gguf", EVLA_E_FORMAT, LAST ": the file ends inside"),
       "refused: a part cut off");
    unlink(at(LAST));
    ok(refuses("m-00001-of-00003.gguf", EVLA_E_MISSING, LAST ": is not there, and "),
       "refused: a part that is missing");
    put_file("other.gguf", PART(0, "'b i1 q1 i26 q0"));
    ok(refuses("other.gguf", EVLA_E_FORMAT,
               "is part 1 of 3, whose name should end in -00001-of-00003.gguf"),
       "refused: a part of another name");
    put_file("m-00001-of-00003.gguf", "GGUF i3 q0 q2 'split.no i2 h3 'split.count i2 h3");
    ok(refuses("m-00001-of-00003.gguf", EVLA_E_FORMAT, "claims to be part 4 of 3"),
       "refused: a part behind the last");
    put_file("m-00001-of-00003.gguf", "GGUF i3 q0 q1 'split.count i5 i2147483647");
    ok(refuses("m-00001-of-00003.gguf", EVLA_E_FORMAT, "claims to be part 1 of 2147483647"),
       "refused: more parts than a name can number");
    put_file("one.gguf", "GGUF i3 q2 q0 'a i1 q1 i26 q0 'a i1 q1 i26 q32 p32 z36");
    ok(refuses("one.gguf", EVLA_E_FORMAT, "tensor a: the name stands twice"),
       "refused: a name that stands twice");
    ok(refuses("nothing.gguf", EVLA_E_MISSING, strerror(ENOENT)), "refused: no file");
    put_file("empty.gguf", "");
    ok(refuses("empty.gguf", EVLA_E_FORMAT, "is empty"), "refused: an empty file");
    mkdir(at("dir.gguf"), 0700);
    ok(refuses("dir.gguf", EVLA_E_FORMAT, "is no plain file"), "refused: a folder");
}

/* ---- writing ---- */

static evla_field field(const char *name, int32_t dtype, int64_t rows, int64_t columns,
                        const void *data)
{
    int64_t elements = dtype == HOST_Q8_0 ? 32 : 1,
            each = host_dtype_bytes(h, dtype, elements);
    evla_field f = {.name = name};
    f.value = (evla_tensor){.data = {(void *)(uintptr_t)data},
                            .shape = {rows, columns},
                            .stride = {columns / elements * each, each},
                            .dtype = dtype,
                            .rank = 2};
    return f;
}

static int32_t put(host_file *f, const evla_archive *all)
{
    host_clear(&s);
    return write_archive(h, all, host_file_init(f, sizeof f->bytes));
}

static int is_same(const host_file *a, const host_file *b)
{
    return a->n == b->n && !memcmp(a->bytes, b->bytes, a->n);
}

static void written(void)
{
    static const uint8_t data[256] = {1, 2, 3, 250};
    static const evla_text texts[] = {{"a", 1}, {"\xff\0z", 3}, {"", 0}};
    static const int16_t numbers[] = {7, -8};
    evla_field t[] = {
        field("codes", EVLA_I8, 3, 5, data),  field("caf\xc3\xa9", EVLA_F64, 1, 2, data),
        field("scale", EVLA_F32, 3, 1, data), field("h", HOST_F16, 1, 3, data),
        field("none", EVLA_I64, 0, 9, data),  field("q", HOST_Q8_0, 3, 64, data),
    };
    enum { T = sizeof t / sizeof *t };
    evla_attr attrs[] = {
        {.name = "z", .type = EVLA_ATTR_FLOAT, .number = 0.1},
        {.name = "wide", .type = EVLA_ATTR_FLOAT, .number = 0.1, .element = EVLA_F64},
        {.name = "huge", .type = EVLA_ATTR_FLOAT, .number = 1e300},
        {.name = "inf", .type = EVLA_ATTR_FLOAT, .number = INFINITY, .element = EVLA_F32},
        {.name = "a", .type = EVLA_ATTR_TEXT, .text = "\x01\t\"\xc3\xa9"},
        {.name = "u32", .type = EVLA_ATTR_INT, .integer = 4000000000},
        {.name = "i32", .type = EVLA_ATTR_INT, .integer = -1},
        {.name = "u64", .type = EVLA_ATTR_INT, .integer = 5000000000},
        {.name = "i64", .type = EVLA_ATTR_INT, .integer = INT64_MIN},
        {.name = "bool", .type = EVLA_ATTR_INT, .integer = 1, .element = EVLA_BOOL},
        {.name = "i8", .type = EVLA_ATTR_INT, .integer = -128, .element = EVLA_I8},
        {.name = "texts", .type = EVLA_ATTR_TEXTS, .items = texts, .n_items = 3},
        {.name = "numbers",
         .type = EVLA_ATTR_NUMBERS,
         .element = EVLA_I16,
         .items = numbers,
         .n_items = 2},
        {.name = "nothing", .type = EVLA_ATTR_NUMBERS, .element = EVLA_F32},
    };
    enum { A = sizeof attrs / sizeof *attrs };
    evla_archive all = {
        .size = sizeof all, .n_attrs = A, .n_tensors = T, .tensors = t, .attrs = attrs};
    static host_file first, second;
    ok(put(&first, &all) == 0, "written: %s", s.why);
    int32_t st = read_bytes(first.bytes, first.n);
    ok(st == 0 && got.n_tensors == T && got.n_attrs == A, "and read again: %s", s.why);
    int same = st == 0, aligned = st == 0, found = 0;
    for (int64_t i = 0; st == 0 && i < got.n_tensors; i++)
        for (int m = 0; m < T; m++) {
            const evla_tensor *x = &got.tensors[i].value, *y = &t[m].value;
            if (strcmp(got.tensors[i].name, t[m].name) != 0) continue;
            found++;
            same &=
                x->dtype == y->dtype && x->rank == 2 && x->shape[0] == y->shape[0] &&
                x->shape[1] == y->shape[1] && x->stride[0] == y->stride[0] &&
                !memcmp(x->data[0], data,
                        (size_t)host_dtype_bytes(h, y->dtype, y->shape[0] * y->shape[1]));
            aligned &=
                ((char *)x->data[0] - (char *)got.tensors[0].value.data[0]) % 32 == 0;
        }
    ok(same && found == T, "every tensor has its type, shape and bytes");
    ok(aligned && first.n % 32 == 0, "and lies at a multiple of 32 bytes");
    ok(attr("z")->number == (double)0.1f && attr("wide")->number == 0.1 &&
           attr("huge")->number == 1e300 && isinf(attr("inf")->number) &&
           attr("z")->element == EVLA_F32,
       "reals are f32 unless they say or need more");
    ok(attr("u32")->integer == 4000000000 && attr("u32")->element == EVLA_U32 &&
           attr("i32")->integer == -1 && attr("i32")->element == EVLA_I32 &&
           attr("u64")->integer == 5000000000 && attr("u64")->element == EVLA_U64 &&
           attr("i64")->integer == INT64_MIN && attr("i64")->element == EVLA_I64,
       "integers are u32 unless they need more");
    ok(attr("bool")->integer == 1 && attr("bool")->element == EVLA_BOOL &&
           attr("i8")->integer == -128 && attr("i8")->element == EVLA_I8 &&
           !strcmp(attr("a")->text, attrs[4].text),
       "what says its width keeps it");
    const evla_text *back_texts = attr("texts")->items;
    ok(attr("texts")->n_items == 3 && back_texts[1].n == 3 &&
           !memcmp(back_texts[1].at, texts[1].at, 3) &&
           attr("numbers")->element == EVLA_I16 &&
           !memcmp(attr("numbers")->items, numbers, 4) && !attr("nothing")->n_items,
       "lists come back");
    evla_field back[T];
    evla_attr attrs_back[A];
    for (int i = 0; i < T; i++)
        back[i] = t[T - 1 - i];
    for (int i = 0; i < A; i++)
        attrs_back[i] = attrs[A - 1 - i];
    evla_archive other = {.size = sizeof all,
                          .n_attrs = A,
                          .n_tensors = T,
                          .tensors = back,
                          .attrs = attrs_back};
    put(&second, &other);
    ok(first.n && is_same(&first, &second), "the same bytes in any order");
    evla_archive read = {.size = sizeof all,
                         .n_attrs = got.n_attrs,
                         .n_tensors = got.n_tensors,
                         .tensors = got.tensors,
                         .attrs = got.attrs};
    put(&second, &read);
    ok(is_same(&first, &second), "what was read and is written again is the same file");
    int stops = 1;
    for (uint64_t room = 0; room < first.n; room++) {
        host_clear(&s);
        st = write_archive(h, &all, host_file_init(&second, room));
        stops &= st == EVLA_E_IO && !second.is_over && !strcmp(s.why, "the file is full");
    }
    ok(stops, "a file that is full anywhere ends the writing");
}

static void unwritten(void)
{
    static host_file no;
    static const uint8_t data[256];
    static char long_name[65];
    memset(long_name, 'n', 64);
    // clang-format off
    const struct {
        evla_attr attr;
        int32_t code;
        const char *why, *title;
    } keys[] = {
        {{.name = "k", .type = EVLA_ATTR_INT}, EVLA_E_EXISTS, "the key k stands twice", "a key twice"},
        {{.name = "general.alignment", .type = EVLA_ATTR_INT}, EVLA_E_EXISTS, "the key general.alignment is the file's own", "the file's own key"},
        {{.name = "split.count", .type = EVLA_ATTR_INT}, EVLA_E_EXISTS, "the key split.count is the file's own", "a count of parts"},
        {{.name = "", .type = EVLA_ATTR_INT}, EVLA_E_FORMAT, "a key has an empty name", "a key without a name"},
        {{.name = "a\n", .type = EVLA_ATTR_INT}, EVLA_E_FORMAT, "the name of a key holds a control character, 0x0a", "a line break in a key"},
        {{.name = "a\xff", .type = EVLA_ATTR_INT}, EVLA_E_FORMAT, "the name of a key is no UTF-8", "a key that is no UTF-8"},
        {{.name = "a", .type = EVLA_ATTR_TEXT, .text = "\xff"}, EVLA_E_FORMAT, "key a: its text is no UTF-8", "a text that is no UTF-8"},
        {{.name = "a", .type = EVLA_ATTR_INT, .integer = 256, .element = EVLA_U8}, EVLA_E_RANGE, "key a: u8 cannot hold 256", "an integer wider than it says"},
        {{.name = "a", .type = EVLA_ATTR_INT, .integer = -1, .element = EVLA_U64}, EVLA_E_RANGE, "key a: u64 cannot hold -1", "a negative one without a sign"},
        {{.name = "a", .type = EVLA_ATTR_FLOAT, .number = 1e300, .element = EVLA_F32}, EVLA_E_RANGE, "key a: f32 cannot hold 1e+300", "a real wider than it says"},
        {{.name = "a", .type = EVLA_ATTR_NUMBERS, .element = HOST_F16}, EVLA_E_DTYPE, "key a: the format has no lists of f16", "a list of halves"},
    };
    const struct {
        const char *name;
        int32_t dtype, rank, code;
        const char *why, *title;
    } tensors[] = {
        {"t", EVLA_F32, 2, EVLA_E_EXISTS, "tensor t: the name stands twice", "a tensor twice"},
        {"x", EVLA_U8, 2, EVLA_E_DTYPE, "tensor x: the format has no type for u8; convert it first", "numbers without a type there"},
        {"x", EVLA_BOOL, 2, EVLA_E_DTYPE, "tensor x: the format has no type for bool", "bools"},
        {"x", 99, 2, EVLA_E_DTYPE, "tensor x: the format has no type for none", "numbers that nobody knows"},
        {"x", EVLA_F32, 5, EVLA_E_SHAPE, "tensor x: has 5 extents; the format has at most 4", "five extents"},
        {"x", HOST_Q8_0, 2, EVLA_E_SHAPE, "tensor x: has rows of 1; the format has them in whole blocks of 32 numbers for q8_0", "rows that end inside a block"},
        {"", EVLA_F32, 2, EVLA_E_FORMAT, "a tensor has an empty name", "a tensor without a name"},
        {"x\xff", EVLA_F32, 2, EVLA_E_FORMAT, "the name of a tensor is no UTF-8", "a name that is no UTF-8"},
        {long_name, EVLA_F32, 2, EVLA_E_LIMIT, "its name has 64 bytes; at most 63 fit", "a name that readers do not hold"},
    };
    // clang-format on
    evla_field t[] = {field("t", EVLA_F32, 1, 2, data), {0}};
    evla_attr attrs[] = {{.name = "k", .type = EVLA_ATTR_INT}, {0}};
    evla_archive one = {.size = sizeof one,
                        .n_attrs = 2,
                        .n_tensors = 1,
                        .tensors = t,
                        .attrs = attrs},
                 two = {.size = sizeof two,
                        .n_attrs = 1,
                        .n_tensors = 2,
                        .tensors = t,
                        .attrs = attrs};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        attrs[1] = keys[i].attr;
        int32_t st = put(&no, &one);
        if (!ok(st == keys[i].code && strstr(s.why, keys[i].why) && !no.n,
                "not written: %s", keys[i].title))
            note("%d, \"%s\"", st, s.why);
    }
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        t[1] = field(tensors[i].name, EVLA_F32, 1, 1, data);
        t[1].value.dtype = tensors[i].dtype;
        t[1].value.rank = tensors[i].rank;
        int32_t st = put(&no, &two);
        if (!ok(st == tensors[i].code && strstr(s.why, tensors[i].why) && !no.n,
                "not written: %s", tensors[i].title))
            note("%d, \"%s\"", st, s.why);
    }
    t[1] = field("x", EVLA_F32, 2, 2, data);
    t[1].value.stride[0] = 12;
    ok(put(&no, &two) == EVLA_E_SHAPE && strstr(s.why, "want dense rows"),
       "not written: rows with gaps");
}

int main(void)
{
    h = host_init(&s);
    if (!mkdtemp(folder)) abort();
    fine();
    bad();
    several();
    written();
    unwritten();
    read_bytes(NULL, 0);
    host_free(&s);
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", folder);
    if (system(command)) note("%s is left", folder);
    return tap_done();
}
