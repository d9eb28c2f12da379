/*
 * ctx.h -- statuses and the sentence that explains them; the memory of a run; who may be
 * told.
 *
 * There is no global state: everything below the command line gets a ctx. The first
 * failure's sentence is kept, since later ones are its echoes.
 */
#ifndef EVLA_CTX_H
#define EVLA_CTX_H
#include "arena.h"
#include "evla/abi.h"
#include <stdatomic.h>

typedef struct registry registry;
typedef struct ctx ctx;

typedef void ctx_log(void *to, int32_t level, const char *line);

struct ctx {
    int32_t code;      /* first failure since ctx_clear; 0: none */
    int32_t log_level; /* EVLA_LOG_*: lines above it are dropped */
    char why[1024];    /* its sentence */
    arena mem;         /* lives as long as the ctx */
    arena scratch;     /* lives as long as a call into a plugin */
    const registry *reg;
    const atomic_int *stop; /* not 0: the user asked to stop; may be NULL */
    ctx_log *log;           /* NULL: stderr */
    void *log_to;
};

void ctx_init(ctx *cx, const registry *reg);
/* A worker's own: same registry, stop flag and log; its own sentence and memory. */
void ctx_init_child(ctx *cx, const ctx *parent);
void ctx_free(ctx *cx);
/* Keeps the first sentence; returns code. */
__attribute__((format(printf, 3, 4))) int32_t ctx_fail(ctx *cx, int32_t code,
                                                       const char *format, ...);
/* Puts "prefix: " before the sentence kept, for callers that know where it happened. */
__attribute__((format(printf, 2, 3))) void ctx_prefix(ctx *cx, const char *format, ...);
void ctx_clear(ctx *cx);
__attribute__((format(printf, 3, 4))) void ctx_say(ctx *cx, int32_t level,
                                                   const char *format, ...);
int ctx_stopping(const ctx *cx);
/* "out of memory" for EVLA_E_NOMEM, ...; "?" for an unknown code. */
const char *ctx_code_text(int32_t code);

#endif
