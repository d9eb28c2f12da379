/*
 * t_param.c -- typed parameters: every type, its presets, and the sentence when a value
 * does not fit. Values are written as JSON; what JSON cannot say (references) is made by
 * hand.
 */
#include "near.h"
#include "param.h"
#include "plugin.h"
#include "says.h"
#include <math.h>

typedef struct camera {
    const char *name;
    evla_shape size;
    double rate;
} camera;

typedef struct gains {
    double p, d;
} gains;

typedef struct all {
    int64_t count;
    double scale;
    int32_t flag, mode;
    const char *text, *path;
    int64_t bytes, ns;
    double hz;
    evla_shape shape;
    evla_list words, cameras;
    gains gain;
    evla_choice body;
    const evla_value *data;
} all;

// clang-format off
#define AT(t, f) .offset = offsetof(t, f)
static const evla_param camera_params[] = {
    {.name = "name", .doc = "what it is called", .type = EVLA_P_STRING, AT(camera, name)},
    {.name = "size", .doc = "height, width", .preset = "{96, 96}", .min = 1, .max = 4096, .type = EVLA_P_SHAPE, AT(camera, size)},
    {.name = "rate", .doc = "frames", .preset = "30Hz", .min = 0.1, .max = 1e300, .unit = "Hz", .type = EVLA_P_RATE, AT(camera, rate)},
};
static const evla_param gain_params[] = {
    {.name = "p", .doc = "stiffness", .preset = "2", .unit = "N/m", .min = 0, .max = 10, .type = EVLA_P_FLOAT, AT(gains, p)},
    {.name = "d", .doc = "damping", .preset = "0.5", .type = EVLA_P_FLOAT, AT(gains, d)},
};
static const evla_param params[] = {
    {.name = "count", .doc = "how many", .preset = "3", .min = 1, .max = 9, .type = EVLA_P_INT, AT(all, count)},
    {.name = "scale", .doc = "how large", .preset = "1", .type = EVLA_P_FLOAT, AT(all, scale)},
    {.name = "flag", .doc = "whether", .preset = "true", .type = EVLA_P_BOOL, AT(all, flag)},
    {.name = "mode", .doc = "which", .preset = "fast", .choices = "slow|fast|faster", .type = EVLA_P_ENUM, AT(all, mode)},
    {.name = "text", .doc = "a word", .flags = EVLA_PF_OPTIONAL, .type = EVLA_P_STRING, AT(all, text)},
    {.name = "path", .doc = "a file", .preset = "x.bin", .type = EVLA_P_PATH, AT(all, path)},
    {.name = "shard", .doc = "bytes of one file", .preset = "2GiB", .min = 1, .max = 1e300, .unit = "bytes", .type = EVLA_P_SIZE, AT(all, bytes)},
    {.name = "wait", .doc = "time between", .preset = "10ms", .min = 0.001, .max = 60, .unit = "s", .type = EVLA_P_DURATION, AT(all, ns)},
    {.name = "hz", .doc = "rate", .preset = "100", .type = EVLA_P_RATE, AT(all, hz)},
    {.name = "shape", .doc = "extents", .preset = "[2, 3]", .type = EVLA_P_SHAPE, AT(all, shape)},
    {.name = "words", .doc = "some words", .preset = "[]", .type = EVLA_P_LIST, .element = EVLA_P_STRING, AT(all, words)},
    {.name = "cameras", .doc = "what looks", .preset = "[]", .type = EVLA_P_STRUCTS, .fields = camera_params, .n_fields = 3, .fields_size = sizeof(camera), AT(all, cameras)},
    {.name = "gain", .doc = "control", .type = EVLA_P_STRUCT, .fields = gain_params, .n_fields = 2, .fields_size = sizeof(gains), AT(all, gain)},
    {.name = "body", .doc = "what acts", .flags = EVLA_PF_OPTIONAL, .choices = EVLA_BODY, .type = EVLA_P_ITEM, AT(all, body)},
    {.name = "data", .doc = "episodes", .flags = EVLA_PF_OPTIONAL, .choices = "episodes", .type = EVLA_P_VALUE, AT(all, data)},
};
enum { N_PARAMS = sizeof params / sizeof *params };
static const evla_param need_params[] = {
    {.name = "path", .doc = "where it goes", .type = EVLA_P_PATH, .offset = 0},
};
// clang-format on

