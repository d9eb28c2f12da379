/*
 * t_tensor.c -- types as text, symbols, size expressions, number formats, views.
 */
#include "plugin.h"
#include "says.h"

static int32_t no_codes(const evla_host *h, const void *c, int64_t n, float *o)
{
    (void)h, (void)c, (void)n, (void)o;
    return 0;
}

static int32_t no_values(const evla_host *h, const float *v, int64_t n, void *c)
{
    (void)h, (void)v, (void)n, (void)c;
    return 0;
}

static const evla_dtype block32 = {.size = sizeof block32,
                                   .block_elements = 32,
                                   .block_bytes = 18,
                                   .decode = no_codes,
                                   .encode = no_values,
                                   .source = "a test"};
static const evla_dtype ragged8 = {.size = sizeof ragged8,
                                   .block_elements = 8,
                                   .block_bytes = 5,
                                   .is_ragged = 1,
                                   .decode = no_codes,
                                   .encode = no_values,
                                   .source = "a test"};
static const evla_dtype half16 = {.size = sizeof half16,
                                  .block_elements = 1,
                                  .block_bytes = 2,
                                  .decode = no_codes,
                                  .encode = no_values,
                                  .source = "a test"};
static const evla_item items[] = {{.kind = EVLA_DTYPE, .name = "h2", .table = &half16},
                                  {.kind = EVLA_DTYPE, .name = "b4", .table = &block32},
                                  {.kind = EVLA_DTYPE, .name = "r5", .table = &ragged8}};
static const evla_plugin formats = {.magic = EVLA_MAGIC,
                                    .size = sizeof formats,
                                    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
                                    .needs = EVLA_ABI_MAJOR << 16,
                                    .n_items = 3,
                                    .items = items,
                                    .id = "test.formats",
                                    .version = "1",
                                    .license = "none"};

static void sizes(ctx *cx)
{
    symbols s = {.n = 3, .name = {"B", "D", "Long_1"}, .extent = {2, 3, 5}};
    static const struct {
        const char *text;
        int64_t want;
    } good[] = {{"7", 7},
                {"B", 2},
                {"2*D+1", 7},
                {" 2 * ( D + 1 ) ", 8},
                {"Long_1*B", 10},
                {"10-D-D", 4},
                {"12/D/B", 2},
                {"0", 0},
                {"281474976710656", (int64_t)1 << 48},
                {"(((((1)))))", 1},
                {"3-3", 0}};
    int all = 1;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t v = -1;
        if (size_eval(cx, good[i].text, strlen(good[i].text), &s, &v) < 0 ||
            v != good[i].want)
            all = 0, note("%s: %lld %s", good[i].text, (long long)v, cx->why);
        ctx_clear(cx);
    }
    ok(all, "sizes are sums of products of integers and symbols, with parentheses");
    static const struct {
        const char *text;
        int32_t code;
        const char *why;
    } bad[] = {
        {"", EVLA_E_ARG,
         "size \"\": want integers and symbols joined by + - * /, found \"\""},
        {"2*", EVLA_E_ARG,
         "size \"2*\": want integers and symbols joined by + - * /, found \"\""},
        {"2 3", EVLA_E_ARG,
         "size \"2 3\": want integers and symbols joined by + - * /, found \"3\""},
        {"d", EVLA_E_ARG,
         "size \"d\": want integers and symbols joined by + - * /, found \"d\""},
        {"(1", EVLA_E_ARG,
         "size \"(1\": want integers and symbols joined by + - * /, found \"\""},
        {"H+1", EVLA_E_MISSING, "size \"H+1\": the symbol H has no value"},
        {"D/B", EVLA_E_RANGE, "size \"D/B\": 3 / 2 is no whole size"},
        {"1/0", EVLA_E_RANGE, "size \"1/0\": 1 / 0 is no whole size"},
        {"1-2", EVLA_E_RANGE, "size \"1-2\": -1 is outside 0 to 2^48"},
        {"281474976710657", EVLA_E_RANGE,
         "size \"281474976710657\": 281474976710657 is outside 0 to 2^48"},
        {"9223372036854775807*3", EVLA_E_RANGE,
         "size \"9223372036854775807*3\": 9223372036854775807 * 3 is no whole size"},
        {"(0-9223372036854775807-1)/(0-1)", EVLA_E_RANGE,
         "size \"(0-9223372036854775807-1)/(0-1)\": -9223372036854775808 / -1 is no whole "
         "size"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t v;
        int32_t st = size_eval(cx, bad[i].text, strlen(bad[i].text), &s, &v);
        ok(st == bad[i].code && says(cx, bad[i].code, bad[i].why), "size %s is refused",
           *bad[i].text ? bad[i].text : "of nothing");
    }
    int64_t v;
    ok(size_eval(cx, "99999999999999999999", 20, &s, &v) == EVLA_E_ARG,
       "20 digits are refused");
    ctx_clear(cx);
    char deep[200];
    memset(deep, '(', sizeof deep);
    ok(size_eval(cx, deep, sizeof deep, &s, &v) == EVLA_E_ARG,
       "200 parentheses are refused");
    ctx_clear(cx);
}

