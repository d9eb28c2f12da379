/*
 * t_file.c -- core/file.c: a file is there whole or not at all, whatever the system does
 * on the way (preload_io.c).
 */
#include "../core/data/format.h"
#include "../core/file.h"
#include "../core/graph/bundle.h"
#include "../core/plugin.h"
#include "../core/registry.h"
#include "tap.h"
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILL_BEFORE = 1, KILL_INSIDE = 2, FULL = 3, FULL_INSIDE = 4, ONE_EIO = 5 };

static char folder[] = "/tmp/evla-file-XXXXXX", path[64];
static registry reg;
static ctx cx;
static float data[300];

/* ---- three that write: bytes, the engine's own file, a plugin's ---- */

static int32_t whole_write(void) { return file_replace(&cx, path, data, sizeof data); }

static int32_t parts_write(void)
{
    value head = {.kind = VALUE_TABLE};
    bundle_part part = {"w", {.dtype = EVLA_F32, .rank = 1, .shape = {300}}, data};
    return bundle_write(&cx, path, "test", &head, &part, 1);
}

static int32_t probe(const evla_host *h, const char *at, const void *head, uint64_t n,
                     uint64_t file_bytes)
{
    return (void)h, (void)at, (void)head, (void)n, (void)file_bytes, 0;
}

static int32_t open_none(const evla_host *h, const char *at, void **self, evla_archive *out)
{
    return (void)h, (void)at, (void)self, (void)out, EVLA_E_FORMAT;
}

static void close_none(const evla_host *h, void *self) { (void)h, (void)self; }

/* All tensors' bytes, in three pieces each; refuses what has no tensors. */
static int32_t write_plain(const evla_host *h, const evla_archive *in, evla_sink *to)
{
    int32_t st = 0;
    if (!in->n_tensors) return h->fail(h, EVLA_E_ARG, "no tensors; want one");
    for (int64_t i = 0; i < 3 && st >= 0; i++)
        st = to->put(h, to, (char *)in->tensors[0].value.data[0] + i * 400, 400);
    return st;
}

/* One that does not look at what put returns. */
static int32_t write_deaf(const evla_host *h, const evla_archive *in, evla_sink *to)
{
    for (int64_t i = 0; i < 3; i++)
        to->put(h, to, (char *)in->tensors[0].value.data[0] + i * 400, 400);
    return 0;
}

static const evla_format plain = {.size = sizeof plain,
                                  .endings = ".plain",
                                  .source = "this test",
                                  .probe = probe,
                                  .open = open_none,
                                  .close = close_none,
                                  .write = write_plain},
                         deaf = {.size = sizeof deaf,
                                 .endings = ".deaf",
                                 .source = "this test",
                                 .probe = probe,
                                 .open = open_none,
                                 .close = close_none,
                                 .write = write_deaf};
static const evla_item items[] = {
    {.kind = EVLA_FORMAT, .name = "plain", .table = &plain, .doc = "bytes"},
    {.kind = EVLA_FORMAT, .name = "deaf", .table = &deaf, .doc = "bytes"}};
static const evla_plugin self = {.magic = EVLA_MAGIC,
                                 .size = sizeof self,
                                 .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
                                 .id = "evla.plain",
                                 .version = "0",
                                 .license = "Apache-2.0",
                                 .items = items,
                                 .n_items = 2};

static int32_t format(int which, int64_t n_tensors)
{
    evla_field t = {
        .name = "w",
        .value = {
            .data = {data}, .shape = {300}, .stride = {4}, .dtype = EVLA_F32, .rank = 1}};
    evla_archive all = {.size = sizeof all, .n_tensors = n_tensors, .tensors = &t};
    return format_write(&cx, &items[which], path, &all);
}

static int32_t format_plain(void) { return format(0, 1); }

static int32_t format_deaf(void) { return format(1, 1); }

static const struct {
    const char *name;
    int32_t (*write)(void);
} writers[] = {{"bytes", whole_write},
               {"a bundle", parts_write},
               {"a format", format_plain},
               {"a format that is deaf", format_deaf}};

/* ---- what is there ---- */

static size_t read_whole(unsigned char *to, size_t room)
{
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(to, 1, room, f) : 0;
    if (f) fclose(f);
    return n;
}

/* Files in the folder besides the one at path; with `clean` they are removed. */
static int others(int clean)
{
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (*e->d_name != '.' && strcmp(e->d_name, strrchr(path, '/') + 1) != 0) {
            n++;
            if (clean) unlinkat(dirfd(d), e->d_name, 0);
        }
    if (d) closedir(d);
    return n;
}

static void fill(float x)
{
    for (int i = 0; i < 300; i++)
        data[i] = x;
}

static void (*arm)(long, int);
static long (*count)(void);

/* The k-th operation on files goes wrong, in this way. 0: the file is as it was or whole,
 * and nothing else is there unless the process was killed. */