static const uint32_t table = sizeof table;
static const evla_item items[] = {
    {.kind = EVLA_SERVICE,
     .name = "all",
     .table = &table,
     .params = params,
     .n_params = N_PARAMS,
     .params_size = sizeof(all)},
    {.kind = EVLA_SERVICE,
     .name = "need",
     .table = &table,
     .params = need_params,
     .n_params = 1,
     .params_size = sizeof(char *)},
};
static const evla_plugin plugin_table = {.magic = EVLA_MAGIC,
                                         .size = sizeof plugin_table,
                                         .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
                                         .needs = EVLA_ABI_MAJOR << 16,
                                         .n_items = 2,
                                         .items = items,
                                         .id = "test.params",
                                         .version = "1",
                                         .license = "none"};

static ctx cx;
static registry reg;

static value json(const char *text)
{
    value v = {0};
    if (value_parse(&cx.mem, text, strlen(text), &v, NULL) < 0) note("no JSON: %s", text);
    return v;
}

static int32_t fill_value(const value *v, all *out)
{
    const symbols s = {.n = 1, .name = {"B"}, .extent = {4}};
    const param_site site = {.where = "x.lua:3", .what = "stage.all", .symbols = &s};
    return param_fill(&cx, &cx.mem, &site, params, N_PARAMS, v, out, sizeof *out);
}

static int32_t fill_text(const char *text, all *out)
{
    value v = json(text);
    int32_t st = fill_value(&v, out);
    if (st < 0 && !cx.code) note("a failure without a sentence");
    return st;
}

/* One bad value, one sentence. */
static void refused(const char *text, int32_t code, const char *sentence)
{
    all a;
    ok(fill_text(text, &a) == code && says(&cx, code, sentence), "%s is refused", text);
}

static void presets(void)
{
    all a;
    value nil = {0};
    ok(fill_value(&nil, &a) == 0 && fill_text("{}", &a) == 0, "nothing means: all presets");
    ok(a.count == 3 && a.scale == 1 && a.flag == 1 && a.mode == 1 && !a.text &&
           !strcmp(a.path, "x.bin"),
       "numbers, words and choices have theirs");
    ok(a.bytes == (int64_t)2 << 30 && a.ns == 10000000 && a.hz == 100, "and units");
    ok(a.shape.rank == 2 && a.shape.dim[1] == 3 && a.words.n == 0 && a.cameras.n == 0,
       "shapes and lists");
    ok(a.gain.p == 2 && a.gain.d == 0.5, "an absent struct has the presets of its fields");
    ok(!a.body.item && !a.data, "what is optional is empty");
}

static void values(void)
{
    all a;
    ok(fill_text(
           "{\"count\":9.0,\"scale\":-2,\"flag\":false,\"mode\":\"slow\",\"text\":\"\"}",
           &a) == 0 &&
           a.count == 9 && a.scale == -2 && a.flag == 0 && a.mode == 0 && !*a.text,
       "a whole float is a whole number, an integer is a number");
    ok(fill_text("{\"shape\":[\"2*B\",7]}", &a) == 0 && a.shape.dim[0] == 8 &&
           a.shape.rank == 2,
       "an extent may be an expression of symbols");
    ok(fill_text("{\"shape\":[]}", &a) == 0 && a.shape.rank == 0, "a shape may be empty");
    ok(fill_text("{\"words\":[\"a\",\"b\"]}", &a) == 0 && a.words.n == 2 &&
           !strcmp(((const char *const *)a.words.items)[1], "b"),
       "a list is filled in order");
    ok(fill_text("{\"cameras\":[{\"name\":\"front\"},{\"name\":\"top\",\"size\":[8,16],"
                 "\"rate\":5}]}",
                 &a) == 0 &&
           a.cameras.n == 2,
       "so is a list of tables");
    const camera *c = a.cameras.items;
    ok(!strcmp(c[0].name, "front") && c[0].size.dim[0] == 96 && c[0].rate == 30 &&
           c[1].size.dim[1] == 16 && c[1].rate == 5,
       "each with its presets");
    value mixed = json("{\"cameras\":[{\"rate\":5}]}"),
          places[2] = {value_text("front"), json("[8,16]")};
    value *entry = &((value *)(uintptr_t)value_get(&mixed, "cameras"))->as.items[0];
    entry->as.items = places;
    entry->n_items = 2;
    ok(fill_value(&mixed, &a) == 0 && (c = a.cameras.items) && !strcmp(c->name, "front") &&
           c->size.dim[1] == 16 && c->rate == 5,
       "values without a name fill the fields of such a table in order");
    ok(fill_text("{\"gain\":{\"d\":3}}", &a) == 0 && a.gain.p == 2 && a.gain.d == 3,
       "a table inside may name some fields");
    value null = json("{\"count\":null}");
    ok(fill_value(&null, &a) == 0 && a.count == 3, "nil is as good as absent");
}

