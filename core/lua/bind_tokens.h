/*
 * bind_tokens.h -- what objects with a tokenizer have in common. A method finds a text or
 * ids at index 2 and maybe a table of options at 3; what it makes is in the box.
 */
#ifndef EVLA_LUA_BIND_TOKENS_H
#define EVLA_LUA_BIND_TOKENS_H
#include "../data/tokenizer.h"
#include "box.h"

/* 1: a table at the index has that name, and not as false. */
int bind_says(lua_State *L, int at, const char *name);
/* EVLA_TOKENS_* of a table of options, { special = true }. */
uint32_t bind_tokens_flags(lua_State *L, int at, int is_whole);
/* A list of numbers as ids; throws. */
int32_t *bind_tokens_at(lua_State *L, script *s, box *b, int at, int32_t *n);
/* The methods encode and decode. */
int bind_tokens_encode(lua_State *L, script *s, box *b, const tokenizer *z);
int bind_tokens_decode(lua_State *L, script *s, box *b, const tokenizer *z);
/* evla.tokenizer */
void bind_tokens_open(lua_State *L);

#endif
