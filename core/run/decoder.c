/*
 * decoder.c -- runs a graph over tokens. See decoder.h.
 */
#include "decoder.h"
#include "../graph/bundle.h"
#include "../mem.h"
#include <string.h>

enum { IDS, POSITION, SLOT, LAST, TABLE, ROW, N_INPUTS, MOST_PLANS = 32, MOST_OTHERS = 8 };
static const char *const input_names[N_INPUTS] = {"ids",  "position", "slot",
                                                  "last", "table",    "row"};

/* A run costs as much as this many tokens before the first one: the weights are read. */
enum { RUN_COST = 16 };

/* One plan: a graph for runs of T tokens. */
typedef struct stride {
    int32_t tokens;
    int32_t plan; /* of the session */
    int is_all;   /* logits of every token */
    int32_t *in[N_INPUTS];
    float *rows; /* NULL: it reads tokens only */
    float *logits;
} stride;

struct decoder {
    session *of;
    blocks *pool;
    cache policy;
    stride last[MOST_PLANS], all[MOST_PLANS]; /* ascending in tokens */
    int32_t n_last, n_all;
    const plan *others[MOST_OTHERS]; /* behind those in the session */
    int32_t n_others;
    int32_t context, vocabulary, width;
    int32_t *slots; /* of the longest run */
    evla_tensor *pools[256];
    const char *pool_names[256];
    int32_t n_pools;
    uint64_t weight_bytes;
};

/* ---- opening ---- */

static const symbol_info *runs_of(const graph *g)
{
    for (int32_t i = 0; i < g->n_symbols; i++)
        if (!strcmp(g->symbols[i].name, "T") && g->symbols[i].n_bucket > 0)
            return &g->symbols[i];
    return NULL;
}

static int32_t table_of(int32_t context) { return (context + BLOCK_ROWS - 1) / BLOCK_ROWS; }

static plan_options how_to_plan(const decoder_options *o)
{
    return (plan_options){.n_workers = o->n_workers,
                          .kernels = o->kernels,
                          .without = o->without,
                          .inputs_consumed = 1};
}

static int32_t make_plans(ctx *cx, const graph *g, const decoder_options *o, int is_all,
                          plan **plans, int32_t *n)
{
    const symbol_info *t = runs_of(g);
    const plan_options how = how_to_plan(o);
    if (!t)
        return ctx_fail(cx, EVLA_E_ARG,
                        "graph %s: has no symbol T with buckets, so how many tokens it "
                        "takes at a time is not known",
                        g->name);
    int32_t table = table_of(o->context);
    for (int32_t i = 0; i < t->n_bucket; i++) {
        /* a run beyond the context would only be padding */
        if (i && t->bucket[i - 1] >= o->context) break;
        symbols s = {.n = 4,
                     .name = {"T", "BLOCKS", "TABLE", "ROWS"},
                     .extent = {t->bucket[i], o->n_blocks ? o->n_blocks : table, table,
                                is_all ? t->bucket[i] : 1}};
        if (*n == MOST_PLANS)
            return ctx_fail(cx, EVLA_E_LIMIT, "graph %s: more than %d plans", g->name,
                            MOST_PLANS);
        int32_t st = plan_make(cx, g, &s, &how, &plans[*n]);
        if (st < 0) return st;
        ++*n;
    }
    return 0;
}

static int32_t want(ctx *cx, const plan *p, const char *name, int is_good, const char *type)
{
    if (is_good) return 0;
    return ctx_fail(cx, EVLA_E_SHAPE,
                    "graph %s: want %s to be %s; see what a decoder feeds",
                    p->graph->from->name, name, type);
}

/* Where a text's rows of embeddings go. */
static int32_t bind_rows(ctx *cx, decoder *d, const plan *p, stride *s)
{
    int32_t slot = plan_input(p, "rows");
    const evla_type *t = slot < 0 ? NULL : plan_input_type(p, slot);
    if (!t) return 0;
    evla_tensor *view = session_input(d->of, s->plan, slot);
    int32_t st =
        want(cx, p, "rows",
             view && t->dtype == EVLA_F32 && t->rank == 2 && t->shape[0] == s->tokens &&
                 (!d->width || t->shape[1] == d->width),
             "f32[T,W]");
    if (st < 0) return st;
    d->width = (int32_t)t->shape[1];
    s->rows = view->data[0];
    return 0;
}