static void units(void)
{
    static const struct {
        const char *text;
        int64_t want;
    } sizes[] = {{"0", 0},
                 {"17", 17},
                 {"17B", 17},
                 {"4KB", 4000},
                 {"4KiB", 4096},
                 {"1.5MiB", 1572864},
                 {"2 GB", 2000000000},
                 {"1GiB", 1 << 30},
                 {"1e3", 1000},
                 {"", -1},
                 {"two", -1},
                 {"2 gib", -1},
                 {"-1", -1},
                 {"1TB", -1},
                 {"1e30", -1},
                 {"inf", -1},
                 {"nan", -1},
                 {"1 2", -1},
                 {"MiB", -1}},
      times[] = {{"1", 1000000000},
                 {"10ms", 10000000},
                 {"2us", 2000},
                 {"5ns", 5},
                 {"1.5s", 1500000000},
                 {"2min", 120000000000},
                 {"1h", 3600000000000},
                 {"0.5 ms", 500000},
                 {"10", 10000000000},
                 {"10 m", -1},
                 {"-1s", -1},
                 {"", -1},
                 {"ms", -1},
                 {"1e300h", -1}};
    int good = 1;
    int64_t v;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if ((param_size(sizes[i].text, &v) < 0 ? -1 : v) != sizes[i].want)
            good = 0, note("size \"%s\"", sizes[i].text);
    ok(good, "sizes are read in B, KB, MB, GB, KiB, MiB and GiB, and nothing else");
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if ((param_duration(times[i].text, &v) < 0 ? -1 : v) != times[i].want)
            good = 0, note("duration \"%s\"", times[i].text);
    ok(good, "durations in ns, us, ms, s, min and h");
    double hz;
    ok(param_rate("100", &hz) == 0 && hz == 100 && param_rate("1.5kHz", &hz) == 0 &&
           hz == 1500 && param_rate("-1", &hz) < 0 && param_rate("1MHz", &hz) < 0 &&
           param_rate("", &hz) < 0,
       "rates in Hz and kHz");
    all a;
    ok(fill_text("{\"shard\":1000,\"wait\":0.5,\"hz\":\"2kHz\"}", &a) == 0 &&
           a.bytes == 1000 && a.ns == 500000000 && a.hz == 2000,
       "a number alone is bytes, seconds, hertz");
}

