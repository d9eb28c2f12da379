/*
 * gguf.c -- the plugin "gguf": ggml's number formats in blocks, and the files that hold
 * them.
 */
#include "blocks.h"
#include "parts.h"
#include "write.h"
#include <string.h>

static int32_t probe(const evla_host *h, const char *path, const void *head, uint64_t n,
                     uint64_t file_bytes)
{
    static const char ending[] = ".gguf";
    size_t k = strlen(path);
    (void)h, (void)file_bytes;
    if (n >= 4 && !memcmp(head, "GGUF", 4)) return 2;
    return k >= sizeof ending - 1 && !strcmp(path + k - (sizeof ending - 1), ending);
}

static const evla_format gguf = {
    .size = sizeof gguf,
    .endings = ".gguf",
    .source = "docs/gguf.md of https://github.com/ggml-org/ggml",
    .probe = probe,
    .open = parts_open,
    .close = parts_close,
    .write = write_archive,
};

#define FORMAT(id, file, text)                                                             \
    {                                                                                      \
        .kind = EVLA_DTYPE, .name = #id, .table = &file##_##id, .doc = (text)              \
    }

static const evla_item items[] = {
    {.kind = EVLA_FORMAT,
     .name = "gguf",
     .table = &gguf,
     .doc = "language models in one file: weights in blocks, vocabulary, settings"},
    FORMAT(q4_0, blocks, "4.5 bits: 32 codes and a scale"),
    FORMAT(q4_1, blocks, "5 bits: 32 codes, a scale and a minimum"),
    FORMAT(q4_k, kblocks, "4.5 bits: 256 codes, scales and minima for each 32"),
    FORMAT(q5_0, blocks, "5.5 bits: 32 codes and a scale"),
    FORMAT(q5_1, blocks, "6 bits: 32 codes, a scale and a minimum"),
    FORMAT(q5_k, kblocks, "5.5 bits: 256 codes, scales and minima for each 32"),
    FORMAT(q6_k, kblocks, "6.6 bits: 256 codes, scales for each 16"),
    FORMAT(q8_0, blocks, "8.5 bits: 32 codes and a scale"),
};
static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .id = "evla.gguf",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof *items,
};

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
