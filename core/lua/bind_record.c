/*
 * bind_record.c -- records in Lua: sets that a stage reads, their records, tensors; and
 * pictures through the image service.
 *
 * core.records(choice) opens a source; set:record(i) reads record i (from 1);
 * record["obs/x"] is a tensor, a view that keeps its record alive.
 */
#include "../data/record.h"
#include "../host.h"
#include "../registry.h"
#include "script.h"
#include <math.h>
#include <string.h>

typedef struct set {
    const evla_stage *stage;
    void *self;
    ctx cx; /* a reader's own: its memory goes with it */
    host host;
    evla_schema schema;
    int64_t n;
    int is_open, has_ctx;
} set;

typedef struct view {
    evla_tensor t; /* user value 1 is the record it belongs to */
} view;

static int throw_set(lua_State *L, script *s, set *r, const char *what)
{
    char why[sizeof r->cx.why];
    memcpy(why, r->cx.why, sizeof why);
    ctx_clear(&r->cx);
    if (strstr(why, what)) return script_error(L, s, "%s", why); /* it says so itself */
    return script_error(L, s, "%s: %s", what, *why ? why : "it cannot be read");
}

/* ---- tensors ---- */

static view *push_view(lua_State *L, int keeper)
{
    keeper = lua_absindex(L, keeper);
    view *v = lua_newuserdatauv(L, sizeof *v, 1);
    luaL_setmetatable(L, "evla.tensor");
    lua_pushvalue(L, keeper);
    lua_setiuservalue(L, -2, 1);
    return v;
}

void bind_push_tensor(lua_State *L, int keeper, const evla_tensor *t)
{
    view *v = push_view(L, keeper);
    v->t = *t;
}

const evla_tensor *bind_tensor_at(lua_State *L, int at)
{
    const view *v = luaL_testudata(L, at, "evla.tensor");
    return v ? &v->t : NULL;
}

static evla_type type_of(const evla_tensor *t)
{
    evla_type type = {.dtype = t->dtype, .rank = t->rank};
    memcpy(type.shape, t->shape, sizeof type.shape);
    return type;
}

const void *bind_tensor_like(lua_State *L, int at, const evla_type *type)
{
    const evla_tensor *t = bind_tensor_at(L, at);
    if (!t) return NULL;
    const evla_tensor want = tensor_view(script_of(L)->cx->reg, type, t->data[0]);
    size_t n = (size_t)want.rank * sizeof *want.shape;
    return t->dtype == want.dtype && t->rank == want.rank &&
                   !memcmp(t->shape, want.shape, n) && !memcmp(t->stride, want.stride, n)
               ? t->data[0]
               : NULL;
}

/* One row of numbers as f64, whatever the format. n values from p. */
static int read_numbers(script *s, int32_t dtype, const void *p, int64_t n, double *out)
{
#define CASE(id, type)                                                                     \
    case id:                                                                               \
        for (int64_t i = 0; i < n; i++) { /* of a mapped file: at any alignment */         \
            type x;                                                                        \
            memcpy(&x, (const char *)p + i * (int64_t)sizeof x, sizeof x);                 \
            out[i] = (double)x;                                                            \
        }                                                                                  \
        return 1
    switch (dtype) {
        CASE(EVLA_F32, float);
        CASE(EVLA_F64, double);
        CASE(EVLA_I8, int8_t);
        CASE(EVLA_I16, int16_t);
        CASE(EVLA_I32, int32_t);
        CASE(EVLA_I64, int64_t);
        CASE(EVLA_U8, uint8_t);
        CASE(EVLA_U16, uint16_t);
        CASE(EVLA_U32, uint32_t);
        CASE(EVLA_U64, uint64_t);
        CASE(EVLA_BOOL, uint8_t);
    }
#undef CASE
    const dtype_info *d = dtype_get(s->cx->reg, dtype);
    if (!d || !d->table) return 0;
    host h;
    host_init(&h, s->cx, NULL);
    enum { CHUNK = 512 };
    float f[CHUNK];
    _Alignas(16) unsigned char codes[4 * CHUNK];
    int64_t step = CHUNK / d->block_elements * d->block_elements;
    if (!step) return 0;
    for (int64_t i = 0; i < n; i += step) {
        int64_t k = n - i < step ? n - i : step;
        const char *at = (const char *)p + i / d->block_elements * d->block_bytes;
        size_t bytes = (size_t)(dtype_blocks(d, k) * d->block_bytes);
        if ((uintptr_t)at % 16 && bytes <= sizeof codes) at = memcpy(codes, at, bytes);
        if (d->table->decode(&h.table, at, k, f) < 0) return 0;
        for (int64_t m = 0; m < k; m++)
            out[i + m] = (double)f[m];
    }
    return 1;
}

