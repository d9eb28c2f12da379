/*
 * fail.h -- a refusal with numbers and names in its sentence; see fail.c.
 */
#ifndef EVLA_TOKENIZER_FAIL_H
#define EVLA_TOKENIZER_FAIL_H
#include "evla/abi.h"

/* Tells the host a sentence in printf's form and returns code. What comes from a file may
 * be quoted: bytes that are no printable text become '?'. */
__attribute__((format(printf, 3, 4))) int32_t fail(const evla_host *h, int32_t code,
                                                   const char *form, ...);

#endif
