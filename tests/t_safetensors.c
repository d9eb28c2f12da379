/*
 * t_safetensors.c -- plugins/safetensors: what a header may say, each refusal by its
 * sentence, models in several files, and files that come back as they were written.
 */
#include "../plugins/safetensors/header.h"
#include "../plugins/safetensors/index.h"
#include "../plugins/safetensors/shards.h"
#include "../plugins/safetensors/write.h"
#include "stage_host.h"
#include "tap.h"
#include <unistd.h>

enum { DATA = 64 };

static stage_host s;
static const evla_host *h;
static header got;

/* A file in memory: the header's length (as it is, or as claimed), its text, data. Behind
 * an allocation of just its size, so that a sanitizer sees a step too far. */
static int32_t read_file(const char *text, size_t n_text, uint64_t claimed, size_t n_data)
{
    size_t n = 8 + n_text + n_data;
    unsigned char *file = malloc(n);
    if (!file) abort();
    for (int i = 0; i < 8; i++)
        file[i] = (unsigned char)(claimed >> 8 * i);
    memcpy(file + 8, text, n_text);
    for (size_t i = 0; i < n_data; i++)
        file[8 + n_text + i] = (unsigned char)i;
    host_clear(&s);
    header_free(&got);
    int32_t st = header_read(h, "f", file, n, &got);
    free(file); /* names live in `got`, data is not looked at any more */
    return st;
}

static int32_t read_text(const char *text, size_t n_data)
{
    return read_file(text, strlen(text), strlen(text), n_data);
}

/* ---- what is fine ---- */

static void fine(void)
{
    ok(read_text("{}", 0) == 0 && !got.n_tensors && !got.n_attrs, "nothing at all");
    ok(read_text("{\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[2,26]},"
                 "\"a\":{\"data_offsets\":[0,2],\"shape\":[],\"dtype\":\"F16\"}}  ",
                 26) == 0 &&
           got.n_tensors == 2 && !strcmp(got.tensors[0].name, "a") &&
           got.tensors[0].value.rank == 0 && got.tensors[0].value.dtype == HOST_F16 &&
           got.tensors[1].value.shape[1] == 3 && got.tensors[1].value.stride[0] == 12 &&
           (char *)got.tensors[1].value.data[0] - (char *)got.tensors[0].value.data[0] == 2,
       "tensors in any order of names, fields and data, at odd places; blanks behind");
    ok(read_text(
           "{ \"__metadata__\" : {\"b\":\"2\\n\",\"a\":\"\\u00e9\\ud83d\\ude00\\\"\"},\n"
           "\t\"x\":{\"dtype\":\"I64\",\"shape\":[0,7],\"data_offsets\":[0,0]}}",
           0) == 0 &&
           got.n_attrs == 2 && !strcmp(got.attrs[0].text, "\xc3\xa9\xf0\x9f\x98\x80\"") &&
           !strcmp(got.attrs[1].text, "2\n") && got.n_tensors == 1,
       "metadata with escapes, blanks between, a tensor of no elements");
    ok(read_text("{\"e\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[3,3]},"
                 "\"x\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
                 "\"y\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]}}",
                 4) == 0,
       "an empty tensor between two others");
    ok(read_text("{\"caf\xc3\xa9 \xf0\x9f\x98\x80\":{\"dtype\":\"BOOL\",\"shape\":[1,1,1,1,"
                 "1,1,1,2],\"data_offsets\":[0,2]}}",
                 2) == 0 &&
           got.tensors[0].value.rank == 8,
       "a name in UTF-8, and 8 extents");
}

/* ---- what is refused ---- */

#define X(more) "{\"x\":{" more "}}"
#define SMALL   "\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]"