static int32_t bind_stride(ctx *cx, decoder *d, const plan *p, int32_t at, int is_all)
{
    stride *s = is_all ? &d->all[d->n_all++] : &d->last[d->n_last++];
    s->plan = at;
    s->is_all = is_all;
    int32_t st = 0, slot = plan_input(p, "ids");
    const evla_type *t = slot < 0 ? NULL : plan_input_type(p, slot);
    st = want(cx, p, "ids", t && t->rank == 1 && t->dtype == EVLA_I32, "i32[T]");
    if (st < 0) return st;
    s->tokens = (int32_t)t->shape[0];
    for (int32_t i = 0; st >= 0 && i < N_INPUTS; i++) {
        slot = plan_input(p, input_names[i]);
        t = slot < 0 ? NULL : plan_input_type(p, slot);
        int64_t rows = is_all ? s->tokens : 1;
        int64_t extent = i == TABLE ? table_of(d->context) : i == ROW ? rows : s->tokens;
        st = want(cx, p, input_names[i],
                  t && t->dtype == EVLA_I32 && t->rank == 1 && t->shape[0] == extent,
                  i == TABLE ? "i32[TABLE]"
                  : i == ROW ? "i32[1]"
                             : "i32[T]");
        if (st < 0) return st;
        evla_tensor *view = session_input(d->of, at, slot);
        s->in[i] = view ? view->data[0] : NULL; /* NULL: nobody reads it */
    }
    slot = plan_output(p, "logits");
    t = slot < 0 ? NULL : plan_output_type(p, slot);
    st = want(cx, p, "logits",
              t && t->dtype == EVLA_F32 && t->rank == 2 &&
                  t->shape[0] == (is_all ? s->tokens : 1) &&
                  (!d->vocabulary || t->shape[1] == d->vocabulary),
              "f32[ROWS,V]");
    if (st < 0) return st;
    d->vocabulary = (int32_t)t->shape[1];
    s->logits = session_output(d->of, at, slot)->data[0];
    return bind_rows(cx, d, p, s);
}

static int32_t find_pools(ctx *cx, decoder *d, const model *m, int32_t n_blocks)
{
    enum { MOST = sizeof d->pools / sizeof *d->pools };
    for (int32_t i = 0; i < m->n_states; i++) {
        evla_tensor *t = session_state(d->of, m->states[i].name, NULL);
        if (!t) continue;
        if (d->n_pools == MOST)
            return ctx_fail(cx, EVLA_E_LIMIT, "model %s: more than %d pools", m->name,
                            (int)MOST);
        if (t->rank < 3 || t->shape[0] != n_blocks || t->shape[1] != BLOCK_ROWS)
            return ctx_fail(cx, EVLA_E_SHAPE,
                            "model %s: state %s: want [BLOCKS,%d,...], a pool of keys or "
                            "values",
                            m->name, m->states[i].name, BLOCK_ROWS);
        d->pool_names[d->n_pools] = m->states[i].name;
        d->pools[d->n_pools++] = t;
    }
    return 0;
}

static int32_t open_with(ctx *cx, decoder *d, model *m, const decoder_options *o,
                         plan **plans, int32_t n_last, int32_t n_own, int32_t n)
{
    int32_t n_blocks = o->n_blocks ? o->n_blocks : table_of(o->context);
    const session_options how = {.n_workers = o->n_workers,
                                 .profile = o->profile,
                                 .budget = o->budget,
                                 .one_at_a_time = 1};
    int32_t st = session_open(cx, plans, n, &how, &d->of);
    for (int32_t i = 0; st >= 0 && i < n_own; i++)
        st = bind_stride(cx, d, plans[i], i, i >= n_last);
    for (int32_t i = n_own; i < n; i++)
        d->others[d->n_others++] = plans[i]; /* the session keeps them */
    if (st >= 0) st = find_pools(cx, d, m, n_blocks);
    if (st >= 0) st = blocks_new(cx, n_blocks, &d->pool);
    d->weight_bytes = plans[0]->weight_bytes;
    int32_t most = 1;
    for (int32_t i = 0; i < d->n_last; i++)
        if (d->last[i].tokens > most) most = d->last[i].tokens;
    for (int32_t i = 0; i < d->n_all; i++)
        if (d->all[i].tokens > most) most = d->all[i].tokens;
    d->slots = mem_alloc((size_t)most * sizeof *d->slots);
    return st >= 0 && !d->slots ? ctx_fail(cx, EVLA_E_NOMEM, "decoder") : st;
}

