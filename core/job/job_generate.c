/*
 * job_generate.c -- the job type "generate": continues a text, as it comes, and says what
 * that took.
 */
#include "../graph/infer.h"
#include "../run/clock.h"
#include "../run/pool.h"
#include "sight.h"
#include <string.h>

/* Where the picture stands in a prompt. */
static const char mark[] = "<image>";

typedef struct generate_params {
    language_params language;
    evla_choice loop;
    const char *prompt, *picture;
    evla_list messages; /* evla_message */
    evla_list stop;     /* const char * */
    int64_t tokens;
    int32_t special, ignore_end, echo;
} generate_params;

// clang-format off
static const evla_param message_fields[] = {
    {.name = "role", .doc = "system, user or assistant", .type = EVLA_P_STRING,
     .offset = offsetof(evla_message, role)},
    {.name = "text", .doc = "what was said", .type = EVLA_P_STRING,
     .offset = offsetof(evla_message, text)},
};
static const evla_param params[] = {
    LANGUAGE_PARAMS,
    {.name = "loop", .doc = "what chooses the tokens", .type = EVLA_P_ITEM, .choices = EVLA_LOOP,
     .offset = offsetof(generate_params, loop)},
    {.name = "prompt", .doc = "the text to continue", .type = EVLA_P_STRING, .preset = "",
     .offset = offsetof(generate_params, prompt)},
    {.name = "messages", .doc = "or a conversation, { { role = \"user\", text = \"...\" } }, in the "
     "form that the model was trained on", .type = EVLA_P_STRUCTS, .flags = EVLA_PF_OPTIONAL,
     .fields = message_fields, .n_fields = 2, .fields_size = sizeof(evla_message),
     .offset = offsetof(generate_params, messages)},
    {.name = "picture", .doc = "a picture file; it stands where the prompt has <image>",
     .type = EVLA_P_PATH, .flags = EVLA_PF_OPTIONAL | EVLA_PF_INPUT,
     .offset = offsetof(generate_params, picture)},
    {.name = "stop", .doc = "texts that end it", .type = EVLA_P_LIST, .element = EVLA_P_STRING,
     .flags = EVLA_PF_OPTIONAL, .offset = offsetof(generate_params, stop)},
    {.name = "tokens", .doc = "how many to add at most; 0: until the context is full, or "
     "as many as it has when the cache drops some",
     .type = EVLA_P_INT, .preset = "128", .max = 1 << 24, .offset = offsetof(generate_params, tokens)},
    {.name = "special", .doc = "names of special tokens in the prompt stand for them",
     .type = EVLA_P_BOOL, .preset = "false", .offset = offsetof(generate_params, special)},
    {.name = "ignore_end", .doc = "go on where the model would end", .type = EVLA_P_BOOL,
     .preset = "false", .offset = offsetof(generate_params, ignore_end)},
    {.name = "echo", .doc = "show the prompt before what follows", .type = EVLA_P_BOOL,
     .preset = "true", .offset = offsetof(generate_params, echo)},
};
// clang-format on

/* Binding shows whether graph and types fit; plans are made when it runs. own: whose
 * symbols the graph has; NULL: the decoder binds them. */
static int32_t check_graph(ctx *cx, const job *from, const model *m, const char *name,
                           const language_params *own)
{
    graph *g;
    symbols s;
    bound *b;
    int32_t st = model_want_graph(cx, m, name, &g);
    if (st >= 0 && !own) st = job_model_symbols(cx, from, g, NULL, 1, &s);
    if (st < 0) return st;
    if (own) s = language_symbols(own, g);
    arena mem = arena_growing(64 << 10);
    st = infer_bind(cx, &mem, g, &s, NULL, &b);
    arena_free(&mem);
    return st;
}

static int32_t generate_check(ctx *cx, job *j)
{
    const generate_params *p = j->params;
    model *m;
    j->result.path = arena_text(&cx->mem, "%s/text.txt", j->folder);
    if (!j->result.path) return ctx_fail(cx, EVLA_E_NOMEM, "generate %s", j->name);
    if (!*p->prompt && !p->messages.n)
        return ctx_fail(cx, EVLA_E_ARG,
                        "generate \"%s\": want a prompt, or messages; got neither",
                        j->name);
    if (p->stop.n > COMPLETION_MOST_STOPS)
        return ctx_fail(cx, EVLA_E_LIMIT, "generate \"%s\": stop: want at most %d texts",
                        j->name, COMPLETION_MOST_STOPS);
    int32_t st = language_check(cx, j->name, &p->language);
    if (st < 0) return st;
    const job *from = job_given(j, "model");
    if (!from || job_model_failed(from)) return 0; /* told already */
    if ((st = language_model(cx, j->name, from, &m)) < 0) return st;
    sight s = {.language = p->language};
    if (p->picture && (st = sight_open(cx, m, p->picture, &p->language, &s)) < 0) return st;
    st = check_graph(cx, from, m, p->language.graph, NULL);
    for (int64_t i = 0; st >= 0 && i < s.language.others.n; i++)
        st = check_graph(cx, from, m, ((const char *const *)s.language.others.items)[i],
                         &s.language);
    return st;
}

