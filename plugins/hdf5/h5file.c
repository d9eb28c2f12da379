/*
 * h5file.c -- superblock, object headers, links and attributes: see h5file.h.
 *
 * Reads: one file, by pread, never mapped, since a file cut short under a map is a SIGBUS.
 * Every number from the file is used only after a check against the file's size; every loop
 * is bounded by the walk's budget; every descent by a level that the parent prescribes.
 */
#include "h5file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUDGET = 1 << 20, /* bytes of structure one task may read, and 16 times the file */
    MAX_MESSAGES = 1 << 20,
    MAX_BLOCKS = 4096 /* continuations of one object header */
};

enum {
    M_SPACE = 1,
    M_LINK_INFO = 2,
    M_TYPE = 3,
    M_LINK = 6,
    M_ATTR = 12,
    M_CONTINUE = 16,
    M_SYMBOLS = 17,
    M_ATTR_INFO = 21,
    SHARED = 2
};

static const uint8_t magic[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

/* ---- sentences --------------------------------------------------------------------- */

int32_t h5file_damaged(h5walk *w, const char *what, uint64_t at)
{
    return say(w->h, EVLA_E_FORMAT,
               "hdf5: %s: %s at byte %llu of %llu: the file is damaged or cut short; copy "
               "it again "
               "or make it anew",
               w->f->path, what, (unsigned long long)at, (unsigned long long)w->f->size);
}

int32_t h5file_unknown(h5walk *w, const char *format, ...)
{
    char what[128];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    return say(w->h, EVLA_E_FORMAT,
               "hdf5: %s: found %s, want what h5py writes by default; convert it with "
               "h5repack -f NONE --low=0 --high=1 OLD NEW",
               w->f->path, what);
}

/* ---- bytes ------------------------------------------------------------------------- */

uint64_t cursor_get(cursor *c, uint32_t n_bytes)
{
    uint64_t x = 0;
    if ((uint64_t)(c->end - c->p) < n_bytes) {
        c->is_short = true;
        c->p = c->end;
        return 0;
    }
    for (uint32_t i = 0; i < n_bytes && i < 8; i++)
        x |= (uint64_t)c->p[i] << 8 * i;
    c->p += n_bytes;
    return x;
}

const uint8_t *cursor_take(cursor *c, uint64_t n_bytes)
{
    const uint8_t *p = c->p;
    if ((uint64_t)(c->end - c->p) < n_bytes) {
        c->is_short = true;
        c->p = c->end;
        return NULL;
    }
    c->p += n_bytes;
    return p;
}

/* n bytes, of which those before the first NUL are kept. NULL when cut short or out of
 * memory. */
const char *cursor_text(h5walk *w, cursor *c, uint64_t n_bytes)
{
    const uint8_t *p = cursor_take(c, n_bytes);
    const uint8_t *nul = p && n_bytes ? memchr(p, 0, n_bytes) : NULL;
    uint64_t n = nul ? (uint64_t)(nul - p) : n_bytes;
    char *text = p ? pool_push(w->mem, n + 1, 1) : NULL;
    if (text && n) memcpy(text, p, n);
    return text;
}

int32_t h5file_read(const evla_host *h, const h5file *f, uint64_t at, uint64_t n, void *out)
{
    uint8_t *to = out;
    if (at > f->size - f->base || n > f->size - f->base - at)
        return say(h, EVLA_E_FORMAT,
                   "hdf5: %s: %llu bytes wanted at %llu, but there are %llu: it is damaged "
                   "or cut short; copy it again or make it anew",
                   f->path, (unsigned long long)n, (unsigned long long)at,
                   (unsigned long long)(f->size - f->base));
    at += f->base;
    while (n) {
        ssize_t got = pread(f->fd, to, n, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0)
            return say(h, EVLA_E_IO, "hdf5: %s: could not read %llu bytes at %llu (%s)",
                       f->path, (unsigned long long)n, (unsigned long long)at,
                       got ? strerror(errno) : "it was cut short meanwhile");
        to += got, at += (uint64_t)got, n -= (uint64_t)got;
    }
    return EVLA_OK;
}

cursor h5file_at(h5walk *w, uint64_t at, uint64_t n)
{
    cursor none = {NULL, NULL, true};
    if (at > w->f->size || n > w->f->size) {
        h5file_damaged(w, "an address past the end", at);
        return none;
    }
    w->budget -= (int64_t)n + 64;
    if (w->budget < 0) {
        h5file_damaged(w, "structure without end", at);
        return none;
    }
    uint8_t *p = pool_push(w->mem, n + 1, 1);
    if (!p) {
        say_nomem(w->h, w->f->path);
        return none;
    }
    if (h5file_read(w->h, w->f, at, n, p)) return none;
    return (cursor){p, p + n, false};
}

bool h5file_is_nowhere(const h5file *f, uint64_t at)
{
    return at ==
           (f->offset_bytes == 8 ? UINT64_MAX : ((uint64_t)1 << 8 * f->offset_bytes) - 1);
}

/* Bob Jenkins's lookup3 (hashlittle, start 0), the format's metadata checksum. */
static uint32_t rotate(uint32_t x, int k) { return x << k | x >> (32 - k); }

static uint32_t lookup3(const uint8_t *k, uint64_t n)
{
    uint32_t a = 0xdeadbeef + (uint32_t)n, b = a, c = a;
    uint8_t tail[12] = {0};
    for (; n > 12; n -= 12, k += 12) {
        a += (uint32_t)k[0] | (uint32_t)k[1] << 8 | (uint32_t)k[2] << 16 |
             (uint32_t)k[3] << 24;
        b += (uint32_t)k[4] | (uint32_t)k[5] << 8 | (uint32_t)k[6] << 16 |
             (uint32_t)k[7] << 24;
        c += (uint32_t)k[8] | (uint32_t)k[9] << 8 | (uint32_t)k[10] << 16 |
             (uint32_t)k[11] << 24;
        a -= c, a ^= rotate(c, 4), c += b;
        b -= a, b ^= rotate(a, 6), a += c;
        c -= b, c ^= rotate(b, 8), b += a;
        a -= c, a ^= rotate(c, 16), c += b;
        b -= a, b ^= rotate(a, 19), a += c;
        c -= b, c ^= rotate(b, 4), b += a;
    }
    if (!n) return c;
    memcpy(tail, k, n);
    k = tail;
    a += (uint32_t)k[0] | (uint32_t)k[1] << 8 | (uint32_t)k[2] << 16 | (uint32_t)k[3] << 24;
    b += (uint32_t)k[4] | (uint32_t)k[5] << 8 | (uint32_t)k[6] << 16 | (uint32_t)k[7] << 24;
    c += (uint32_t)k[8] | (uint32_t)k[9] << 8 | (uint32_t)k[10] << 16 |
         (uint32_t)k[11] << 24;
    c ^= b, c -= rotate(b, 14);
    a ^= c, a -= rotate(c, 11);
    b ^= a, b -= rotate(a, 25);
    c ^= b, c -= rotate(b, 16);
    a ^= c, a -= rotate(c, 4);
    b ^= a, b -= rotate(a, 14);
    c ^= b, c -= rotate(b, 24);
    return c;
}

bool h5file_is(const uint8_t *p, const char *mark) { return memcmp(p, mark, 4) == 0; }

bool h5file_is_sealed(const uint8_t *p, uint64_t n)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    return n >= 4; /* else fuzzing would never get past a checksum */
#endif
    if (n < 4) return false;
    cursor c = {p + n - 4, p + n, false};
    return lookup3(p, n - 4) == (uint32_t)cursor_get(&c, 4);
}