static int32_t plan_others(ctx *cx, const model *m, const decoder_options *o, plan **plans,
                           int32_t *n)
{
    const plan_options how = how_to_plan(o);
    if (o->n_others > MOST_OTHERS)
        return ctx_fail(cx, EVLA_E_LIMIT, "decoder: more than %d further graphs",
                        MOST_OTHERS);
    for (int32_t i = 0; i < o->n_others; i++) {
        graph *g;
        int32_t st = model_want_graph(cx, m, o->others[i].name, &g);
        if (st >= 0) st = plan_make(cx, g, &o->others[i].symbols, &how, &plans[*n]);
        if (st < 0) return st;
        ++*n;
    }
    return 0;
}

int32_t decoder_open(ctx *cx, model *m, const decoder_options *o, decoder **out)
{
    plan *plans[2 * MOST_PLANS + MOST_OTHERS] = {0};
    graph *g;
    int32_t n = 0, n_last = 0, n_own = 0;
    int32_t st = model_want_graph(cx, m, o->graph, &g);
    if (st < 0) return st;
    if (o->context < 1 || o->n_blocks < 0)
        return ctx_fail(cx, EVLA_E_RANGE, "decoder: want a context of 1 token or more");
    decoder *d = mem_alloc(sizeof *d);
    if (!d) return ctx_fail(cx, EVLA_E_NOMEM, "decoder");
    d->context = o->context;
    st = cache_open(cx, &o->cache, o->context, &d->policy);
    if (st >= 0) st = make_plans(cx, g, o, 0, plans, &n);
    n_last = n;
    if (st >= 0 && o->all) st = make_plans(cx, g, o, 1, plans, &n);
    n_own = n;
    if (st >= 0) st = plan_others(cx, m, o, plans, &n);
    if (st >= 0) st = open_with(cx, d, m, o, plans, n_last, n_own, n);
    for (int32_t i = 0; i < n; i++)
        plan_drop(plans[i]);
    if (st < 0)
        decoder_close(d);
    else
        *out = d;
    return st;
}

void decoder_close(decoder *d)
{
    if (!d) return;
    session_close(d->of);
    blocks_free(d->pool);
    cache_close(&d->policy);
    mem_free(d->slots);
    mem_free(d);
}

blocks *decoder_blocks(decoder *d) { return d->pool; }
int32_t decoder_context(const decoder *d) { return d->context; }
int32_t decoder_vocabulary(const decoder *d) { return d->vocabulary; }
int32_t decoder_width(const decoder *d) { return d->width; }
session *decoder_session(decoder *d) { return d->of; }
const plan *decoder_other(const decoder *d, int32_t i, int32_t *at)
{
    *at = d->n_last + d->n_all + i;
    return i < 0 || i >= d->n_others ? NULL : d->others[i];
}
int decoder_drops(const decoder *d) { return cache_drops(&d->policy, d->context); }

int32_t decoder_room(const decoder *d, const sequence *s)
{
    int32_t rows = s->capacity - s->n, text = s->longest - s->n_tokens;
    if (!rows) rows = d->context - d->policy.budget;
    return rows < text ? rows : text;
}

decoder_bytes decoder_sizes(const decoder *d)
{
    decoder_bytes n = {.weights = d->weight_bytes};
    for (int32_t i = 0; i < d->n_pools; i++)
        n.pools += (uint64_t)(d->pools[i]->shape[0] * d->pools[i]->stride[0]);
    n.arenas = session_bytes(d->of) - n.pools;
    return n;
}

