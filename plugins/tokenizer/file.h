/*
 * file.h -- a tokenizer from tokenizer.json, between the files that read it; see file.c.
 */
#ifndef EVLA_TOKENIZER_FILE_H
#define EVLA_TOKENIZER_FILE_H
#include <cjson/cJSON.h>

#include "tokenizer.h"

typedef struct file {
    const evla_host *h;
    const char *path; /* of tokenizer.json, for messages */
    const cJSON *root;
    tokenizer *t;
} file;

/* Members of an object; NULL, or what is given, when there is none of that type. */
const cJSON *file_get(const cJSON *object, const char *key);
const char *file_text(const cJSON *object, const char *key);
int file_flag(const cJSON *object, const char *key, int preset);

/* The steps around the model: what is done to text before it is cut, how it is cut, and
 * what stands around it. They set the method, and what goes with it. steps.c */
int32_t steps_read(const file *f);
/* BOS and EOS that post_processor puts around a text; ids are those of the finished
 * vocabulary. */
int32_t steps_read_ends(const file *f);

#endif