// clang-format off
static const struct {
    const char *text;
    size_t n_data;
    const char *why, *title;
} refused[] = {
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[3,7]}}", 7,
     "f: tensor b: its data starts at byte 3, inside that of a, which ends at 4", "overlap"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
     "f: tensor b: its data starts at byte 0, inside that of a, which ends at 4", "two tensors in one place"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[3,3]}}", 8,
     "f: tensor b: its data starts at byte 3, inside that of a, which ends at 8", "an empty tensor inside another"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[6,10]}}", 10,
     "f: tensor b: its data starts at byte 6, and the 2 bytes before it belong to no tensor", "a hole"},
    {X("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[1,5]"), 5,
     "f: tensor x: its data starts at byte 1, and the 1 bytes before it belong to no tensor", "a hole at the start"},
    {X(SMALL), 9, "f: the last 5 bytes belong to no tensor", "bytes at the end that nobody has"},
    {"{}", 1, "f: the last 1 bytes belong to no tensor", "data without tensors"},
    {X(SMALL), 3, "f: tensor x: its data ends at byte 4 after the header, where the file has 3; was it cut off?", "a short file"},
    {X("\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,20]"), 20,
     "f: tensor x: F32 [2,3] takes 24 bytes, its data_offsets [0,20] hold 20", "a wrong size"},
    {X("\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,0]"), 0,
     "f: tensor x: U8 [] takes 1 bytes, its data_offsets [0,0] hold 0", "a scalar without its byte"},
    {X("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,0]"), 4,
     "f: tensor x: its data_offsets [4,0] end before they start", "an end before its start"},
    {X("\"dtype\":\"F64\",\"shape\":[4611686018427387904,2],\"data_offsets\":[0,0]"), 0,
     "f: tensor x: its shape [4611686018427387904,2] is above 2^63 bytes", "a product above 2^63"},
    {X("\"dtype\":\"U8\",\"shape\":[9223372036854775808],\"data_offsets\":[0,4]"), 4,
     "f: tensor x: the number at byte 36 is above 2^63", "a number above 2^63"},
    {X("\"dtype\":\"U8\",\"shape\":[99999999999999999999999999],\"data_offsets\":[0,4]"), 4,
     "f: tensor x: the number at byte 36 is above 2^63", "a huge number"},
    {X("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,18446744073709551615]"), 4,
     "f: tensor x: the number at byte 57 is above 2^63", "an offset of 2^64 - 1"},
    {X("\"dtype\":\"U8\",\"shape\":[-4],\"data_offsets\":[0,4]"), 4,
     "f: tensor x: byte 36 of the file is '-', want an extent", "a negative extent"},
    {X("\"dtype\":\"U8\",\"shape\":[4.0],\"data_offsets\":[0,4]"), 4,
     "f: tensor x: the number at byte 36 is no integer", "an extent with a point"},
    {X("\"dtype\":\"U8\",\"shape\":[4e0],\"data_offsets\":[0,4]"), 4,
     "f: tensor x: the number at byte 36 is no integer", "an extent with an exponent"},
    {X("\"dtype\":\"U8\",\"shape\":[04],\"data_offsets\":[0,4]"), 4,
     "f: tensor x: the number at byte 36 starts with a zero", "a leading zero"},
    {X("\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,4],\"data_offsets\":[0,4]"), 4,
     "f: tensor x: its shape has more than 8 extents", "9 extents"},
    {X("\"dtype\":\"U8\",\"shape\":[[[[[[[[4]]]]]]]],\"data_offsets\":[0,4]"), 4,
     "f: tensor x: byte 36 of the file is '[', want an extent", "a shape that nests"},
    {X("\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]"), 4,
     "f: tensor x: dtype \"F31\" is unknown; want one of F32, F16, BF16, F64, I8 to I64, U8 to U64, BOOL", "an unknown number format"},
    {X("\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]"), 4, "f: tensor x: dtype \"f32\" is unknown", "a number format in small letters"},
    {X("\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]"), 4,
     "f: tensor x: dtype F8_E4M3 needs the number format f8_e4m3, which no loaded plugin brings", "a number format that the engine lacks"},
    {X("\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]"), 4, "want the name of a number format", "a number format that is no text"},
    {"{\"x\":{" SMALL "},\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[4,5]}}", 5, "f: tensor x: the name stands twice", "a name that stands twice"},
    {"{\"x\":{" SMALL "},\"\\u0078\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[4,5]}}", 5, "f: tensor x: the name stands twice", "also when it is escaped"},
    {X("\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]"), 4, "f: tensor x: dtype stands twice", "a field that stands twice"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "f: __metadata__ stands twice", "metadata that stands twice"},
    {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "f: the key a of __metadata__ stands twice", "a key that stands twice"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "want a text, as all of __metadata__ is", "metadata that is no text"},
    {"{\"__metadata__\":[]}", 0, "want the { of __metadata__", "metadata that is a list"},
    {X("\"shape\":[4],\"data_offsets\":[0,4]"), 4, "f: tensor x: it has no dtype", "no dtype"},
    {X("\"dtype\":\"U8\",\"data_offsets\":[0,4]"), 4, "f: tensor x: it has no shape", "no shape"},
    {X("\"dtype\":\"U8\",\"shape\":[4]"), 4, "f: tensor x: it has no data_offsets", "no data_offsets"},
    {X("\"dtype\":\"U\\n8\",\"shape\":[4],\"data_offsets\":[0,4]"), 4,
     "f: tensor x: the dtype before byte 28 holds a control character, 0x0a", "a line break in a number format"},
    {X("\"sh\\u0007pe\":[4]"), 4, "f: tensor x: the key before byte 26 holds a control character, 0x07", "a bell in a field's name"},
    {X(""), 4, "f: tensor x: it has no dtype", "an empty tensor's entry"},
    {X(SMALL ",\"more\":1"), 4, "f: tensor x: it has \"more\"; want dtype, shape and data_offsets", "a field of another name"},
    {"{\"x\":[1]}", 4, "f: tensor x: byte 13 of the file is '[', want the { of a tensor", "a tensor that is a list"},
    {"{\"x\":{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{", 4, "f: tensor x: byte 14 of the file is '{', want dtype, shape or data_offsets", "a header that nests"},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 4, "f: byte 8 of the file is '[', want the { of a header", "a list for a header"},
    {" {}", 0, "f: byte 8 of the file is 0x20, want the { of a header", "a blank before the header"},
    {"{", 0, "f: its header ends at byte 9, where the name of a tensor was wanted", "a header cut off"},
    {"{\"x\":{\"dtype\":\"U", 0, "f: tensor x: its header ends at byte 24, where the end of a text was wanted", "a header cut off in a text"},
    {"{}x", 0, "f: byte 10 of the file is 'x', want blanks up to the data", "something behind the header"},
    {"{} {}", 0, "f: byte 11 of the file is '{', want blanks up to the data", "a second header"},
    {"{,}", 0, "want the name of a tensor", "a comma too many"},
    {"{\"x\":{" SMALL "},}", 4, "want the name of a tensor", "a comma at the end"},
    {"{\"x\" {" SMALL "}}", 4, "f: byte 13 of the file is '{', want a colon", "no colon"},
    {"{\"x\xff\":{" SMALL "}}", 4, "f: byte 11 of the file, 0xff, is no UTF-8", "a byte that is no UTF-8"},
    {"{\"\xc0\xaf\":{" SMALL "}}", 4, "f: byte 10 of the file, 0xc0, is no UTF-8", "an overlong character"},
    {"{\"\xed\xa0\x80\":{" SMALL "}}", 4, "f: byte 10 of the file, 0xed, is no UTF-8", "half a surrogate pair in UTF-8"},
    {"{\"\xf4\x90\x80\x80\":{" SMALL "}}", 4, "f: byte 10 of the file, 0xf4, is no UTF-8", "a character above U+10FFFF"},
    {"{\"\xe2\x82\":{" SMALL "}}", 4, "f: byte 10 of the file, 0xe2, is no UTF-8", "a character cut off"},
    {"{\"\\ud800\":{" SMALL "}}", 4, "is half a character, which no text may hold", "half a surrogate pair"},
    {"{\"\\ud800\\u0041\":{" SMALL "}}", 4, "is half a character, which no text may hold", "half a pair, then another"},
    {"{\"a\\u0000b\":{" SMALL "}}", 4, "is a zero, which no text may hold", "a zero in a name"},
    {"{\"a\\u001b[2J\":{" SMALL "}}", 4, "f: the name before byte 21 holds a control character, 0x1b", "an escape sequence in a name"},
    {"{\"a\nb\":{" SMALL "}}", 4, "f: byte 11 of the file is 0x0a, want the end of a text", "a line break in a name"},
    {"{\"\\x\":{" SMALL "}}", 4, "f: an escape at byte 12 is none of JSON's", "an escape that JSON does not have"},
    {"{\"\\u12\":{" SMALL "}}", 4, "is none of JSON's", "an escape cut short"},
};
// clang-format on

