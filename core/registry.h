/*
 * registry.h -- the items of an engine's plugins, found by kind and name.
 *
 * A registry belongs to one engine and is immutable once the engine is up. Items of a kind
 * are sorted by name, so nothing depends on the order of loading.
 */
#ifndef EVLA_REGISTRY_H
#define EVLA_REGISTRY_H
#include "tensor.h"

typedef struct plugin {
    const char *path;
    const evla_plugin *table;
    void *handle;
} plugin;

struct registry {
    arena mem;
    plugin *plugins;
    int32_t n_plugins, cap_plugins;
    const evla_item **items; /* sorted by kind, then name */
    int32_t *owners;         /* plugins[owners[i]] brought items[i] */
    int32_t n_items, cap_items;
    dtype_info dtypes[EVLA_DTYPE_FIRST + TENSOR_MAX_DTYPES];
    int32_t
        n_dtypes; /* ids in use: C's own below EVLA_DTYPE_FIRST, then the registered ones */
    evla_machine machine; /* what graphs are planned for; see machine.h */
};

void registry_init(registry *reg);
void registry_free(registry *reg);

const evla_item *registry_find(const registry *reg, const char *kind, const char *name);
/* Like find, but tells what is there, with the nearest name, when it is not. */
const evla_item *registry_want(ctx *cx, const char *kind, const char *name);
/* The items of a kind: first one and how many. */
const evla_item *const *registry_kind(const registry *reg, const char *kind, int32_t *n);
const plugin *registry_owner(const registry *reg, const evla_item *item);
/* "op" for "evla.op/0". */
const char *kind_short(arena *a, const char *kind);

#endif
