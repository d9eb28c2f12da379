/*
 * plugin.h -- loads plugins into a registry and refuses bad ones with a sentence.
 */
#ifndef EVLA_PLUGIN_H
#define EVLA_PLUGIN_H
#include "registry.h"

/* Loads every *.so of a folder, in order of name; a missing folder is an error. */
int32_t plugin_load_folder(ctx *cx, registry *reg, const char *folder);
int32_t plugin_load(ctx *cx, registry *reg, const char *path);
/* Adds the items of a table that is part of the program (core's own stages, test doubles).
 */
int32_t plugin_add(ctx *cx, registry *reg, const char *path, const evla_plugin *table);
/* Sorts, gives number formats their ids, checks that `uses` are there. After the last load.
 */
int32_t plugin_seal(ctx *cx, registry *reg);

#endif
