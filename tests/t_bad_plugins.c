/*
 * t_bad_plugins.c -- every way to be a bad plugin is refused: file, field, found, wanted,
 * remedy.
 *
 * Files are those of tests/plugins/bad_*.c; slots and parameter tables are damaged in
 * memory, one at a time.
 */
#include "plugin.h"
#include "says.h"
#include <errno.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/evla-bad-XXXXXX";
static const char *build;

/* ---- files ---- */

static const char *built(const char *name)
{
    static char path[2][1024];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/tests/plugins/%s.so", build, name);
    return path[turn];
}

/* A copy in the test's own folder, with byte `at` changed when it is >= 0. */
static const char *copy(const char *name, const char *as, long at, unsigned char byte)
{
    static char path[1024];
    char buf[4096];
    snprintf(path, sizeof path, "%s/%s", folder, as);
    FILE *from = fopen(built(name), "rb"), *to = fopen(path, "wb");
    if (!from || !to) exit(1);
    for (size_t n; (n = fread(buf, 1, sizeof buf, from)) > 0;)
        fwrite(buf, 1, n, to);
    if (at >= 0) fseek(to, at, SEEK_SET), fputc(byte, to);
    fclose(from);
    fclose(to);
    return path;
}

typedef struct engine {
    registry reg;
    ctx cx;
} engine;

static engine *engine_new(void)
{
    engine *e = calloc(1, sizeof *e);
    if (!e) exit(1);
    registry_init(&e->reg);
    ctx_init(&e->cx, &e->reg);
    return e;
}

static void engine_free(engine *e)
{
    ctx_free(&e->cx);
    registry_free(&e->reg);
    free(e);
}

__attribute__((format(printf, 3, 4))) static void
refused(const char *path, const char *title, const char *format, ...)
{
    char want[2048];
    va_list ap;
    va_start(ap, format);
    vsnprintf(want, sizeof want, format, ap);
    va_end(ap);
    engine *e = engine_new();
    int32_t st = plugin_load(&e->cx, &e->reg, path);
    if (st >= 0) st = plugin_seal(&e->cx, &e->reg);
    ok(st == EVLA_E_PLUGIN && says(&e->cx, EVLA_E_PLUGIN, want), "%s is refused", title);
    engine_free(e);
}

static void files(void)
{
    refused(
        built("bad_entry"), "a plugin without an entry",
        "plugin bad_entry.so: exports no evla_plugin_entry; want one function of that name "
        "that returns the plugin's table");
    refused(built("bad_null"), "an entry that returns NULL",
            "plugin bad_null.so: evla_plugin_entry returned NULL; want the plugin's table");
    refused(built("bad_magic"), "another magic",
            "plugin bad_magic.so: magic is 0x12345678, want 0x616c7665; is this an evla "
            "plugin?");
    refused(
        built("bad_newer"), "a plugin for a newer core",
        "plugin bad_newer.so: needs ABI %d.%d, this core is %d.%d; update the core or use "
        "an older bad_newer.so",
        EVLA_ABI_MAJOR, EVLA_ABI_MINOR + 3, EVLA_ABI_MAJOR, EVLA_ABI_MINOR);
    refused(
        built("bad_major"), "a plugin of another generation",
        "plugin bad_major.so: was built for ABI %d.5, this core is %d.%d; rebuild it with "
        "this core's evla/abi.h",
        EVLA_ABI_MAJOR + 2, EVLA_ABI_MAJOR, EVLA_ABI_MINOR);
    refused(
        built("bad_minor"), "a plugin of another version of a kind at /0",
        "plugin bad_minor.so: was built for ABI %d.%d and uses evla.service/0, which may "
        "still change; this core is %d.%d; rebuild it",
        EVLA_ABI_MAJOR, EVLA_ABI_MINOR + 1, EVLA_ABI_MAJOR, EVLA_ABI_MINOR);
    refused(
        built("bad_short"), "a table that is too short",
        "plugin bad_short.so: size is 16 bytes, want %zu; set .size = sizeof the struct",
        sizeof(evla_plugin));
    refused(built("bad_id"), "a plugin without a name",
            "plugin bad_id.so: id is missing; want id, version, license and items");
    refused(built("bad_empty"), "a plugin without items",
            "plugin bad_empty.so: items is missing; want id, version, license and items");
    refused(built("bad_service"), "a missing service",
            "plugin bad_service.so: uses the service \"tokens\", which no loaded plugin "
            "offers; add that plugin to the folder");
    refused(
        built("bad_kind"), "an unknown kind",
        "plugin bad_kind.so: item \"bad\": its kind \"evla.oracle/0\" is unknown to this "
        "core; update the core or use an older bad_kind.so");
    refused(
        built("bad_twice"), "an item that stands twice in a plugin",
        "plugin bad_twice.so: item \"bad\" of evla.service/0 stands twice in it; rename "
        "one");
    refused(
        built("bad_slot"), "a missing slot",
        "plugin bad_slot.so: item \"bad\": slot \"close\" is NULL; evla.stage/0 needs it");
    refused(
        built("bad_params"), "a parameter outside its struct",
        "plugin bad_params.so: item \"bad\": parameter \"n\" of type 2 at offset 8 does "
        "not fit the struct of 8 bytes; use offsetof and sizeof");
    refused(built("bad_symbol"), "a plugin that the system cannot load",
            "plugin bad_symbol.so: the system cannot load it: %s: undefined symbol: "
            "evla_test_nowhere; evla doctor says what is missing",
            built("bad_symbol"));
}

