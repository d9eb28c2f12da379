/*
 * bpe.c -- the method "bpe": text is cut into words, and the bytes of each word merge by a
 * list.
 *
 * Source: Radford et al. 2019 (GPT-2). Its vocabularies write a byte as a character that
 * can be printed: byte_char.
 */
#include "bpe.h"

#include "encode.h"
#include "unicode.h"

uint32_t bpe_char(uint8_t byte)
{
    if ((byte > ' ' && byte < 0x7f) || (byte > 0xa0 && byte != 0xad)) return byte;
    return byte <= ' ' ? 0x100u + byte : byte == 0xad ? 0x143 : 0x121u + byte - 0x7f;
}

int bpe_byte(uint32_t code)
{
    if (code < 0x100) return bpe_char((uint8_t)code) == code ? (int)code : -1;
    if (code <= 0x120) return (int)code - 0x100;
    return code < 0x143 ? (int)code - 0x121 + 0x7f : code == 0x143 ? 0xad : -1;
}

/* The token that is the whole word; -1: none. */
static int32_t whole_word(const tokenizer *t, const char *bytes, size_t n)
{
    char text[VOCAB_MAX_PIECE];
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (k + 2 > sizeof text) return -1;
        k += utf8_put(bpe_char((uint8_t)bytes[i]), text + k);
    }
    return vocab_find(&t->vocab, text, k);
}

static int32_t encode_word(encoding *e, const char *text, size_t n)
{
    const tokenizer *t = e->t;
    const int32_t whole = t->takes_whole_words ? whole_word(t, text, n) : -1;
    if (whole >= 0) return encode_put(e, whole), EVLA_OK;
    if (encode_grow(e, &e->symbols, &e->symbols_room, n, sizeof *e->symbols) < 0)
        return EVLA_E_NOMEM;
    for (size_t i = 0; i < n; i++)
        e->symbols[i] = (symbol){.id = t->byte_token[(uint8_t)text[i]]};
    const int32_t st = merge_symbols(e, (int32_t)n, merge_by_list);
    for (int32_t i = 0; st >= 0 && i >= 0; i = e->symbols[i].next) {
        const int32_t id = e->symbols[i].id >= 0 ? e->symbols[i].id : t->unk;
        if (id >= 0) encode_put(e, id);
    }
    return st;
}

int32_t bpe_encode(encoding *e, const char *text, size_t n)
{
    int32_t st = nfc_clean(e, &text, &n);
    split_words words = split_begin(e->t->split, text, n);
    for (size_t begin = 0; st >= 0 && begin < n; begin = words.at) {
        split_next(&words);
        st = encode_word(e, text + begin, words.at - begin);
    }
    return st;
}