static void bad(void)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        int32_t st = read_text(refused[i].text, refused[i].n_data);
        if (!ok(st < 0 && strstr(s.why, refused[i].why) && !strchr(s.why, '\n') &&
                    !strncmp(s.why, "f: ", 3),
                "refused: %s", refused[i].title))
            note("%d, \"%s\", want \"%s\"", st, s.why, refused[i].why);
    }
    char zero[] = "{\"a?b\":{" SMALL "}}";
    zero[3] = 0;
    ok(read_file(zero, sizeof zero - 1, sizeof zero - 1, 4) == EVLA_E_FORMAT &&
           strstr(s.why, "byte 11 of the file is 0x00, want the end of a text"),
       "refused: a zero byte in a name");
    ok(read_file("{}", 2, 3, 0) == EVLA_E_FORMAT &&
           !strcmp(s.why, "f: claims a header of 3 bytes, 2 follow; is it a safetensors "
                          "file, or was it cut off?"),
       "refused: a header longer than the file");
    ok(read_file("{}", 2, UINT64_MAX, 0) == EVLA_E_FORMAT &&
           strstr(s.why, "a header of 18446744073709551615 bytes"),
       "refused: a header of 2^64 - 1 bytes");
    ok(read_file("", 0, 0, 0) == EVLA_E_FORMAT &&
           strstr(s.why, "its header ends at byte 8"),
       "refused: an empty header");
    header_free(&got);
    for (size_t n = 0; n < 8; n++)
        if (header_read(h, "f", "\0\0\0\0\0\0\0", n, &got) != EVLA_E_FORMAT) n = 99;
    ok(!got.text, "refused: files shorter than 8 bytes");

    size_t big = HEADER_MOST + 1u;
    char *text = malloc(big);
    if (!text) abort();
    memset(text, ' ', big);
    memcpy(text, "{}", 2);
    ok(read_file(text, big, big, 0) == EVLA_E_LIMIT &&
           strstr(s.why, "claims a header of 100000001 bytes; want at most 100000000"),
       "refused: a header above 100 MB");
    ok(read_file(text, big - 1, big - 1, 0) == 0, "a header of just 100 MB is read");
    free(text);
    /* every prefix and every single wrong byte: refused or read, never a step too far */
    static const char whole[] = "{\"__metadata__\":{\"k\":\"v\\u00e9\"},\"a\":{" SMALL "}}";
    for (size_t n = 0; n < sizeof whole - 1; n++)
        read_file(whole, n, n, 4);
    char copy[sizeof whole];
    int told = 1;
    for (size_t i = 0; i < sizeof whole - 1; i++)
        for (int c = 0; c < 256; c++) {
            memcpy(copy, whole, sizeof whole);
            copy[i] = (char)c;
            int32_t st = read_file(copy, sizeof whole - 1, sizeof whole - 1, 4);
            told &= st == 0 || *s.why;
        }
    ok(told,
       "every prefix and every wrong byte of a header is read or refused with a sentence");
}

