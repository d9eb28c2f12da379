/*
 * completion.c -- text in, text out. See completion.h.
 */
#include "completion.h"
#include "../mem.h"
#include "clock.h"
#include <math.h>
#include <string.h>

enum { PIECE_BYTES = 2048, STEP_TOKENS = 64 };

struct completer {
    decoder *d;
    tokenizer words;
};

/* ---- opening ---- */

int32_t completer_open(ctx *cx, model *m, const completer_options *o, completer **out)
{
    completer *c = mem_alloc(sizeof *c);
    if (!c) return ctx_fail(cx, EVLA_E_NOMEM, "model %s", m->name);
    int32_t st = tokenizer_open(cx, o->tokenizer, o->attrs, o->n_attrs, &c->words);
    if (st >= 0) st = decoder_open(cx, m, &o->decode, &c->d);
    if (st >= 0 && c->words.info.n_tokens > decoder_vocabulary(c->d))
        st =
            ctx_fail(cx, EVLA_E_SHAPE,
                     "model %s: its tokenizer has %d tokens, but its logits only %d; is it "
                     "another model's?",
                     m->name, c->words.info.n_tokens, decoder_vocabulary(c->d));
    if (st < 0)
        completer_close(c);
    else
        *out = c;
    return st;
}

void completer_close(completer *c)
{
    if (!c) return;
    decoder_close(c->d);
    tokenizer_close(&c->words);
    mem_free(c);
}

decoder *completer_decoder(completer *c) { return c->d; }

const tokenizer *completer_tokenizer(const completer *c) { return &c->words; }

/* ---- one request ---- */

const char *completion_why_text(completion_why why)
{
    static const char *const texts[] = {"end", "stop", "length", "hearer"};
    return texts[why];
}

typedef struct running {
    ctx *cx;
    completer *c;
    sequence *s;
    evla_reader reader;
    const completion_request *r;
    completion_answer *a;
    evla_token_stream stream;
    arena *mem;     /* of the answer */
    size_t room;    /* of a->text */
    size_t n_heard; /* of a->text; what follows may be the start of a stop text */
    int is_over;
} running;

static void look(running *x)
{
    x->reader.tokens = x->s->tokens;
    x->reader.n_tokens = x->s->n_tokens;
    x->reader.room = decoder_room(x->c->d, x->s);
}

static int32_t reader_read(const evla_host *h, evla_reader *r, const int32_t *ids,
                           int32_t n, float **logits)
{
    running *x = r->self;
    (void)h;
    int32_t st = decoder_feed(x->cx, x->c->d, x->s, ids, n, logits);
    look(x);
    return st;
}

static int32_t reader_forget(const evla_host *h, evla_reader *r, int32_t n)
{
    running *x = r->self;
    (void)h;
    if (n < 0 || n > x->s->n_tokens)
        return ctx_fail(x->cx, EVLA_E_RANGE, "loop: cannot keep %d of %d tokens", n,
                        x->s->n_tokens);
    sequence_truncate(x->s, n);
    look(x);
    return 0;
}

static void hear(running *x, size_t upto)
{
    size_t n = upto - x->n_heard;
    if (!n) return;
    if (x->r->hear && x->r->hear(x->r->to, x->a->text + x->n_heard, n)) {
        x->is_over = 1;
        x->a->why = COMPLETION_HEARER;
    }
    x->n_heard = upto;
}

/* The first stop text that stands behind `from`; what may still become one is held back. */
static void look_for_stops(running *x, int is_end)
{
    completion_answer *a = x->a;
    size_t keep = a->n_text;
    for (int32_t k = 0; k < x->r->n_stops; k++) {
        const char *stop = x->r->stops[k];
        size_t n = strlen(stop);
        if (!n) continue;
        for (size_t at = x->n_heard; at < a->n_text; at++) {
            size_t have = a->n_text - at < n ? a->n_text - at : n;
            if (memcmp(a->text + at, stop, have) != 0) continue;
            if (have == n) {
                a->n_text = at;
                a->why = COMPLETION_STOP;
                x->is_over = 1;
                keep = keep < at ? keep : at;
            } else if (!is_end && at < keep)
                keep = at;
            break;
        }
    }
    hear(x, keep < a->n_text ? keep : a->n_text);
}

