/*
 * chat.c -- messages as a model was trained to read them.
 *
 * A model file says this as a program in the template language Jinja. The programs of a
 * family do the same, so a family is recognised by words that its programs hold, and
 * written from a table; no program from a file is run.
 */
#include "chat.h"

#include <stdio.h>
#include <string.h>

#include "fail.h"
#include "tokenizer.h"

/* What stands around the text of one role. In it, \1 stands for the role's name, \2 for BOS
 * and \3 for EOS. before NULL: the family has no such role. */
typedef struct frame {
    const char *before, *after;
    int trims; /* white space at both ends of the text is left out */
} frame;

enum { SYSTEM, USER, ASSISTANT, OTHER, N_ROLES };
static const char *const role_names[] = {"system", "user", "assistant"};

struct chat_family {
    const char *name;
    const char *words[3];     /* that the template holds, all of them */
    const char *not_words[2]; /* and those that it does not hold */
    frame frames[N_ROLES];
    const char *answer; /* where the answer begins */
    int folds_system;   /* into the first user's text; roles take turns */
};

#define IM                                                                                 \
    {                                                                                      \
        "<|im_start|>\1\n", "<|im_end|>\n", 0                                              \
    }
#define HEADER                                                                             \
    {                                                                                      \
        "<|start_header_id|>\1<|end_header_id|>\n\n", "<|eot_id|>", 1                      \
    }
#define BAR                                                                                \
    {                                                                                      \
        "<|\1|>\n", "\3\n", 0                                                              \
    }

static const struct chat_family families[] = {
    {.name = "chatml", /* Qwen2, SmolLM2 */
     .words = {"<|im_start|>", "<|im_end|>"},
     .frames = {IM, IM, IM, IM},
     .answer = "<|im_start|>assistant\n"},
    {.name = "llama-3",
     .words = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
     .frames = {HEADER, HEADER, HEADER, HEADER},
     .answer = "<|start_header_id|>assistant<|end_header_id|>\n\n"},
    {.name = "llama-2",
     .words = {"[INST]", "<<SYS>>"},
     .frames = {{"<<SYS>>\n", "\n<</SYS>>\n\n", 0},
                {"\2[INST] ", " [/INST]", 1},
                {" ", " \3", 1}},
     .answer = "",
     .folds_system = 1},
    {.name = "zephyr", /* TinyLlama-Chat */
     .words = {"<|user|>", "<|assistant|>", "eos_token"},
     .not_words = {"<|end|>"},
     .frames = {BAR, BAR, BAR},
     .answer = "<|assistant|>\n"},
    {.name =
         "vicuna", /* turns parted by a blank; those parted by a line end are not known */
     .words = {"USER: ", "ASSISTANT:", "eos_token"},
     .not_words = {"\\n", "'\n"},
     .frames = {{"", " ", 1}, {"USER: ", " ", 1}, {"ASSISTANT: ", "\3", 0}},
     .answer = "ASSISTANT:"},
};

static int matches(const struct chat_family *f, const char *text)
{
    for (size_t i = 0; i < sizeof f->words / sizeof *f->words && f->words[i]; i++)
        if (!strstr(text, f->words[i])) return 0;
    for (size_t i = 0; i < sizeof f->not_words / sizeof *f->not_words && f->not_words[i];
         i++)
        if (strstr(text, f->not_words[i])) return 0;
    return 1;
}

/* What the template says itself: a system turn without a quote, so no part of an
 * expression. Its line end may be written as an escape. */
static int32_t read_system(const evla_host *h, mem *m, const char *text, chat *out)
{
    static const char begin[] = "<|im_start|>system", end[] = "<|im_end|>";
    for (const char *at = text; (at = strstr(at, begin));) {
        at += sizeof begin - 1;
        const size_t line = at[0] == '\n' ? 1 : at[0] == '\\' && at[1] == 'n' ? 2 : 0;
        const char *last = strstr(at, end);
        if (!line || !last || last == at + line) continue;
        const size_t n = (size_t)(last - at) - line;
        if (memchr(at + line, '\'', n) || memchr(at + line, '"', n) ||
            memchr(at + line, '{', n))
            continue;
        out->system = mem_text(m, at + line, n);
        return out->system
                   ? EVLA_OK
                   : fail(h, EVLA_E_NOMEM, "tokenizer: no memory for its chat template");
    }
    return EVLA_OK;
}

int32_t chat_read(const evla_host *h, mem *m, const char *template_text, chat *out)
{
    *out = (chat){0};
    for (size_t i = 0;
         template_text && !out->family && i < sizeof families / sizeof *families; i++)
        if (matches(&families[i], template_text)) out->family = &families[i];
    if (!out->family) return EVLA_OK;
    out->writes_bos = strstr(template_text, "bos_token") != NULL;
    return read_system(h, m, template_text, out);
}

