/*
 * file.c -- a tokenizer from tokenizer.json, and from what lies beside it.
 *
 * Source: the format of Hugging Face's tokenizers 0.13 to 0.22. Not here: the steps around
 * the model (steps.c).
 */
#include "file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fail.h"

enum { MAX_FILE = 256 << 20, MAX_HOLES = 1 << 16 /* ids that no token has */ };

const cJSON *file_get(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

const char *file_text(const cJSON *object, const char *key)
{
    const cJSON *item = file_get(object, key);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

int file_flag(const cJSON *object, const char *key, int preset)
{
    const cJSON *item = file_get(object, key);
    return cJSON_IsBool(item) ? cJSON_IsTrue(item) : preset;
}

/* ---- the text of a file ---- */

static int32_t read_bytes(const evla_host *h, const char *path, FILE *f, char **out,
                          size_t *n)
{
    struct stat about;
    if (fstat(fileno(f), &about) != 0)
        return fail(h, EVLA_E_IO, "%.256s: %s", path, strerror(errno));
    if (!S_ISREG(about.st_mode)) return fail(h, EVLA_E_IO, "%.256s: no regular file", path);
    const long long size = about.st_size;
    if (size > MAX_FILE)
        return fail(h, EVLA_E_LIMIT, "%.256s: %lld bytes; want %d or less", path, size,
                    MAX_FILE);
    *out = calloc(1, (size_t)size + 1);
    if (!*out) return fail(h, EVLA_E_NOMEM, "%.256s: no memory for %lld bytes", path, size);
    *n = fread(*out, 1, (size_t)size, f);
    return ferror(f) ? fail(h, EVLA_E_IO, "%.256s: %s", path, strerror(errno)) : EVLA_OK;
}

/* All of a file, with a NUL behind it; *out stays NULL when there is none and it need not
 * be there. */
static int32_t read_file(const evla_host *h, const char *path, int is_needed, char **out,
                         size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f && !is_needed) return EVLA_OK;
    if (!f)
        return fail(h, errno == ENOENT ? EVLA_E_MISSING : EVLA_E_IO, "%.256s: %s", path,
                    strerror(errno));
    const int32_t st = read_bytes(h, path, f, out, n);
    fclose(f);
    return st;
}

static int32_t parse(const evla_host *h, const char *name, evla_text text, cJSON **out)
{
    const char *end = NULL;
    if (!text.at) return EVLA_OK;
    *out = cJSON_ParseWithLengthOpts(text.at, text.n, &end, 0);
    if (!*out)
        return fail(h, EVLA_E_FORMAT, "%.256s: no JSON: the text goes wrong at byte %lld",
                    name, (long long)(end ? end - text.at : 0));
    if (!cJSON_IsObject(*out))
        return fail(h, EVLA_E_FORMAT, "%.256s: want a JSON object", name);
    return EVLA_OK;
}

/* ---- the vocabulary ---- */

/* The number of a token, below `most`; -1: it is none. */
static int32_t id_of(const cJSON *item, int32_t most)
{
    const double x = cJSON_IsNumber(item) ? item->valuedouble : -1;
    return x >= 0 && x < most && x == (double)(int32_t)x ? (int32_t)x : -1;
}

static int32_t bad_id(const file *f, const char *name)
{
    return fail(f->h, EVLA_E_FORMAT,
                "%.256s: token \"%.60s\" has no usable id; want whole numbers from 0 on, "
                "without gaps",
                f->path, name);
}

static int32_t put_piece(const file *f, evla_text *piece, int32_t id, const char *text)
{
    const size_t n = strlen(text);
    const evla_text old = piece[id];
    if (old.at && old.n == n && !memcmp(old.at, text, n)) return EVLA_OK;
    if (old.at)
        return fail(
            f->h, EVLA_E_FORMAT,
            "%.256s: tokens \"%.60s\" and \"%.60s\" have the same id %d; want one each",
            f->path, old.at, text, id);
    const char *copy = mem_text(&f->t->mem, text, n);
    if (!copy) return fail(f->h, EVLA_E_NOMEM, "%.256s: no memory for its tokens", f->path);
    piece[id] = (evla_text){copy, n};
    return EVLA_OK;
}

/* A piece of WordPiece in the form of wordpiece.c: U+2581 before what begins a word, and
 * what goes on as it is. */
static const char *mark_word(const char *text, const char *going_on,
                             char room[VOCAB_MAX_PIECE + 8])
{
    const size_t n = strlen(going_on);
    if (n && !strncmp(text, going_on, n)) return text + n;
    snprintf(room, VOCAB_MAX_PIECE + 8, "%s%s", blank_mark, text);
    return room;
}

static int32_t read_added(const file *f, evla_text *piece, uint8_t *kind, int32_t most)
{
    const cJSON *one;
    int32_t st = EVLA_OK;
    cJSON_ArrayForEach(one, file_get(f->root, "added_tokens"))
    {
        const char *text = file_text(one, "content");
        const int32_t id = id_of(file_get(one, "id"), most);
        if (!text || id < 0) return bad_id(f, text ? text : "?");
        if (file_flag(one, "single_word", 0))
            return fail(f->h, EVLA_E_MISSING,
                        "%.256s: token \"%.60s\" is to stand alone (single_word), which is "
                        "not supported",
                        f->path, text);
        if ((st = put_piece(f, piece, id, text)) < 0) return st;
        kind[id] = (uint8_t)((file_flag(one, "special", 0) ? PIECE_CONTROL : PIECE_USER) |
                             (file_flag(one, "lstrip", 0) ? PIECE_LSTRIP : 0) |
                             (file_flag(one, "rstrip", 0) ? PIECE_RSTRIP : 0));
    }
    return st;
}

static int32_t read_pieces(const file *f)
{
    tokenizer *t = f->t;
    const cJSON *model = file_get(f->root, "model"), *list = file_get(model, "vocab"), *one;
    const char *prefix = file_text(model, "continuing_subword_prefix");
    char room[VOCAB_MAX_PIECE + 8];
    int64_t count = cJSON_GetArraySize(file_get(f->root, "added_tokens"));
    int32_t st = EVLA_OK;
    if (!cJSON_IsObject(list))
        return fail(f->h, EVLA_E_FORMAT,
                    "%.256s: model.vocab is missing; want an object of tokens", f->path);
    cJSON_ArrayForEach(one, list) count++;
    const int32_t most = (int32_t)count + MAX_HOLES;
    evla_text *piece = mem_take(&t->mem, (size_t)most, sizeof *piece);
    uint8_t *kind = mem_take(&t->mem, (size_t)most, 1);
    if (!piece || !kind)
        return fail(f->h, EVLA_E_NOMEM, "%.256s: no memory for %d tokens", f->path, most);
    /* added tokens first: in WordPiece they keep their text */
    st = read_added(f, piece, kind, most);
    for (one = list->child; st >= 0 && one; one = one->next) {
        const int32_t id = id_of(one, most);
        if (id < 0) return bad_id(f, one->string);
        const int is_plain = !kind[id] || kind[id] == PIECE_NORMAL; /* no added token */
        const int is_word = is_plain && t->method == METHOD_WORDPIECE;
        if (is_plain) kind[id] = PIECE_NORMAL;
        st = put_piece(f, piece, id,
                       is_word ? mark_word(one->string, prefix ? prefix : "##", room)
                               : one->string);
    }
    for (int32_t id = 0; id < most; id++) {
        if (kind[id]) t->vocab.n = id + 1;
        if (!kind[id]) kind[id] = PIECE_UNUSED;
    }
    t->vocab.piece = piece;
    t->vocab.kind = kind;
    return st < 0 ? st : vocab_index(f->h, &t->mem, &t->vocab);
}

/* "left right", or since 0.20 ["left", "right"]. */
static int32_t read_pair(const file *f, const cJSON *item, int32_t i, evla_text parts[2])
{
    const cJSON *left = cJSON_GetArrayItem(item, 0), *right = cJSON_GetArrayItem(item, 1);
    const char *text = cJSON_IsString(item) ? item->valuestring : "";
    const char *blank = *text ? strchr(text + 1, ' ') : NULL;
    if (cJSON_IsArray(item) && cJSON_IsString(left) && cJSON_IsString(right) &&
        !right->next) {
        parts[0] = (evla_text){left->valuestring, strlen(left->valuestring)};
        parts[1] = (evla_text){right->valuestring, strlen(right->valuestring)};
        return EVLA_OK;
    }
    if (!blank)
        return fail(f->h, EVLA_E_FORMAT, "%.256s: merge %d is no pair of pieces", f->path,
                    i);
    parts[0] = (evla_text){text, (uint64_t)(blank - text)};
    parts[1] = (evla_text){blank + 1, strlen(blank + 1)};
    return EVLA_OK;
}

static int32_t read_merges(const file *f)
{
    const cJSON *model = file_get(f->root, "model"), *list = file_get(model, "merges"),
                *one;
    const char *prefix = file_text(model, "continuing_subword_prefix"),
               *suffix = file_text(model, "end_of_word_suffix");
    if (!cJSON_IsArray(list))
        return fail(f->h, EVLA_E_FORMAT,
                    "%.256s: model.merges is missing; want a list of pairs", f->path);
    if ((prefix && *prefix) || (suffix && *suffix))
        return fail(f->h, EVLA_E_MISSING,
                    "%.256s: pieces that are marked inside or at the end of words are not "
                    "supported",
                    f->path);
    evla_text parts[2 * VOCAB_BATCH];
    int32_t st = vocab_merges(f->h, &f->t->mem, &f->t->vocab, cJSON_GetArraySize(list));
    for (one = list->child; st >= 0 && one;) {
        int32_t n = 0;
        for (; st >= 0 && one && n < VOCAB_BATCH; one = one->next, n++)
            st = read_pair(f, one, f->t->vocab.n_merges + n, parts + 2 * n);
        if (st >= 0) st = vocab_merges_add(f->h, &f->t->vocab, parts, n);
    }
    return st;
}

/* ---- names of tokens, and the chat template: tokenizer_config.json ---- */

/* "<s>", or {"content": "<s>", ...} */
static void name_token(const file *f, const cJSON *config, const char *key, int32_t *id)
{
    const cJSON *item = file_get(config, key);
    const char *name =
        cJSON_IsString(item) ? item->valuestring : file_text(item, "content");
    const int32_t found = name ? vocab_find(&f->t->vocab, name, strlen(name)) : -1;
    if (found >= 0) *id = found;
}

/* A text, or a list of {"name", "template"} with one called "default". */
static const char *find_template(const cJSON *config)
{
    const cJSON *item = file_get(config, "chat_template"), *one;
    if (cJSON_IsString(item)) return item->valuestring;
    cJSON_ArrayForEach(one, item)
    {
        const char *name = file_text(one, "name");
        if (name && !strcmp(name, "default")) return file_text(one, "template");
    }
    return NULL;
}

static int32_t read_names(const file *f, const cJSON *config)
{
    tokenizer *t = f->t;
    const char *unknown = file_text(file_get(f->root, "model"), "unk_token");
    t->bos = t->eos = t->pad = t->unk = -1;
    if (unknown) t->unk = vocab_find(&t->vocab, unknown, strlen(unknown));
    name_token(f, config, "unk_token", &t->unk);
    name_token(f, config, "pad_token", &t->pad);
    name_token(f, config, "bos_token", &t->bos);
    name_token(f, config, "eos_token", &t->eos);
    t->ends = mem_take(&t->mem, (size_t)t->vocab.n, 1);
    if (!t->ends)
        return fail(f->h, EVLA_E_NOMEM, "%.256s: no memory for %d tokens", f->path,
                    t->vocab.n);
    const int32_t eos = t->eos;
    const int32_t st = steps_read_ends(f);
    if (eos >= 0) t->ends[eos] = 1;
    return st;
}

/* A chat template is a member of the configuration or, since 2025, a file of its own. */
static int32_t read_template(const file *f, const cJSON *config, evla_text own)
{
    char *text = NULL;
    if (own.at && !(text = calloc(1, own.n + 1)))
        return fail(f->h, EVLA_E_NOMEM, "%.256s: no memory for its chat template", f->path);
    if (text) memcpy(text, own.at, own.n);
    const int32_t st =
        chat_read(f->h, &f->t->mem, text ? text : find_template(config), &f->t->chat);
    free(text);
    return st;
}

const char *const file_names[FILE_TEXTS] = {"tokenizer.json", "tokenizer_config.json",
                                            "chat_template.jinja"};

int32_t file_parse(const evla_host *h, const char *path, const evla_text text[FILE_TEXTS],
                   tokenizer *t)
{
    cJSON *root = NULL, *config = NULL;
    int32_t st = parse(h, path, text[FILE_TOKENIZER], &root);
    if (st >= 0) st = parse(h, file_names[FILE_CONFIG], text[FILE_CONFIG], &config);
    const file f = {h, path, root, t};
    t->vocab.source = path;
    if (st >= 0) st = steps_read(&f);
    if (st >= 0) st = read_pieces(&f);
    if (st >= 0 && t->method != METHOD_WORDPIECE) st = read_merges(&f);
    if (st >= 0) st = read_names(&f, config);
    if (st >= 0) st = read_template(&f, config, text[FILE_CHAT]);
    cJSON_Delete(root);
    cJSON_Delete(config);
    return st;
}

/* A name in the folder of a file. Fails: EVLA_E_LIMIT when it is too long. */
enum { MAX_PATH = 4096 };
static int32_t beside(const evla_host *h, const char *path, const char *name,
                      char out[MAX_PATH])
{
    const char *slash = strrchr(path, '/');
    const int n =
        snprintf(out, MAX_PATH, "%.*s%s", slash ? (int)(slash - path + 1) : 0, path, name);
    if (n >= 0 && n < MAX_PATH) return EVLA_OK;
    return fail(h, EVLA_E_LIMIT, "%.200s...: the path is too long", path);
}

int32_t file_read(const evla_host *h, const char *path, tokenizer *t)
{
    char *bytes[FILE_TEXTS] = {NULL}, other[MAX_PATH];
    evla_text text[FILE_TEXTS] = {{NULL, 0}};
    int32_t st = EVLA_OK;
    for (int i = 0; st >= 0 && i < FILE_TEXTS; i++) {
        size_t n = 0;
        if (i) st = beside(h, path, file_names[i], other);
        if (st >= 0) st = read_file(h, i ? other : path, !i, &bytes[i], &n);
        text[i] = (evla_text){bytes[i], n};
    }
    if (st >= 0) st = file_parse(h, path, text, t);
    for (int i = 0; i < FILE_TEXTS; i++)
        free(bytes[i]);
    return st;
}