/* Number i of a row; where it lies, or its block. NULL: it cannot be read. */
static const char *read_number(script *s, const evla_tensor *t, int64_t i, double *out)
{
    enum { MOST = 512 };
    double block[MOST];
    const dtype_info *d = dtype_get(s->cx->reg, t->dtype);
    int32_t each = d ? d->block_elements : MOST + 1;
    const char *p = (const char *)t->data[0] + i / each * t->stride[0];
    if (each > MOST || !read_numbers(s, t->dtype, p, each, block)) return NULL;
    *out = block[i % each];
    return p;
}

static int64_t count(const evla_tensor *t, int32_t from)
{
    int64_t n = 1;
    for (int32_t i = from; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

static int l_tensor_index(lua_State *L)
{
    script *s = script_of(L);
    view *v = luaL_checkudata(L, 1, "evla.tensor");
    evla_tensor *t = &v->t;
    if (lua_isinteger(L, 2)) {
        lua_Integer i = lua_tointeger(L, 2);
        if (!t->rank || i < 1 || i > t->shape[0])
            return script_error(L, s, "tensor: index %d is outside 1 to %d", (int)i,
                                t->rank ? (int)t->shape[0] : 0);
        if (t->rank == 1) {
            double x = 0;
            int64_t whole = 0;
            const char *p = read_number(s, t, i - 1, &x);
            if (!p) return 0;
            if (t->dtype == EVLA_I64) memcpy(&whole, p, sizeof whole);
            if (t->dtype == EVLA_I64 ||
                (t->dtype != EVLA_F32 && t->dtype != EVLA_F64 &&
                 t->dtype < EVLA_DTYPE_FIRST && floor(x) == x && fabs(x) < 9e15))
                lua_pushinteger(L, t->dtype == EVLA_I64 ? whole : (lua_Integer)x);
            else
                lua_pushnumber(L, x);
            return 1;
        }
        lua_getiuservalue(L, 1, 1);
        view *part = push_view(L, -1);
        part->t = *t;
        part->t.data[0] = (char *)t->data[0] + (i - 1) * t->stride[0];
        part->t.rank--;
        memmove(part->t.shape, t->shape + 1, 7 * sizeof *t->shape);
        memmove(part->t.stride, t->stride + 1, 7 * sizeof *t->stride);
        return 1;
    }
    const char *name = luaL_checkstring(L, 2);
    if (!strcmp(name, "shape")) {
        lua_createtable(L, t->rank, 0);
        for (int32_t i = 0; i < t->rank; i++) {
            lua_pushinteger(L, t->shape[i]);
            lua_rawseti(L, -2, i + 1);
        }
    } else if (!strcmp(name, "dtype"))
        lua_pushstring(L, dtype_name(s->cx->reg, t->dtype));
    else if (!strcmp(name, "rank"))
        lua_pushinteger(L, t->rank);
    else if (!strcmp(name, "bytes")) {
        evla_type type = type_of(t);
        lua_pushinteger(L, type_bytes(s->cx->reg, &type));
    } else {
        luaL_getsubtable(L, LUA_REGISTRYINDEX, "evla.tensor methods");
        lua_getfield(L, -1, name);
    }
    return 1;
}

static int l_tensor_len(lua_State *L)
{
    view *v = luaL_checkudata(L, 1, "evla.tensor");
    lua_pushinteger(L, v->t.rank ? v->t.shape[0] : 0);
    return 1;
}

/* t:stats() -> { n, min, max, mean, finite }: NaN and infinities are counted, not averaged.
 */
static int l_tensor_stats(lua_State *L)
{
    script *s = script_of(L);
    view *v = luaL_checkudata(L, 1, "evla.tensor");
    enum { CHUNK = 4096 };
    double x[CHUNK], low = INFINITY, high = -INFINITY, sum = 0;
    int64_t n = count(&v->t, 0), finite = 0;
    const dtype_info *d = dtype_get(s->cx->reg, v->t.dtype);
    evla_type type = type_of(&v->t);
    int64_t run = type_run(s->cx->reg, &type),
            row = dtype_bytes(s->cx->reg, type.dtype, run);
    int64_t step = d ? CHUNK / d->block_elements * d->block_elements : 0;
    for (int64_t i = 0, k; step && i < n; i += k) { /* never across the end of a run */
        int64_t in_run = i % run;
        k = run - in_run < step ? run - in_run : step;
        const char *p = (const char *)v->t.data[0] + i / run * row +
                        in_run / d->block_elements * d->block_bytes;
        if (!read_numbers(s, v->t.dtype, p, k, x))
            return script_error(L, s, "tensor: %s cannot be read", d->name);
        for (int64_t m = 0; m < k; m++) {
            if (!isfinite(x[m])) continue;
            finite++;
            sum += x[m];
            if (x[m] < low) low = x[m];
            if (x[m] > high) high = x[m];
        }
    }
    lua_createtable(L, 0, 5);
    lua_pushinteger(L, n);
    lua_setfield(L, -2, "n");
    lua_pushinteger(L, finite);
    lua_setfield(L, -2, "finite");
    if (finite) {
        lua_pushnumber(L, low);
        lua_setfield(L, -2, "min");
        lua_pushnumber(L, high);
        lua_setfield(L, -2, "max");
        lua_pushnumber(L, sum / (double)finite);
        lua_setfield(L, -2, "mean");
    }
    return 1;
}

/* t:off(want) -> how far it is from another tensor with as many numbers, as a share of that
 * one's length, and the greatest difference; NaN when either has one. Of C's own formats.
 */
static int l_tensor_off(lua_State *L)
{
    script *s = script_of(L);
    const evla_tensor *a = &((view *)luaL_checkudata(L, 1, "evla.tensor"))->t,
                      *b = &((view *)luaL_checkudata(L, 2, "evla.tensor"))->t;
    enum { CHUNK = 4096 };
    double x[CHUNK], y[CHUNK], apart = 0, length = 0, most = 0;
    int64_t n = count(a, 0);
    int is_plain = a->dtype < EVLA_DTYPE_FIRST && b->dtype < EVLA_DTYPE_FIRST;
    int64_t a_bytes = dtype_bytes(s->cx->reg, a->dtype, 1),
            b_bytes = dtype_bytes(s->cx->reg, b->dtype, 1);
    if (count(b, 0) != n)
        return script_error(L, s, "tensor: %lld numbers cannot be compared with %lld",
                            (long long)n, (long long)count(b, 0));
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t k = n - i < CHUNK ? n - i : CHUNK;
        if (!is_plain ||
            !read_numbers(s, a->dtype, (const char *)a->data[0] + i * a_bytes, k, x) ||
            !read_numbers(s, b->dtype, (const char *)b->data[0] + i * b_bytes, k, y))
            return script_error(L, s, "tensor: its numbers cannot be read");
        for (int64_t m = 0; m < k; m++) {
            double off = fabs(x[m] - y[m]);
            apart += off * off;
            length += y[m] * y[m];
            if (most == most && !(off <= most))
                most = off; /* NaN is the worst, and stays */
        }
    }
    lua_pushnumber(L, apart == 0 ? 0 : sqrt(apart / length));
    lua_pushnumber(L, most);
    return 2;
}

/* t:slice(from, to) -> the entries from..to of the first axis, a view; to: the last. */
static int l_tensor_slice(lua_State *L)
{
    script *s = script_of(L);
    view *v = luaL_checkudata(L, 1, "evla.tensor");
    int64_t n = v->t.rank ? v->t.shape[0] : 0;
    lua_Integer from = luaL_checkinteger(L, 2), to = luaL_optinteger(L, 3, n);
    if (from < 1 || to > n || to < from - 1)
        return script_error(L, s, "tensor: slice %lld to %lld is outside 1 to %d",
                            (long long)from, (long long)to, (int)n);
    const dtype_info *d = dtype_get(s->cx->reg, v->t.dtype);
    int32_t each = d && v->t.rank == 1 ? d->block_elements : 1;
    if ((from - 1) % each || (to % each && to != n))
        return script_error(L, s, "tensor: %s is sliced in blocks of %d", d->name, each);
    lua_getiuservalue(L, 1, 1);
    view *part = push_view(L, -1);
    part->t = v->t;
    part->t.data[0] = (char *)v->t.data[0] + (from - 1) / each * v->t.stride[0];
    part->t.shape[0] = to - from + 1;
    return 1;
}

static int push_list(lua_State *L, script *s, evla_tensor t)
{
    luaL_checkstack(L, 3, "tensor nests too deep");
    lua_createtable(L, (int)t.shape[0], 0);
    evla_tensor part = t;
    part.rank--;
    memmove(part.shape, t.shape + 1, 7 * sizeof *t.shape);
    memmove(part.stride, t.stride + 1, 7 * sizeof *t.stride);
    for (int64_t i = 0; i < t.shape[0]; i++) {
        double x = 0;
        part.data[0] = (char *)t.data[0] + i * t.stride[0];
        if (part.rank)
            push_list(L, s, part);
        else if (read_number(s, &t, i, &x))
            lua_pushnumber(L, x);
        else
            lua_pushnil(L);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* t:list() -> nested tables of numbers */
static int l_tensor_list(lua_State *L)
{
    script *s = script_of(L);
    view *v = luaL_checkudata(L, 1, "evla.tensor");
    double x = 0;
    if (v->t.rank) return push_list(L, s, v->t);
    if (!read_numbers(s, v->t.dtype, v->t.data[0], 1, &x)) return 0;
    lua_pushnumber(L, x);
    return 1;
}

static int l_tensor_text(lua_State *L)
{
    script *s = script_of(L);
    view *v = luaL_checkudata(L, 1, "evla.tensor");
    evla_type t = type_of(&v->t);
    arena_place mark = arena_mark(&s->cx->scratch);
    lua_pushstring(L, type_text(s->cx->reg, &s->cx->scratch, &t));
    arena_reset(&s->cx->scratch, mark);
    return 1;
}

/* ---- records ---- */

static const evla_record *record_at(lua_State *L, int at)
{
    return *(const evla_record **)luaL_checkudata(L, at, "evla.record");
}

static int l_record_gc(lua_State *L)
{
    const evla_record **r = luaL_checkudata(L, 1, "evla.record");
    record_drop(*r);
    *r = NULL;
    return 0;
}

static int l_record_index(lua_State *L)
{
    const evla_record *r = record_at(L, 1);
    const char *name = luaL_checkstring(L, 2);
    const evla_field *f = record_field(r, name);
    if (f) {
        view *v = push_view(L, 1);
        v->t = f->value;
    } else if (!strcmp(name, "attrs"))
        bind_push_attrs(L, 1, r->attrs, r->n_attrs);
    else if (!strcmp(name, "names")) {
        lua_createtable(L, r->n_fields, 0);
        for (int32_t i = 0; i < r->n_fields; i++) {
            lua_pushstring(L, r->fields[i].name);
            lua_rawseti(L, -2, i + 1);
        }
    } else if (!strcmp(name, "index"))
        lua_pushinteger(L, r->index);
    else
        lua_pushnil(L);
    return 1;
}

/* ---- sets ---- */

static int l_set_gc(lua_State *L)
{
    set *r = luaL_checkudata(L, 1, "evla.set");
    if (r->is_open) r->stage->close(&r->host.table, r->self);
    if (r->has_ctx) ctx_free(&r->cx);
    r->is_open = r->has_ctx = 0;
    return 0;
}

static int l_records(lua_State *L)
{
    script *s = script_of(L);
    choice *c = bind_choice_at(L, s, 1);
    if (!c || strcmp(c->item.item->kind, EVLA_STAGE) != 0)
        return script_error(L, s, "records: want a path or a stage that is a source");
    set *r = lua_newuserdatauv(L, sizeof *r, 0);
    memset(r, 0, sizeof *r);
    luaL_setmetatable(L, "evla.set");
    r->stage = c->item.item->table;
    if (!r->stage->make)
        return script_error(L, s, "records: stage.%s is no source", c->item.item->name);
    ctx_init_child(&r->cx, s->cx);
    r->has_ctx = 1;
    host_init(&r->host, &r->cx, NULL);
    evla_site site = {
        .size = sizeof site, .n_workers = 1, .folder = s->folder, .job = "records"};
    r->schema.size = sizeof r->schema;
    script_pause(s);
    int32_t st = r->stage->describe(&r->host.table, c->item.params, NULL, &r->schema);
    if (st >= 0) st = r->stage->open(&r->host.table, c->item.params, &site, &r->self);
    if (st >= 0) {
        r->is_open = 1;
        st = r->stage->count(&r->host.table, r->self, &r->n);
    }
    script_go_on(s);
    return st < 0 ? throw_set(L, s, r, c->item.item->name) : 1;
}

static int l_set_record(lua_State *L)
{
    script *s = script_of(L);
    set *r = luaL_checkudata(L, 1, "evla.set");
    lua_Integer i = luaL_checkinteger(L, 2);
    if (!r->is_open || i < 1 || i > r->n)
        return script_error(L, s, "records: want a number from 1 to %d, got %d", (int)r->n,
                            (int)i);
    const evla_record **out = lua_newuserdatauv(L, sizeof *out, 1);
    *out = NULL;
    luaL_setmetatable(L, "evla.record");
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1); /* attributes may point into the set */
    evla_record *rec = NULL;
    arena_place mark = arena_mark(&r->cx.scratch);
    script_pause(s);
    int32_t st = r->stage->make(&r->host.table, r->self, i - 1, &rec);
    script_go_on(s);
    host_done(&r->host, mark);
    *out = rec;
    return st < 0 ? throw_set(L, s, r, "records") : 1;
}

static int l_set_len(lua_State *L)
{
    lua_pushinteger(L, ((set *)luaL_checkudata(L, 1, "evla.set"))->n);
    return 1;
}

static int l_set_index(lua_State *L)
{
    set *r = luaL_checkudata(L, 1, "evla.set");
    const char *name = luaL_checkstring(L, 2);
    if (!strcmp(name, "fields")) {
        lua_createtable(L, r->schema.n_fields, 0);
        for (int32_t i = 0; i < r->schema.n_fields; i++) {
            const evla_schema_field *f = &r->schema.fields[i];
            lua_createtable(L, 0, 5);
            lua_pushstring(L, f->name), lua_setfield(L, -2, "name");
            lua_pushstring(L, f->type), lua_setfield(L, -2, "type");
            lua_pushstring(L, f->unit ? f->unit : ""), lua_setfield(L, -2, "unit");
            lua_pushstring(L, f->doc ? f->doc : ""), lua_setfield(L, -2, "doc");
            lua_pushnumber(L, f->rate_hz), lua_setfield(L, -2, "rate");
            lua_rawseti(L, -2, i + 1);
        }
    } else if (!strcmp(name, "attrs"))
        bind_push_attrs(L, 1, r->schema.attrs, r->schema.n_attrs);
    else if (!strcmp(name, "record"))
        lua_pushcfunction(L, l_set_record);
    else
        lua_pushnil(L);
    return 1;
}

static int l_set_text(lua_State *L)
{
    lua_pushfstring(L, "%d records", (int)((set *)luaL_checkudata(L, 1, "evla.set"))->n);
    return 1;
}

/* ---- pictures ---- */

static const evla_image_service *image_service(lua_State *L, script *s)
{
    const evla_item *item = registry_find(s->cx->reg, EVLA_SERVICE, "image");
    if (!item)
        script_error(L, s,
                     "image: no loaded plugin offers the service \"image\"; evla doctor "
                     "says which package brings it");
    return item->table;
}

static const char *text_field(lua_State *L, int at, const char *name)
{
    lua_getfield(L, at, name);
    return lua_tostring(L, -1); /* stays on the stack, so the text stays */
}

static lua_Integer int_field(lua_State *L, int at, const char *name, lua_Integer preset)
{
    lua_getfield(L, at, name);
    lua_Integer v = luaL_optinteger(L, -1, preset);
    lua_pop(L, 1);
    return v;
}

static const evla_tensor *tensor_field(lua_State *L, script *s, int at, const char *name)
{
    lua_getfield(L, at, name);
    const evla_tensor *t = bind_tensor_at(L, -1);
    if (!t)
        script_error(L, s, "image: %s: want a tensor, got %s", name, luaL_typename(L, -1));
    return t;
}

/* strip { frames, path, picks, captions, title, scale, columns }; picks count from 1. */
static int l_strip(lua_State *L)
{
    enum { MOST = 256 };
    script *s = script_of(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkstack(L, MOST + 16, "too many captions");
    const evla_image_service *image = image_service(L, s);
    const evla_tensor *frames = tensor_field(L, s, 1, "frames");
    const char *path = text_field(L, 1, "path"), *title = text_field(L, 1, "title");
    if (!path) return script_error(L, s, "strip: path is missing");
    path = sandbox_path(L, s, path, 1);
    int64_t picks[MOST];
    const char *captions[MOST];
    int32_t n = 0, n_captions = 0;
    lua_getfield(L, 1, "picks");
    int has_picks = lua_istable(L, -1);
    for (int i = 1; has_picks && n < MOST && lua_rawgeti(L, -1, i) != LUA_TNIL;
         i++, lua_pop(L, 1))
        picks[n++] = luaL_checkinteger(L, -1) - 1;
    if (has_picks) lua_pop(L, 1);
    lua_getfield(L, 1, "captions");
    int at = lua_gettop(L);
    while (lua_istable(L, at) && n_captions < MOST &&
           lua_rawgeti(L, at, n_captions + 1) != LUA_TNIL)
        captions[n_captions++] = luaL_checkstring(L, -1);
    if (!n) n = (int32_t)int_field(L, 1, "n", 8);
    if (n_captions && n_captions < n)
        return script_error(L, s, "strip: %d captions for %d pictures", n_captions, n);
    evla_strip strip = {.frames = frames,
                        .picks = has_picks ? picks : NULL,
                        .captions = n_captions ? captions : NULL,
                        .title = title,
                        .n_picks = n,
                        .columns = (int32_t)int_field(L, 1, "columns", 0),
                        .scale = (int32_t)int_field(L, 1, "scale", 1)};
    host h;
    host_init(&h, s->cx, NULL);
    arena_place mark = arena_mark(&s->cx->scratch);
    ctx_clear(s->cx);
    int32_t st = image->strip_write(&h.table, path, &strip);
    host_done(&h, mark);
    return st < 0 ? script_throw(L, s) : 0;
}

/* png { data = tensor u8 [H,W] or [H,W,3], path } */
static int l_png(lua_State *L)
{
    script *s = script_of(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    const evla_image_service *image = image_service(L, s);
    const evla_tensor *t = tensor_field(L, s, 1, "data");
    const char *path = text_field(L, 1, "path");
    if (!path) return script_error(L, s, "png: path is missing");
    path = sandbox_path(L, s, path, 1);
    if (t->dtype != EVLA_U8 || t->rank < 2 || t->rank > 3 || t->shape[0] > INT32_MAX ||
        t->shape[1] > INT32_MAX)
        return script_error(L, s, "png: want u8 [H,W] or [H,W,channels]");
    evla_picture p = {.data = t->data[0],
                      .row_bytes = t->stride[0],
                      .width = (int32_t)t->shape[1],
                      .height = (int32_t)t->shape[0],
                      .channels = t->rank == 3 ? (int32_t)t->shape[2] : 1,
                      .bits = 8};
    host h;
    host_init(&h, s->cx, NULL);
    arena_place mark = arena_mark(&s->cx->scratch);
    ctx_clear(s->cx);
    int32_t st = image->png_write(&h.table, path, &p);
    host_done(&h, mark);
    return st < 0 ? script_throw(L, s) : 0;
}

/* ---- putting it in ---- */

static void metatable(lua_State *L, const char *name, const luaL_Reg *slots)
{
    luaL_newmetatable(L, name);
    luaL_setfuncs(L, slots, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

void bind_record_open(lua_State *L, script *s)
{
    static const luaL_Reg tensor[] = {{"__index", l_tensor_index},
                                      {"__len", l_tensor_len},
                                      {"__tostring", l_tensor_text},
                                      {NULL, NULL}};
    static const luaL_Reg methods[] = {{"stats", l_tensor_stats},
                                       {"off", l_tensor_off},
                                       {"list", l_tensor_list},
                                       {"slice", l_tensor_slice},
                                       {NULL, NULL}};
    static const luaL_Reg record[] = {
        {"__index", l_record_index}, {"__gc", l_record_gc}, {NULL, NULL}};
    static const luaL_Reg reader[] = {{"__index", l_set_index},
                                      {"__len", l_set_len},
                                      {"__tostring", l_set_text},
                                      {"__gc", l_set_gc},
                                      {NULL, NULL}};
    (void)s;
    metatable(L, "evla.tensor", tensor);
    metatable(L, "evla.record", record);
    metatable(L, "evla.set", reader);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, "evla.tensor methods");
    luaL_setfuncs(L, methods, 0);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "evla.core");
    lua_pushcfunction(L, l_records);
    lua_setfield(L, -2, "source");
    lua_newtable(L);
    lua_pushcfunction(L, l_strip);
    lua_setfield(L, -2, "strip");
    lua_pushcfunction(L, l_png);
    lua_setfield(L, -2, "png");
    lua_setfield(L, -2, "image");
    lua_settop(L, 0);
}