/* ---- feeding ---- */

static void copy_rows(void *to, int32_t from, int32_t at, int32_t n)
{
    decoder *d = to;
    for (int32_t i = 0; i < d->n_pools; i++) {
        unsigned char *base = d->pools[i]->data[0];
        size_t bytes = (size_t)d->pools[i]->stride[1];
        memmove(base + (size_t)at * bytes, base + (size_t)from * bytes, (size_t)n * bytes);
    }
}

/* What it costs at least to run n tokens, no more than the longest run takes, and the
 * stride to begin with. */
static int32_t choose(const stride *all, int32_t n_all, int32_t n, const stride **first)
{
    int32_t up = n_all - 1;
    while (up > 0 && all[up - 1].tokens >= n)
        up--;
    *first = &all[up];
    int32_t best = RUN_COST + all[up].tokens;
    if (all[up].tokens == n || up == 0) return best;
    const stride *down = &all[up - 1], *rest;
    int32_t split = RUN_COST + down->tokens + choose(all, n_all, n - down->tokens, &rest);
    if (split >= best) return best;
    return *first = down, split;
}

static int32_t run(ctx *cx, decoder *d, const stride *t, sequence *s, const int32_t *ids,
                   int32_t n)
{
    int32_t first = s->n_tokens, row = s->n;
    int32_t st = sequence_extend(cx, s, ids, n, d->slots, copy_rows, d);
    if (st < 0) return st;
    for (int32_t i = 0; i < t->tokens; i++) {
        int is_real = i < n;
        if (t->in[IDS]) t->in[IDS][i] = is_real ? ids[i] : 0;
        if (t->in[POSITION]) t->in[POSITION][i] = is_real ? first + i : 0;
        if (t->in[SLOT]) t->in[SLOT][i] = is_real ? d->slots[i] : -1;
        if (t->in[LAST]) t->in[LAST][i] = is_real ? row + i : -1;
    }
    /* nothing is dropped before these are read, so their rows are the first ones */
    for (int32_t i = 0; t->in[LAST] && i < s->shown.both - first && i < n; i++)
        t->in[LAST][i] = s->shown.both - 1;
    for (int32_t i = 0; s->shown.n && i < n; i++)
        if (ids[i] < 0)
            memcpy(t->rows + (int64_t)i * d->width,
                   s->shown.rows + (int64_t)s->row_of[first + i] * d->width,
                   (size_t)d->width * sizeof *t->rows);
    int32_t table = table_of(d->context);
    for (int32_t i = 0; t->in[TABLE] && i < table; i++)
        t->in[TABLE][i] = i < s->n_table ? s->table[i] : 0;
    for (int32_t i = 0; t->in[ROW] && i < (t->is_all ? t->tokens : 1); i++)
        t->in[ROW][i] = t->is_all ? i : n - 1;
    st = session_run(cx, d->of, t->plan);
    /* what a failed run wrote lies behind the end of the sequence and is never read */
    if (st < 0) session_accept(d->of);
    return st;
}

/* Rows that are written can be found by other texts before they are dropped. */
static int32_t make_room(ctx *cx, decoder *d, sequence *s)
{
    sequence_commit(s);
    return cache_make_room(cx, &d->policy, s, copy_rows, d);
}

/* Rows of embeddings stand where the sequence shows them, and nowhere else. */
static int32_t check_rows(ctx *cx, const decoder *d, const sequence *s, const int32_t *ids,
                          int32_t n)
{
    if (s->shown.n && s->shown.width != d->width)
        return ctx_fail(cx, EVLA_E_SHAPE,
                        "the text shows rows of %d embeddings, the model reads %s%.0d",
                        s->shown.width, d->width ? "" : "tokens only", d->width);
    for (int32_t i = 0; i < n; i++) {
        int is_row = s->shown.n && s->row_of[s->n_tokens + i] >= 0;
        if ((ids[i] < 0) != is_row)
            return ctx_fail(cx, EVLA_E_ARG,
                            "token %d is %d, where %s row of embeddings stands",
                            s->n_tokens + i, ids[i], is_row ? "a" : "no");
    }
    return 0;
}

