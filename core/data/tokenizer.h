/*
 * tokenizer.h -- text to tokens and back, through the service "tokenizer".
 */
#ifndef EVLA_DATA_TOKENIZER_H
#define EVLA_DATA_TOKENIZER_H
#include "../host.h"

/* One that is open. Any thread may use what is const; texts and ids go into an arena. */
typedef struct tokenizer {
    const evla_tokenizer_service *t; /* NULL: none */
    void *self;
    host h; /* as long as it is open */
    arena hold;
    evla_tokenizer_info info;
} tokenizer;

/* From a file of its own; path NULL: from what a model's file says, borrowed until it is
 * closed. tokenizer_close also after failures. */
int32_t tokenizer_open(ctx *cx, const char *path, const evla_attr *attrs, int32_t n_attrs,
                       tokenizer *out);
void tokenizer_close(tokenizer *z);

/* flags: EVLA_TOKENS_*. */
int32_t tokenizer_encode(ctx *cx, const tokenizer *z, arena *a, const char *text, size_t n,
                         uint32_t flags, int32_t **ids, int32_t *n_ids);
int32_t tokenizer_decode(ctx *cx, const tokenizer *z, arena *a, const int32_t *ids,
                         int32_t n, uint32_t flags, char **text);
/* A conversation as the model's template has it. */
int32_t tokenizer_chat(ctx *cx, const tokenizer *z, arena *a, const evla_message *m,
                       int32_t n, char **text);
/* A failure of the service gets a sentence if it left none. Returns st. */
int32_t tokenizer_told(ctx *cx, int32_t st, const char *what);

#endif
