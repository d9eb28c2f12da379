/*
 * plugin.c -- loads plugins, refuses bad ones with a sentence, keeps the registry. See
 * plugin.h.
 *
 * A refusal names the file, the field, what it had, what the core wants and what to do.
 */
#include "plugin.h"
#include "mem.h"
#include "param.h"
#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what a table of each kind must have ---- */

typedef struct slot {
    const char *kind, *name;
    size_t offset, size;
} slot;

// clang-format off
#define SLOT(kind, type, field) {kind, #field, offsetof(type, field), sizeof(((type *)0)->field)}
static const slot required[] = {
    SLOT(EVLA_OP, evla_op, inputs), SLOT(EVLA_OP, evla_op, outputs),
    SLOT(EVLA_OP, evla_op, source), SLOT(EVLA_OP, evla_op, infer),
    SLOT(EVLA_KERNEL, evla_kernel, op), SLOT(EVLA_KERNEL, evla_kernel, accepts),
    SLOT(EVLA_KERNEL, evla_kernel, plan), SLOT(EVLA_KERNEL, evla_kernel, run),
    SLOT(EVLA_DTYPE, evla_dtype, decode), SLOT(EVLA_DTYPE, evla_dtype, encode),
    SLOT(EVLA_STAGE, evla_stage, describe), SLOT(EVLA_STAGE, evla_stage, open),
    SLOT(EVLA_STAGE, evla_stage, close),
    SLOT(EVLA_BODY, evla_body, describe), SLOT(EVLA_BODY, evla_body, open),
    SLOT(EVLA_BODY, evla_body, close), SLOT(EVLA_BODY, evla_body, reset),
    SLOT(EVLA_BODY, evla_body, observe), SLOT(EVLA_BODY, evla_body, act),
    SLOT(EVLA_BODY, evla_body, save), SLOT(EVLA_BODY, evla_body, restore),
    SLOT(EVLA_SCENE, evla_scene, describe), SLOT(EVLA_SCENE, evla_scene, open),
    SLOT(EVLA_SCENE, evla_scene, close), SLOT(EVLA_SCENE, evla_scene, reset),
    SLOT(EVLA_SCENE, evla_scene, observe), SLOT(EVLA_SCENE, evla_scene, judge),
    SLOT(EVLA_SCENE, evla_scene, explain), SLOT(EVLA_SCENE, evla_scene, view),
    SLOT(EVLA_SCENE, evla_scene, event), SLOT(EVLA_SCENE, evla_scene, replay),
    SLOT(EVLA_QUANT, evla_quant, describe), SLOT(EVLA_QUANT, evla_quant, open),
    SLOT(EVLA_QUANT, evla_quant, close), SLOT(EVLA_QUANT, evla_quant, observe),
    SLOT(EVLA_QUANT, evla_quant, encode),
    SLOT(EVLA_FORMAT, evla_format, endings),
    SLOT(EVLA_LOOP, evla_loop, open), SLOT(EVLA_LOOP, evla_loop, close),
    SLOT(EVLA_LOOP, evla_loop, start), SLOT(EVLA_LOOP, evla_loop, step),
    SLOT(EVLA_CACHE, evla_cache, plan),
    SLOT(EVLA_CODEC, evla_codec, probe), SLOT(EVLA_CODEC, evla_codec, measure),
    SLOT(EVLA_CODEC, evla_codec, decode),
    {EVLA_SERVICE, "size", 0, sizeof(uint32_t)},
    SLOT(EVLA_MACHINE, evla_machine_kind, detect),
};
#undef SLOT
static const struct { const char *kind; size_t size; } table_size[] = {
    {EVLA_OP, sizeof(evla_op)}, {EVLA_KERNEL, sizeof(evla_kernel)},
    {EVLA_DTYPE, sizeof(evla_dtype)}, {EVLA_STAGE, sizeof(evla_stage)},
    {EVLA_BODY, sizeof(evla_body)}, {EVLA_SCENE, sizeof(evla_scene)},
    {EVLA_QUANT, sizeof(evla_quant)}, {EVLA_FORMAT, sizeof(evla_format)},
    {EVLA_SERVICE, sizeof(uint32_t)},
    {EVLA_MACHINE, sizeof(evla_machine_kind)}, {EVLA_LOOP, sizeof(evla_loop)},
    {EVLA_CACHE, sizeof(evla_cache)}, {EVLA_CODEC, sizeof(evla_codec)},
};
// clang-format on

/* ---- refusing ---- */

