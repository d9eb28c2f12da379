/*
 * host.c -- what the core lends to a plugin for the length of a call. See host.h.
 */
#include "host.h"
#include "data/record.h"
#include "registry.h"
#include <string.h>

enum { HOST_ALIGN = 64 };

static host *self_of(const evla_host *h) { return h->self; }

static int32_t host_fail(const evla_host *h, int32_t code, const char *sentence)
{
    if (code >= 0) code = EVLA_E_BUG;
    return ctx_fail(self_of(h)->cx, code, "%s", sentence ? sentence : ctx_code_text(code));
}

static void host_log(const evla_host *h, int32_t level, const char *line)
{
    ctx_say(self_of(h)->cx, level, "%s", line);
}

static void *lend(host *s, arena *a, uint64_t bytes)
{
    void *p = arena_push_aligned(a, bytes ? bytes : 1, 1, HOST_ALIGN);
    if (!p)
        ctx_fail(s->cx, EVLA_E_NOMEM, "%llu bytes for a plugin", (unsigned long long)bytes);
    return p;
}

static void *host_scratch(const evla_host *h, uint64_t bytes)
{
    host *s = self_of(h);
    return lend(s, &s->cx->scratch, bytes);
}

static void *host_hold(const evla_host *h, uint64_t bytes)
{
    host *s = self_of(h);
    return lend(s, s->hold, bytes);
}

static const void *host_service(const evla_host *h, const char *name)
{
    const evla_item *item = registry_find(self_of(h)->cx->reg, EVLA_SERVICE, name);
    return item ? item->table : NULL;
}

static int32_t host_dtype(const evla_host *h, const char *name)
{
    return dtype_find(self_of(h)->cx->reg, name, strlen(name));
}

static const char *host_dtype_name(const evla_host *h, int32_t dtype)
{
    return dtype_name(self_of(h)->cx->reg, dtype);
}

static int64_t host_dtype_bytes(const evla_host *h, int32_t dtype, int64_t n)
{
    return dtype_bytes(self_of(h)->cx->reg, dtype, n);
}

static const evla_dtype *host_dtype_table(const evla_host *h, int32_t dtype)
{
    const dtype_info *d = dtype_get(self_of(h)->cx->reg, dtype);
    return d ? d->table : NULL;
}

static int32_t host_type_parse(const evla_host *h, const char *text, evla_type *out)
{
    return type_parse(self_of(h)->cx, text, NULL, out);
}

static int32_t host_record_new(const evla_host *h, const evla_field *fields,
                               int32_t n_fields, const evla_attr *attrs, int32_t n_attrs,
                               evla_record **out)
{
    return record_new(self_of(h)->cx, fields, n_fields, attrs, n_attrs, out);
}

static void host_record_keep(const evla_host *h, const evla_record *r)
{
    (void)h;
    record_keep(r);
}

static void host_record_drop(const evla_host *h, const evla_record *r)
{
    (void)h;
    record_drop(r);
}

static int32_t host_stopping(const evla_host *h) { return ctx_stopping(self_of(h)->cx); }

void host_init(host *h, ctx *cx, arena *hold)
{
    *h = (host){
        .table =
            {
                .size = sizeof h->table,
                .abi = (uint32_t)EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
                .self = h,
                .fail = host_fail,
                .log = host_log,
                .scratch = host_scratch,
                .hold = host_hold,
                .service = host_service,
                .dtype = host_dtype,
                .dtype_name = host_dtype_name,
                .dtype_bytes = host_dtype_bytes,
                .type_parse = host_type_parse,
                .record_new = host_record_new,
                .record_keep = host_record_keep,
                .record_drop = host_record_drop,
                .stopping = host_stopping,
                .dtype_table = host_dtype_table,
            },
        .cx = cx,
        .hold = hold ? hold : &cx->mem,
    };
}

void host_done(host *h, arena_place mark) { arena_reset(&h->cx->scratch, mark); }
