/*
 * t_value.c -- plain values as JSON: what is printed reads back, what is no JSON is
 * refused.
 */
#include "tap.h"
#include "value.h"
#include <locale.h>
#include <math.h>
#include <string.h>

static arena mem;

static int32_t read_text(const char *text, value *v)
{
    size_t at;
    return value_parse(&mem, text, strlen(text), v, &at);
}

/* Reads and prints again. */
static const char *again(const char *text)
{
    value v;
    return read_text(text, &v) < 0 ? "refused" : value_print(&mem, &v, NULL);
}

static void same(const char *text, const char *want)
{
    const char *got = again(text);
    if (!ok(!strcmp(got, want), "%.60s is read and printed as %.60s", text, want))
        note("got %s", got);
}

static void refused(const char *text, size_t n, size_t want_at, const char *why)
{
    value v;
    size_t at = 0;
    char *exact = malloc(n); /* so that a sanitizer sees a read behind the end */
    if (n) memcpy(exact, text, n);
    int bad = value_parse(&mem, exact, n, &v, &at) == -1;
    free(exact);
    if (!ok(bad && (want_at == SIZE_MAX || at == want_at), "%s is refused", why))
        note("%s at %zu, want %zu", bad ? "refused" : "accepted", at, want_at);
}

static void round_trips(void)
{
    same("null", "null");
    same(" true ", "true");
    same("false", "false");
    same("-0", "0");
    same("9223372036854775807", "9223372036854775807");
    same("-9223372036854775808", "-9223372036854775808");
    same("9223372036854775808", "9.223372036854776e+18");
    same("1.0", "1.0");
    same("-0.0", "-0.0");
    same("0.1", "0.1");
    same("1e2", "100.0");
    same("1E+300", "1e+300");
    same("1e999", "1e999");
    same("-1e999", "-1e999");
    same("5e-324", "5e-324");
    same("[]", "[]");
    same("{}", "{}");
    same("[[],{}]", "[[],{}]");
    same("[1, [2,\t3], {\"a\" : null}]", "[1,[2,3],{\"a\":null}]");
    same("{\"b\":1,\"a\":2}", "{\"a\":2,\"b\":1}");
    same("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
         "\"\\\"\\\\/\\u0008\\u000c\\u000a\\u000d\\u0009\"");
    same("\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"",
         "\"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    same("{\"\":\"\"}", "{\"\":\"\"}");
    double hard[] = {0.1, 1.0 / 3, 1e-310, 1.7976931348623157e308, 123456789.123456789};
    int exact = 1;
    for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) {
        value in = value_float(hard[i]), out;
        const char *t = value_print(&mem, &in, NULL);
        if (read_text(t, &out) < 0 || out.kind != VALUE_FLOAT || out.as.f != hard[i])
            exact = 0;
    }
    ok(exact, "floats survive with every bit");
}

static void hostile(void)
{
#define REFUSED(text, at, why) refused(text, sizeof text - 1, at, why)
    refused("", 0, 0, "nothing");
    REFUSED(" ", 1, "blank");
    REFUSED("nul", SIZE_MAX, "half a word");
    REFUSED("nulll", 4, "a word and more");
    REFUSED("1 2", 2, "two values");
    REFUSED("[1,]", SIZE_MAX, "a comma too many");
    REFUSED("[1 2]", SIZE_MAX, "a comma too few");
    REFUSED("{\"a\"}", SIZE_MAX, "a name without a value");
    REFUSED("{a:1}", SIZE_MAX, "a name without quotes");
    REFUSED("{\"a\":1,\"a\":2}", SIZE_MAX, "a name that stands twice");
    REFUSED("{\"a\":1", SIZE_MAX, "an object that does not end");
    REFUSED("[", SIZE_MAX, "an array that does not end");
    REFUSED("\"abc", SIZE_MAX, "a text that does not end");
    REFUSED("\"abc\\\"", SIZE_MAX, "a text that ends in an escaped quote");
    REFUSED("\"\\", SIZE_MAX, "a text that ends in an escape");
    REFUSED("\"\\u12", SIZE_MAX, "half a code point");
    REFUSED("\"\\u12\"", SIZE_MAX, "half a code point before a quote");
    REFUSED("\"\\x41\"", SIZE_MAX, "an unknown escape");
    REFUSED("\"\\ud800\"", SIZE_MAX, "the first half of a pair");
    REFUSED("\"\\ude00\"", SIZE_MAX, "the second half of a pair");
    REFUSED("\"\\ud800\\u0041\"", SIZE_MAX, "a pair with a wrong half");
    REFUSED("\"\\u0000\"", SIZE_MAX, "an escaped NUL");
    REFUSED("\"a\0b\"", SIZE_MAX, "a NUL in a text");
    REFUSED("\"a\nb\"", SIZE_MAX, "a line break in a text");
    REFUSED("1\0", 1, "a NUL after a value");
    REFUSED("+1", SIZE_MAX, "a plus");
    REFUSED("01", SIZE_MAX, "a leading zero");
    REFUSED("-", SIZE_MAX, "a minus");
    REFUSED("--1", SIZE_MAX, "two of them");
    REFUSED(".5", SIZE_MAX, "a leading point");
    REFUSED("1.", SIZE_MAX, "a trailing point");
    REFUSED("1.e5", SIZE_MAX, "a point before an exponent");
    REFUSED("1e", SIZE_MAX, "an empty exponent");
    REFUSED("1.2.3", SIZE_MAX, "two points");
    REFUSED("0x10", 1, "a hexadecimal number");
    REFUSED("nan", SIZE_MAX, "not a number");
    REFUSED("Infinity", SIZE_MAX, "infinity by name");
    char deep[200];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    refused(deep, 200, SIZE_MAX, "an array 100 deep");
    deep[63] = '1', memset(deep + 64, ']', 63);
    value v;
    ok(value_parse(&mem, deep, 127, &v, NULL) == 0, "64 deep is read");
    char digits[100];
    memset(digits, '1', sizeof digits);
    refused(digits, sizeof digits, SIZE_MAX, "a number of 100 digits");
#undef REFUSED
}

