/*
 * t_ctx.c -- the sentence that explains a failure: kept, prefixed, cut, logged.
 */
#include "says.h"

typedef struct heard {
    int n;
    int32_t level;
    char line[1200];
} heard;

static void hear(void *to, int32_t level, const char *line)
{
    heard *h = to;
    h->n++;
    h->level = level;
    snprintf(h->line, sizeof h->line, "%s", line);
}

static void sentences(ctx *cx)
{
    ok(ctx_fail(cx, EVLA_E_SHAPE, "join %s: %d", "a", 3) == EVLA_E_SHAPE,
       "a failure returns its code");
    ok(ctx_fail(cx, EVLA_E_IO, "an echo") == EVLA_E_IO, "a later one returns its own");
    ctx_prefix(cx, "coffee.lua:%d", 31);
    ok(says(cx, EVLA_E_SHAPE, "coffee.lua:31: join a: 3"),
       "the first sentence is kept, and prefixed");
    ok(cx->code == 0 && !*cx->why, "cleared, nothing is left");

    char big[3000];
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = 0;
    ctx_fail(cx, EVLA_E_ARG, "%s", big);
    ok(strlen(cx->why) == sizeof cx->why - 1, "a long sentence is cut to what fits");
    ctx_prefix(cx, "where");
    ok(!strncmp(cx->why, "where: xxx", 10) && strlen(cx->why) == sizeof cx->why - 1,
       "a prefix takes its room from the end");
    ctx_prefix(cx, "%s", big);
    ok(strlen(cx->why) < sizeof cx->why, "a prefix larger than the room ends inside it");
    ctx_clear(cx);
    for (size_t n = sizeof cx->why - 6; n < sizeof cx->why + 2; n++) {
        ctx_clear(cx);
        ctx_fail(cx, EVLA_E_ARG, "tail");
        ctx_prefix(cx, "%.*s", (int)n, big);
        if (strlen(cx->why) >= sizeof cx->why) break;
    }
    ok(strlen(cx->why) < sizeof cx->why, "at every length around the edge");
    ctx_clear(cx);
}

static void codes(void)
{
    ok(!strcmp(ctx_code_text(EVLA_E_NOMEM), "out of memory"), "a code has a text");
    ok(!strcmp(ctx_code_text(-999), "?"), "an unknown code is a question mark");
    int all = 1;
    for (int32_t c = EVLA_E_BUG; c <= 0; c++)
        if (!strcmp(ctx_code_text(c), "?")) all = 0;
    ok(all, "every code of abi.h has one");
}

static void logs(ctx *cx)
{
    heard h = {0};
    cx->log = hear;
    cx->log_to = &h;
    ctx_say(cx, EVLA_LOG_INFO, "%d episodes", 8);
    ok(h.n == 1 && h.level == EVLA_LOG_INFO && !strcmp(h.line, "8 episodes"),
       "a line reaches the log");
    ctx_say(cx, EVLA_LOG_DEBUG, "detail");
    ok(h.n == 1, "lines above the level are dropped");
    atomic_int stop = 0;
    cx->stop = &stop;
    ctx child;
    ctx_init_child(&child, cx);
    ctx_say(&child, EVLA_LOG_WARN, "from a worker");
    ok(h.n == 2 && h.level == EVLA_LOG_WARN, "a child shares the log");
    ctx_fail(&child, EVLA_E_IO, "a worker's");
    ok(cx->code == 0, "but has its own sentence");
    ok(!ctx_stopping(&child), "nobody asked to stop");
    atomic_store(&stop, 1);
    ok(ctx_stopping(&child) && ctx_stopping(cx), "a request to stop reaches both");
    ctx_free(&child);
    cx->stop = NULL;
    ok(!ctx_stopping(cx), "without a flag nothing stops");
}

int main(void)
{
    ctx cx;
    ctx_init(&cx, NULL);
    sentences(&cx);
    codes();
    logs(&cx);
    ctx_free(&cx);
    return tap_done();
}
