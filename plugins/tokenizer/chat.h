/*
 * chat.h -- messages as a model was trained to read them; see chat.c.
 */
#ifndef EVLA_TOKENIZER_CHAT_H
#define EVLA_TOKENIZER_CHAT_H
#include "evla/abi.h"
#include "mem.h"

/* How one model's chats are written. */
typedef struct chat {
    const struct chat_family *family; /* NULL: no template, or one of no family known */
    const char *system; /* said when the messages bring no system text; NULL: nothing */
    int32_t writes_bos; /* the template itself begins with BOS */
} chat;

struct tokenizer;

/* Recognises a template by its text; NULL: there is none. Fails: EVLA_E_NOMEM. */
int32_t chat_read(const evla_host *h, mem *m, const char *template_text, chat *out);
/* "chatml", ...; NULL when the family is not known. */
const char *chat_name(const chat *c);

/* As in abi.h. Fails: EVLA_E_MISSING without a known family; EVLA_E_ARG on roles that it
 * has not. */
int32_t chat_write(const evla_host *h, const struct tokenizer *t, const evla_message *m,
                   int32_t n_messages, char *out, int64_t room, int64_t *n);

#endif
