/*
 * join.c -- joins stored episodes into shards and writes the index.
 *
 * Reads: parts, and shards that no longer fit the plan.  Writes: shards, index; removes
 * what they replace, in the order that sink.c's invariant asks for.
 */
#include "commit.h"
#include "sink.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct plan {
    int64_t *first; /* shard i holds episodes first[i] .. first[i + 1] - 1 of the list */
    int32_t n;
    int32_t reserved;
} plan;

/* Fills shards in order of ids: a shard is full when the next episode would not fit. */
static int32_t make_plan(const evla_host *h, sink *k, plan *p)
{
    int64_t base = 8192,
            used; /* attributes of data; each episode's link and places in masks */
    for (int32_t i = 0; i < k->s.schema->n_attrs; i++)
        base += 256 + (int64_t)strlen(
                          k->s.schema->attrs[i].text ? k->s.schema->attrs[i].text : "");
    used = base;
    p->first = pool_push(&k->mem, (uint64_t)k->n + 2, sizeof *p->first);
    if (!p->first) return say_nomem(h, "a plan of shards");
    p->n = 1;
    for (int64_t i = 0; i < k->n; i++) {
        int64_t bytes = k->e[i].bytes + 160;
        if (used > base && used > k->s.p.shard - bytes) {
            if (p->n == SINK_MAX_SHARDS)
                return say(h, EVLA_E_LIMIT,
                           "hdf5: %s: wants more than %d shards; make shard larger",
                           k->path, SINK_MAX_SHARDS);
            p->first[p->n++] = i;
            used = base;
        }
        used += bytes;
    }
    p->first[p->n] = k->n;
    return EVLA_OK;
}

static const char *planned_path(const sink *k, const plan *p, int32_t i, char *out,
                                size_t size)
{
    if (p->n > 1) return sink_shard_path(k, i, out, size);
    snprintf(out, size, "%s", k->path);
    return out;
}

/* The number of the shard file that already is what the plan wants; -1: none. */
static int32_t find_current(const sink *k, const plan *p, int32_t i)
{
    char path[PATH_MAX];
    int64_t n = p->first[i + 1] - p->first[i];
    planned_path(k, p, i, path, sizeof path);
    for (int32_t s = 0; s < k->n_shards; s++) {
        if (strcmp(k->shards[s].path, path) != 0 || k->shards[s].n != n ||
            k->shards[s].valid != k->s.p.valid)
            continue;
        int64_t j = p->first[i];
        while (j < p->first[i + 1] && k->e[j].shard == s)
            j++;
        return j == p->first[i + 1] ? s : -1;
    }
    return -1;
}

typedef struct origin {
    const sink *k;
    const stored *e;
} origin;

static const char *origin_path(void *self, int32_t i, char *buffer, size_t size)
{
    const origin *o = self;
    const stored *e = &o->e[i];
    if (e->shard < 0) return sink_part_path(o->k, e->id, buffer, size);
    return o->k->shards[e->shard].path;
}

/* Episodes of a shard that the plan has no place for become parts again; then it goes. */
static int32_t dissolve(const evla_host *h, sink *k, int32_t s)
{
    char path[PATH_MAX];
    for (int64_t i = 0; i < k->n; i++) {
        if (k->e[i].shard != s) continue;
        origin o = {k, &k->e[i]};
        shard_source from = {&o, origin_path};
        int32_t st = shard_write(h, &k->s, sink_part_path(k, k->e[i].id, path, sizeof path),
                                 &k->e[i], 1, &from);
        if (st) return st;
        k->e[i].shard = -1;
    }
    return sink_remove(h, k->shards[s].path);
}

/* One planned shard from its parts, which go once it is committed. */
static int32_t assemble(const evla_host *h, sink *k, const plan *p, int32_t i)
{
    char path[PATH_MAX], part[PATH_MAX];
    stored *e = k->e + p->first[i];
    int32_t n = (int32_t)(p->first[i + 1] - p->first[i]);
    origin o = {k, e};
    shard_source from = {&o, origin_path};
    int32_t st =
        shard_write(h, &k->s, planned_path(k, p, i, path, sizeof path), e, n, &from);
    if (!st) st = sink_add_shard(h, k, path, k->s.p.valid);
    if (st) return st;
    k->shards[k->n_shards - 1].is_current = 1;
    k->shards[k->n_shards - 1].n = n;
    for (int32_t j = 0; j < n; j++) {
        st = sink_remove(h, sink_part_path(k, e[j].id, part, sizeof part));
        if (st) return st;
        e[j].shard = k->n_shards - 1;
    }
    return EVLA_OK;
}

static const char *link_name(void *self, int32_t shard, char *buffer, size_t size)
{
    const sink *k = self;
    (void)buffer, (void)size;
    return base_name(k->shards[shard].path);
}

int32_t join_shards(const evla_host *h, sink *k)
{
    plan p = {NULL, 0, 0};
    int32_t st = make_plan(h, k, &p), n_old = k->n_shards;
    if (st) return st;
    for (int32_t i = 0; i < p.n; i++) {
        int32_t s = find_current(k, &p, i);
        if (s >= 0) k->shards[s].is_current = 1;
    }
    for (int32_t s = 0; !st && s < n_old; s++)
        if (!k->shards[s].is_current) st = dissolve(h, k, s);
    for (int32_t i = 0; !st && i < p.n; i++)
        if (find_current(k, &p, i) < 0) st = assemble(h, k, &p, i);
    if (!st && p.n > 1) {
        shard_source links = {k, link_name};
        st = index_write(h, &k->s, k->path, k->e, (int32_t)k->n, &links);
    }
    if (st) return st;
    k->is_finished = p.n;
    if (rmdir(k->parts) && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT)
        return commit_fail(h, k->parts, "remove the folder", errno);
    return EVLA_OK;
}
