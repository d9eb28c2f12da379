/*
 * safetensors.c -- the model format "safetensors": maps files to read, one or several by
 * their index, writes them whole.
 *
 * Written files are the same bytes for the same tensors: the header sorted by name, data by
 * element size, widest first, then name, so that every tensor is aligned to its element in
 * a header padded to 8 bytes.
 *
 * Not here: what a header must look like (header.c), an index (index.c).
 */
#include "shards.h"
#include "write.h"
#include <string.h>

static int ends_in(const char *path, const char *ending)
{
    size_t n = strlen(path), k = strlen(ending);
    return n >= k && !strcmp(path + n - k, ending);
}

static int32_t probe(const evla_host *h, const char *path, const void *head, uint64_t n,
                     uint64_t file_bytes)
{
    const uint8_t *p = head;
    uint64_t n_header = 0, at = 9;
    (void)h;
    if (shards_is_json(head, n) && memmem(head, n, "\"weight_map\"", 12)) return 2;
    if (n >= 10 && p[8] == '{') {
        for (int i = 7; i >= 0; i--)
            n_header = n_header << 8 | p[i];
        while (at < n && (p[at] == ' ' || p[at] == '\n'))
            at++;
        if (n_header <= file_bytes - 8 && at < n && (p[at] == '"' || p[at] == '}'))
            return 2;
    }
    return ends_in(path, ".safetensors") || ends_in(path, ".safetensors.index.json");
}

static const evla_format safetensors = {
    .size = sizeof safetensors,
    .endings = ".safetensors",
    .source = "README of https://github.com/huggingface/safetensors",
    .probe = probe,
    .open = shards_open,
    .close = shards_close,
    .write = write_archive,
};
static const evla_item items[] = {
    {.kind = EVLA_FORMAT,
     .name = "safetensors",
     .table = &safetensors,
     .doc = "named tensors behind a JSON header, as PyTorch models are published"},
};
static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .id = "evla.safetensors",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof *items,
};

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