/* Tokens that see each other both ways run together. */
static int32_t check_both(ctx *cx, const sequence *s, int32_t n, int32_t longest)
{
    int32_t whole = s->shown.both - s->n_tokens;
    if (whole <= 0 || (whole <= n && whole <= longest)) return 0;
    return ctx_fail(cx, EVLA_E_LIMIT,
                    "%d tokens see each other both ways, so they are read at once; here "
                    "come %d, and the model takes %d at a time",
                    whole, n, longest);
}

static int32_t feed(ctx *cx, decoder *d, sequence *s, const int32_t *ids, int32_t n,
                    const stride *all, int32_t n_all, decoder_rows *rows, void *to,
                    float **logits)
{
    int32_t from = s->n_tokens, longest = all[n_all - 1].tokens, st = 0;
    if (n < 1 || s->of != d->pool || s->capacity != d->context)
        return ctx_fail(cx, EVLA_E_ARG,
                        n < 1 ? "decoder: there is no token to run"
                              : "decoder: the sequence belongs to another one");
    /* what cannot fit is told before anything runs */
    if (n > s->longest - from || (!decoder_drops(d) && n > s->capacity - s->n))
        return sequence_extend(cx, s, ids, n, d->slots, copy_rows, d);
    st = check_rows(cx, d, s, ids, n);
    if (st >= 0) st = check_both(cx, s, n, longest);
    if (st < 0) return st;
    for (int32_t at = 0, k; st >= 0 && at < n; at += k) {
        const stride *t;
        k = n - at < longest ? n - at : longest;
        if (s->n == s->capacity && (st = make_room(cx, d, s)) < 0) break;
        if (k > s->capacity - s->n) k = s->capacity - s->n;
        choose(all, n_all, k, &t);
        while (t->tokens < s->shown.both - s->n_tokens)
            t++;
        if (k > t->tokens) k = t->tokens;
        st = run(cx, d, t, s, ids + at, k);
        if (st >= 0 && rows) rows(to, at, k, t->logits);
        if (logits) *logits = t->logits;
    }
    if (st < 0)
        sequence_truncate(s, from);
    else
        sequence_commit(s);
    return st;
}

int32_t decoder_feed(ctx *cx, decoder *d, sequence *s, const int32_t *ids, int32_t n,
                     float **logits)
{
    return feed(cx, d, s, ids, n, d->last, d->n_last, NULL, NULL, logits);
}

int32_t decoder_feed_all(ctx *cx, decoder *d, sequence *s, const int32_t *ids, int32_t n,
                         decoder_rows *rows, void *to)
{
    if (!d->n_all)
        return ctx_fail(
            cx, EVLA_E_STATE,
            "decoder: was opened for the last token's logits only; want all = true");
    return feed(cx, d, s, ids, n, d->all, d->n_all, rows, to, NULL);
}

/* ---- files ---- */

int32_t decoder_save(ctx *cx, const decoder *d, const sequence *s, const char *path)
{
    if (s->n < s->n_tokens)
        return ctx_fail(cx, EVLA_E_STATE,
                        "%s: %d tokens of which only %d rows are left cannot be saved",
                        path, s->n_tokens, s->n);
    if (s->shown.n)
        return ctx_fail(cx, EVLA_E_STATE,
                        "%s: a text that shows rows of embeddings cannot be saved", path);
    arena *a = &cx->scratch;
    arena_place mark = arena_mark(a);
    bundle_part *parts = arena_push(a, (size_t)d->n_pools + 1, sizeof *parts);
    int32_t st = parts ? 0 : ctx_fail(cx, EVLA_E_NOMEM, "%s", path);
    for (int32_t i = 0; st >= 0 && i < d->n_pools; i++) {
        const evla_tensor *t = d->pools[i];
        size_t block = (size_t)t->stride[0];
        unsigned char *all = arena_push(a, (size_t)s->n_table + 1, block);
        if (!all) {
            st = ctx_fail(cx, EVLA_E_NOMEM, "%s: %s", path, d->pool_names[i]);
            break;
        }
        for (int32_t k = 0; k < s->n_table; k++)
            memcpy(all + (size_t)k * block,
                   (const unsigned char *)t->data[0] + (size_t)s->table[k] * block, block);
        parts[i] = (bundle_part){.name = d->pool_names[i], .data = all};
        parts[i].type = (evla_type){.dtype = t->dtype, .rank = t->rank};
        memcpy(parts[i].type.shape, t->shape, sizeof t->shape);
        parts[i].type.shape[0] = s->n_table;
    }
    value head = {.kind = VALUE_TABLE};
    if (st >= 0) {
        parts[d->n_pools] =
            (bundle_part){.name = "tokens",
                          .type = {.dtype = EVLA_I32, .rank = 1, .shape = {s->n}},
                          .data = s->tokens};
        st = bundle_write(cx, path, "evla.sequence", &head, parts, d->n_pools + 1);
    }
    arena_reset(a, mark);
    return st;
}