static int goes_wrong(int w, long k, int how, const unsigned char *old, size_t n_old,
                      const unsigned char *new, size_t n_new)
{
    unsigned char now[4096];
    int is_killed = how == KILL_BEFORE || how == KILL_INSIDE;
    fill(1);
    if (writers[w].write() < 0) return 1;
    fill(2);
    pid_t child = is_killed ? fork() : 0;
    int32_t st = EVLA_E_IO;
    if (child == 0) {
        arm(k, how);
        st = writers[w].write();
        arm(0, 0);
    }
    if (is_killed && child == 0) _exit(st < 0);
    if (child > 0) waitpid(child, NULL, 0);
    size_t n = read_whole(now, sizeof now);
    int is_old = n == n_old && !memcmp(now, old, n),
        is_new = n == n_new && !memcmp(now, new, n);
    int said = is_killed || (st < 0 && strstr(cx.why, path) == cx.why &&
                             strstr(cx.why, "cannot be written: "));
    if (st >= 0 && !is_killed) said = is_new; /* an unlink that fails is no failure */
    int left = others(1);
    if ((!is_old && !is_new) || !said || (left && !is_killed))
        return note("%s, operation %ld, way %d: %zu bytes, %d others, \"%s\"",
                    writers[w].name, k, how, n, left, cx.why),
               1;
    ctx_clear(&cx);
    return 0;
}

static void fails(int w)
{
    unsigned char old[4096], new[4096];
    fill(1);
    int32_t st = writers[w].write();
    size_t n_old = read_whole(old, sizeof old);
    fill(2);
    arm(1000000, ONE_EIO);
    if (st >= 0) st = writers[w].write();
    long n = count();
    arm(0, 0);
    size_t n_new = read_whole(new, sizeof new);
    ok(st == 0 && n >= 5 && n_new >= sizeof data && n_new == n_old && !others(0),
       "%s: %zu bytes in %ld operations %s", writers[w].name, n_new, n, cx.why);
    int bad = 0;
    for (int how = KILL_BEFORE; how <= ONE_EIO; how++)
        for (long k = 1; k <= n; k++)
            bad += goes_wrong(w, k, how, old, n_old, new, n_new);
    ok(bad == 0, "%s: whole, old or new, whichever of them goes wrong", writers[w].name);
}

static void refusals(void)
{
    ok(format(0, 0) == EVLA_E_ARG && strstr(cx.why, path) == cx.why &&
           strstr(cx.why, ": no tensors; want one") && !others(0),
       "a format that refuses: its sentence behind the path: %s", cx.why);
    ctx_clear(&cx);
    char whole[5000];
    memset(whole, 'x', sizeof whole - 1);
    whole[sizeof whole - 1] = 0;
    ok(file_replace(&cx, whole, "", 0) == EVLA_E_ARG && strstr(cx.why, "too long"),
       "a path that is too long");
    ctx_clear(&cx);
    snprintf(whole, sizeof whole, "%s/none/x", folder);
    ok(file_replace(&cx, whole, "", 0) == EVLA_E_IO && strstr(cx.why, "No such file"),
       "a folder that is not there: %s", cx.why);
    ctx_clear(&cx);
    snprintf(whole, sizeof whole, "%s/sub", folder);
    if (mkdir(whole, 0777) < 0) note("%s is there already", whole);
    ok(file_replace(&cx, whole, "", 0) == EVLA_E_IO &&
           strstr(cx.why, "cannot be written: ") && others(0) == 1,
       "a folder where the file should be stays: %s", cx.why);
    ctx_clear(&cx);
    rmdir(whole);
}

int main(int argc, char **argv)
{
    const char *build = getenv("EVLA_BUILD");
    char so[512];
    (void)argc;
    snprintf(so, sizeof so, "%s/tests/preload_io.so", build ? build : "build");
    if (!getenv("EVLA_PRELOADED") && !access(so, R_OK)) {
        setenv("EVLA_PRELOADED", "1", 1);
        setenv("LD_PRELOAD", so, 1);
        /* in a sanitized build its library then comes second, which it would refuse */
        if (getenv("EVLA_SAN"))
            setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1);
        execv(argv[0], argv);
    }
    unsetenv("LD_PRELOAD");
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/it", folder);
    registry_init(&reg);
    ctx_init(&cx, &reg);
    int32_t st = plugin_add(&cx, &reg, "here", &self);
    if (st >= 0) st = plugin_seal(&cx, &reg);
    ok(st == 0, "a plugin with formats %s", cx.why);
    void *a = dlsym(RTLD_DEFAULT, "preload_io_arm"),
         *c = dlsym(RTLD_DEFAULT, "preload_io_count");
    if (a && c) {
        memcpy(&arm, &a, sizeof arm);
        memcpy(&count, &c, sizeof count);
        for (size_t w = 0; w < sizeof writers / sizeof *writers; w++)
            fails((int)w);
    } else
        ok(1, "a disk that fails # SKIP preload_io.so is not there");
    refusals();
    unlink(path);
    rmdir(folder);
    ctx_free(&cx);
    registry_free(&reg);
    return tap_done();
}
