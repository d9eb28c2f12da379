/*
 * attrs.c -- a tokenizer from the attributes of a model file: "tokenizer.ggml.*", or a
 * whole "tokenizer.json" in a packed one.
 *
 * Source: the GGUF specification, and llama.cpp for what it leaves open. Lists stay where
 * they are.
 */
#include <math.h>
#include <string.h>

#include "fail.h"
#include "tokenizer.h"

typedef struct source {
    const evla_host *h;
    const evla_attr *attrs;
    int32_t n_attrs;
    tokenizer *t;
} source;

static const char prefix[] = "tokenizer.ggml.";

/* NULL when there is none. */
static const evla_attr *find(const source *s, const char *name)
{
    for (int32_t i = 0; i < s->n_attrs; i++)
        if (!strncmp(s->attrs[i].name, prefix, sizeof prefix - 1) &&
            !strcmp(s->attrs[i].name + sizeof prefix - 1, name))
            return &s->attrs[i];
    return NULL;
}

static const char *text_of(const source *s, const char *name)
{
    const evla_attr *a = find(s, name);
    return a && a->type == EVLA_ATTR_TEXT ? a->text : NULL;
}

static int32_t flag_of(const source *s, const char *name, int32_t preset)
{
    const evla_attr *a = find(s, name);
    return a && a->type == EVLA_ATTR_INT ? a->integer != 0 : preset;
}

/* A token's number, -1 when the file names none. */
static int32_t read_id(const source *s, const char *name, int32_t *out)
{
    const evla_attr *a = find(s, name);
    *out = -1;
    if (!a) return EVLA_OK;
    if (a->type != EVLA_ATTR_INT)
        return fail(s->h, EVLA_E_FORMAT, "%s%s: want a number", prefix, name);
    if (a->integer < 0 || a->integer >= s->t->vocab.n)
        return fail(s->h, EVLA_E_FORMAT, "%s%s is %lld; want a token, 0 to %d", prefix,
                    name, (long long)a->integer, s->t->vocab.n - 1);
    *out = (int32_t)a->integer;
    return EVLA_OK;
}

static size_t element_bytes(int32_t dtype)
{
    return dtype == EVLA_F32 || dtype == EVLA_I32 || dtype == EVLA_U32 ? 4
           : dtype == EVLA_I8 || dtype == EVLA_U8                      ? 1
                                                                       : 0;
}

/* A list with one number per token, in the format wanted or one of its kin; *out NULL: no
 * list. */
static int32_t read_list(const source *s, const char *name, const evla_attr **out)
{
    const evla_attr *a = *out = find(s, name);
    if (!a) return EVLA_OK;
    if (a->type != EVLA_ATTR_NUMBERS || !element_bytes(a->element))
        return fail(s->h, EVLA_E_FORMAT, "%s%s: want a list of 32-bit numbers", prefix,
                    name);
    if (a->n_items != s->t->vocab.n)
        return fail(s->h, EVLA_E_FORMAT, "%s%s has %lld items for %d tokens; want one each",
                    prefix, name, (long long)a->n_items, s->t->vocab.n);
    return EVLA_OK;
}

static int32_t read_pieces(const source *s)
{
    const evla_attr *a = find(s, "tokens");
    if (!a || a->type != EVLA_ATTR_TEXTS)
        return fail(s->h, EVLA_E_FORMAT, "%stokens is missing; want a list of texts",
                    prefix);
    if (a->n_items > INT32_MAX / 2)
        return fail(s->h, EVLA_E_LIMIT, "%stokens has %lld items; want 2^30 or less",
                    prefix, (long long)a->n_items);
    s->t->vocab.piece = a->items;
    s->t->vocab.n = (int32_t)a->n_items;
    return vocab_index(s->h, &s->t->mem, &s->t->vocab);
}