/* ---- writing ---- */

static int32_t put(host_file *f, const evla_archive *all)
{
    host_clear(&s);
    return write_archive(h, all, host_file_init(f, sizeof f->bytes));
}

static evla_field field(const char *name, int32_t dtype, int64_t rows, int64_t columns,
                        const void *data)
{
    int64_t each = host_dtype_bytes(h, dtype, 1);
    evla_field f = {.name = name};
    f.value = (evla_tensor){.data = {(void *)(uintptr_t)data},
                            .shape = {rows, columns},
                            .stride = {columns * each, each},
                            .dtype = dtype,
                            .rank = 2};
    return f;
}

static void written(void)
{
    static const uint8_t data[DATA] = {1, 2, 3, 250};
    evla_field t[] = {
        field("codes", EVLA_I8, 3, 5, data),  field("b \"\\\x7e", EVLA_F64, 1, 2, data),
        field("scale", EVLA_F32, 3, 1, data), field("h", HOST_F16, 1, 3, data),
        field("none", EVLA_I64, 0, 9, data),
    };
    evla_attr attrs[] = {{.name = "z", .type = EVLA_ATTR_FLOAT, .number = 0.1},
                         {.name = "a", .type = EVLA_ATTR_TEXT, .text = "\x01\t\"\xc3\xa9"},
                         {.name = "n", .type = EVLA_ATTR_INT, .integer = INT64_MIN}};
    evla_archive all = {
        .size = sizeof all, .n_attrs = 3, .n_tensors = 5, .tensors = t, .attrs = attrs};
    static host_file first, second;
    ok(put(&first, &all) == 0, "written: %s", s.why);
    header_free(&got);
    int32_t st = first.n ? header_read(h, "a", first.bytes, first.n, &got) : -1;
    ok(st == 0 && got.n_tensors == 5 && got.n_attrs == 3 &&
           !strcmp(got.attrs[0].text, attrs[1].text) &&
           !strcmp(got.attrs[1].text, "-9223372036854775808") &&
           !strcmp(got.attrs[2].text, "0.10000000000000001"),
       "and read again: names, and metadata as text");
    int same = st == 0, aligned = st == 0;
    for (int64_t i = 0; st == 0 && i < got.n_tensors; i++)
        for (int m = 0; m < 5; m++) {
            const evla_tensor *x = &got.tensors[i].value, *y = &t[m].value;
            if (strcmp(got.tensors[i].name, t[m].name) != 0) continue;
            int64_t each = host_dtype_bytes(h, y->dtype, 1);
            same &= x->dtype == y->dtype && x->shape[0] == y->shape[0] &&
                    x->shape[1] == y->shape[1] &&
                    !memcmp(x->data[0], data, (size_t)(each * y->shape[0] * y->shape[1]));
            aligned &= ((uint8_t *)x->data[0] - first.bytes) % each == 0;
        }
    ok(same, "every tensor has its type, shape and bytes");
    ok(aligned, "and is aligned to its element in the file");
    evla_field back[] = {t[4], t[3], t[2], t[1], t[0]};
    evla_attr attrs_back[] = {attrs[2], attrs[0], attrs[1]};
    evla_archive other = {.size = sizeof all,
                          .n_attrs = 3,
                          .n_tensors = 5,
                          .tensors = back,
                          .attrs = attrs_back};
    put(&second, &other);
    ok(first.n && first.n == second.n && !memcmp(first.bytes, second.bytes, first.n),
       "the same bytes in any order of tensors");
    int stops = 1;
    for (uint64_t room = 0; room < first.n; room++) {
        host_clear(&s);
        st = write_archive(h, &all, host_file_init(&second, room));
        stops &= st == EVLA_E_IO && !second.is_over && !strcmp(s.why, "the file is full");
    }
    ok(stops, "a file that is full anywhere ends the writing");

    static const struct {
        const char *name;
        int32_t dtype, code;
        const char *why, *title;
    } no[] = {
        {"scale", EVLA_F32, EVLA_E_EXISTS, "tensor scale: the name stands twice",
         "a name twice"},
        {"__metadata__", EVLA_F32, EVLA_E_EXISTS, "a tensor cannot be called __metadata__",
         "the header's own name"},
        {"x\n", EVLA_F32, EVLA_E_FORMAT, "holds a control character, 0x0a", "a line break"},
        {"x\xff", EVLA_F32, EVLA_E_FORMAT, "is no UTF-8", "a name that is no UTF-8"},
        {"x", 99, EVLA_E_DTYPE, "the format has no name for none", "another number format"},
    };
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        t[0] = field("x", EVLA_F32, 1, 1, data);
        t[0].name = no[i].name;
        t[0].value.dtype = no[i].dtype;
        st = put(&second, &all);
        if (!ok(st == no[i].code && strstr(s.why, no[i].why) && !second.n,
                "not written: %s", no[i].title))
            note("%d, \"%s\"", st, s.why);
    }
    t[0] = field("x", EVLA_F32, 1, 1, data);
    attrs[1] = (evla_attr){.name = "words", .type = EVLA_ATTR_TEXTS};
    ok(put(&second, &all) == EVLA_E_DTYPE &&
           strstr(s.why, "the key words is a list; the format's metadata is text"),
       "not written: a list among the metadata");
    attrs[1] = (evla_attr){.name = "a", .type = EVLA_ATTR_TEXT, .text = ""};
    t[0] = field("x", EVLA_F32, 2, 2, data);
    t[0].value.stride[0] = 12;
    ok(put(&second, &all) == EVLA_E_SHAPE && strstr(s.why, "tensor x: want dense rows"),
       "not written: rows with gaps");
}