static void wrong_types(void)
{
    refused("{\"count\":\"two\"}", EVLA_E_ARG,
            "x.lua:3: stage.all: count: want a whole number, got \"two\"");
    refused("{\"count\":1.5}", EVLA_E_ARG,
            "x.lua:3: stage.all: count: want a whole number, got 1.5");
    refused("{\"count\":1e300}", EVLA_E_ARG,
            "x.lua:3: stage.all: count: want a whole number, got 1e+300");
    refused("{\"scale\":true}", EVLA_E_ARG,
            "x.lua:3: stage.all: scale: want a number, got true");
    refused("{\"scale\":1e999}", EVLA_E_ARG,
            "x.lua:3: stage.all: scale: want a finite number, got inf");
    refused("{\"flag\":1}", EVLA_E_ARG,
            "x.lua:3: stage.all: flag: want true or false, got 1");
    refused("{\"text\":3}", EVLA_E_ARG, "x.lua:3: stage.all: text: want a text, got 3");
    refused("{\"path\":[]}", EVLA_E_ARG,
            "x.lua:3: stage.all: path: want a path, got a table");
    refused("{\"path\":\"\"}", EVLA_E_ARG,
            "x.lua:3: stage.all: path: want a path, got \"\"");
    refused("{\"shape\":3}", EVLA_E_ARG,
            "x.lua:3: stage.all: shape: want a shape such as {96, 96}, got 3");
    refused("{\"shape\":[1,true]}", EVLA_E_ARG,
            "x.lua:3: stage.all: shape: want a shape such as {96, 96}, got true");
    refused("{\"shape\":[1,1,1,1,1,1,1,1,1]}", EVLA_E_ARG,
            "x.lua:3: stage.all: shape: want a shape such as {96, 96}, got a table");
    refused("{\"shape\":[\"Q\"]}", EVLA_E_MISSING,
            "x.lua:3: stage.all: shape: size \"Q\": the symbol Q has no value");
    refused("{\"words\":\"a\"}", EVLA_E_ARG,
            "x.lua:3: stage.all: words: want a list, got \"a\"");
    refused("{\"words\":[\"a\",2]}", EVLA_E_ARG,
            "x.lua:3: stage.all: words[2]: want a text, got 2");
    refused("{\"cameras\":[3]}", EVLA_E_ARG,
            "x.lua:3: stage.all: cameras[1]: want a table, got 3");
    refused("{\"cameras\":{\"a\":1}}", EVLA_E_ARG,
            "x.lua:3: stage.all: cameras: want a list of tables, got a table");
    refused("{\"cameras\":[[\"a\",[8,8],30,4]]}", EVLA_E_ARG,
            "x.lua:3: stage.all: cameras[1].parameters: want names with values, such as { "
            "name = ... "
            "}, got a value without a name");
    refused("{\"cameras\":[[7]]}", EVLA_E_ARG,
            "x.lua:3: stage.all: cameras[1].name: want a text, got 7");
    value twice = json("{\"cameras\":[{\"name\":\"a\"}]}"), front = value_text("front");
    value *entry = &((value *)(uintptr_t)value_get(&twice, "cameras"))->as.items[0];
    entry->as.items = &front;
    entry->n_items = 1;
    all a;
    fill_value(&twice, &a);
    ok(says(
           &cx, EVLA_E_ARG,
           "x.lua:3: stage.all: cameras[1]: name is given twice, by its place and by name"),
       "a field given twice is refused");
    refused("{\"gain\":2}", EVLA_E_ARG, "x.lua:3: stage.all: gain: want a table, got 2");
    refused("{\"data\":\"demos\"}", EVLA_E_ARG,
            "x.lua:3: stage.all: data: want a job that makes episodes, got \"demos\"");
    refused("[1]", EVLA_E_ARG,
            "x.lua:3: stage.all: parameters: want names with values, such as { count = ... "
            "}, got "
            "a value without a name");
    refused("7", EVLA_E_ARG,
            "x.lua:3: stage.all: parameters: want names with values, such as { count = ... "
            "}, got "
            "7");
}