/* ---- the run ---- */

static int hear(void *to, const char *text, size_t n)
{
    job *j = to;
    if (j->in->hear) j->in->hear(j->in->hear_to, j, text, n);
    return 0;
}

/* Tokens of a text with the mark of the picture in it: -1 for each of its rows there. */
static int32_t encode_around(ctx *cx, completer *c, const char *text, uint32_t flags,
                             int32_t n_rows, int32_t **ids, int32_t *n)
{
    const char *at = strstr(text, mark);
    int32_t *before, *after, n_before, n_after;
    if (!at || strstr(at + 1, mark))
        return ctx_fail(cx, EVLA_E_ARG,
                        "generate: want %s once in the prompt, where the picture stands",
                        mark);
    const char *rest = at + sizeof mark - 1;
    int32_t st = tokenizer_encode(cx, completer_tokenizer(c), &cx->mem, text,
                                  (size_t)(at - text), flags, &before, &n_before);
    if (st >= 0)
        st = tokenizer_encode(cx, completer_tokenizer(c), &cx->mem, rest, strlen(rest),
                              flags & ~(uint32_t)EVLA_TOKENS_WHOLE, &after, &n_after);
    if (st < 0) return st;
    *n = n_before + n_rows + n_after;
    *ids = arena_push(&cx->mem, (size_t)*n + 1, sizeof **ids);
    if (!*ids) return ctx_fail(cx, EVLA_E_NOMEM, "a text of %d tokens", *n);
    memcpy(*ids, before, (size_t)n_before * sizeof **ids);
    for (int32_t i = 0; i < n_rows; i++)
        (*ids)[n_before + i] = -1;
    memcpy(*ids + n_before + n_rows, after, (size_t)n_after * sizeof **ids);
    return 0;
}

static int32_t find_prompt(ctx *cx, const generate_params *p, completer *c, int32_t n_rows,
                           char **text, int32_t **ids, int32_t *n)
{
    int is_chat = p->messages.n > 0;
    int32_t st = 0;
    *text = (char *)(uintptr_t)p->prompt;
    if (is_chat)
        st = tokenizer_chat(cx, completer_tokenizer(c), &cx->mem, p->messages.items,
                            (int32_t)p->messages.n, text);
    /* a conversation has the names of all special tokens in it, the first one's, too */
    uint32_t flags = is_chat      ? EVLA_TOKENS_SPECIAL
                     : p->special ? EVLA_TOKENS_WHOLE | EVLA_TOKENS_SPECIAL
                                  : EVLA_TOKENS_WHOLE;
    if (st < 0) return st;
    return p->picture ? encode_around(cx, c, *text, flags, n_rows, ids, n)
                      : tokenizer_encode(cx, completer_tokenizer(c), &cx->mem, *text,
                                         strlen(*text), flags, ids, n);
}

static int32_t add_figures(job *j, const completer *c, const completion_answer *a,
                           int32_t n_prompt)
{
    decoder *d = completer_decoder((completer *)(uintptr_t)c);
    decoder_bytes bytes = decoder_sizes(d);
    double prompt_s = 1e-9 * (double)a->prompt_ns, tokens_s = 1e-9 * (double)a->tokens_ns;
    int32_t run = n_prompt - a->n_recalled;
    const struct {
        const char *name;
        value v;
    } rows[] = {
        {"prompt_tokens", value_int(n_prompt)},
        {"recalled_tokens", value_int(a->n_recalled)},
        {"tokens", value_int(a->n_tokens)},
        {"dropped_tokens", value_int(a->n_dropped)},
        {"why", value_text(completion_why_text(a->why))},
        {"prompt_ms", value_float(1e3 * prompt_s)},
        {"first_ms", value_float(1e-6 * (double)a->first_ns)},
        {"tokens_ms", value_float(1e3 * tokens_s)},
        {"prompt_per_second", value_float(prompt_s > 0 ? run / prompt_s : 0)},
        {"tokens_per_second", value_float(tokens_s > 0 ? a->n_tokens / tokens_s : 0)},
        {"mallocs", value_int(a->mallocs)},
        {"weight_bytes", value_int((int64_t)bytes.weights)},
        {"pool_bytes", value_int((int64_t)bytes.pools)},
        {"arena_bytes", value_int((int64_t)bytes.arenas)},
    };
    int32_t st = 0;
    for (size_t i = 0; st >= 0 && i < sizeof rows / sizeof *rows; i++)
        st = job_figure(j, rows[i].name, rows[i].v);
    return st;
}

