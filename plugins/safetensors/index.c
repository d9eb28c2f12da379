/*
 * index.c -- reads the index of a model in several files. See index.h.
 */
#include "index.h"
#include "header.h"
#include "json.h"
#include <stdlib.h>
#include <string.h>

#define BAD(...) json_fail(j, EVLA_E_FORMAT, __VA_ARGS__)

/* A file's name is a name and no path: what an index names lies beside it. */
static int32_t check_file(const json *j, const char *file)
{
    char cut[JSON_SHOWN];
    int32_t st = json_name(j, file, "the name of its file");
    if (st < 0) return st;
    if (!*file || strchr(file, '/') || !strcmp(file, ".") || !strcmp(file, ".."))
        return BAD("is said to be in \"%s\"; want the name of a file beside the index",
                   json_shown(file, cut));
    return EVLA_OK;
}

static int32_t read_map(json *j, shard_index *out)
{
    if (!json_take(j, '{')) return json_wanted(j, "the { of weight_map");
    if (json_take(j, '}')) return EVLA_OK;
    do {
        index_entry e = {0};
        int32_t st = json_text(j, "the name of a tensor", &e.tensor);
        if (st >= 0) st = json_name(j, e.tensor, "the name");
        if (st >= 0 && !json_take(j, ':')) st = json_wanted(j, "a colon");
        if (st >= 0) st = json_text(j, "the name of a file", &e.file);
        if (st < 0) return st;
        j->tensor = e.tensor;
        if ((st = check_file(j, e.file)) < 0) return st;
        j->tensor = NULL;
        if (!json_grow(&out->entries, out->n, &out->cap, sizeof e))
            return json_fail(j, EVLA_E_NOMEM, "no memory for its entries");
        out->entries[out->n++] = e;
    } while (json_take(j, ','));
    return json_take(j, '}') ? EVLA_OK : json_wanted(j, "a comma or the } of weight_map");
}

static int32_t read_members(json *j, shard_index *out)
{
    int has_map = 0;
    if (!json_take(j, '{')) return json_wanted(j, "the { of an index");
    if (json_take(j, '}')) return BAD("it has no weight_map");
    do {
        const char *key;
        int32_t st = json_text(j, "metadata or weight_map", &key);
        if (st >= 0 && !json_take(j, ':')) st = json_wanted(j, "a colon");
        if (st < 0) return st;
        int is_map = !strcmp(key, "weight_map");
        if (is_map && has_map++) return BAD("weight_map stands twice");
        st = is_map ? read_map(j, out) : json_skip(j);
        if (st < 0) return st;
    } while (json_take(j, ','));
    if (!json_take(j, '}')) return json_wanted(j, "a comma or the } of the index");
    json_blanks(j);
    if (j->at < j->end) return json_wanted(j, "the end of the file");
    return has_map ? EVLA_OK : BAD("it has no weight_map");
}

static int by_tensor(const void *a, const void *b)
{
    return strcmp(((const index_entry *)a)->tensor, ((const index_entry *)b)->tensor);
}

static int by_file(const void *a, const void *b)
{
    int order = strcmp(((const index_entry *)a)->file, ((const index_entry *)b)->file);
    return order ? order : by_tensor(a, b);
}

static int32_t check_entries(json *j, shard_index *x)
{
    int64_t n_files = 0;
    if (x->n) qsort(x->entries, (size_t)x->n, sizeof *x->entries, by_tensor);
    for (int64_t i = 1; i < x->n; i++)
        if (!strcmp(x->entries[i - 1].tensor, x->entries[i].tensor))
            return j->tensor = x->entries[i].tensor, BAD("the name stands twice");
    if (x->n) qsort(x->entries, (size_t)x->n, sizeof *x->entries, by_file);
    for (int64_t i = 0; i < x->n; i++)
        n_files += !i || strcmp(x->entries[i - 1].file, x->entries[i].file) != 0;
    if (n_files > INDEX_FILES)
        return json_fail(j, EVLA_E_LIMIT, "names %lld files; at most %d are opened",
                         (long long)n_files, INDEX_FILES);
    return EVLA_OK;
}

int32_t index_read(const evla_host *h, const char *path, const void *bytes, uint64_t n,
                   shard_index *out)
{
    json reading = {.h = h, .path = path, .whole = "the file", .file = bytes},
         *j = &reading;
    *out = (shard_index){0};
    if (n > HEADER_MOST)
        return json_fail(j, EVLA_E_LIMIT, "is an index of %llu bytes; want at most %d",
                         (unsigned long long)n, HEADER_MOST);
    j->at = j->file;
    j->end = j->file + n;
    j->text = out->text = malloc((size_t)n + 1);
    if (!j->text) return json_fail(j, EVLA_E_NOMEM, "no memory for its names");
    int32_t st = read_members(j, out);
    return st < 0 ? st : check_entries(j, out);
}

void index_free(shard_index *x)
{
    free(x->entries);
    free(x->text);
    *x = (shard_index){0};
}
