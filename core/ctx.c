/*
 * ctx.c -- statuses and the sentence that explains them. See ctx.h.
 */
#include "ctx.h"
#include <stdio.h>
#include <string.h>

// clang-format off
#define STATUSES(X)                                                                          \
    X(OK, "done") X(E_ARG, "wrong parameter") X(E_SHAPE, "shapes do not meet")               \
    X(E_DTYPE, "wrong number format") X(E_NOMEM, "out of memory") X(E_RANGE, "out of range") \
    X(E_IO, "input or output failed") X(E_FORMAT, "malformed file")                          \
    X(E_PLUGIN, "plugin refused") X(E_MISSING, "not found") X(E_EXISTS, "already there")     \
    X(E_LIMIT, "capacity used up") X(E_STOPPED, "stopped") X(E_STATE, "wrong order of calls")\
    X(E_BUG, "a mistake of ours")
// clang-format on

static const struct {
    int32_t code;
    const char *text;
} status_text[] = {
#define X(id, text) {EVLA_##id, text},
    STATUSES(X)
#undef X
};

const char *ctx_code_text(int32_t code)
{
    for (size_t i = 0; i < sizeof status_text / sizeof *status_text; i++)
        if (status_text[i].code == code) return status_text[i].text;
    return "?";
}

void ctx_init(ctx *cx, const registry *reg)
{
    memset(cx, 0, sizeof *cx);
    cx->mem = arena_growing(64 << 10);
    cx->scratch = arena_growing(16 << 10);
    cx->reg = reg;
    cx->log_level = EVLA_LOG_INFO;
}

void ctx_init_child(ctx *cx, const ctx *parent)
{
    ctx_init(cx, parent->reg);
    cx->log_level = parent->log_level;
    cx->stop = parent->stop;
    cx->log = parent->log;
    cx->log_to = parent->log_to;
}

void ctx_free(ctx *cx)
{
    arena_free(&cx->mem);
    arena_free(&cx->scratch);
}

int32_t ctx_fail(ctx *cx, int32_t code, const char *format, ...)
{
    if (cx->code) return code;
    cx->code = code;
    va_list ap;
    va_start(ap, format);
    vsnprintf(cx->why, sizeof cx->why, format, ap);
    va_end(ap);
    return code;
}

void ctx_prefix(ctx *cx, const char *format, ...)
{
    char old[sizeof cx->why];
    memcpy(old, cx->why, sizeof old);
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(cx->why, sizeof cx->why, format, ap);
    va_end(ap);
    size_t at = n < 0 ? 0 : (size_t)n;
    if (at + 3 > sizeof cx->why) return;
    size_t rest = strlen(old), room = sizeof cx->why - at - 3;
    memcpy(cx->why + at, ": ", 2);
    memcpy(cx->why + at + 2, old, rest < room ? rest : room);
    cx->why[at + 2 + (rest < room ? rest : room)] = 0;
}

void ctx_clear(ctx *cx)
{
    cx->code = 0;
    cx->why[0] = 0;
}

void ctx_say(ctx *cx, int32_t level, const char *format, ...)
{
    if (level > cx->log_level) return;
    char line[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    if (cx->log)
        cx->log(cx->log_to, level, line);
    else
        fprintf(stderr, "evla: %s\n", line);
}

int ctx_stopping(const ctx *cx)
{
    return cx->stop && atomic_load_explicit(cx->stop, memory_order_relaxed);
}