/* Room for another piece. Tokens are a few bytes each, but some hold a hundred blanks. */
static int32_t grow(running *x)
{
    completion_answer *a = x->a;
    if (a->text && x->room - a->n_text >= PIECE_BYTES) return 0;
    size_t room = x->room ? 2 * x->room : 2 * PIECE_BYTES;
    char *text = arena_push(x->mem, room + 1, 1);
    if (!text) return ctx_fail(x->cx, EVLA_E_NOMEM, "a text of %zu bytes", room);
    if (a->n_text) memcpy(text, a->text, a->n_text);
    a->text = text;
    x->room = room;
    return 0;
}

/* A token's text; -1 ends the text. */
static int32_t add_piece(running *x, int32_t id)
{
    completion_answer *a = x->a;
    int64_t made = 0;
    if (grow(x) < 0) return EVLA_E_NOMEM;
    host h;
    host_init(&h, x->cx, NULL);
    arena_place mark = arena_mark(&x->cx->scratch);
    int32_t st = x->c->words.t->stream(&h.table, x->c->words.self, &x->stream, id,
                                       a->text + a->n_text, PIECE_BYTES - 1, &made);
    host_done(&h, mark);
    if (st < 0) return tokenizer_told(x->cx, st, "stream");
    a->n_text += (size_t)made;
    look_for_stops(x, id < 0);
    return 0;
}

static int32_t take_tokens(running *x, const evla_token *t, int32_t n, int32_t most,
                           int64_t chosen_ns)
{
    const completer *c = x->c;
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < n && !x->is_over; i++) {
        if (!x->r->ignores_end &&
            c->words.t->ends(&c->words.h.table, c->words.self, t[i].id)) {
            x->is_over = 1;
            x->a->why = COMPLETION_END;
            break;
        }
        x->a->chosen_ns[x->a->n_tokens] = chosen_ns;
        x->a->tokens[x->a->n_tokens++] = t[i];
        st = add_piece(x, t[i].id);
        if (x->a->n_tokens == most) x->is_over = 1;
    }
    return st;
}

static int32_t go(running *x, const evla_host *h, const evla_loop *loop, void *self,
                  int32_t most)
{
    completion_answer *a = x->a;
    int64_t began = clock_ns(), made = 0;
    int32_t st = loop->start(h, self, &x->reader, x->r->ids, x->r->n_ids);
    a->prompt_ns = clock_ns() - began;
    a->why = COMPLETION_LENGTH;
    if (most == 0) x->is_over = 1;
    for (int first = 1; st >= 0 && !x->is_over; first = 0) {
        evla_token t[STEP_TOKENS];
        int32_t n = 0,
                room = most - a->n_tokens < STEP_TOKENS ? most - a->n_tokens : STEP_TOKENS;
        int64_t before = mem_made;
        st = loop->step(h, self, &x->reader, t, room, &n);
        made += mem_made - before;
        if (st >= 0 && (n < 1 || n > room))
            st = ctx_fail(x->cx, EVLA_E_PLUGIN, "loop: gave %d tokens, want 1 to %d", n,
                          room);
        int64_t chosen_ns = clock_ns() - began;
        if (first) a->first_ns = chosen_ns;
        if (st >= 0) st = take_tokens(x, t, n, most, chosen_ns);
        if (st >= 0 && ctx_stopping(x->cx))
            st = ctx_fail(x->cx, EVLA_E_STOPPED, "stopped after %d tokens", a->n_tokens);
    }
    if (st >= 0 && a->why != COMPLETION_STOP && a->why != COMPLETION_HEARER)
        st = add_piece(x, -1);
    a->began_ns = began;
    a->mallocs = made;
    a->tokens_ns = clock_ns() - began - a->prompt_ns;
    return st;
}

/* How many tokens may be added. */
static int32_t most_of(const completer *c, const completion_request *r)
{
    int32_t context = decoder_context(c->d);
    if (decoder_drops(c->d)) return r->most > 0 ? r->most : context;
    /* the last token chosen is never read */
    int32_t most = context - r->n_ids + 1;
    return r->most > 0 && r->most < most ? r->most : most;
}

