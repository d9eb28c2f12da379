/*
 * steps.c -- the steps around the model in tokenizer.json: normalizer, pre_tokenizer,
 * post_processor.
 *
 * Steps are recognised as a whole, by what published tokenizers write; one that is not
 * known is refused, since a step left out means other tokens than the model was trained
 * with.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fail.h"
#include "file.h"

/* What a step and its parameters are, as text: "Digits(single)". Steps in order are parted
 * by '+'. */
typedef struct sentence {
    char text[1000];
    size_t n;
} sentence;

__attribute__((format(printf, 2, 3))) static void add(sentence *s, const char *form, ...)
{
    va_list ap;
    va_start(ap, form);
    const int n = vsnprintf(s->text + s->n, sizeof s->text - s->n, form, ap);
    va_end(ap);
    s->n =
        n < 0 || (size_t)n >= sizeof s->text - s->n ? sizeof s->text - 1 : s->n + (size_t)n;
}

static void tell_pattern(sentence *s, const cJSON *step)
{
    const cJSON *pattern = file_get(step, "pattern");
    const char *regex = file_text(pattern, "Regex"), *plain = file_text(pattern, "String");
    add(s, "%s %s", regex ? "regex" : "text", regex ? regex : plain ? plain : "?");
}

static void tell_step(sentence *s, const cJSON *step)
{
    const char *type = file_text(step, "type");
    if (!type) {
        add(s, "?");
    } else if (!strcmp(type, "ByteLevel")) {
        add(s, "ByteLevel(%s%s)", file_flag(step, "use_regex", 1) ? "gpt-2" : "",
            file_flag(step, "add_prefix_space", 1) ? " add_prefix_space" : "");
    } else if (!strcmp(type, "Digits")) {
        add(s, "Digits(%s)", file_flag(step, "individual_digits", 0) ? "single" : "runs");
    } else if (!strcmp(type, "Split")) {
        const char *behavior = file_text(step, "behavior");
        add(s, "Split(%s%s ", behavior ? behavior : "?",
            file_flag(step, "invert", 0) ? " invert" : "");
        tell_pattern(s, step);
        add(s, ")");
    } else if (!strcmp(type, "Metaspace")) {
        const char *replacement = file_text(step, "replacement"),
                   *scheme = file_text(step, "prepend_scheme");
        const int splits = file_flag(step, "split", 1);
        add(s, "Metaspace(%s%s%s)", replacement ? replacement : "?",
            scheme                                   ? scheme
            : file_flag(step, "add_prefix_space", 1) ? "always"
                                                     : "never",
            splits ? " split" : "");
    } else if (!strcmp(type, "Prepend")) {
        add(s, "Prepend(%s)",
            file_text(step, "prepend") ? file_text(step, "prepend") : "?");
    } else if (!strcmp(type, "Replace")) {
        add(s, "Replace(");
        tell_pattern(s, step);
        add(s, " %s)", file_text(step, "content") ? file_text(step, "content") : "?");
    } else {
        add(s, "%s", type);
    }
}

/* A Sequence's steps one after the other; they do not nest in practice, and deeper ones are
 * "?". */
static void tell(sentence *s, const cJSON *step, const char *members)
{
    const char *type = file_text(step, "type");
    if (!cJSON_IsObject(step)) return;
    if (!type || strcmp(type, "Sequence") != 0) {
        tell_step(s, step);
        return;
    }
    const cJSON *one;
    cJSON_ArrayForEach(one, file_get(step, members))
    {
        if (s->n) add(s, "+");
        tell_step(s, one);
    }
}

/* ---- what is known ---- */

#define MARK "\xe2\x96\x81"
#define MODERN(digits)                                                                     \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                   \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct {
    const char *steps, *split;
} byte_level[] = {
    {"ByteLevel(gpt-2)", "gpt-2"},
    {"Digits(single)+ByteLevel(gpt-2)", "smollm"},
    {"Split(Isolated regex " MODERN("\\p{N}{1,3}") ")+ByteLevel()", "llama-bpe"},
    {"Split(Isolated regex " MODERN("\\p{N}") ")+ByteLevel()", "qwen2"},
};

static const struct {
    const char *normalizer, *steps;
    int32_t prefix;
} sentence_piece[] = {
    {"Prepend(" MARK ")+Replace(text   " MARK ")", "", PREFIX_ALWAYS},
    {"Replace(text   " MARK ")", "", PREFIX_NONE},
    {"", "Metaspace(" MARK "always)", PREFIX_MISSING},
    {"", "Metaspace(" MARK "first)", PREFIX_FIRST},
    {"", "Metaspace(" MARK "never)", PREFIX_NONE},
};

static int32_t read_byte_level(const file *f, const sentence *normalizer,
                               const sentence *steps)
{
    tokenizer *t = f->t;
    t->composes = !strcmp(normalizer->text, "NFC");
    if (normalizer->n && !t->composes)
        return fail(f->h, EVLA_E_MISSING,
                    "%.256s: normalizer %.200s is not known; want none or NFC", f->path,
                    normalizer->text);
    for (size_t i = 0; i < sizeof byte_level / sizeof *byte_level; i++)
        if (!strcmp(byte_level[i].steps, steps->text))
            t->split = split_by_name(byte_level[i].split);
    if (t->split) return EVLA_OK;
    return fail(f->h, EVLA_E_MISSING,
                "%.256s: how pre_tokenizer cuts text is not known; want the way of gpt-2, "
                "smollm, llama-bpe or qwen2, found %s",
                f->path, steps->n ? steps->text : "null");
}