/* ---- several files ---- */

static char folder[] = "/tmp/evla-safetensors-XXXXXX";

static const char *at(const char *name)
{
    static char path[100];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put_shard(const char *name, const char *first, const char *second)
{
    static const uint8_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    evla_field t[] = {field(first, EVLA_U8, 1, 4, data),
                      field(second, EVLA_U8, 1, 4, data + 4)};
    evla_attr from = {.name = "from", .type = EVLA_ATTR_TEXT, .text = name};
    evla_archive all = {.size = sizeof all,
                        .n_attrs = 1,
                        .n_tensors = *second ? 2 : 1,
                        .tensors = t,
                        .attrs = &from};
    static host_file file;
    FILE *f = fopen(at(name), "wb");
    if (put(&file, &all) < 0 || !f || fwrite(file.bytes, 1, file.n, f) != file.n ||
        fclose(f))
        abort();
}

/* Opens an index with this text; the model stays open until the next. */
static int32_t open_index(const char *text, evla_archive *out)
{
    static void *self;
    shards_close(h, self);
    self = NULL;
    if (!text) return 0;
    FILE *f = fopen(at("model.safetensors.index.json"), "wb");
    if (!f || fputs(text, f) < 0 || fclose(f)) abort();
    host_clear(&s);
    *out = (evla_archive){.size = sizeof *out};
    return shards_open(h, at("model.safetensors.index.json"), &self, out);
}

#define MAP(more) "{\"metadata\":{\"total_size\":16},\"weight_map\":{" more "}}"
#define A         "\"a\":\"1.safetensors\""
#define B         "\"b\":\"1.safetensors\""
#define C         "\"c\":\"2.safetensors\""

// clang-format off
static const struct {
    const char *text;
    int32_t code;
    const char *why, *title;
} unindexed[] = {
    {MAP(A "," B "," C ",\"d\":\"3.safetensors\""), EVLA_E_MISSING, "its file 3.safetensors is not there", "a file that is missing"},
    {MAP(A "," B "," C ",\"d\":\"2.safetensors\""), EVLA_E_FORMAT, "tensor d is not in 2.safetensors, where the index has it", "a tensor that its file lacks"},
    {MAP(A "," B ",\"bb\":\"1.safetensors\"," C), EVLA_E_FORMAT, "tensor bb is not in 1.safetensors, where the index has it", "one behind all that it has"},
    {MAP(A "," C), EVLA_E_FORMAT, "tensor b is in 1.safetensors, where the index has none", "a tensor that the index lacks"},
    {MAP(A "," B ",\"a\":\"2.safetensors\""), EVLA_E_FORMAT, "tensor a: the name stands twice", "a tensor in two files"},
    {MAP(A "," B "," C ",\"x\":\"model.safetensors.index.json\""), EVLA_E_FORMAT, "model.safetensors.index.json: claims a header of", "an index that names itself"},
    {MAP("\"a\":\"../1.safetensors\""), EVLA_E_FORMAT, "tensor a: is said to be in \"../1.safetensors\"; want the name of a file beside the index", "a path upwards"},
    {MAP("\"a\":\"/etc/passwd\""), EVLA_E_FORMAT, "tensor a: is said to be in \"/etc/passwd\"", "an absolute path"},
    {MAP("\"a\":\"sub/1.safetensors\""), EVLA_E_FORMAT, "tensor a: is said to be in \"sub/1.safetensors\"", "a path downwards"},
    {MAP("\"a\":\"..\""), EVLA_E_FORMAT, "tensor a: is said to be in \"..\"", "the folder above"},
    {MAP("\"a\":\"\""), EVLA_E_FORMAT, "tensor a: is said to be in \"\"", "no file"},
    {MAP("\"a\":\"x\\n\""), EVLA_E_FORMAT, "tensor a: the name of its file before byte 53 holds a control character, 0x0a", "a line break in a file's name"},
    {MAP("\"a\\u0007\":\"x\""), EVLA_E_FORMAT, "the name before byte 53 holds a control character, 0x07", "a bell in a tensor's name"},
    {MAP("\"a\":{\"x\":1}"), EVLA_E_FORMAT, "byte 48 of the file is '{', want the name of a file", "a map that nests"},
    {MAP("\"a\" \"b\""), EVLA_E_FORMAT, "want a colon", "no colon in the map"},
    {MAP(A ","), EVLA_E_FORMAT, "want the name of a tensor", "a comma at its end"},
    {"{\"weight_map\":[]}", EVLA_E_FORMAT, "byte 14 of the file is '[', want the { of weight_map", "a map that is a list"},
    {"{\"weight_map\":{},\"weight_map\":{}}", EVLA_E_FORMAT, "weight_map stands twice", "two maps"},
    {"{\"metadata\":{}}", EVLA_E_FORMAT, "it has no weight_map", "no map"},
    {"{          }", EVLA_E_FORMAT, "it has no weight_map", "nothing at all"},
    {"{\"weight_map\":{}} x", EVLA_E_FORMAT, "byte 18 of the file is 'x', want the end of the file", "something behind the index"},
    {"{\"weight_map\":{}", EVLA_E_FORMAT, "the file ends at byte 16, where a comma or the } of the index was wanted", "an index cut off"},
    {"{\"metadata\":{\"a\":[1,2,", EVLA_E_FORMAT, "the file ends at byte 22, where a value was wanted", "metadata cut off"},
    {"{\"metadata\":]}", EVLA_E_FORMAT, "byte 12 of the file is ']', want a value", "metadata that is no value"},
    {"{\"metadata\":?}", EVLA_E_FORMAT, "byte 12 of the file is '?', want a value", "metadata that is no JSON"},
    {"{\"metadata\":{\"a\":\"\\q\"}}", EVLA_E_FORMAT, "none of JSON's", "a wrong escape in metadata"},
};
// clang-format on

static void several(void)
{
    evla_archive all = {0};
    put_shard("1.safetensors", "a", "b");
    put_shard("2.safetensors", "c", "");
    int32_t st = open_index("{\"metadata\":{\"total_size\":1.2e1,\"more\":[null,{\"a\":\"}"
                            "\"}]},\n\"weight_map\": "
                            "{" C ", " B "," A "}\n}\n",
                            &all);
    ok(st == 0 && all.n_tensors == 3 && !strcmp(all.tensors[1].name, "b") &&
           *(uint8_t *)all.tensors[1].value.data[0] == 5 &&
           *(uint8_t *)all.tensors[2].value.data[0] == 1,
       "an index opens all its files: %s", s.why);
    ok(st == 0 && all.n_files == 2 && strstr(all.files[0], "/1.safetensors") &&
           strstr(all.files[1], "/2.safetensors"),
       "and names them");
    ok(st == 0 && all.n_attrs == 1 && !strcmp(all.attrs[0].text, "1.safetensors"),
       "the first file's metadata is the model's");
    ok(open_index("{\"weight_map\":{}}", &all) == 0 && !all.n_tensors && !all.n_attrs,
       "an index of nothing");
    for (size_t i = 0; i < sizeof unindexed / sizeof *unindexed; i++) {
        st = open_index(unindexed[i].text, &all);
        if (!ok(st == unindexed[i].code && strstr(s.why, unindexed[i].why) &&
                    !strchr(s.why, '\n'),
                "refused: %s", unindexed[i].title))
            note("%d, \"%s\", want \"%s\"", st, s.why, unindexed[i].why);
    }
    open_index(NULL, NULL);
    static char many[INDEX_FILES * 40];
    size_t n = (size_t)sprintf(many, "{\"weight_map\":{");
    for (int i = 0; i <= INDEX_FILES; i++)
        n += (size_t)sprintf(many + n, "%s\"%d\":\"f%d\"", i ? "," : "", i, i);
    sprintf(many + n, "}}");
    ok(open_index(many, &all) == EVLA_E_LIMIT &&
           strstr(s.why, "names 4097 files; at most 4096"),
       "refused: an index of thousands of files");
    open_index(NULL, NULL);
    static const unsigned char length[] = {'{', 0, 0, 0, 0, 0, 0, 0, '{'};
    unlink(at("model.safetensors.index.json"));
    unlink(at("1.safetensors"));
    unlink(at("2.safetensors"));
    if (rmdir(folder) < 0) note("%s stays", folder);
    ok(!shards_is_json(length, sizeof length) && shards_is_json("\n {\"weight", 10) &&
           !shards_is_json("{}", 2) && !shards_is_json("[{\"a\":1}]", 9),
       "a header of 123 bytes does not pass for JSON");
}

int main(void)
{
    h = host_init(&s);
    if (!mkdtemp(folder)) return 1;
    fine();
    bad();
    several();
    written();
    header_free(&got);
    host_free(&s);
    return tap_done();
}