/* has_rows: -1 stands for a row of embeddings. */
static int32_t check_ids(ctx *cx, const completer *c, const int32_t *ids, int32_t n,
                         int has_rows)
{
    for (int32_t i = 0; i < n; i++)
        if (ids[i] < -has_rows || ids[i] >= decoder_vocabulary(c->d))
            return ctx_fail(cx, EVLA_E_RANGE, "token %d is %d; want 0 to %d", i, ids[i],
                            decoder_vocabulary(c->d) - 1);
    return 0;
}

static int32_t check_text(ctx *cx, const completer *c, const int32_t *ids, int32_t n,
                          int has_rows)
{
    if (n < 1) return ctx_fail(cx, EVLA_E_ARG, "the text to continue has no token");
    if (n > decoder_context(c->d) && !decoder_drops(c->d))
        return ctx_fail(cx, EVLA_E_LIMIT,
                        "the text to continue has %d tokens, the context only %d", n,
                        decoder_context(c->d));
    return check_ids(cx, c, ids, n, has_rows);
}

static int32_t check_request(ctx *cx, const completer *c, const completion_request *r)
{
    int32_t st = check_text(cx, c, r->ids, r->n_ids, r->shown.n > 0);
    if (st < 0) return st;
    if (most_of(c, r) > INT32_MAX - r->n_ids)
        return ctx_fail(cx, EVLA_E_LIMIT, "%d tokens behind %d are too many", r->most,
                        r->n_ids);
    if (r->n_stops > COMPLETION_MOST_STOPS)
        return ctx_fail(cx, EVLA_E_LIMIT, "%d stop texts, want at most %d", r->n_stops,
                        COMPLETION_MOST_STOPS);
    for (int32_t i = 0; i < r->n_stops; i++)
        if (strlen(r->stops[i]) > COMPLETION_STOP_BYTES)
            return ctx_fail(cx, EVLA_E_LIMIT, "stop text %d is longer than %d bytes", i + 1,
                            COMPLETION_STOP_BYTES);
    return 0;
}

/* An empty sequence for a text of so many tokens; it has room for a context in any case. */
static int32_t open_text(ctx *cx, completer *c, int32_t longest, sequence **out)
{
    int32_t context = decoder_context(c->d);
    return sequence_new(cx, decoder_blocks(c->d), context,
                        longest > context ? longest : context, out);
}

/* And one that knows what the pool still has of a text. *known: how many tokens. */
static int32_t open_known(ctx *cx, completer *c, const int32_t *ids, int32_t n,
                          const sequence_rows *shown, int32_t longest, sequence **out,
                          int32_t *known)
{
    int32_t st = open_text(cx, c, longest, out);
    if (st >= 0 && shown && (shown->n || shown->both) &&
        (st = sequence_show(cx, *out, ids, n, shown)) < 0)
        sequence_free(*out);
    if (st >= 0) *known = sequence_recall(*out, ids, n);
    return st;
}

int32_t completer_run(ctx *cx, completer *c, arena *a, const completion_request *r,
                      completion_answer *out)
{
    *out = (completion_answer){0};
    int32_t st = check_request(cx, c, r);
    if (st < 0) return st;
    int32_t most = most_of(c, r);
    running x = {.cx = cx, .c = c, .r = r, .a = out, .mem = a};
    x.stream.begun = !r->begins;
    out->tokens = arena_push(a, (size_t)most + 1, sizeof *out->tokens);
    out->chosen_ns = arena_push(a, (size_t)most + 1, sizeof *out->chosen_ns);
    if (grow(&x) < 0 || !out->tokens || !out->chosen_ns)
        return ctx_fail(cx, EVLA_E_NOMEM, "text of %d tokens", most);
    st = open_known(cx, c, r->ids, r->n_ids, &r->shown, r->n_ids + most, &x.s,
                    &out->n_recalled);
    if (st < 0) return st;
    x.reader = (evla_reader){.size = sizeof x.reader,
                             .vocabulary = decoder_vocabulary(c->d),
                             .self = &x,
                             .read = reader_read,
                             .forget = reader_forget};
    look(&x);
    const evla_loop *loop = r->loop->table;
    void *self = NULL;
    arena hold = arena_beside(&cx->mem, 4 << 10);
    host h;
    host_init(&h, cx, &hold);
    arena_place mark = arena_mark(&cx->scratch);
    st = loop->open(&h.table, r->loop_params, decoder_vocabulary(c->d), &self);
    if (st >= 0) st = go(&x, &h.table, loop, self, most);
    loop->close(&h.table, self);
    host_done(&h, mark);
    arena_free(&hold);
    if (st < 0 && !cx->code) ctx_fail(cx, st, "%s: %s", r->loop->name, ctx_code_text(st));
    out->n_dropped = x.s->n_tokens - x.s->n;
    sequence_free(x.s);
    out->text[out->n_text] = 0;
    return st;
}