static int32_t read_sentence_piece(const file *f, const sentence *normalizer,
                                   const sentence *steps)
{
    for (size_t i = 0; i < sizeof sentence_piece / sizeof *sentence_piece; i++)
        if (!strcmp(sentence_piece[i].normalizer, normalizer->text) &&
            !strcmp(sentence_piece[i].steps, steps->text))
            return f->t->prefix = sentence_piece[i].prefix, EVLA_OK;
    return fail(f->h, EVLA_E_MISSING,
                "%.256s: normalizer %.200s with pre_tokenizer %.200s is not known; want "
                "those of Llama",
                f->path, normalizer->n ? normalizer->text : "null",
                steps->n ? steps->text : "null");
}

static int32_t read_wordpiece(const file *f, const sentence *normalizer,
                              const sentence *steps)
{
    const cJSON *n = file_get(f->root, "normalizer");
    if (strcmp(normalizer->text, "BertNormalizer") != 0 ||
        strcmp(steps->text, "BertPreTokenizer") != 0 || !file_flag(n, "clean_text", 1) ||
        !file_flag(n, "handle_chinese_chars", 1))
        return fail(f->h, EVLA_E_MISSING,
                    "%.256s: WordPiece with normalizer %.200s and pre_tokenizer %.200s is "
                    "not known; want BERT's",
                    f->path, normalizer->n ? normalizer->text : "null",
                    steps->n ? steps->text : "null");
    f->t->lowers = file_flag(n, "lowercase", 1);
    f->t->strips_accents = file_flag(n, "strip_accents", f->t->lowers);
    return EVLA_OK;
}

int32_t steps_read(const file *f)
{
    const cJSON *model = file_get(f->root, "model");
    const char *type = file_text(model, "type");
    sentence normalizer = {{0}, 0}, steps = {{0}, 0};
    tell(&normalizer, file_get(f->root, "normalizer"), "normalizers");
    tell(&steps, file_get(f->root, "pre_tokenizer"), "pretokenizers");
    if (type && !strcmp(type, "WordPiece")) {
        f->t->method = METHOD_WORDPIECE;
        return read_wordpiece(f, &normalizer, &steps);
    }
    if (type && strcmp(type, "BPE") != 0)
        return fail(f->h, EVLA_E_MISSING,
                    "%.256s: model type %.60s is not known; want BPE or WordPiece", f->path,
                    type);
    if (file_flag(model, "byte_fallback", 0)) {
        f->t->method = METHOD_SPM;
        return read_sentence_piece(f, &normalizer, &steps);
    }
    f->t->method = METHOD_BPE;
    f->t->takes_whole_words = file_flag(model, "ignore_merges", 0);
    return read_byte_level(f, &normalizer, &steps);
}

/* ---- what stands around a text ---- */

static int32_t refuse_ends(const file *f)
{
    return fail(f->h, EVLA_E_MISSING,
                "%.256s: post_processor puts something else around a text than one token "
                "before and one behind; want that",
                f->path);
}

static int32_t read_template(const file *f, const cJSON *step)
{
    tokenizer *t = f->t;
    const cJSON *one;
    int is_behind = 0;
    cJSON_ArrayForEach(one, file_get(step, "single"))
    {
        const char *name = file_text(file_get(one, "SpecialToken"), "id");
        if (file_get(one, "Sequence")) {
            is_behind = 1;
            continue;
        }
        int32_t *adds = is_behind ? &t->adds_eos : &t->adds_bos;
        if (!name || *adds) return refuse_ends(f);
        const int32_t id = vocab_find(&t->vocab, name, strlen(name));
        if (id < 0)
            return fail(f->h, EVLA_E_FORMAT,
                        "%.256s: post_processor names %.100s, which is no token", f->path,
                        name);
        *adds = 1;
        *(is_behind ? &t->eos : &t->bos) = id;
    }
    return EVLA_OK;
}

static int32_t read_processor(const file *f, const cJSON *step)
{
    const char *type = file_text(step, "type");
    if (!type) return refuse_ends(f);
    if (!strcmp(type, "ByteLevel")) return EVLA_OK; /* offsets only */
    if (!strcmp(type, "TemplateProcessing")) return read_template(f, step);
    if (strcmp(type, "BertProcessing") != 0)
        return fail(f->h, EVLA_E_MISSING,
                    "%.256s: post_processor %.60s is not known; want TemplateProcessing",
                    f->path, type);
    const cJSON *cls = cJSON_GetArrayItem(file_get(step, "cls"), 0);
    const cJSON *sep = cJSON_GetArrayItem(file_get(step, "sep"), 0);
    tokenizer *t = f->t;
    if (!cJSON_IsString(cls) || !cJSON_IsString(sep)) return refuse_ends(f);
    t->bos = vocab_find(&t->vocab, cls->valuestring, strlen(cls->valuestring));
    t->eos = vocab_find(&t->vocab, sep->valuestring, strlen(sep->valuestring));
    t->adds_bos = t->adds_eos = 1;
    return EVLA_OK;
}

int32_t steps_read_ends(const file *f)
{
    const cJSON *step = file_get(f->root, "post_processor"), *one;
    const char *type = file_text(step, "type");
    if (!cJSON_IsObject(step)) return EVLA_OK;
    if (!type || strcmp(type, "Sequence") != 0) return read_processor(f, step);
    int32_t st = EVLA_OK;
    for (one = cJSON_GetArrayItem(file_get(step, "processors"), 0); st >= 0 && one;
         one = one->next)
        st = read_processor(f, one);
    return st;
}