static int type_is(ctx *cx, const char *text, const symbols *s, const char *want)
{
    evla_type t;
    if (type_parse(cx, text, s, &t) < 0) return 0;
    return !strcmp(type_text(cx->reg, &cx->mem, &t), want);
}

static void types(ctx *cx)
{
    symbols s = {.n = 1, .name = {"B"}, .extent = {4}};
    ok(type_is(cx, "f32", &s, "f32"), "a scalar has no brackets");
    ok(type_is(cx, "f32[]", &s, "f32"), "or empty ones");
    ok(type_is(cx, "u8[B,3,2*B+1]", &s, "u8[4,3,9]"), "symbols are bound, sizes computed");
    ok(type_is(cx, "f32[0]", &s, "f32[0]"), "an extent may be 0");
    ok(type_is(cx, "b4[B,64]", &s, "b4[4,64]"), "a registered format is found by name");
    evla_type t;
    ok(type_parse(cx, "f32[T,2*W,7]", NULL, &t) == 0 && t.shape[0] == -1 &&
           t.shape[1] == -1 && t.shape[2] == 7,
       "without symbols, open extents are -1");
    static const struct {
        const char *text;
        int32_t code;
        const char *why;
    } bad[] = {
        {"", EVLA_E_DTYPE,
         "type \"\": no number format is called \"\"; loaded plugins may add some (evla "
         "plugins)"},
        {"f33[2]", EVLA_E_DTYPE,
         "type \"f33[2]\": no number format is called \"f33\"; loaded plugins may add some "
         "(evla "
         "plugins)"},
        {"f32[2", EVLA_E_ARG, "type \"f32[2\": want a form such as \"f32[B,7]\""},
        {"[2]", EVLA_E_ARG, "type \"[2]\": want a form such as \"f32[B,7]\""},
        {"f32[2,]", EVLA_E_ARG,
         "type \"f32[2,]\": want up to 8 extents, none of them empty"},
        {"f32[,2]", EVLA_E_ARG,
         "type \"f32[,2]\": want up to 8 extents, none of them empty"},
        {"f32[1,1,1,1,1,1,1,1,1]", EVLA_E_ARG,
         "type \"f32[1,1,1,1,1,1,1,1,1]\": want up to 8 extents, none of them empty"},
        {"f32[Q]", EVLA_E_MISSING,
         "type \"f32[Q]\": size \"Q\": the symbol Q has no value"},
        {"f32[-1]", EVLA_E_ARG,
         "type \"f32[-1]\": size \"-1\": want integers and symbols joined by + - * /, "
         "found \"-1\""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ok(type_parse(cx, bad[i].text, &s, &t) == bad[i].code &&
               says(cx, bad[i].code, bad[i].why),
           "type \"%s\" is refused", bad[i].text);
}

static void matching(ctx *cx)
{
    symbols s = {0};
    evla_type t = {.dtype = EVLA_F32, .rank = 3, .shape = {5, 3, 10}};
    ok(type_match(cx, "f32[B_1,3,2*B_1]", &t, &s) == 0 && s.n == 1 && s.extent[0] == 5 &&
           !strcmp(s.name[0], "B_1"),
       "a symbol that stands alone is bound, and counts in what follows");
    t.shape[0] = 6;
    ok(type_match(cx, "f32[B_1,3,2*B_1]", &t, &s) == EVLA_E_SHAPE &&
           says(cx, EVLA_E_SHAPE,
                "want f32[B_1,3,2*B_1], found f32[6,3,10]: extent 0 should be 5"),
       "a bound symbol must agree");
    ok(type_match(cx, "f64[A,B,C]", &t, &s) == EVLA_E_SHAPE &&
           says(cx, EVLA_E_SHAPE, "want f64[A,B,C], found f32[6,3,10]"),
       "another format does not match");
    ok(type_match(cx, "f32[A]", &t, &s) == EVLA_E_SHAPE &&
           says(cx, EVLA_E_SHAPE, "want f32[A], found f32[6,3,10]"),
       "nor another rank");
    int st = 0;
    for (int i = 0; st >= 0 && i < 30; i++) {
        char text[32];
        snprintf(text, sizeof text, "f32[X%d]", i);
        evla_type one = {.dtype = EVLA_F32, .rank = 1, .shape = {1}};
        st = type_match(cx, text, &one, &s);
    }
    ok(st == EVLA_E_LIMIT, "there is a limit to symbols");
    ctx_clear(cx);
}

static void bytes(ctx *cx)
{
    const registry *r = cx->reg;
    int32_t b4 = dtype_find(r, "b4", 2), h2 = dtype_find(r, "h2", 2);
    ok(b4 == EVLA_DTYPE_FIRST && h2 == EVLA_DTYPE_FIRST + 1,
       "registered formats get ids in the order of their names");
    ok(dtype_find(r, "f3", 2) == EVLA_NONE && dtype_find(r, "f322", 4) == EVLA_NONE,
       "half a name is no name");
    ok(!strcmp(dtype_name(r, 12), "?") && !strcmp(dtype_name(r, -1), "?") &&
           !strcmp(dtype_name(r, 9999), "?"),
       "an id that nobody has is a question mark");
    ok(dtype_bytes(r, b4, 64) == 36, "blocks are counted");
    ok(dtype_bytes(r, b4, 33) == -1, "half a block is none");
    ok(dtype_bytes(r, EVLA_F64, INT64_MAX / 4) == -1, "overflow is told");
    ok(dtype_bytes(r, EVLA_F32, -1) == -1, "so are fewer than none");
    evla_type t = {.dtype = EVLA_F32, .rank = 2, .shape = {1LL << 40, 1LL << 40}};
    ok(type_count(&t) == -1 && type_bytes(r, &t) == -1, "2^80 elements are too many");
    t.shape[0] = 0;
    t.rank = 3, t.shape[2] = 1LL << 40;
    ok(type_count(&t) == -1, "an empty tensor is refused if a stride of it cannot be held");
    t.rank = 2, t.shape[1] = 1LL << 61;
    ok(type_count(&t) == 0 && type_bytes(r, &t) == -1, "also in bytes");
    t.shape[1] = 1LL << 60;
    ok(type_bytes(r, &t) == 0, "the largest that can takes none");
    t = (evla_type){.dtype = EVLA_F32, .rank = -1};
    ok(type_count(&t) == -1 && type_bytes(r, &t) == -1, "an unknown rank has no size");
    t = (evla_type){.dtype = EVLA_F32, .rank = 9};
    ok(type_bytes(r, &t) == -1, "nor has a rank above 8");
    t = (evla_type){.dtype = EVLA_F32, .rank = 1, .shape = {-1}};
    ok(type_bytes(r, &t) == -1, "nor an open extent");
    t = (evla_type){.dtype = b4, .rank = 2, .shape = {2, 48}};
    ok(type_bytes(r, &t) == -1, "rows hold whole blocks");
    t = (evla_type){.dtype = b4, .rank = 2, .shape = {3, 64}};
    ok(type_bytes(r, &t) == 108, "3 rows of 2 blocks of 18 bytes");
    char data[8];
    evla_tensor v = tensor_view(r, &t, data);
    ok(v.stride[1] == 18 && v.stride[0] == 36 && v.data[0] == data && v.shape[1] == 64,
       "strides of a block format are those of a block, then of a row");
    int32_t r5 = dtype_find(r, "r5", 2);
    ok(dtype_bytes(r, r5, 16) == 10 && dtype_bytes(r, r5, 17) == 15 &&
           dtype_bytes(r, r5, 1) == 5 && dtype_bytes(r, r5, 0) == 0,
       "where rows may end inside a block, it counts in full");
    ok(dtype_bytes(r, r5, INT64_MAX) == 5LL << 60, "also next to the largest number");
    t = (evla_type){.dtype = r5, .rank = 3, .shape = {2, 3, 17}};
    v = tensor_view(r, &t, data);
    ok(type_bytes(r, &t) == 90 && type_run(r, &t) == 17 && v.stride[2] == 5 &&
           v.stride[1] == 15 && v.stride[0] == 45,
       "each row has a last block of its own");
    t.shape[2] = 16;
    ok(type_bytes(r, &t) == 60 && type_run(r, &t) == 96, "or none lies between them");
    t.shape[2] = 0;
    ok(type_bytes(r, &t) == 0, "rows of nothing have no block");
    t = (evla_type){.dtype = EVLA_F32, .rank = 3, .shape = {2, 3, 4}};
    v = tensor_view(r, &t, data);
    ok(v.stride[0] == 48 && v.stride[1] == 16 && v.stride[2] == 4, "plain rows are dense");
    evla_type u = t;
    ok(type_equal(&t, &u), "equal types are equal");
    u.shape[2] = 5;
    ok(!type_equal(&t, &u), "another extent is another type");
}

static int32_t count_symbols(void *to, const char *name, size_t n)
{
    char *all = to;
    strncat(all, name, n);
    strcat(all, " ");
    return strlen(all) > 40 ? EVLA_E_LIMIT : 0;
}

static void listing(ctx *cx)
{
    char all[64] = "";
    ok(type_symbols(cx, "f32[B,2*Heads+B,7]", count_symbols, all) == 0 &&
           !strcmp(all, "B Heads B "),
       "the symbols of a type are listed in order");
}

int main(void)
{
    ctx cx;
    registry reg;
    registry_init(&reg);
    ctx_init(&cx, &reg);
    ok(plugin_add(&cx, &reg, "formats", &formats) == 0 && plugin_seal(&cx, &reg) == 0,
       "two number formats are registered");
    sizes(&cx);
    types(&cx);
    matching(&cx);
    bytes(&cx);
    listing(&cx);
    ctx_free(&cx);
    registry_free(&reg);
    return tap_done();
}