/* ---- places ---- */

/* What this program was built for, as its header says. */
static int own_machine(void)
{
    unsigned char head[20];
    FILE *f = fopen("/proc/self/exe", "rb");
    if (!f || fread(head, 1, sizeof head, f) != sizeof head) exit(1);
    fclose(f);
    return head[18] | head[19] << 8;
}

static void places(void)
{
    const char *path = copy("body_point", "point.so", -1, 0);
    engine *e = engine_new();
    chmod(path, 0644);
    ok(plugin_load(&e->cx, &e->reg, path) == 0,
       "a sound plugin in a sound place is loaded");
    const char *other = copy("body_point", "point2.so", -1, 0);
    ok(plugin_load(&e->cx, &e->reg, other) == EVLA_E_PLUGIN &&
           says(&e->cx, EVLA_E_PLUGIN,
                "plugin point2.so: item \"point\" of evla.body/0 is already there from "
                "point.so; rename one or load one of the two"),
       "an item that another plugin brought is refused");
    ok(e->reg.n_plugins == 1, "and leaves the registry as it was");
    engine_free(e);

    chmod(other, 0646);
    refused(other, "a file that everybody may write",
            "plugin point2.so: its mode is 646, writable by everybody; want nobody but its "
            "owner to write it; chmod o-w %s",
            other);
    chmod(other, 0644);
    chmod(folder, 0777);
    refused(
        other, "a folder that everybody may write",
        "plugin point2.so: its folder %s has mode 777, writable by everybody; want nobody "
        "but its owner to write it; chmod o-w %s, or move the plugin",
        folder, folder);
    chmod(folder, 01777);
    refused(
        other, "even with the sticky bit",
        "plugin point2.so: its folder %s has mode 1777, writable by everybody; want nobody "
        "but its owner to write it; chmod o-w %s, or move the plugin",
        folder, folder);
    char inner[1024], link[1100];
    snprintf(inner, sizeof inner, "%s/inner", folder);
    snprintf(link, sizeof link, "%s/link.so", inner);
    if (mkdir(inner, 0755) || symlink(other, link)) exit(1);
    refused(
        link, "a link into such a folder",
        "plugin link.so: its folder %s has mode 1777, writable by everybody; want nobody "
        "but its owner to write it; chmod o-w %s, or move the plugin",
        folder, folder);
    unlink(link);
    rmdir(inner);
    chmod(folder, 0755);

    path = copy("body_point", "arch.so", 18, 0xb7);
    refused(
        path, "a plugin for another machine",
        "plugin arch.so: was built for machine 183 (ELF class 2), this one is %d (class "
        "2); rebuild it here",
        own_machine());
    path = copy("body_point", "text.so", 0, '#');
    refused(path, "a file that is no shared object",
            "plugin text.so: is no shared object (no ELF header); rebuild it");
    char none[1100];
    snprintf(none, sizeof none, "%s/none.so", folder);
    refused(none, "a file that is not there",
            "plugin none.so: cannot be read at %s: No such file or directory", none);
    e = engine_new();
    snprintf(none, sizeof none, "%s/nowhere", folder);
    char want[1300];
    snprintf(want, sizeof want,
             "plugin folder %s: No such file or directory; name one with --plugins", none);
    ok(plugin_load_folder(&e->cx, &e->reg, none) == EVLA_E_PLUGIN &&
           says(&e->cx, EVLA_E_PLUGIN, want),
       "a folder that is not there is refused");
    ok(plugin_load_folder(&e->cx, &e->reg, folder) == EVLA_E_PLUGIN &&
           strstr(e->cx.why, "plugin arch.so: was built for machine 183"),
       "in a folder the first bad file, by name, is told");
    engine_free(e);
}

/* ---- slots ---- */

/* Any address will do: the core only asks whether it is there. */
static void anything(void) {}

