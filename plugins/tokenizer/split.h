/*
 * split.h -- cuts text into the words that byte pairs merge in; see split.c.
 */
#ifndef EVLA_TOKENIZER_SPLIT_H
#define EVLA_TOKENIZER_SPLIT_H
#include <stddef.h>
#include <stdint.h>

typedef struct split_rules split_rules;

/* Rules by the name that model files use ("gpt-2"), or by the regular expression that they
 * stand for; NULL: not known. */
const split_rules *split_by_name(const char *name);
const char *split_name(const split_rules *r);
/* Known names, for a refusal. */
extern const char split_names[];

/* A walk through the words of a text. Each begins where the last one ended. */
typedef struct split_words {
    const split_rules *rules;
    const char *text;
    size_t n;
    size_t at;      /* end of the last word */
    size_t stretch; /* end of the stretch that words do not leave */
    size_t word;    /* end of the word before it is cut further */
} split_words;

split_words split_begin(const split_rules *rules, const char *text, size_t n);
/* Moves on by one word; at < n. */
void split_next(split_words *w);

#endif