static int32_t read_kinds(const source *s)
{
    const evla_attr *a;
    const int32_t n = s->t->vocab.n, st = read_list(s, "token_type", &a);
    if (st < 0) return st;
    uint8_t *kind = s->t->vocab.kind = mem_take(&s->t->mem, (size_t)n, 1);
    if (!kind) return fail(s->h, EVLA_E_NOMEM, "tokenizer: no memory for %d tokens", n);
    memset(kind, PIECE_NORMAL, (size_t)n);
    for (int32_t i = 0; a && i < n; i++) {
        int32_t x = 0;
        memcpy(&x, (const char *)a->items + (size_t)i * element_bytes(a->element),
               element_bytes(a->element));
        if (x < 0 || x > PIECE_BYTE)
            return fail(s->h, EVLA_E_FORMAT,
                        "%stoken_type: token %d has type %d; want 1 to 6", prefix, i, x);
        kind[i] = x ? (uint8_t)x : PIECE_NORMAL;
    }
    return EVLA_OK;
}

static int32_t read_scores(const source *s)
{
    const evla_attr *a;
    const int32_t n = s->t->vocab.n, st = read_list(s, "scores", &a);
    if (st < 0) return st;
    if (!a || a->element != EVLA_F32)
        return fail(s->h, EVLA_E_FORMAT, "%sscores: want one f32 for each token", prefix);
    float *score = mem_take(&s->t->mem, (size_t)n, sizeof *score);
    if (!score) return fail(s->h, EVLA_E_NOMEM, "tokenizer: no memory for %d tokens", n);
    memcpy(score, a->items, (size_t)n * sizeof *score); /* items may lie at any address */
    for (int32_t i = 0; i < n; i++)
        if (isnan(score[i]))
            return fail(s->h, EVLA_E_FORMAT, "%sscores: that of token %d is no number",
                        prefix, i);
    s->t->score = score;
    return EVLA_OK;
}

/* "left right": the first blank parts them, but a part may be a blank itself. */
static int32_t read_pair(const source *s, const evla_attr *a, int64_t i, evla_text parts[2])
{
    const evla_text m = ((const evla_text *)a->items)[i];
    const char *blank = m.n > 2 ? memchr(m.at + 1, ' ', m.n - 2) : NULL;
    if (!blank)
        return fail(s->h, EVLA_E_FORMAT, "%smerges: item %lld is no pair \"left right\"",
                    prefix, (long long)i);
    parts[0] = (evla_text){m.at, (uint64_t)(blank - m.at)};
    parts[1] = (evla_text){blank + 1, m.n - parts[0].n - 1};
    return EVLA_OK;
}

static int32_t read_merges(const source *s)
{
    const evla_attr *a = find(s, "merges");
    evla_text parts[2 * VOCAB_BATCH];
    if (!a || a->type != EVLA_ATTR_TEXTS)
        return fail(s->h, EVLA_E_FORMAT,
                    "%smerges is missing; \"bpe\" wants a list of texts", prefix);
    int32_t st = vocab_merges(s->h, &s->t->mem, &s->t->vocab, a->n_items);
    for (int64_t i = 0; st >= 0 && i < a->n_items; i += VOCAB_BATCH) {
        int32_t n = 0;
        while (st >= 0 && n < VOCAB_BATCH && i + n < a->n_items)
            if ((st = read_pair(s, a, i + n, parts + 2 * n)) >= 0) n++;
        if (st >= 0) st = vocab_merges_add(s->h, &s->t->vocab, parts, n);
    }
    return st;
}

static int32_t read_split(const source *s)
{
    const char *pre = text_of(s, "pre");
    if (!pre)
        return fail(s->h, EVLA_E_MISSING,
                    "%spre is missing: how to cut text into words is not known; want %s",
                    prefix, split_names);
    s->t->split = split_by_name(pre);
    if (!s->t->split)
        return fail(s->h, EVLA_E_MISSING, "%spre is \"%s\", which is not known; want %s",
                    prefix, pre, split_names);
    s->t->takes_whole_words = !strcmp(split_name(s->t->split), "llama-bpe");
    return EVLA_OK;
}