static void fill(void *table, size_t size)
{
    void (*f)(void) = anything;
    for (size_t at = 0; at + sizeof f <= size; at += sizeof f)
        memcpy((char *)table + at, &f, sizeof f);
    uint32_t n = (uint32_t)size;
    memcpy(table, &n, sizeof n);
}

static int32_t add_item(engine *e, const evla_item *item)
{
    const evla_plugin p = {.magic = EVLA_MAGIC,
                           .size = sizeof p,
                           .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
                           .needs = EVLA_ABI_MAJOR << 16,
                           .n_items = 1,
                           .items = item,
                           .id = "test.bad",
                           .version = "1",
                           .license = "none"};
    return plugin_add(&e->cx, &e->reg, "/x/bad.so", &p);
}

static void slots(void)
{
#define SLOT(k, t, f)                                                                      \
    {                                                                                      \
        k, #t, #f, offsetof(t, f), sizeof(t)                                               \
    }
    static const struct {
        const char *kind, *type, *slot;
        size_t offset, size;
    } all[] = {
        SLOT(EVLA_OP, evla_op, inputs),         SLOT(EVLA_OP, evla_op, outputs),
        SLOT(EVLA_OP, evla_op, source),         SLOT(EVLA_OP, evla_op, infer),
        SLOT(EVLA_KERNEL, evla_kernel, op),     SLOT(EVLA_KERNEL, evla_kernel, accepts),
        SLOT(EVLA_KERNEL, evla_kernel, plan),   SLOT(EVLA_KERNEL, evla_kernel, run),
        SLOT(EVLA_DTYPE, evla_dtype, decode),   SLOT(EVLA_DTYPE, evla_dtype, encode),
        SLOT(EVLA_STAGE, evla_stage, describe), SLOT(EVLA_STAGE, evla_stage, open),
        SLOT(EVLA_STAGE, evla_stage, close),    SLOT(EVLA_BODY, evla_body, describe),
        SLOT(EVLA_BODY, evla_body, open),       SLOT(EVLA_BODY, evla_body, close),
        SLOT(EVLA_BODY, evla_body, reset),      SLOT(EVLA_BODY, evla_body, observe),
        SLOT(EVLA_BODY, evla_body, act),        SLOT(EVLA_BODY, evla_body, save),
        SLOT(EVLA_BODY, evla_body, restore),    SLOT(EVLA_FORMAT, evla_format, endings),
    };
    void *nothing = NULL;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        _Alignas(8) char table[512];
        char want[400];
        evla_item item = {.kind = all[i].kind, .name = "bad", .table = table};
        engine *e = engine_new();
        fill(table, all[i].size);
        memcpy(table + all[i].offset, &nothing, sizeof nothing);
        snprintf(want, sizeof want,
                 "plugin bad.so: item \"bad\": slot \"%s\" is NULL; %s needs it",
                 all[i].slot, all[i].kind);
        ok(add_item(e, &item) == EVLA_E_PLUGIN && says(&e->cx, EVLA_E_PLUGIN, want),
           "%s without %s is refused", all[i].type, all[i].slot);
        fill(table, all[i].size);
        uint32_t size = (uint32_t)all[i].offset;
        memcpy(table, &size, sizeof size);
        ok(add_item(e, &item) == EVLA_E_PLUGIN &&
               strstr(e->cx.why, "bytes, which ends before"),
           "%s that ends before %s is refused", all[i].type, all[i].slot);
        engine_free(e);
    }
#undef SLOT
}

static void stages(void)
{
    engine *e = engine_new();
    evla_stage s;
    evla_item item = {.kind = EVLA_STAGE, .name = "bad", .table = &s};
    fill(&s, sizeof s);
    s.make = NULL, s.take = NULL, s.put = NULL;
    ok(add_item(e, &item) == EVLA_E_PLUGIN &&
           says(&e->cx, EVLA_E_PLUGIN,
                "plugin bad.so: item \"bad\": make, take and put are NULL; want one of "
                "them"),
       "a stage that does nothing is refused");
    fill(&s, sizeof s);
    s.count = NULL;
    ok(add_item(e, &item) == EVLA_E_PLUGIN &&
           says(&e->cx, EVLA_E_PLUGIN,
                "plugin bad.so: item \"bad\": slot \"count\" is NULL; a source needs it"),
       "a source that cannot count is refused");
    item.table = NULL;
    ok(add_item(e, &item) == EVLA_E_PLUGIN &&
           says(&e->cx, EVLA_E_PLUGIN,
                "plugin bad.so: item \"bad\": table is NULL; want one"),
       "an item without a table is refused");
    item.name = NULL;
    ok(add_item(e, &item) == EVLA_E_PLUGIN &&
           says(&e->cx, EVLA_E_PLUGIN,
                "plugin bad.so: item 0: kind or name is missing; want both as text"),
       "an item without a name is refused");
    engine_free(e);
}

