/*
 * bpe.h -- how byte-level vocabularies write bytes as characters; see bpe.c.
 */
#ifndef EVLA_TOKENIZER_BPE_H
#define EVLA_TOKENIZER_BPE_H
#include <stdint.h>

/* The character that stands for a byte, at most two bytes of UTF-8; and the way back, -1:
 * none. */
uint32_t bpe_char(uint8_t byte);
int bpe_byte(uint32_t code);

#endif
