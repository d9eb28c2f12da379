/*
 * found.c -- what earlier runs of a sink left: committed parts and shards, and what they
 * broke off.
 *
 * Reads: the folder of the dataset and that of its parts.  Writes: the sink's list; removes
 * temporary files and doubled parts; sets damaged parts aside, never removing them.
 */
#include "commit.h"
#include "reader.h"
#include "sink.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a host that only remembers what went wrong ------------------------------------ */

typedef struct quiet_host {
    evla_host h;
    char why[1024];
} quiet_host;

static int32_t quiet_fail(const evla_host *h, int32_t code, const char *sentence)
{
    quiet_host *q = (quiet_host *)(uintptr_t)h;
    if (!q->why[0]) snprintf(q->why, sizeof q->why, "%s", sentence);
    return code;
}

/* ---- names ------------------------------------------------------------------------- */

/* "demo_12.hdf5" is 12; -1: another name. */
static int64_t part_id(const char *name)
{
    long long id = -1;
    char again[64];
    if (strlen(name) > 40 || sscanf(name, "demo_%lld.hdf5", &id) != 1 || id < 0) return -1;
    snprintf(again, sizeof again, "demo_%lld.hdf5", id);
    return strcmp(name, again) ? -1 : id;
}

/* "demos-0003.hdf5" is 3; -1: another name. */
static int32_t shard_number(const sink *k, const char *name)
{
    const char *base = base_name(k->stem);
    size_t n = strlen(base);
    int32_t number = 0;
    if (strlen(name) != n + 10 || strncmp(name, base, n) != 0 || name[n] != '-' ||
        strcmp(name + n + 5, ".hdf5") != 0)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = name[n + 1 + (size_t)i];
        if (c < '0' || c > '9') return -1;
        number = number * 10 + (c - '0');
    }
    return number;
}

/* ---- what earlier runs left -------------------------------------------------------- */

static int32_t refuse_foreign(const evla_host *h, const sink *k, const char *path)
{
    (void)k;
    return say(
        h, EVLA_E_EXISTS,
        "hdf5: %s exists, and was not written by this job with these parameters; move it "
        "away, or give the stage another path",
        path);
}

/* Layout id and fraction from the attributes of `data`. */
static bool is_ours(const sink *k, const reader *r, double *valid)
{
    int32_t n;
    bool is_same = false;
    const evla_attr *a = reader_attrs(r, &n);
    for (int32_t i = 0; i < n; i++) {
        if (!strcmp(a[i].name, "evla_layout") && a[i].type == EVLA_ATTR_TEXT)
            is_same = !strcmp(a[i].text, k->s.layout_id);
        if (!strcmp(a[i].name, "valid_fraction") && a[i].type == EVLA_ATTR_FLOAT)
            *valid = a[i].number;
    }
    return is_same;
}

static int32_t note_demo(const evla_host *h, const evla_host *quiet, sink *k, reader *r,
                         int64_t i, int32_t shard)
{
    const reader_demo *d;
    int32_t st = reader_get(quiet, r, i, &d);
    if (st) return st;
    stored one = {.id = d->id,
                  .n_samples = d->n_samples,
                  .bytes = d->stored_bytes,
                  .success = -1,
                  .shard = shard};
    for (int32_t a = 0; a < d->n_attrs; a++)
        if (!strcmp(d->attrs[a].name, "success") && d->attrs[a].type == EVLA_ATTR_INT)
            one.success = d->attrs[a].integer != 0;
    if (one.n_samples < 0 || one.bytes < 0) return EVLA_E_FORMAT;
    return sink_add(h, k, one);
}

/* A file at path, or at a shard's name: ours, or the job is refused. */
static int32_t scan_shard(const evla_host *h, sink *k, const char *path)
{
    double valid = -1;
    reader *r;
    int32_t st = reader_open(h, path, NULL, &r);
    if (st == EVLA_E_MISSING) return st;
    if (st) return st;
    if (!is_ours(k, r, &valid)) {
        st = refuse_foreign(h, k, path);
    } else if (!reader_is_index(r)) {
        st = sink_add_shard(h, k, path, valid);
        for (int64_t i = 0; !st && i < reader_count(r); i++) {
            if (sink_find(k, reader_id(r, i))) continue; /* in an earlier shard too */
            st = note_demo(h, h, k, r, i, k->n_shards - 1);
            k->shards[k->n_shards - 1].n++;
            if (st)
                say(h, st, "hdf5: %s: demo_%lld is not as this plugin writes it", path,
                    (long long)reader_id(r, i));
        }
    }
    reader_close(r);
    return st;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a folder in order; n is -1 when it cannot be read. */
static char **list_folder(pool *mem, const char *folder, int64_t *n)
{
    DIR *d = opendir(folder);
    char **names = NULL;
    int64_t max = 0;
    *n = d ? 0 : -1;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (*n == max) {
            char **grown =
                pool_push(mem, (uint64_t)(max = max ? max * 2 : 256), sizeof *grown);
            if (!grown) break;
            if (*n) memcpy(grown, names, (size_t)*n * sizeof *grown);
            names = grown;
        }
        names[*n] = pool_text(mem, "%s", e->d_name);
        *n += names[*n] != NULL;
    }
    if (d) closedir(d);
    if (*n > 0) qsort(names, (size_t)*n, sizeof *names, by_text);
    return names;
}