static int32_t read_method(const source *s)
{
    const char *model = text_of(s, "model");
    tokenizer *t = s->t;
    if (!model)
        return fail(s->h, EVLA_E_MISSING, "%smodel is missing: the file has no tokenizer",
                    prefix);
    t->method = !strcmp(model, "llama")  ? METHOD_SPM
                : !strcmp(model, "gpt2") ? METHOD_BPE
                : !strcmp(model, "bert") ? METHOD_WORDPIECE
                                         : 0;
    if (!t->method)
        return fail(s->h, EVLA_E_MISSING,
                    "%smodel is \"%s\"; want \"llama\", \"gpt2\" or \"bert\"", prefix,
                    model);
    const int is_llama3 = t->method == METHOD_BPE && text_of(s, "pre") &&
                          !strcmp(text_of(s, "pre"), "llama-bpe");
    t->prefix = flag_of(s, "add_space_prefix", 1) ? PREFIX_ALWAYS : PREFIX_NONE;
    t->lowers = t->strips_accents = 1;
    t->adds_bos = flag_of(s, "add_bos_token", t->method != METHOD_BPE || is_llama3);
    t->adds_eos = flag_of(s, "add_eos_token", t->method == METHOD_WORDPIECE);
    return EVLA_OK;
}

/* BERT calls what stands at the start and the end of a text CLS and SEP. */
static int32_t read_ids(const source *s)
{
    tokenizer *t = s->t;
    const int is_bert = t->method == METHOD_WORDPIECE;
    int32_t st = read_id(
        s, is_bert && find(s, "cls_token_id") ? "cls_token_id" : "bos_token_id", &t->bos);
    if (st >= 0)
        st = read_id(s,
                     is_bert && find(s, "seperator_token_id") ? "seperator_token_id"
                                                              : "eos_token_id",
                     &t->eos);
    if (st >= 0) st = read_id(s, "unknown_token_id", &t->unk);
    if (st >= 0) st = read_id(s, "padding_token_id", &t->pad);
    return st;
}

/* Tokens beside EOS that end an answer. */
static int32_t read_ends(const source *s)
{
    static const char *const names[] = {"eot_token_id", "eom_token_id"};
    int32_t st = EVLA_OK, id;
    for (size_t i = 0; st >= 0 && i < sizeof names / sizeof *names; i++)
        if ((st = read_id(s, names[i], &id)) >= 0 && id >= 0) s->t->ends[id] = 1;
    return st;
}

static int32_t read_chat(const source *s)
{
    const char *text = NULL;
    for (int32_t i = 0; i < s->n_attrs; i++)
        if (!strcmp(s->attrs[i].name, "tokenizer.chat_template") &&
            s->attrs[i].type == EVLA_ATTR_TEXT)
            text = s->attrs[i].text;
    return chat_read(s->h, &s->t->mem, text, &s->t->chat);
}

/* Files that travel as attributes: lists of one text. */
static int find_texts(const source *s, evla_text text[FILE_TEXTS])
{
    for (int k = 0; k < FILE_TEXTS; k++) {
        text[k] = (evla_text){NULL, 0};
        for (int32_t i = 0; i < s->n_attrs; i++)
            if (!strcmp(s->attrs[i].name, file_names[k]) &&
                s->attrs[i].type == EVLA_ATTR_TEXTS && s->attrs[i].n_items == 1)
                text[k] = *(const evla_text *)s->attrs[i].items;
    }
    return text[FILE_TOKENIZER].at != NULL;
}

int32_t attrs_read(const evla_host *h, const evla_attr *attrs, int32_t n_attrs,
                   tokenizer *t)
{
    const source s = {h, attrs, n_attrs, t};
    evla_text text[FILE_TEXTS];
    if (find_texts(&s, text)) return file_parse(h, file_names[FILE_TOKENIZER], text, t);
    t->vocab.source = "tokenizer";
    int32_t st = read_method(&s);
    if (st >= 0) st = read_pieces(&s);
    if (st >= 0) st = read_kinds(&s);
    if (st >= 0 && t->method == METHOD_SPM) st = read_scores(&s);
    if (st >= 0 && t->method == METHOD_BPE) st = read_split(&s);
    if (st >= 0 && t->method == METHOD_BPE) st = read_merges(&s);
    if (st >= 0) st = read_ids(&s);
    if (st >= 0 && !(t->ends = mem_take(&t->mem, (size_t)t->vocab.n, 1)))
        st = fail(h, EVLA_E_NOMEM, "tokenizer: no memory for %d tokens", t->vocab.n);
    if (st >= 0) st = read_ends(&s);
    return st < 0 ? st : read_chat(&s);
}