const char *chat_name(const chat *c) { return c->family ? c->family->name : NULL; }

/* ---- writing ---- */

typedef struct writer {
    const tokenizer *t;
    char *out;
    int64_t room, n;
} writer;

static void put(writer *w, const char *text, size_t n)
{
    if (w->n < w->room && n)
        memcpy(w->out + w->n, text,
               (int64_t)n < w->room - w->n ? n : (size_t)(w->room - w->n));
    w->n += (int64_t)n;
}

static void put_token(writer *w, int32_t id)
{
    if (id >= 0) put(w, w->t->vocab.piece[id].at, w->t->vocab.piece[id].n);
}

static void put_frame(writer *w, const char *form, const char *role)
{
    for (; *form; form++) {
        if (*form == '\1')
            put(w, role, strlen(role));
        else if (*form == '\2')
            put_token(w, w->t->bos);
        else if (*form == '\3')
            put_token(w, w->t->eos);
        else
            put(w, form, 1);
    }
}

static void put_text(writer *w, const char *text, int trims)
{
    static const char blanks[] = " \t\n\v\f\r";
    size_t n = strlen(text);
    if (trims) {
        const size_t skipped = strspn(text, blanks);
        text += skipped, n -= skipped;
        while (n && strchr(blanks, text[n - 1]))
            n--;
    }
    put(w, text, n);
}

static void put_message(writer *w, const frame *f, const char *role, const char *text)
{
    put_frame(w, f->before, role);
    put_text(w, text, f->trims);
    put_frame(w, f->after, role);
}

static int role_of(const char *name)
{
    for (int r = 0; r < OTHER; r++)
        if (!strcmp(role_names[r], name)) return r;
    return OTHER;
}

static int32_t check(const evla_host *h, const struct chat_family *f, const evla_message *m,
                     int32_t n)
{
    const int begins = n > 0 && f->folds_system && role_of(m[0].role) == SYSTEM;
    if (n < 1) return fail(h, EVLA_E_ARG, "chat: no messages; want one or more");
    for (int32_t i = 0; i < n; i++) {
        const int role = role_of(m[i].role);
        if (!f->frames[role].before)
            return fail(h, EVLA_E_ARG,
                        "chat: message %d is of role \"%.40s\", which %s has not; want "
                        "system, user or assistant",
                        i + 1, m[i].role, f->name);
        if (f->folds_system && i >= begins && role != ((i - begins) % 2 ? ASSISTANT : USER))
            return fail(h, EVLA_E_ARG,
                        "chat: message %d is of role \"%.40s\"; in %s user and assistant "
                        "take turns",
                        i + 1, m[i].role, f->name);
    }
    if (begins && n < 2)
        return fail(h, EVLA_E_ARG,
                    "chat: %s says a system text with a user's; want one behind it",
                    f->name);
    return EVLA_OK;
}

/* A system text and the user's behind it as one: trimmed as a whole. */
static void put_folded(writer *w, const struct chat_family *f, const evla_message *m)
{
    put_frame(w, f->frames[USER].before, m[1].role);
    put_frame(w, f->frames[SYSTEM].before, m[0].role);
    put(w, m[0].text, strlen(m[0].text));
    put_frame(w, f->frames[SYSTEM].after, m[0].role);
    const size_t n = strlen(m[1].text);
    size_t end = n;
    while (end && strchr(" \t\n\v\f\r", m[1].text[end - 1]))
        end--;
    put(w, m[1].text, end);
    put_frame(w, f->frames[USER].after, m[1].role);
}

int32_t chat_write(const evla_host *h, const tokenizer *t, const evla_message *m,
                   int32_t n_messages, char *out, int64_t room, int64_t *n)
{
    const struct chat_family *f = t->chat.family;
    writer w = {t, out, room, 0};
    if (!f)
        return fail(h, EVLA_E_MISSING,
                    "chat: the model has no chat template of a known family: chatml, "
                    "llama-2, llama-3, zephyr or vicuna");
    const int32_t st = check(h, f, m, n_messages);
    if (st < 0) return st;
    const int32_t folded = f->folds_system && role_of(m[0].role) == SYSTEM;
    if (!f->folds_system && (t->adds_bos || t->chat.writes_bos)) put_token(&w, t->bos);
    if (t->chat.system && role_of(m[0].role) != SYSTEM)
        put_message(&w, &f->frames[SYSTEM], role_names[SYSTEM], t->chat.system);
    if (folded) put_folded(&w, f, m);
    for (int32_t i = folded ? 2 : 0; i < n_messages; i++)
        put_message(&w, &f->frames[role_of(m[i].role)], m[i].role, m[i].text);
    put_frame(&w, f->answer, "");
    *n = w.n;
    return EVLA_OK;
}