static void units_and_ranges(void)
{
    refused("{\"shard\":\"two\"}", EVLA_E_ARG,
            "x.lua:3: stage.all: shard: want a size such as \"2GiB\", got \"two\"");
    refused("{\"shard\":-1}", EVLA_E_ARG,
            "x.lua:3: stage.all: shard: want a size such as \"2GiB\", got -1");
    refused("{\"shard\":0}", EVLA_E_RANGE,
            "x.lua:3: stage.all: shard: want at least 1 bytes, got 0");
    refused("{\"wait\":\"10 m\"}", EVLA_E_ARG,
            "x.lua:3: stage.all: wait: want a duration such as \"10ms\", got \"10 m\"");
    refused("{\"wait\":\"2min\"}", EVLA_E_RANGE,
            "x.lua:3: stage.all: wait: want 0.001 to 60 s, got 120");
    refused("{\"hz\":\"fast\"}", EVLA_E_ARG,
            "x.lua:3: stage.all: hz: want a rate such as 100 or \"100Hz\", got \"fast\"");
    refused("{\"hz\":-5}", EVLA_E_ARG,
            "x.lua:3: stage.all: hz: want a rate such as 100 or \"100Hz\", got -5");
    refused("{\"count\":0}", EVLA_E_RANGE, "x.lua:3: stage.all: count: want 1 to 9, got 0");
    refused("{\"count\":10}", EVLA_E_RANGE,
            "x.lua:3: stage.all: count: want 1 to 9, got 10");
    refused("{\"gain\":{\"p\":11}}", EVLA_E_RANGE,
            "x.lua:3: stage.all: gain.p: want 0 to 10 N/m, got 11");
    refused("{\"cameras\":[{\"name\":\"a\"},{\"name\":\"b\",\"size\":[0,8]}]}",
            EVLA_E_RANGE, "x.lua:3: stage.all: cameras[2].size: want 1 to 4096, got 0");
    refused("{\"cameras\":[{\"name\":\"a\",\"size\":[\"Q\"]}]}", EVLA_E_MISSING,
            "x.lua:3: stage.all: cameras[1].size: size \"Q\": the symbol Q has no value");
    refused("{\"cameras\":[{\"name\":\"a\",\"rate\":0}]}", EVLA_E_RANGE,
            "x.lua:3: stage.all: cameras[1].rate: want at least 0.1 Hz, got 0");
}

static void names(void)
{
    refused(
        "{\"cuont\":1}", EVLA_E_ARG,
        "x.lua:3: stage.all: cuont: there is no such parameter; did you mean \"count\"?");
    refused("{\"zzz\":1}", EVLA_E_ARG,
            "x.lua:3: stage.all: zzz: there is no such parameter; there are: count, scale, "
            "flag, "
            "mode, text, path, shard, wait, hz, shape, words, cameras, gain, body, data");
    refused("{\"cameras\":[{\"name\":\"a\",\"rte\":3}]}", EVLA_E_ARG,
            "x.lua:3: stage.all: cameras[1].rte: there is no such parameter; did you mean "
            "\"rate\"?");
    refused(
        "{\"cameras\":[{}]}", EVLA_E_ARG,
        "x.lua:3: stage.all: cameras[1].name: is missing; want text: what it is called");
    refused("{\"mode\":\"fastr\"}", EVLA_E_ARG,
            "x.lua:3: stage.all: mode: want one of slow|fast|faster, got \"fastr\"; did "
            "you mean "
            "\"fast\"?");
    refused("{\"mode\":\"xyz\"}", EVLA_E_ARG,
            "x.lua:3: stage.all: mode: want one of slow|fast|faster, got \"xyz\"");
    refused("{\"mode\":2}", EVLA_E_ARG,
            "x.lua:3: stage.all: mode: want one of slow|fast|faster, got 2");
    static const char *const some[] = {"width", "height", "rate"};
    ok(!strcmp(near_miss("widht", some, 3), "width"), "two letters swapped are near");
    ok(!strcmp(near_miss("RATE", some, 3), "rate"), "capitals are near");
    ok(!near_miss("ab", (const char *const[]){"cd"}, 1),
       "names without a common letter are not");
    ok(!near_miss("", some, 3), "nothing is near nothing");
    char wide[200];
    memset(wide, 'w', sizeof wide);
    wide[199] = 0;
    ok(!near_miss(wide, some, 3), "a very long name is near nothing");
}