/* The part of a pool: as many blocks as the tokens need, otherwise the pool's own type. */
static int32_t check_part(ctx *cx, const decoder *d, int32_t i, const bundle *b,
                          const char *path, int32_t n_blocks)
{
    const evla_tensor *t = d->pools[i];
    const bundle_part *part = bundle_find(b, d->pool_names[i]);
    evla_type is = {.dtype = t->dtype, .rank = t->rank};
    memcpy(is.shape, t->shape, sizeof t->shape);
    is.shape[0] = n_blocks;
    if (part && type_equal(&part->type, &is)) return 0;
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = ctx_fail(cx, EVLA_E_SHAPE, "%s: %s: want %s, found %s", path,
                          d->pool_names[i], type_text(cx->reg, &cx->scratch, &is),
                          part ? type_text(cx->reg, &cx->scratch, &part->type) : "nothing");
    arena_reset(&cx->scratch, mark);
    return st;
}

int32_t decoder_load(ctx *cx, decoder *d, const char *path, sequence **out)
{
    bundle b;
    int32_t st = bundle_open(cx, path, "evla.sequence", &b);
    if (st < 0) return st;
    const bundle_part *tokens = bundle_find(&b, "tokens");
    sequence *s = NULL;
    int32_t n = 0;
    if (!tokens || tokens->type.dtype != EVLA_I32 || tokens->type.rank != 1 ||
        tokens->type.shape[0] > d->context)
        st =
            ctx_fail(cx, EVLA_E_FORMAT, "%s: holds no tokens, or more than a context of %d",
                     path, d->context);
    if (st >= 0) n = (int32_t)tokens->type.shape[0];
    for (int32_t i = 0; st >= 0 && i < d->n_pools; i++)
        st = check_part(cx, d, i, &b, path, table_of(n));
    if (st >= 0) st = sequence_new(cx, d->pool, d->context, d->context, &s);
    const int32_t *ids = st < 0 ? NULL : tokens->data;
    for (int32_t i = 0; st >= 0 && i < n; i++)
        if (ids[i] < 0 || ids[i] >= d->vocabulary)
            st = ctx_fail(cx, EVLA_E_FORMAT, "%s: token %d is %d; want 0 to %d", path, i,
                          ids[i], d->vocabulary - 1);
    for (int32_t at = 0; st >= 0 && at < n; at += BLOCK_ROWS) {
        int32_t slots[BLOCK_ROWS], k = n - at < BLOCK_ROWS ? n - at : BLOCK_ROWS;
        st = sequence_extend(cx, s, ids + at, k, slots, copy_rows, d);
        for (int32_t i = 0; st >= 0 && i < d->n_pools; i++) {
            size_t block = (size_t)d->pools[i]->stride[0];
            memcpy((unsigned char *)d->pools[i]->data[0] +
                       (size_t)s->table[at / BLOCK_ROWS] * block,
                   (const unsigned char *)bundle_find(&b, d->pool_names[i])->data +
                       (size_t)(at / BLOCK_ROWS) * block,
                   block);
        }
    }
    bundle_close(&b);
    if (st < 0) {
        sequence_free(s);
        return st;
    }
    sequence_commit(s);
    *out = s;
    return 0;
}
