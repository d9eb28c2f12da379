/*
 * tokenizer.c -- text to tokens and back. See tokenizer.h.
 */
#include "tokenizer.h"
#include "../registry.h"

static const evla_tokenizer_service *service_of(ctx *cx)
{
    const evla_item *item = registry_find(cx->reg, EVLA_SERVICE, "tokenizer");
    if (item) return item->table;
    ctx_fail(cx, EVLA_E_MISSING,
             "no loaded plugin offers the service \"tokenizer\", which text needs");
    return NULL;
}

int32_t tokenizer_open(ctx *cx, const char *path, const evla_attr *attrs, int32_t n_attrs,
                       tokenizer *out)
{
    *out = (tokenizer){.t = service_of(cx)};
    if (!out->t) return EVLA_E_MISSING;
    out->hold = arena_beside(&cx->mem, 16 << 10);
    host_init(&out->h, cx, &out->hold);
    out->info.size = sizeof out->info;
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = path ? out->t->open_file(&out->h.table, path, &out->self)
                      : out->t->open(&out->h.table, attrs, n_attrs, &out->self);
    if (st >= 0) st = out->t->describe(&out->h.table, out->self, &out->info);
    host_done(&out->h, mark);
    if (st < 0 && !cx->code) ctx_fail(cx, st, "tokenizer: %s", ctx_code_text(st));
    return st;
}

void tokenizer_close(tokenizer *z)
{
    if (z->t) {
        arena_place mark = arena_mark(&z->h.cx->scratch);
        z->t->close(&z->h.table, z->self);
        host_done(&z->h, mark);
        arena_free(&z->hold);
    }
    z->t = NULL;
}

int32_t tokenizer_told(ctx *cx, int32_t st, const char *what)
{
    if (st < 0 && !cx->code) ctx_fail(cx, st, "tokenizer: %s: %s", what, ctx_code_text(st));
    return st;
}

int32_t tokenizer_encode(ctx *cx, const tokenizer *z, arena *a, const char *text, size_t n,
                         uint32_t flags, int32_t **ids, int32_t *n_ids)
{
    int64_t room = 32 + (int64_t)n / 2, made = 0;
    host h;
    host_init(&h, cx, NULL);
    for (;;) {
        *ids = arena_push(a, (size_t)room, sizeof **ids);
        if (!*ids) return ctx_fail(cx, EVLA_E_NOMEM, "%zu bytes of text", n);
        arena_place mark = arena_mark(&cx->scratch);
        int32_t st = z->t->encode(&h.table, z->self, text, n, flags, *ids, room, &made);
        host_done(&h, mark);
        if (st < 0) return tokenizer_told(cx, st, "encode");
        if (made <= room) break;
        room = made;
    }
    if (made > INT32_MAX)
        return ctx_fail(cx, EVLA_E_LIMIT, "%lld tokens are too many", (long long)made);
    *n_ids = (int32_t)made;
    return 0;
}

int32_t tokenizer_decode(ctx *cx, const tokenizer *z, arena *a, const int32_t *ids,
                         int32_t n, uint32_t flags, char **text)
{
    int64_t room = 64 + 8 * (int64_t)n, made = 0;
    host h;
    host_init(&h, cx, NULL);
    for (;;) {
        *text = arena_push(a, (size_t)room + 1, 1);
        if (!*text) return ctx_fail(cx, EVLA_E_NOMEM, "text of %d tokens", n);
        arena_place mark = arena_mark(&cx->scratch);
        int32_t st = z->t->decode(&h.table, z->self, ids, n, flags, *text, room, &made);
        host_done(&h, mark);
        if (st < 0) return tokenizer_told(cx, st, "decode");
        if (made <= room) break;
        room = made;
    }
    (*text)[made] = 0;
    return 0;
}

int32_t tokenizer_chat(ctx *cx, const tokenizer *z, arena *a, const evla_message *m,
                       int32_t n, char **text)
{
    int64_t room = 512, made = 0;
    host h;
    host_init(&h, cx, NULL);
    for (;;) {
        *text = arena_push(a, (size_t)room + 1, 1);
        if (!*text) return ctx_fail(cx, EVLA_E_NOMEM, "a chat of %d messages", n);
        arena_place mark = arena_mark(&cx->scratch);
        int32_t st = z->t->chat(&h.table, z->self, m, n, *text, room, &made);
        host_done(&h, mark);
        if (st < 0) return tokenizer_told(cx, st, "chat");
        if (made <= room) break;
        room = made;
    }
    (*text)[made] = 0;
    return 0;
}