static int32_t refuse(ctx *cx, const char *file, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int32_t refuse(ctx *cx, const char *file, const char *format, ...)
{
    char what[800];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    return ctx_fail(cx, EVLA_E_PLUGIN, "plugin %s: %s", file, what);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int is_safe_text(const char *s) { return s && *s && strlen(s) < 64; }

static int32_t check_item(ctx *cx, const char *file, const evla_plugin *p,
                          const evla_item *it)
{
    int32_t at = (int32_t)(it - p->items);
    if (!it->kind || !is_safe_text(it->name))
        return refuse(cx, file, "item %d: kind or name is missing; want both as text", at);
    size_t want = 0;
    for (size_t i = 0; i < sizeof table_size / sizeof *table_size; i++)
        if (!strcmp(table_size[i].kind, it->kind)) want = table_size[i].size;
    if (!want)
        return refuse(
            cx, file,
            "item \"%s\": its kind \"%.40s\" is unknown to this core; update the core or "
            "use an older %s",
            it->name, it->kind, file);
    if (!it->table)
        return refuse(cx, file, "item \"%s\": table is NULL; want one", it->name);
    uint32_t size = *(const uint32_t *)it->table;
    for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
        const slot *s = &required[i];
        if (strcmp(s->kind, it->kind) != 0) continue;
        if (size < s->offset + s->size)
            return refuse(
                cx, file,
                "item \"%s\": size is %u bytes, which ends before \"%s\"; want %zu; set "
                ".size = sizeof the table",
                it->name, size, s->name, want);
        const void *const *p_slot =
            (const void *const *)((const char *)it->table + s->offset);
        if (s->size == sizeof(void *) && !*p_slot)
            return refuse(cx, file, "item \"%s\": slot \"%s\" is NULL; %s needs it",
                          it->name, s->name, it->kind);
    }
    if (!strcmp(it->kind, EVLA_STAGE)) {
        const evla_stage *s = it->table;
        if (!s->make && !s->take && !s->put)
            return refuse(cx, file,
                          "item \"%s\": make, take and put are NULL; want one of them",
                          it->name);
        if (s->make && !s->count)
            return refuse(cx, file,
                          "item \"%s\": slot \"count\" is NULL; a source needs it",
                          it->name);
    }
    if (param_check_table(cx, it->name, it->params, (int32_t)it->n_params,
                          it->params_size) < 0) {
        ctx_prefix(cx, "plugin %s", file);
        return cx->code = EVLA_E_PLUGIN;
    }
    return 0;
}

static int32_t check_table(ctx *cx, const char *file, const evla_plugin *p)
{
    uint32_t have = (uint32_t)EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR;
    if (p->magic != EVLA_MAGIC)
        return refuse(cx, file, "magic is 0x%08x, want 0x%08x; is this an evla plugin?",
                      p->magic, (unsigned)EVLA_MAGIC);
    if (p->size < sizeof *p)
        return refuse(cx, file, "size is %u bytes, want %zu; set .size = sizeof the struct",
                      p->size, sizeof *p);
    if (p->built >> 16 != (uint32_t)EVLA_ABI_MAJOR)
        return refuse(cx, file,
                      "was built for ABI %u.%u, this core is %d.%d; rebuild it with this "
                      "core's evla/abi.h",
                      p->built >> 16, p->built & 0xffff, EVLA_ABI_MAJOR, EVLA_ABI_MINOR);
    if (p->needs > have)
        return refuse(
            cx, file,
            "needs ABI %u.%u, this core is %d.%d; update the core or use an older %s",
            p->needs >> 16, p->needs & 0xffff, EVLA_ABI_MAJOR, EVLA_ABI_MINOR, file);
    const char *missing = !is_safe_text(p->id)       ? "id"
                          : !p->version              ? "version"
                          : !p->license              ? "license"
                          : !p->n_items || !p->items ? "items"
                                                     : NULL;
    if (missing)
        return refuse(cx, file, "%s is missing; want id, version, license and items",
                      missing);
    for (uint32_t i = 0; i < p->n_items; i++) {
        if (check_item(cx, file, p, &p->items[i]) < 0) return EVLA_E_PLUGIN;
        /* kinds at /0 are tied to one version of the header */
        size_t n = strlen(p->items[i].kind);
        if (p->items[i].kind[n - 1] == '0' && p->built != have)
            return refuse(
                cx, file,
                "was built for ABI %u.%u and uses %s, which may still change; this core "
                "is %d.%d; rebuild it",
                p->built >> 16, p->built & 0xffff, p->items[i].kind, EVLA_ABI_MAJOR,
                EVLA_ABI_MINOR);
        for (uint32_t k = 0; k < i; k++)
            if (!strcmp(p->items[i].kind, p->items[k].kind) &&
                !strcmp(p->items[i].name, p->items[k].name))
                return refuse(cx, file, "item \"%s\" of %s stands twice in it; rename one",
                              p->items[i].name, p->items[i].kind);
    }
    return 0;
}

/* ---- loading ---- */

/* Room for `more` entries in a list of pointers or structs. */
static int32_t reserve(ctx *cx, void *list, int32_t n, int32_t *cap, int32_t more,
                       size_t each)
{
    if (n + more <= *cap) return 0;
    int32_t wide = (n + more) * 2;
    void *p = mem_grow(*(void **)list, (size_t)wide * each);
    if (!p) return ctx_fail(cx, EVLA_E_NOMEM, "registry: %d entries", wide);
    *(void **)list = p;
    *cap = wide;
    return 0;
}

static int32_t add(ctx *cx, registry *reg, const char *path, const evla_plugin *p,
                   void *handle)
{
    const char *file = base_name(path);
    int32_t cap = reg->cap_items, st;
    if ((st = reserve(cx, &reg->plugins, reg->n_plugins, &reg->cap_plugins, 1,
                      sizeof(plugin))) < 0)
        return st;
    for (uint32_t i = 0; i < p->n_items; i++) {
        for (int32_t k = 0; k < reg->n_items; k++)
            if (!strcmp(reg->items[k]->kind, p->items[i].kind) &&
                !strcmp(reg->items[k]->name, p->items[i].name))
                return refuse(
                    cx, file,
                    "item \"%s\" of %s is already there from %s; rename one or load one "
                    "of the two",
                    p->items[i].name, p->items[i].kind,
                    base_name(reg->plugins[reg->owners[k]].path));
    }
    if ((st = reserve(cx, &reg->owners, reg->n_items, &cap, (int32_t)p->n_items,
                      sizeof(int32_t))) < 0 ||
        (st = reserve(cx, &reg->items, reg->n_items, &reg->cap_items, (int32_t)p->n_items,
                      sizeof(void *))) < 0)
        return st;
    char *kept = arena_copy(&reg->mem, path);
    if (!kept) return ctx_fail(cx, EVLA_E_NOMEM, "registry: %s", path);
    for (uint32_t i = 0; i < p->n_items; i++) {
        reg->items[reg->n_items] = &p->items[i];
        reg->owners[reg->n_items++] = reg->n_plugins;
    }
    reg->plugins[reg->n_plugins++] = (plugin){.path = kept, .table = p, .handle = handle};
    return 0;
}

int32_t plugin_add(ctx *cx, registry *reg, const char *path, const evla_plugin *table)
{
    int32_t st = check_table(cx, base_name(path), table);
    return st < 0 ? st : add(cx, reg, path, table, NULL);
}

/* The file and its folder must not be writable by everybody; the code must be for this
 * machine. */
static int32_t check_file(ctx *cx, const char *path)
{
    const char *file = base_name(path);
    struct stat st;
    char folder[PATH_MAX], real[PATH_MAX];
    Elf64_Ehdr head, self;
    if (!realpath(path, real) || stat(real, &st) < 0)
        return refuse(cx, file, "cannot be read at %s: %s", path, strerror(errno));
    if (st.st_mode & S_IWOTH)
        return refuse(
            cx, file,
            "its mode is %o, writable by everybody; want nobody but its owner to write "
            "it; chmod o-w %s",
            st.st_mode & 0777u, path);
    /* where the name stands, and where a link leads */
    for (int i = 0; i < 2; i++) {
        const char *p = i ? real : path, *base = base_name(p);
        snprintf(folder, sizeof folder, "%.*s", base > p + 1 ? (int)(base - p) - 1 : 1,
                 base > p ? p : ".");
        if (stat(folder, &st) == 0 && (st.st_mode & S_IWOTH))
            return refuse(
                cx, file,
                "its folder %s has mode %o, writable by everybody; want nobody but its "
                "owner to write it; chmod o-w %s, or move the plugin",
                folder, st.st_mode & 07777u, folder);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, &head, sizeof head);
    if (fd >= 0) close(fd);
    if (n != (ssize_t)sizeof head || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
        return refuse(cx, file, "is no shared object (no ELF header); rebuild it");
    fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, &self, sizeof self);
    if (fd >= 0) close(fd);
    if (n == (ssize_t)sizeof self && (head.e_machine != self.e_machine ||
                                      head.e_ident[EI_CLASS] != self.e_ident[EI_CLASS]))
        return refuse(
            cx, file,
            "was built for machine %u (ELF class %u), this one is %u (class %u); rebuild "
            "it here",
            head.e_machine, head.e_ident[EI_CLASS], self.e_machine, self.e_ident[EI_CLASS]);
    return 0;
}

int32_t plugin_load(ctx *cx, registry *reg, const char *path)
{
    const char *file = base_name(path);
    int32_t st = check_file(cx, path);
    if (st < 0) return st;
    void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    if (!handle)
        return refuse(cx, file,
                      "the system cannot load it: %s; evla doctor says what is missing",
                      dlerror());
    const evla_plugin *(*entry)(void);
    *(void **)&entry = dlsym(handle, "evla_plugin_entry");
    const evla_plugin *table = entry ? entry() : NULL;
    if (!entry)
        st = refuse(
            cx, file,
            "exports no evla_plugin_entry; want one function of that name that returns the "
            "plugin's table");
    else if (!table)
        st = refuse(cx, file, "evla_plugin_entry returned NULL; want the plugin's table");
    else if ((st = check_table(cx, file, table)) >= 0)
        st = add(cx, reg, path, table, handle);
    if (st < 0) dlclose(handle);
    return st;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int32_t plugin_load_folder(ctx *cx, registry *reg, const char *folder)
{
    DIR *d = opendir(folder);
    if (!d)
        return ctx_fail(cx, EVLA_E_PLUGIN, "plugin folder %s: %s; name one with --plugins",
                        folder, strerror(errno));
    const char *paths[256] = {NULL};
    size_t n = 0;
    int32_t st = 0;
    for (struct dirent *e; st >= 0 && (e = readdir(d));) {
        size_t k = strlen(e->d_name);
        if (k < 4 || strcmp(e->d_name + k - 3, ".so") != 0) continue;
        if (n == sizeof paths / sizeof *paths)
            st = ctx_fail(cx, EVLA_E_LIMIT, "plugin folder %s: more than %zu plugins",
                          folder, n);
        else if (!(paths[n++] = arena_text(&reg->mem, "%s/%s", folder, e->d_name)))
            st = ctx_fail(cx, EVLA_E_NOMEM, "plugin folder %s", folder);
    }
    closedir(d);
    qsort(paths, n, sizeof *paths, by_text);
    for (size_t i = 0; st >= 0 && i < n; i++)
        st = plugin_load(cx, reg, paths[i]);
    return st;
}

/* ---- sealing ---- */

typedef struct entry {
    const evla_item *item;
    int32_t owner;
} entry;

static int by_kind_and_name(const void *a, const void *b)
{
    const evla_item *x = ((const entry *)a)->item, *y = ((const entry *)b)->item;
    int c = strcmp(x->kind, y->kind);
    return c ? c : strcmp(x->name, y->name);
}

int32_t plugin_seal(ctx *cx, registry *reg)
{
    entry *all = mem_alloc(((size_t)reg->n_items + 1) * sizeof *all);
    if (!all) return ctx_fail(cx, EVLA_E_NOMEM, "registry: %d items", reg->n_items);
    for (int32_t i = 0; i < reg->n_items; i++)
        all[i] = (entry){reg->items[i], reg->owners[i]};
    qsort(all, (size_t)reg->n_items, sizeof *all, by_kind_and_name);
    for (int32_t i = 0; i < reg->n_items; i++) {
        reg->items[i] = all[i].item;
        reg->owners[i] = all[i].owner;
    }
    mem_free(all);
    int32_t n;
    const evla_item *const *formats = registry_kind(reg, EVLA_DTYPE, &n);
    for (int32_t i = 0; i < n; i++) {
        const evla_dtype *t = formats[i]->table;
        if (i == TENSOR_MAX_DTYPES || t->block_elements < 1 || t->block_bytes < 1)
            return refuse(
                cx, base_name(registry_owner(reg, formats[i])->path),
                "number format \"%s\": its block is %d elements in %d bytes; want both "
                ">= 1 and at most %d formats",
                formats[i]->name, t->block_elements, t->block_bytes, TENSOR_MAX_DTYPES);
        reg->dtypes[reg->n_dtypes++] =
            (dtype_info){formats[i]->name, t->block_elements, t->block_bytes, t};
    }
    for (int32_t i = 0; i < reg->n_plugins; i++)
        for (const char *const *u = reg->plugins[i].table->uses; u && *u; u++)
            if (!registry_find(reg, EVLA_SERVICE, *u))
                return refuse(
                    cx, base_name(reg->plugins[i].path),
                    "uses the service \"%s\", which no loaded plugin offers; add that "
                    "plugin to the folder",
                    *u);
    return 0;
}
