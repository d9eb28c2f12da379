/*
 * completion.h -- text in, text out: a decoder, a tokenizer and a loop that chooses tokens.
 *
 * Each request is a whole text; what the pool still holds of its beginning is not run again
 * (sequence.h), with the same bits as if it were. After completer_open a request allocates
 * nothing but its answer.
 */
#ifndef EVLA_RUN_COMPLETION_H
#define EVLA_RUN_COMPLETION_H
#include "../data/tokenizer.h"
#include "../param.h"
#include "decoder.h"

typedef struct completer completer;

enum { COMPLETION_MOST_STOPS = 16, COMPLETION_STOP_BYTES = 256 };

/* Where the tokenizer comes from: a file of its own, or what the model's file says. */
typedef struct completer_options {
    decoder_options decode;
    const char *tokenizer; /* tokenizer.json; NULL: attrs */
    const evla_attr *attrs;
    int32_t n_attrs;
} completer_options;

int32_t completer_open(ctx *cx, model *m, const completer_options *o, completer **out);
void completer_close(completer *c);
decoder *completer_decoder(completer *c);
/* For texts to ids and back. */
const tokenizer *completer_tokenizer(const completer *c);

/* Gets text as it comes, n whole characters; not 0: no more, please. */
typedef int completion_hear(void *to, const char *text, size_t n);

typedef struct completion_request {
    const int32_t *ids; /* the text so far; at least one token. -1: a row of `shown` */
    int32_t n_ids;
    sequence_rows shown;      /* rows of embeddings in the text; zeros: none */
    int32_t most;             /* tokens to add; 0: until the context is full, or, where
                                 rows are dropped, as many as it holds */
    const evla_item *loop;    /* of kind EVLA_LOOP */
    const void *loop_params;  /* its parameters, filled */
    const char *const *stops; /* texts that end it and are left out */
    int32_t n_stops;
    int begins; /* 1: the answer is a text of its own, not the rest of one: a blank that
                   only parts words does not lead it */
    int ignores_end;       /* 1: the model's own end of text does not end it */
    completion_hear *hear; /* NULL: nobody listens */
    void *to;
} completion_request;

typedef enum completion_why {
    COMPLETION_END,    /* the model ended its text */
    COMPLETION_STOP,   /* a stop text came */
    COMPLETION_LENGTH, /* as many tokens as were asked for, or as fit */
    COMPLETION_HEARER  /* the hearer had enough */
} completion_why;

const char *completion_why_text(completion_why why); /* "end", "stop", ... */

typedef struct completion_answer {
    char *text; /* what was heard */
    size_t n_text;
    evla_token *tokens;
    int64_t *chosen_ns; /* of each token, since the request began */
    int32_t n_tokens;
    int32_t n_recalled; /* of the request's tokens, not run again */
    int32_t n_dropped;  /* tokens of the text whose keys and values are gone */
    completion_why why;
    int64_t began_ns;             /* when reading the request began, by clock_ns() */
    int64_t prompt_ns, tokens_ns; /* reading the request; everything after */
    int64_t first_ns;             /* until the first token was chosen */
    int64_t mallocs;              /* while tokens were chosen; of this thread */
} completion_answer;

/* The answer lives in the arena. A failure leaves the completer as good as before. */
int32_t completer_run(ctx *cx, completer *c, arena *a, const completion_request *r,
                      completion_answer *out);
/* Logits of what follows the text, f32[V], as a completion would have them there. `shown`
 * may be NULL: the text is of tokens alone. */
int32_t completer_logits(ctx *cx, completer *c, const int32_t *ids, int32_t n,
                         const sequence_rows *shown, float *out);
/* The tokens' keys and values, no more than the context, to a file and from it; later texts
 * that begin so find them. *n: how many tokens were there. */
int32_t completer_save(ctx *cx, completer *c, const int32_t *ids, int32_t n,
                       const char *path);
int32_t completer_load(ctx *cx, completer *c, const char *path, int32_t *n);
/* Mean of -ln p of tokens 1 to n-1, each given those before it in a window of the context;
 * needs decode.all. Source: Jelinek et al. 1977 (perplexity is e to that). */
int32_t completer_loss(ctx *cx, completer *c, const int32_t *ids, int32_t n, double *mean,
                       int32_t *n_scored);

#endif