/* A sequence that has read these tokens, and the logits of what follows them. */
static int32_t read_all(ctx *cx, completer *c, const int32_t *ids, int32_t n,
                        const sequence_rows *shown, sequence **out, float **logits)
{
    int32_t known = 0, st = check_text(cx, c, ids, n, shown && shown->n > 0);
    if (st >= 0) st = open_known(cx, c, ids, n, shown, n, out, &known);
    if (st < 0) return st;
    st = decoder_feed(cx, c->d, *out, ids + known, n - known, logits);
    if (st < 0) sequence_free(*out);
    return st;
}

int32_t completer_logits(ctx *cx, completer *c, const int32_t *ids, int32_t n,
                         const sequence_rows *shown, float *out)
{
    sequence *s;
    float *logits;
    int32_t st = read_all(cx, c, ids, n, shown, &s, &logits);
    if (st < 0) return st;
    memcpy(out, logits, (size_t)decoder_vocabulary(c->d) * sizeof *out);
    sequence_free(s);
    return 0;
}

int32_t completer_save(ctx *cx, completer *c, const int32_t *ids, int32_t n,
                       const char *path)
{
    sequence *s;
    float *logits;
    int32_t st = read_all(cx, c, ids, n, NULL, &s, &logits);
    if (st < 0) return st;
    st = decoder_save(cx, c->d, s, path);
    sequence_free(s);
    return st;
}

int32_t completer_load(ctx *cx, completer *c, const char *path, int32_t *n)
{
    sequence *s;
    int32_t st = decoder_load(cx, c->d, path, &s);
    if (st < 0) return st;
    *n = s->n_tokens;
    sequence_free(s); /* its blocks stay in the pool until they are needed */
    return 0;
}

/* ---- perplexity ---- */

typedef struct scoring {
    const int32_t *ids; /* of this window */
    int32_t n, vocabulary;
    double sum;
    int32_t n_scored;
} scoring;

static void score(void *to, int32_t first, int32_t n, const float *logits)
{
    scoring *s = to;
    for (int32_t i = 0; i < n; i++) {
        int32_t at = first + i;
        if (at + 1 >= s->n) continue;
        const float *row = logits + (int64_t)i * s->vocabulary;
        double most = row[0];
        for (int32_t k = 1; k < s->vocabulary; k++)
            if ((double)row[k] > most) most = (double)row[k];
        double sum = exp((double)row[0] - most);
        for (int32_t k = 1; k < s->vocabulary; k++)
            sum += exp((double)row[k] - most);
        s->sum += most + log(sum) - (double)row[s->ids[at + 1]];
        s->n_scored++;
    }
}

int32_t completer_loss(ctx *cx, completer *c, const int32_t *ids, int32_t n, double *mean,
                       int32_t *n_scored)
{
    int32_t context = decoder_context(c->d), st = check_ids(cx, c, ids, n, 0);
    scoring s = {.vocabulary = decoder_vocabulary(c->d)};
    if (st >= 0 && context < 2)
        st =
            ctx_fail(cx, EVLA_E_STATE, "a context of 1 token says nothing of the next one");
    for (int32_t at = 0; st >= 0 && at + 1 < n; at += context - 1) {
        sequence *q;
        if ((st = open_text(cx, c, context, &q)) < 0) return st;
        s.ids = ids + at;
        s.n = n - at < context ? n - at : context;
        st = decoder_feed_all(cx, c->d, q, s.ids, s.n, score, &s);
        sequence_free(q);
        if (st >= 0 && ctx_stopping(cx)) st = ctx_fail(cx, EVLA_E_STOPPED, "stopped");
    }
    if (st < 0) return st;
    if (!s.n_scored)
        return ctx_fail(cx, EVLA_E_ARG, "a text of %d tokens: want two or more", n);
    *mean = s.sum / s.n_scored;
    *n_scored = s.n_scored;
    return 0;
}