static void chosen(void)
{
    all a;
    refused(
        "{\"body\":\"mug\"}", EVLA_E_MISSING,
        "x.lua:3: stage.all: body: no body is called \"mug\" (evla plugins lists what is "
        "loaded)");
    refused("{\"body\":3}", EVLA_E_ARG, "x.lua:3: stage.all: body: want a body, got 3");
    const evla_item body_item = {.kind = EVLA_BODY, .name = "arm"},
                    stage_item = {.kind = EVLA_STAGE, .name = "pack"};
    choice right = {.item = {&body_item, "p"}}, other = {.item = {&stage_item, NULL}};
    value_pair pair = {"body", {.kind = VALUE_REF, .ref_type = "choice", .as.ref = &right}};
    value v = {.kind = VALUE_TABLE, .n_pairs = 1, .pairs = &pair};
    ok(fill_value(&v, &a) == 0 && a.body.item == &body_item && a.body.params,
       "a chosen item is handed on with its parameters");
    pair.v.as.ref = &other;
    ok(fill_value(&v, &a) == EVLA_E_ARG &&
           says(&cx, EVLA_E_ARG,
                "x.lua:3: stage.all: body: want a body, got the stage \"pack\""),
       "an item of another kind is refused");
    evla_value episodes = {"episodes", "/x", "demos"}, model = {"model", "/y", "policy"};
    pair =
        (value_pair){"data", {.kind = VALUE_REF, .ref_type = "job", .as.ref = &episodes}};
    ok(fill_value(&v, &a) == 0 && a.data == &episodes, "a job's result is handed on");
    pair.v.as.ref = &model;
    ok(fill_value(&v, &a) == EVLA_E_ARG && says(&cx, EVLA_E_ARG,
                                                "x.lua:3: stage.all: data: want a job that "
                                                "makes episodes, got policy, which "
                                                "makes model"),
       "a result of another type is refused");
}

static void of_items(void)
{
    const void *out = NULL;
    param_site site = {.what = "service.need"};
    ok(param_fill_item(&cx, &cx.mem, &site, &items[1], NULL, &out) == EVLA_E_ARG &&
           says(&cx, EVLA_E_ARG,
                "service.need: path: is missing; want path: where it goes"),
       "a required parameter is asked for, with its doc");
    value v = json("{\"path\":\"out.bin\"}");
    ok(param_fill_item(&cx, &cx.mem, &site, &items[1], &v, &out) == 0 &&
           !strcmp(*(const char *const *)out, "out.bin"),
       "an item's struct is made and filled");
    site.lenient = 1;
    all a;
    v = json("{\"shape\":[\"Unbound\",2]}");
    ok(param_fill(&cx, &cx.mem, &site, params, N_PARAMS, &v, &a, sizeof a) == 0 &&
           a.shape.dim[0] == 1,
       "before symbols are bound a check may let them stand");
    int all_failed = 1;
    for (int64_t n = 1; n < 4; n++) {
        arena small = arena_growing(1024);
        small.fail_in = n;
        v = json("{\"words\":[\"a\",\"b\"],\"text\":\"x\"}");
        if (param_fill(&cx, &small, &site, params, N_PARAMS, &v, &a, sizeof a) == 0 ||
            !cx.code)
            all_failed = 0;
        ctx_clear(&cx);
        arena_free(&small);
    }
    ok(all_failed, "out of memory is an error at every push");
    site.what = "here";
    site.where = NULL;
    v = json("{\"count\":0}");
    param_fill(&cx, &cx.mem, &site, params, N_PARAMS, &v, &a, sizeof a);
    ok(says(&cx, EVLA_E_RANGE, "here: count: want 1 to 9, got 0"),
       "without a place the sentence starts with the thing");
}

static void help(void)
{
    ok(!strcmp(param_help(&cx.mem, "gain", "how hard", gain_params, 2),
               "gain: how hard\n"
               "  p              stiffness\n"
               "                 number in N/m, 0 to 10; default 2\n"
               "  d              damping\n"
               "                 number; default 0.5\n"),
       "help lists names, docs, types, units, ranges and presets");
    const char *text = param_help(&cx.mem, "all", NULL, params, N_PARAMS);
    ok(strstr(text, "size (\"2GiB\") in bytes, at least 1; default 2GiB") &&
           strstr(text, "one of slow|fast|faster; default fast") &&
           strstr(text, "job that makes episodes; optional") &&
           strstr(text, "list of text") &&
           strstr(text, "      name           what it is called\n"),
       "of every type, with the fields of tables below them");
}

int main(void)
{
    registry_init(&reg);
    ctx_init(&cx, &reg);
    if (!ok(plugin_add(&cx, &reg, "params", &plugin_table) == 0 &&
                plugin_seal(&cx, &reg) == 0,
            "a table of all types passes its check"))
        note("%s", cx.why);
    ctx_clear(&cx);
    presets();
    values();
    units();
    wrong_types();
    units_and_ranges();
    names();
    chosen();
    of_items();
    help();
    ctx_free(&cx);
    registry_free(&reg);
    return tap_done();
}
