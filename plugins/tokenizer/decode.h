/*
 * decode.h -- tokens to text, all at once or piece by piece; see decode.c.
 */
#ifndef EVLA_TOKENIZER_DECODE_H
#define EVLA_TOKENIZER_DECODE_H
#include "tokenizer.h"

/* The bytes that tokens stand for: whatever they are, so not always UTF-8. */
int32_t decode_text(const evla_host *h, const tokenizer *t, const int32_t *ids,
                    int64_t n_ids, uint32_t flags, char *out, int64_t room, int64_t *n);

/* As in abi.h. When *n is more than room, nothing was written and *s is as before. */
int32_t decode_stream(const evla_host *h, const tokenizer *t, evla_token_stream *s,
                      int32_t id, char *out, int64_t room, int64_t *n);

#endif