static void formats(void)
{
    engine *e = engine_new();
    evla_dtype d;
    evla_item item = {.kind = EVLA_DTYPE, .name = "bad", .table = &d};
    fill(&d, sizeof d);
    d.block_elements = 0, d.block_bytes = 4;
    ok(add_item(e, &item) == 0 && plugin_seal(&e->cx, &e->reg) == EVLA_E_PLUGIN &&
           says(&e->cx, EVLA_E_PLUGIN,
                "plugin bad.so: number format \"bad\": its block is 0 elements in 4 bytes; "
                "want both >= 1 and at most 64 formats"),
       "a number format of empty blocks is refused");
    engine_free(e);
}

/* ---- parameter tables ---- */

typedef struct two {
    int64_t a, b;
} two;

static void parameters(void)
{
#define INT(n, o) .name = n, .doc = "d", .type = EVLA_P_INT, .offset = o
    static const evla_param same[] = {{INT("a", 0)}, {INT("a", 8)}},
                            over[] = {{INT("a", 0)}, {INT("b", 0)}},
                            odd[] = {{INT("a", 4)}}, caps[] = {{INT("Size", 0)}},
                            text[] = {{INT("a", 0), .preset = "many"}},
                            range[] = {{INT("a", 0), .preset = "9", .min = 1, .max = 5}},
                            swapped[] = {{INT("a", 0), .min = 5, .max = 1}},
                            doc[] = {{.name = "a", .type = EVLA_P_INT}},
                            type[] = {{.name = "a", .doc = "d", .type = 99}},
                            choice[] = {{.name = "a", .doc = "d", .type = EVLA_P_ENUM}},
                            list[] = {{.name = "a", .doc = "d", .type = EVLA_P_LIST}};
#undef INT
    static const struct {
        const evla_param *params;
        uint32_t n;
        const char *why, *title;
    } all[] = {
        {same, 2, "parameter \"a\" stands twice; rename one", "a name that stands twice"},
        {over, 2,
         "parameters \"a\" and \"b\" overlap in the struct at offset 0; use offsetof of "
         "each one's own field",
         "two parameters in one place"},
        {odd, 1, "parameter \"a\" at offset 4 is not aligned to 8 bytes; use offsetof",
         "a parameter out of line"},
        {caps, 1, "parameter \"Size\": its name is not lower_case", "a name in capitals"},
        {text, 1, "preset: a: its preset \"many\" cannot be read",
         "a preset that cannot be read"},
        {range, 1, "preset: a: want 1 to 5, got 9", "a preset out of range"},
        {swapped, 1, "parameter \"a\": its min is above its max", "an empty range"},
        {doc, 1, "parameter 1 has no doc; give it one", "a parameter without a doc"},
        {type, 1,
         "parameter \"a\" of type 99 at offset 0 does not fit the struct of 16 bytes; use "
         "offsetof and sizeof",
         "an unknown type"},
        {choice, 1, "parameter \"a\": has no choices; name them",
         "an enum without choices"},
        {list, 1,
         "parameter \"a\": its element is no type a list may hold; a list of tables is "
         "EVLA_P_STRUCTS",
         "a list of nothing"},
        {NULL, 1, "1 parameters; want a table of 0 to 128", "a table that is not there"},
        {same, 500, "500 parameters; want a table of 0 to 128", "a table too long"},
    };
    static const uint32_t service = sizeof service;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        engine *e = engine_new();
        char want[500];
        evla_item item = {.kind = EVLA_SERVICE,
                          .name = "bad",
                          .table = &service,
                          .params = all[i].params,
                          .n_params = all[i].n,
                          .params_size = sizeof(two)};
        snprintf(want, sizeof want, "plugin bad.so: item \"bad\": %s", all[i].why);
        ok(add_item(e, &item) == EVLA_E_PLUGIN && says(&e->cx, EVLA_E_PLUGIN, want),
           "%s is refused", all[i].title);
        engine_free(e);
    }
}

int main(void)
{
    build = getenv("EVLA_BUILD") ? getenv("EVLA_BUILD") : "build";
    if (access(built("bad_entry"), R_OK) != 0) skip_all("tests/plugins are not built");
    if (!mkdtemp(folder)) return 1;
    chmod(folder, 0755);
    files();
    places();
    slots();
    stages();
    formats();
    parameters();
    char line[64];
    snprintf(line, sizeof line, "rm -r %s", folder);
    return system(line) ? 1 : tap_done();
}
