/*
 * tokenizer.h -- an open tokenizer, as all files of this plugin see it.
 *
 * attrs.c and file.c read one from what a file says, tokenizer_finish checks it, and
 * nothing in it changes after that.
 */
#ifndef EVLA_TOKENIZER_TOKENIZER_H
#define EVLA_TOKENIZER_TOKENIZER_H
#include "chat.h"
#include "special.h"
#include "split.h"
#include "vocab.h"

// clang-format off
enum {
    METHOD_SPM = 1,      /* characters merge by score, or by a list; unknown ones fall back to bytes */
    METHOD_BPE = 2,      /* bytes merge by a list, inside words */
    METHOD_WORDPIECE = 3 /* longest known piece first, inside words */
};
/* Where spm puts a blank before text. */
enum {
    PREFIX_NONE = 0, PREFIX_ALWAYS = 1 /* at the start and behind special tokens */,
    PREFIX_MISSING = 2 /* likewise, unless a blank is there */, PREFIX_FIRST = 3 /* at the start, likewise */
};

typedef struct tokenizer {
    mem mem;
    int32_t method;
    int32_t prefix;             /* spm: PREFIX_* */
    vocab vocab;
    const float *score;         /* spm without merges: [vocab.n] */
    const split_rules *split;   /* bpe: how text is cut into words */
    int32_t composes;           /* bpe: text is brought to NFC first */
    int32_t takes_whole_words;  /* bpe: a word that is a token is not merged from its bytes */
    int32_t lowers, strips_accents; /* wordpiece */
    int32_t cuts_at_blanks;     /* spm: no piece goes on behind a blank, so blanks part words */
    int32_t bos, eos, unk, pad; /* -1: none */
    int32_t adds_bos, adds_eos;
    int32_t byte_token[256];    /* spm, bpe: the token of one byte; -1: none */
    special_list user, special; /* tokens that stand in any text; those with names, too */
    chat chat;                  /* how messages are written */
    uint8_t *ends;              /* [vocab.n] 1: a generation ends with it */
} tokenizer;
// clang-format on

/* U+2581, a blank in a piece. */
enum { BLANK_MARK_BYTES = 3 };
extern const char blank_mark[BLANK_MARK_BYTES + 1];

/* From attributes; from tokenizer.json. t is zeroed. */
int32_t attrs_read(const evla_host *h, const evla_attr *attrs, int32_t n_attrs,
                   tokenizer *t);
int32_t file_read(const evla_host *h, const char *path, tokenizer *t);
/* The same from the files' texts in memory; at NULL: there is none. path: for messages. */
enum { FILE_TOKENIZER, FILE_CONFIG, FILE_CHAT, FILE_TEXTS };
extern const char *const file_names[FILE_TEXTS];
int32_t file_parse(const evla_host *h, const char *path, const evla_text text[FILE_TEXTS],
                   tokenizer *t);

/* Checks what was read and makes what encoding needs. Fails: EVLA_E_FORMAT, EVLA_E_NOMEM.
 */
int32_t tokenizer_finish(const evla_host *h, tokenizer *t);

#endif
