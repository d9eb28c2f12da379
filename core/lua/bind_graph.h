/*
 * bind_graph.h -- model files: chunks that declare graphs.
 */
#ifndef EVLA_LUA_BIND_GRAPH_H
#define EVLA_LUA_BIND_GRAPH_H
#include "../graph/graph.h"
#include "script.h"

/* Runs a model file without access to anything but its options and the builder. `given` is
 * the stack index of a table of options; `where` is who asked, for messages about them;
 * `shown` is how messages about the file's lines name it. Pushes an object that owns the
 * model. Throws. */
model *bind_graph_build(lua_State *L, script *s, const char *path, const char *shown,
                        const char *name, const char *where, int given);
/* Pushes an object that owns a model; NULL until its m is set. */
model **bind_graph_own(lua_State *L);
/* bind_apply.c: evla.model and evla.apply; 1 for a word that evla.model keeps for itself.
 */
int bind_apply_takes(const char *name);
/* The path of a model file by its name, and how messages show it; throws when there is
 * none. where: who asks. */
const char *bind_apply_find(lua_State *L, script *s, const char *name, const char *where,
                            const char **shown);
void bind_apply_open(lua_State *L);
/* bind_call.c: evla.call "name" { ... } with the table at an index; evla.session. */
int bind_call_declare(lua_State *L, const char *name, int at);
void bind_call_open(lua_State *L);

#endif