/* ---- superblock -------------------------------------------------------------------- */

static int32_t superblock(h5walk *w, h5file *f, cursor c)
{
    const uint8_t *start = c.p;
    uint64_t version, end;
    cursor_take(&c, sizeof magic);
    version = cursor_get(&c, 1);
    if (version > 3) return h5file_unknown(w, "a superblock newer than version 3");
    if (version < 2) cursor_take(&c, 4);
    f->offset_bytes = (uint8_t)cursor_get(&c, 1);
    f->length_bytes = (uint8_t)cursor_get(&c, 1);
    if ((f->offset_bytes != 4 && f->offset_bytes != 8) ||
        (f->length_bytes != 4 && f->length_bytes != 8))
        return h5file_damaged(w, "addresses of odd size", 13);
    cursor_take(&c, version == 0 ? 9 : version == 1 ? 13 : 1);
    uint64_t base = cursor_get(&c, f->offset_bytes);
    cursor_get(&c, f->offset_bytes);
    end = cursor_get(&c, f->offset_bytes);
    if (version < 2) {
        cursor_get(&c, f->offset_bytes); /* driver information */
        cursor_get(&c, f->offset_bytes); /* name of the root entry */
    }
    f->root = cursor_get(&c, f->offset_bytes);
    if (c.is_short ||
        (version >= 2 && !h5file_is_sealed(start, (uint64_t)(c.p - start) + 4)))
        return h5file_damaged(w, "a superblock that fails its checks", 0);
    if (base != f->base)
        return h5file_damaged(w, "a superblock that says it lies elsewhere", f->base);
    if (end > f->size) /* counted from the file's first byte, unlike addresses */
        return say(
            w->h, EVLA_E_FORMAT,
            "hdf5: %s: has %llu bytes, but was written with %llu: it is cut short; copy it "
            "again or make it anew",
            f->path, (unsigned long long)f->size, (unsigned long long)end);
    return EVLA_OK;
}