static value ms_between(int64_t from_ns, int64_t to_ns)
{
    return value_float(1e-6 * (double)(to_ns - from_ns));
}

/* The phases of a text with a picture, and what seeing holds. Each phase begins where the
 * one before it ends, so they sum to the total whoever else had the processor. */
static int32_t add_sight(job *j, const sight *s, const completion_answer *a,
                         int64_t ended_ns)
{
    int64_t read_ns = a->began_ns + a->prompt_ns;
    const struct {
        const char *name;
        value v;
    } rows[] = {{"image_ms", ms_between(s->began_ns, s->pixels_ns)},
                {"vit_encode_ms", ms_between(s->pixels_ns, s->seen_ns)},
                {"prefill_ms", ms_between(s->seen_ns, read_ns)},
                {"decode_ms", ms_between(read_ns, ended_ns)},
                {"total_ms", ms_between(s->began_ns, ended_ns)},
                {"vision_bytes", value_int((int64_t)s->vision_bytes)}};
    int32_t st = 0;
    for (size_t i = 0; st >= 0 && i < sizeof rows / sizeof *rows; i++)
        st = job_figure(j, rows[i].name, rows[i].v);
    return st;
}

static int32_t add_action(ctx *cx, job *j, const sight *s, completer *c,
                          const completion_answer *a)
{
    const float *action;
    int32_t n, st = sight_action(cx, s, c, &cx->mem, a->tokens, a->n_tokens, &action, &n);
    if (st < 0) return st;
    value list = value_list(&cx->mem, n);
    if (n && !list.as.items) return ctx_fail(cx, EVLA_E_NOMEM, "an action");
    for (int32_t i = 0; i < n; i++)
        list.as.items[list.n_items++] = value_float((double)action[i]);
    return job_figure(j, "action", list);
}

static int32_t complete(ctx *cx, job *j, completer *c, sight *s)
{
    const generate_params *p = j->params;
    sequence_rows shown = {0};
    int32_t *ids, n;
    char *text;
    completion_answer a;
    int32_t st = p->picture ? sight_see(cx, s, c, &cx->mem, &shown) : 0;
    if (st >= 0) st = find_prompt(cx, p, c, shown.n, &text, &ids, &n);
    if (st < 0) return st;
    if (p->echo && !p->messages.n) hear(j, text, strlen(text));
    completion_request r = {.ids = ids,
                            .n_ids = n,
                            .shown = shown,
                            .most = (int32_t)p->tokens,
                            .loop = p->loop.item,
                            .loop_params = p->loop.params,
                            .stops = p->stop.items,
                            .n_stops = (int32_t)p->stop.n,
                            .ignores_end = p->ignore_end,
                            .begins = p->messages.n > 0,
                            .hear = hear,
                            .to = j};
    st = completer_run(cx, c, &cx->mem, &r, &a);
    int64_t ended_ns = clock_ns();
    hear(j, "\n", 1);
    if (st >= 0) st = file_replace(cx, j->result.path, a.text, a.n_text);
    if (st >= 0) st = add_figures(j, c, &a, n);
    if (st >= 0 && p->picture) st = add_sight(j, s, &a, ended_ns);
    if (st >= 0 && p->picture && s->has_action) st = add_action(cx, j, s, c, &a);
    return st;
}

static int32_t generate_run(ctx *cx, job *j)
{
    const generate_params *p = j->params;
    completer *c;
    int32_t workers = job_workers(j, p->language.workers, POOL_MOST);
    const job *from = job_given(j, "model");
    sight s = {.language = p->language};
    int32_t st = p->picture
                     ? sight_open(cx, job_model_graphs(from), p->picture, &p->language, &s)
                     : 0;
    if (st >= 0) st = language_open(cx, from, &s.language, workers, &c);
    if (st < 0) return st;
    st = complete(cx, j, c, &s);
    completer_close(c);
    return st;
}

const job_type job_generate = {
    .name = "generate",
    .result = "text",
    .doc = "continues a text with a model that reads tokens",
    .params = params,
    .n_params = sizeof params / sizeof *params,
    .params_size = sizeof(generate_params),
    .has_graphs = 1,
    .is_live = 1,
    .check = generate_check,
    .run = generate_run,
};
