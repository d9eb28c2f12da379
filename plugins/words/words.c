/*
 * words.c -- the operator word_ids: a sentence's bytes to one number per word, by hashing.
 *
 * A tokenizer without a table: its two numbers are parameters of a graph, so a model file
 * carries all of it. Words of a small vocabulary rarely meet in a table of a thousand rows;
 * what an embedding learns is bound to hashes, not to a list. Not here: embeddings
 * (plugins/ops).
 */
#include "evla/abi.h"
#include <stdint.h>
#include <stdio.h>

typedef struct word_ids_params {
    int64_t words;      /* ids per sentence */
    int64_t vocabulary; /* ids are below this */
} word_ids_params;

enum { TILE_SENTENCES = 64 };

/* ---- the operator ---- */

static int32_t refuse(const evla_host *h, int32_t code, const evla_node *n, const char *why)
{
    char sentence[256];
    snprintf(sentence, sizeof sentence, "%s: word_ids: %s", n->label, why);
    return h->fail(h, code, sentence);
}

static int32_t word_ids_infer(const evla_host *h, const evla_node *n, evla_type *in,
                              evla_type *out)
{
    const word_ids_params *p = n->params;
    char why[128];
    if (in[0].dtype != EVLA_U8) {
        snprintf(why, sizeof why, "x is %s; want bytes of text, u8[...,L]",
                 h->dtype_name(h, in[0].dtype));
        return refuse(h, EVLA_E_DTYPE, n, why);
    }
    if (in[0].rank < 1) {
        snprintf(why, sizeof why, "x has rank %d; want [...,L], bytes of text in the last",
                 in[0].rank);
        return refuse(h, EVLA_E_SHAPE, n, why);
    }
    out[0] = in[0];
    out[0].dtype = EVLA_I32;
    out[0].shape[in[0].rank - 1] = p->words;
    return EVLA_OK;
}

static const evla_op word_ids = {
    .size = sizeof word_ids,
    .effect = EVLA_PURE,
    .inputs = "x",
    .outputs = "y",
    .source = "words hashed to rows: Weinberger et al. 2009; FNV-1a: Fowler, Noll, Vo 1991",
    .infer = word_ids_infer,
};

/* ---- the kernel ---- */

static int64_t length_of(const evla_node *n) { return n->in[0].shape[n->in[0].rank - 1]; }

static int64_t count_of(const evla_node *n)
{
    int64_t rows = 1;
    for (int32_t i = 0; i < n->in[0].rank - 1; i++)
        rows *= n->in[0].shape[i];
    return rows;
}

static int32_t word_ids_accepts(const evla_host *h, const evla_machine *m,
                                const evla_node *n, evla_offer *offer)
{
    (void)h, (void)m;
    if (n->n_tail || n->in[0].dtype != EVLA_U8) return EVLA_E_MISSING;
    offer->score = 1;
    offer->alias_in = -1;
    offer->numerics = "exact";
    return EVLA_OK;
}

static int32_t word_ids_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                             evla_work *work)
{
    (void)h, (void)m;
    work->n_phases = 1;
    work->tiles[0] = (count_of(n) + TILE_SENTENCES - 1) / TILE_SENTENCES;
    return EVLA_OK;
}

/* Bytes of a character beyond ASCII (0x80 and up in UTF-8) are letters. */
static int is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
           c >= 0x80;
}

static void split(const uint8_t *text, int64_t length, const word_ids_params *p, int32_t *y)
{
    int64_t at = 0;
    for (int64_t w = 0; w < p->words; w++) {
        uint32_t hash = 2166136261u;
        while (at < length && !is_letter(text[at]))
            at++;
        int is_word = at < length;
        for (; at < length && is_letter(text[at]); at++) {
            uint8_t c = text[at];
            if (c >= 'A' && c <= 'Z') c = (uint8_t)(c + ('a' - 'A'));
            hash = (hash ^ c) * 16777619u;
        }
        y[w] = is_word ? (int32_t)(1 + hash % (uint32_t)(p->vocabulary - 1)) : 0;
    }
}

static int32_t word_ids_run(const evla_host *h, const evla_args *a, int32_t phase,
                            int64_t tile)
{
    (void)h, (void)phase;
    const word_ids_params *p = a->node->params;
    int64_t n = count_of(a->node), length = length_of(a->node);
    int64_t end = (tile + 1) * TILE_SENTENCES < n ? (tile + 1) * TILE_SENTENCES : n;
    for (int64_t r = tile * TILE_SENTENCES; r < end; r++)
        split((const uint8_t *)a->in[0].data[0] + r * length, length, p,
              (int32_t *)a->out[0].data[0] + r * p->words);
    return EVLA_OK;
}

static const evla_kernel word_ids_portable = {
    .size = sizeof word_ids_portable,
    .op = "word_ids",
    .accepts = word_ids_accepts,
    .plan = word_ids_plan,
    .run = word_ids_run,
};

/* ---- the table ---- */

static const evla_param word_ids_table[] = {
    {.name = "words",
     .doc = "ids per sentence; further words are left out, missing ones are 0",
     .preset = "16",
     .min = 1,
     .max = 4096,
     .type = EVLA_P_INT,
     .offset = offsetof(word_ids_params, words)},
    {.name = "vocabulary",
     .doc = "ids lie in 1 to vocabulary - 1; rows of the embedding that follows",
     .preset = "1024",
     .min = 2,
     .max = 16777216,
     .type = EVLA_P_INT,
     .offset = offsetof(word_ids_params, vocabulary)},
};

static const evla_item items[] = {
    {.kind = EVLA_OP,
     .name = "word_ids",
     .table = &word_ids,
     .doc = "y i32[...,words]: text x u8[...,L] split at anything but letters and digits, "
            "ASCII in lower case, each word hashed; 0 where there is none",
     .params = word_ids_table,
     .n_params = sizeof word_ids_table / sizeof *word_ids_table,
     .params_size = sizeof(word_ids_params)},
    {.kind = EVLA_KERNEL, .name = "word_ids.portable", .table = &word_ids_portable},
};

static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .id = "evla.words",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof *items,
};

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