int32_t h5file_open(const evla_host *h, const char *path, h5file *f)
{
    struct stat st;
    uint8_t head[128] = {0};
    pool mem = {0};
    *f = (h5file){.path = path, .fd = -1, .offset_bytes = 8, .length_bytes = 8};
    f->fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not make us wait */
    if (f->fd < 0 || fstat(f->fd, &st))
        return say(h, errno == ENOENT ? EVLA_E_MISSING : EVLA_E_IO,
                   "hdf5: %s: cannot be opened (%s)", path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return say(h, EVLA_E_FORMAT, "hdf5: %s: is not a file", path);
    f->size = (uint64_t)st.st_size;
    h5walk w = h5file_walk(h, f, &mem);
    for (uint64_t at = 0; at + sizeof magic <= f->size; at = at ? at * 2 : 512) {
        uint64_t n = f->size - at < sizeof head ? f->size - at : sizeof head;
        int32_t bad = h5file_read(h, f, at, n, head);
        if (bad) return bad;
        if (memcmp(head, magic, sizeof magic) != 0) continue;
        f->base = at;
        return superblock(&w, f, (cursor){head, head + n, false});
    }
    return say(h, EVLA_E_FORMAT,
               "hdf5: %s: is no HDF5 file (%llu bytes without its signature); want "
               "a dataset in robomimic's layout",
               path, (unsigned long long)f->size);
}

void h5file_close(h5file *f)
{
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
}

h5walk h5file_walk(const evla_host *h, const h5file *f, pool *mem)
{
    return (h5walk){h, f, mem,
                    BUDGET +
                        (int64_t)(f->size < (uint64_t)1 << 32 ? f->size * 16 : f->size)};
}

/* ---- object headers ---------------------------------------------------------------- */

static int32_t push_message(h5walk *w, h5object *o, h5message m)
{
    if (o->n == o->max) {
        int32_t max = o->max ? o->max * 2 : 32;
        h5message *grown =
            max > MAX_MESSAGES ? NULL : pool_push(w->mem, (uint64_t)max, sizeof m);
        if (!grown) return h5file_damaged(w, "an object with too many messages", o->at);
        if (o->n) memcpy(grown, o->message, (size_t)o->n * sizeof m);
        o->message = grown;
        o->max = max;
    }
    o->message[o->n++] = m;
    return EVLA_OK;
}

static int32_t read_messages(h5walk *w, h5object *o, cursor c, int version, bool has_order)
{
    uint32_t head = version == 1 ? 8 : has_order ? 6 : 4;
    while (c.end - c.p >= (ptrdiff_t)head) { /* version 2 may end in a gap */
        h5message m = {.type = (uint16_t)cursor_get(&c, version == 1 ? 2 : 1)};
        m.bytes = (uint32_t)cursor_get(&c, 2);
        m.flags = (uint16_t)cursor_get(&c, 1);
        cursor_take(&c, version == 1 ? 3 : has_order ? 2 : 0);
        m.body = cursor_take(&c, m.bytes);
        if (!m.body) return h5file_damaged(w, "a message longer than its object", o->at);
        int32_t st = m.type ? push_message(w, o, m) : EVLA_OK; /* 0: nothing, padding */
        if (st) return st;
    }
    return EVLA_OK;
}

static int32_t read_continuations(h5walk *w, h5object *o, int version, bool has_order)
{
    int blocks = 0;
    for (int32_t i = 0; i < o->n; i++) {
        if (o->message[i].type != M_CONTINUE) continue;
        cursor m = {o->message[i].body, o->message[i].body + o->message[i].bytes, false};
        uint64_t at = cursor_get(&m, w->f->offset_bytes),
                 n = cursor_get(&m, w->f->length_bytes);
        if (m.is_short || ++blocks > MAX_BLOCKS)
            return h5file_damaged(w, "an object continued without end", o->at);
        cursor c = h5file_at(w, at, n);
        if (!c.p) return EVLA_E_FORMAT;
        if (version == 2) {
            if (n < 8 || !h5file_is(c.p, "OCHK") || !h5file_is_sealed(c.p, n))
                return h5file_damaged(w, "part of an object that fails its checks", at);
            c.p += 4, c.end -= 4;
        }
        int32_t st = read_messages(w, o, c, version, has_order);
        if (st) return st;
    }
    return EVLA_OK;
}

static int32_t object_v2(h5walk *w, uint64_t at, h5object *out, cursor c)
{
    const uint8_t *start = c.p;
    cursor_take(&c, 4);
    uint64_t version = cursor_get(&c, 1), flags = cursor_get(&c, 1);
    cursor_take(&c, (flags & 32 ? 16 : 0) + (flags & 16 ? 4 : 0));
    uint64_t n = cursor_get(&c, 1u << (flags & 3)), head = (uint64_t)(c.p - start);
    if (version != 2 || c.is_short || n > w->f->size)
        return h5file_damaged(w, "no object header", at);
    c = h5file_at(w, at, head + n + 4);
    if (!c.p) return EVLA_E_FORMAT;
    if (!h5file_is_sealed(c.p, head + n + 4))
        return h5file_damaged(w, "an object header that fails its checksum", at);
    c.p += head, c.end -= 4;
    int32_t st = read_messages(w, out, c, 2, flags & 4);
    return st ? st : read_continuations(w, out, 2, flags & 4);
}

int32_t h5file_object(h5walk *w, uint64_t at, h5object *out)
{
    uint64_t room = at < w->f->size - w->f->base ? w->f->size - w->f->base - at : 0;
    *out = (h5object){.at = at};
    if (room < 16) return h5file_damaged(w, "an object past the end", at);
    cursor c = h5file_at(w, at, room < 64 ? room : 64);
    if (!c.p) return EVLA_E_FORMAT;
    if (h5file_is(c.p, "OHDR")) return object_v2(w, at, out, c);
    uint64_t version = cursor_get(&c, 1);
    cursor_take(&c, 7);
    uint64_t n = cursor_get(&c, 4);
    if (version != 1 || n > room - 16) return h5file_damaged(w, "no object header", at);
    c = h5file_at(w, at + 16, n);
    if (!c.p) return EVLA_E_FORMAT;
    int32_t st = read_messages(w, out, c, 1, false);
    return st ? st : read_continuations(w, out, 1, false);
}

const h5message *h5file_message(const h5object *o, uint16_t type)
{
    for (int32_t i = 0; i < o->n; i++)
        if (o->message[i].type == type) return &o->message[i];
    return NULL;
}

static cursor body(const h5message *m)
{
    return (cursor){m->body, m->body + m->bytes, false};
}

/* ---- links ------------------------------------------------------------------------- */

int32_t h5file_link_message(h5walk *w, cursor c, h5links *out)
{
    h5link l = {.kind = H5_HARD};
    uint64_t version = cursor_get(&c, 1), flags = cursor_get(&c, 1);
    if (flags & 8) l.kind = (int32_t)cursor_get(&c, 1);
    if (flags & 4) cursor_take(&c, 8);
    if (flags & 16) cursor_take(&c, 1);
    l.name = cursor_text(w, &c, cursor_get(&c, 1u << (flags & 3)));
    if (version != 1 || !l.name)
        return h5file_damaged(w, "a link that cannot be read in a group", 0);
    if (l.kind == H5_HARD) {
        l.at = cursor_get(&c, w->f->offset_bytes);
    } else {
        uint64_t n = cursor_get(&c, 2);
        if (l.kind == H5_EXTERNAL) {
            cursor_take(&c, 1);
            n -= n > 0;
            cursor rest = c;
            l.file = cursor_text(w, &rest, n);
            uint64_t used = l.file ? strlen(l.file) + 1 : 0;
            if (l.file && used < n) {
                cursor_take(&c, used);
                l.target = cursor_text(w, &c, n - used);
            }
            if (!l.target)
                return h5file_damaged(w, "an external link that cannot be read", 0);
        } else {
            l.target = cursor_text(w, &c, n);
        }
    }
    if (c.is_short) return h5file_damaged(w, "a link that is cut short", 0);
    if (out->n == out->max) {
        int64_t max = out->max ? out->max * 2 : 32;
        h5link *grown = pool_push(w->mem, (uint64_t)max, sizeof l);
        if (!grown) return say_nomem(w->h, w->f->path);
        if (out->n) memcpy(grown, out->link, (size_t)out->n * sizeof l);
        out->link = grown;
        out->max = max;
    }
    out->link[out->n++] = l;
    return EVLA_OK;
}

static int32_t link_each(h5walk *w, cursor object, void *data)
{
    return h5file_link_message(w, object, data);
}

int32_t h5file_links(h5walk *w, const h5object *o, h5links *out)
{
    const h5message *old = h5file_message(o, M_SYMBOLS),
                    *info = h5file_message(o, M_LINK_INFO);
    *out = (h5links){0};
    if (old) {
        cursor c = body(old);
        uint64_t tree = cursor_get(&c, w->f->offset_bytes),
                 heap = cursor_get(&c, w->f->offset_bytes);
        return c.is_short ? h5file_damaged(w, "a group that is cut short", o->at)
                          : h5tree_old_group(w, tree, heap, out);
    }
    if (!info) return EVLA_E_MISSING;
    cursor c = body(info);
    cursor_take(&c, 1);
    if (cursor_get(&c, 1) & 1) cursor_take(&c, 8);
    uint64_t heap = cursor_get(&c, w->f->offset_bytes),
             tree = cursor_get(&c, w->f->offset_bytes);
    if (c.is_short) return h5file_damaged(w, "a group that is cut short", o->at);
    for (int32_t i = 0; i < o->n; i++) {
        int32_t st = o->message[i].type == M_LINK
                         ? h5file_link_message(w, body(&o->message[i]), out)
                         : EVLA_OK;
        if (st) return st;
    }
    /* a record of the name index is a hash of 4 bytes and the heap's id */
    return h5file_is_nowhere(w->f, heap) ? EVLA_OK
                                         : h5tree_dense(w, heap, tree, 4, link_each, out);
}

/* ---- attributes -------------------------------------------------------------------- */

/* Fills a's value from the first element at c. False: not a number or text we know. */
static int32_t attr_value(h5walk *w, const h5type *t, cursor c, evla_attr *a,
                          bool *is_known)
{
    *is_known = true;
    if (t->dtype == H5_TEXT) {
        a->type = EVLA_ATTR_TEXT;
        if (!t->is_variable) {
            a->text = cursor_text(w, &c, t->bytes);
            return a->text ? EVLA_OK
                           : h5file_damaged(w, "an attribute that is cut short", 0);
        }
        uint64_t n = cursor_get(&c, 4), heap = cursor_get(&c, w->f->offset_bytes);
        uint32_t index = (uint32_t)cursor_get(&c, 4);
        if (c.is_short) return h5file_damaged(w, "an attribute that is cut short", 0);
        a->text = "";
        return n == 0 || index == 0 ? EVLA_OK
                                    : h5tree_heap_text(w, heap, index, n, &a->text);
    }
    if (t->is_big_endian || t->bytes < 1 || t->bytes > 8 ||
        (uint64_t)(c.end - c.p) < t->bytes) {
        *is_known = false;
        return EVLA_OK;
    }
    uint64_t x = cursor_get(&c, t->bytes);
    uint32_t word = (uint32_t)x, unused = 64 - 8 * t->bytes;
    float f;
    a->type = EVLA_ATTR_INT;
    switch (t->dtype) {
    case EVLA_I8:
    case EVLA_I16:
    case EVLA_I32:
    case EVLA_I64:
        a->integer = (int64_t)(x << unused) >> unused; /* the sign */
        break;
    case EVLA_BOOL:
    case EVLA_U8:
    case EVLA_U16:
    case EVLA_U32:
    case EVLA_U64:
        a->integer = (int64_t)x;
        break;
    case EVLA_F32:
        a->type = EVLA_ATTR_FLOAT;
        memcpy(&f, &word, sizeof f);
        a->number = f;
        break;
    case EVLA_F64:
        a->type = EVLA_ATTR_FLOAT;
        memcpy(&a->number, &x, sizeof a->number);
        break;
    default:
        *is_known = false;
    }
    return EVLA_OK;
}

int32_t h5file_attr_message(h5walk *w, cursor c, h5attrs *out)
{
    evla_attr a = {.name = NULL};
    h5type type;
    int64_t shape[8];
    int32_t rank, st;
    bool is_known;
    uint64_t version = cursor_get(&c, 1), flags = cursor_get(&c, 1);
    uint64_t name_n = cursor_get(&c, 2), type_n = cursor_get(&c, 2),
             space_n = cursor_get(&c, 2);
    uint64_t pad = version == 1 ? 7 : 0;
    if (version == 3) cursor_take(&c, 1);
    if (version < 1 || version > 3)
        return h5file_damaged(w, "an attribute of unknown version", 0);
    if (version > 1 && flags & 3)
        return EVLA_OK; /* of a named type: nothing we write or need */
    cursor name = {cursor_take(&c, (name_n + pad) & ~pad), NULL, false};
    cursor dt = {cursor_take(&c, (type_n + pad) & ~pad), NULL, false};
    cursor ds = {cursor_take(&c, (space_n + pad) & ~pad), NULL, false};
    if (!name.p || !dt.p || !ds.p)
        return h5file_damaged(w, "an attribute that is cut short", 0);
    name.end = name.p + name_n, dt.end = dt.p + type_n, ds.end = ds.p + space_n;
    h5file_type(dt, &type);
    if ((st = h5file_space(w, ds, &rank, shape)) != 0) return st;
    for (int32_t i = 0; i < rank; i++)
        if (shape[i] != 1) return EVLA_OK;
    if (rank < 0 || type.dtype == H5_OTHER) return EVLA_OK;
    a.name = cursor_text(w, &name, name_n);
    if (!a.name) return say_nomem(w->h, w->f->path);
    if ((st = attr_value(w, &type, c, &a, &is_known)) != 0 || !is_known) return st;
    if (out->n == out->max) {
        int64_t max = out->max ? out->max * 2 : 16;
        evla_attr *grown = pool_push(w->mem, (uint64_t)max, sizeof a);
        if (!grown) return say_nomem(w->h, w->f->path);
        if (out->n) memcpy(grown, out->attr, (size_t)out->n * sizeof a);
        out->attr = grown;
        out->max = max;
    }
    out->attr[out->n++] = a;
    return EVLA_OK;
}

static int32_t attr_each(h5walk *w, cursor object, void *data)
{
    return h5file_attr_message(w, object, data);
}

int32_t h5file_attrs(h5walk *w, const h5object *o, h5attrs *out)
{
    const h5message *info = h5file_message(o, M_ATTR_INFO);
    *out = (h5attrs){0};
    for (int32_t i = 0; i < o->n; i++) {
        const h5message *m = &o->message[i];
        int32_t st = m->type == M_ATTR && !(m->flags & SHARED)
                         ? h5file_attr_message(w, body(m), out)
                         : EVLA_OK;
        if (st) return st;
    }
    if (!info) return EVLA_OK;
    cursor c = body(info);
    cursor_take(&c, 1);
    if (cursor_get(&c, 1) & 1) cursor_take(&c, 2);
    uint64_t heap = cursor_get(&c, w->f->offset_bytes),
             tree = cursor_get(&c, w->f->offset_bytes);
    if (c.is_short) return h5file_damaged(w, "attributes that are cut short", o->at);
    return h5file_is_nowhere(w->f, heap) ? EVLA_OK
                                         : h5tree_dense(w, heap, tree, 0, attr_each, out);
}