static void tables(void)
{
    value v;
    read_text("{\"b\":[1,2],\"a\":\"x\"}", &v);
    ok(value_get(&v, "b") && value_get(&v, "b")->n_items == 2, "a named entry is found");
    ok(!value_get(&v, "c") && !value_get(NULL, "a"), "an absent one is not");
    value item = value_int(7), mixed = v;
    mixed.as.items = &item, mixed.n_items = 1;
    ok(!strcmp(value_print(&mem, &mixed, NULL), "{\"1\":7,\"a\":\"x\",\"b\":[1,2]}"),
       "positions beside names are printed under their numbers");
    value_pair twice[] = {{"x", item}, {"y", item}, {"x", item}};
    value t = {.kind = VALUE_TABLE, .pairs = twice, .n_pairs = 3};
    const char *name = value_sort(&t);
    ok(name && !strcmp(name, "x"), "a name that stands twice is told");
    value list = value_list(&mem, 1);
    list.as.items[list.n_items++] = value_bool(2);
    const value_pair made[] = {{"n", item}, {"b", list}};
    value whole = value_table(&mem, made, 2), empty = value_table(&mem, NULL, 0);
    ok(!strcmp(value_print(&mem, &whole, NULL), "{\"b\":[true],\"n\":7}") &&
           !strcmp(value_print(&mem, &empty, NULL), "{}"),
       "a table is made of pairs in any order, also of none");
    ok(value_get_int(&whole, "n") == 7 && value_get_int(&whole, "b") == 0 &&
           value_get_int(&whole, "c") == 0,
       "a whole number is found, anything else counts as 0");
    value copy;
    arena other = arena_growing(1024);
    ok(value_copy(&other, &v, &copy) == 0 &&
           !strcmp(value_print(&mem, &v, NULL), value_print(&mem, &copy, NULL)),
       "a copy prints the same");
    ok(value_get(&copy, "a")->as.text != value_get(&v, "a")->as.text, "and shares no text");
    int all = 1;
    for (int64_t n = 1; n <= 6; n++) {
        arena_place mark = arena_mark(&other);
        other.fail_in = n;
        if (value_copy(&other, &v, &copy) == 0) all = 0;
        other.fail_in = 0;
        arena_reset(&other, mark);
    }
    ok(all, "out of memory at any of its pushes is an error, not a crash");
    for (int64_t n = 1; n <= 5; n++) {
        other.fail_in = n;
        if (value_parse(&other, "{\"b\":[1,2],\"a\":\"x\"}", 19, &copy, NULL) == 0) all = 0;
    }
    ok(all, "the same while reading");
    arena_free(&other);
}

static const char *ref_text(arena *a, const char *type, const void *ref)
{
    return ref ? arena_text(a, "\"%s\"", type) : NULL;
}

static void describing(void)
{
    value text = value_text("two"), f = value_float(0.5), nil = {0};
    value ref = {.kind = VALUE_REF, .ref_type = "choice", .as.ref = &mem};
    value table = {.kind = VALUE_TABLE};
    ok(!strcmp(value_describe(&mem, &text), "\"two\""), "a text is told in quotes");
    ok(!strcmp(value_describe(&mem, &f), "0.5"), "a number as it is");
    ok(!strcmp(value_describe(&mem, &nil), "nothing"), "nil as nothing");
    ok(!strcmp(value_describe(&mem, &ref), "a choice"), "an object by its type");
    ok(!strcmp(value_describe(&mem, &table), "a table"), "a table as one");
    ok(!strcmp(value_print(&mem, &ref, ref_text), "\"choice\""),
       "a reference prints itself");
    ref.as.ref = NULL;
    ok(!value_print(&mem, &ref, ref_text), "or makes printing fail");
    value nan = value_float(NAN);
    ok(!strcmp(value_print(&mem, &nan, NULL), "\"nan\""), "what JSON cannot say is a text");
}

/* Another decimal point must not change what is read or written. */
static void locales(void)
{
    const char *const with_comma[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8", "de_DE"};
    const char *set = NULL;
    for (int i = 0; i < 4 && !set; i++)
        set = setlocale(LC_NUMERIC, with_comma[i]);
    if (!set) note("no locale with a decimal comma is installed");
    same("[1.5,2]", "[1.5,2]");
    setlocale(LC_NUMERIC, "C");
}

/* For value_json.t: each line of standard input, printed again or "refused". */
static int answer(void)
{
    static char line[1 << 16];
    while (fgets(line, sizeof line, stdin)) {
        arena_place mark = arena_mark(&mem);
        line[strcspn(line, "\n")] = 0;
        puts(again(line));
        arena_reset(&mem, mark);
    }
    arena_free(&mem);
    return 0;
}

int main(int argc, char **argv)
{
    mem = arena_growing(64 << 10);
    if (argc > 1 && !strcmp(argv[1], "--print")) return answer();
    round_trips();
    hostile();
    tables();
    describing();
    locales();
    arena_free(&mem);
    return tap_done();
}
