/*
 * registry.c -- the items of an engine's plugins, found by kind and name. See registry.h.
 */
#include "registry.h"
#include "mem.h"
#include "near.h"
#include <dlfcn.h>
#include <string.h>

// clang-format off
static const struct { int32_t id; const char *name; int32_t bytes; } own_dtypes[] = {
    {EVLA_F32, "f32", 4}, {EVLA_F64, "f64", 8}, {EVLA_I8, "i8", 1},   {EVLA_I16, "i16", 2},
    {EVLA_I32, "i32", 4}, {EVLA_I64, "i64", 8}, {EVLA_U8, "u8", 1},   {EVLA_U16, "u16", 2},
    {EVLA_U32, "u32", 4}, {EVLA_U64, "u64", 8}, {EVLA_BOOL, "bool", 1},
};
// clang-format on

void registry_init(registry *reg)
{
    memset(reg, 0, sizeof *reg);
    reg->mem = arena_growing(16 << 10);
    for (size_t i = 0; i < sizeof own_dtypes / sizeof *own_dtypes; i++)
        reg->dtypes[own_dtypes[i].id] = (dtype_info){.name = own_dtypes[i].name,
                                                     .block_elements = 1,
                                                     .block_bytes = own_dtypes[i].bytes};
    reg->n_dtypes = EVLA_DTYPE_FIRST;
    reg->machine = (evla_machine){
        .size = sizeof reg->machine, .n_workers = 1, .name = "portable", .features = ""};
}

void registry_free(registry *reg)
{
    for (int32_t i = 0; i < reg->n_plugins; i++)
        if (reg->plugins[i].handle) dlclose(reg->plugins[i].handle);
    mem_free(reg->plugins);
    mem_free(reg->items);
    mem_free(reg->owners);
    arena_free(&reg->mem);
    memset(reg, 0, sizeof *reg);
}

const char *kind_short(arena *a, const char *kind)
{
    const char *dot = strchr(kind, '.'), *from = dot ? dot + 1 : kind;
    const char *s = arena_copy_n(a, from, strcspn(from, "/"));
    return s ? s : kind;
}

const evla_item *const *registry_kind(const registry *reg, const char *kind, int32_t *n)
{
    int32_t from = 0;
    while (from < reg->n_items && strcmp(reg->items[from]->kind, kind) != 0)
        from++;
    *n = 0;
    while (from + *n < reg->n_items && !strcmp(reg->items[from + *n]->kind, kind))
        ++*n;
    return reg->items + from;
}

const evla_item *registry_find(const registry *reg, const char *kind, const char *name)
{
    for (int32_t i = 0; i < reg->n_items; i++)
        if (!strcmp(reg->items[i]->kind, kind) && !strcmp(reg->items[i]->name, name))
            return reg->items[i];
    return NULL;
}

const evla_item *registry_want(ctx *cx, const char *kind, const char *name)
{
    const evla_item *item = registry_find(cx->reg, kind, name);
    if (item) return item;
    arena_place mark = arena_mark(&cx->scratch);
    int32_t n;
    const evla_item *const *all = registry_kind(cx->reg, kind, &n);
    const char **names = arena_push(&cx->scratch, (size_t)n + 1, sizeof *names);
    for (int32_t i = 0; names && i < n; i++)
        names[i] = all[i]->name;
    const char *near = names ? near_miss(name, names, n) : NULL;
    ctx_fail(cx, EVLA_E_MISSING, "no %s is called \"%.60s\"%s%s%s",
             kind_short(&cx->scratch, kind), name, near ? "; did you mean \"" : "",
             near ? near : "", near ? "\"?" : " (evla plugins lists what is loaded)");
    arena_reset(&cx->scratch, mark);
    return NULL;
}

const plugin *registry_owner(const registry *reg, const evla_item *item)
{
    for (int32_t i = 0; i < reg->n_items; i++)
        if (reg->items[i] == item) return &reg->plugins[reg->owners[i]];
    return NULL;
}