static int32_t scan_shards(const evla_host *h, sink *k)
{
    char folder[PATH_MAX], path[PATH_MAX];
    const char *base = base_name(k->path);
    pool mem = {0};
    int64_t n;
    int32_t st = EVLA_OK;
    snprintf(folder, sizeof folder, "%.*s", (int)folder_length(k->path), k->path);
    char **names = list_folder(&mem, folder, &n);
    if (n < 0) st = commit_fail(h, folder, "list the folder", errno);
    if (!st && access(k->path, F_OK) == 0) st = scan_shard(h, k, k->path);
    for (int64_t i = 0; !st && i < n; i++) {
        size_t m = strlen(names[i]), tail = strlen(COMMIT_TAIL);
        if ((size_t)snprintf(path, sizeof path, "%s%s", folder, names[i]) >= sizeof path)
            continue;
        if (shard_number(k, names[i]) >= 0) {
            st = scan_shard(h, k, path);
        } else if (m > tail && ends_in(names[i], COMMIT_TAIL)) {
            names[i][m - tail] = 0;
            if (strcmp(names[i], base) != 0 && shard_number(k, names[i]) < 0) continue;
            st = sink_remove(h, path);
            k->n_cleaned++;
        }
    }
    pool_free(&mem);
    return st;
}

/* One committed part. One that cannot be read is set aside, never removed. */
static int32_t scan_part(const evla_host *h, sink *k, int64_t id)
{
    char path[PATH_MAX], aside[PATH_MAX + 16];
    double valid;
    quiet_host q = {.h = *h};
    reader *r;
    q.h.fail = quiet_fail;
    sink_part_path(k, id, path, sizeof path);
    if (sink_find(k, id)) { /* a kill came between the shard's rename and this */
        k->n_cleaned++;
        return sink_remove(h, path);
    }
    int32_t st = reader_open(&q.h, path, NULL, &r);
    if (st == EVLA_E_NOMEM || st == EVLA_E_IO) return say(h, st, "%s", q.why);
    if (!st && !is_ours(k, r, &valid)) {
        reader_close(r);
        return refuse_foreign(h, k, path);
    }
    if (!st && (reader_count(r) != 1 || reader_id(r, 0) != id)) st = EVLA_E_FORMAT;
    if (!st) st = note_demo(h, &q.h, k, r, 0, -1);
    reader_close(r);
    if (st != EVLA_E_FORMAT) return st ? say(h, st, "%s", q.why) : EVLA_OK;
    snprintf(aside, sizeof aside, "%s.damaged", path);
    if (rename(path, aside)) return commit_fail(h, path, "set it aside", errno);
    k->n_damaged++;
    tell(h, EVLA_LOG_WARN, "%s; set aside as %s, the episode is made anew",
         q.why[0] ? q.why : path, base_name(aside));
    return EVLA_OK;
}

static int32_t scan_parts(const evla_host *h, sink *k)
{
    char path[PATH_MAX];
    pool mem = {0};
    int64_t n;
    int32_t st = EVLA_OK;
    char **names = list_folder(&mem, k->parts, &n);
    if (n < 0) st = commit_fail(h, k->parts, "list the folder", errno);
    for (int64_t i = 0; !st && i < n; i++) {
        if (part_id(names[i]) >= 0) {
            st = scan_part(h, k, part_id(names[i]));
        } else if (ends_in(names[i], ".hdf5" COMMIT_TAIL) &&
                   (size_t)snprintf(path, sizeof path, "%s/%s", k->parts, names[i]) <
                       sizeof path) {
            st = sink_remove(h, path);
            k->n_cleaned++;
        }
    }
    pool_free(&mem);
    return st;
}

int32_t found_scan(const evla_host *h, sink *k)
{
    int32_t st = scan_shards(h, k);
    return st ? st : scan_parts(h, k);
}
