/*
 * loop_fickle.c -- a greedy loop that reads ahead what it then forgets: as many wrong
 * tokens behind each right one as a reader takes back. For tests: its text is that of any
 * greedy loop.
 */
#include "evla/abi.h"
#include <stdlib.h>

enum { MOST_WRONG = 40 };

typedef struct fickle {
    int32_t pending; /* chosen, but not read yet; -1: none */
    float *logits;
} fickle;

static int32_t fickle_open(const evla_host *h, const void *params, int32_t vocabulary,
                           void **self)
{
    (void)params, (void)vocabulary;
    return (*self = calloc(1, sizeof(fickle))) ? EVLA_OK
                                               : h->fail(h, EVLA_E_NOMEM, "fickle");
}

static void fickle_close(const evla_host *h, void *self)
{
    (void)h;
    free(self);
}

static int32_t fickle_start(const evla_host *h, void *self, evla_reader *r,
                            const int32_t *ids, int32_t n)
{
    fickle *f = self;
    f->pending = -1;
    return r->read(h, r, ids + r->n_tokens, n - r->n_tokens, &f->logits);
}

static int32_t fickle_step(const evla_host *h, void *self, evla_reader *r, evla_token *out,
                           int32_t room, int32_t *n)
{
    fickle *f = self;
    (void)room;
    if (f->pending >= 0) {
        int32_t ids[MOST_WRONG + 1] = {f->pending}, had = r->n_tokens;
        int32_t k = r->room < MOST_WRONG ? r->room : MOST_WRONG;
        if (k < 1) return h->fail(h, EVLA_E_STATE, "fickle: there is no room");
        for (int32_t i = 1; i < k; i++)
            ids[i] = (7 * had + i) % r->vocabulary;
        int32_t st = r->read(h, r, ids, k, &f->logits);
        if (st >= 0) st = r->forget(h, r, had);
        if (st >= 0 && r->n_tokens != had)
            st = h->fail(h, EVLA_E_STATE, "fickle: forgot too much");
        if (st >= 0) st = r->read(h, r, ids, 1, &f->logits);
        if (st < 0) return st;
    }
    f->pending = 0;
    for (int32_t i = 1; i < r->vocabulary; i++)
        if (f->logits[i] > f->logits[f->pending]) f->pending = i;
    *out = (evla_token){f->pending, 0};
    return *n = 1, EVLA_OK;
}

static const evla_loop fickle_loop = {.size = sizeof fickle_loop,
                                      .open = fickle_open,
                                      .close = fickle_close,
                                      .start = fickle_start,
                                      .step = fickle_step};
static const evla_item items[] = {{.kind = EVLA_LOOP,
                                   .name = "fickle",
                                   .table = &fickle_loop,
                                   .doc = "reads ahead and forgets"}};
static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16,
    .id = "test.fickle",
    .version = "1",
    .license = "Apache-2.0",
    .items = items,
    .n_items = 1,
};

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
