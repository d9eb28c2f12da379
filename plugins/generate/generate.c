/*
 * generate.c -- the loop "generate": one token after another, the likeliest or drawn by
 * lot.
 *
 * The rules apply in this order, as in Hugging Face's transformers: repetition penalty
 * (Keskar et al. 2019, section 4.1), which tokens may be chosen at all, temperature, top_k
 * (Fan et al. 2018), top_p (Holtzman et al. 2020), min_p (Nguyen et al. 2024). What they
 * leave is drawn from with a number that depends on the seed and the token's place in the
 * text alone. The same logits give the same token on every machine up to the last bit of
 * exp.
 */
#include "evla/abi.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct generate_params {
    double temperature;
    int64_t top_k;
    double top_p, min_p;
    double repetition_penalty;
    int64_t repetition_window;
    int64_t lowest, highest;
    int64_t seed;
} generate_params;

/* A token and its weight: the probability after temperature, not yet divided by the sum. */
typedef struct candidate {
    float weight;
    int32_t id;
} candidate;

typedef struct generator {
    generate_params p;
    int32_t vocabulary;
    int32_t pending; /* chosen, but not read yet; -1: none */
    float *logits;   /* the reader's */
    candidate *heap;
    uint8_t *seen; /* by token: penalised already */
    float *told;   /* logits before the rules that change them */
} generator;

/* ---- chance: SplitMix64 (Steele, Lea and Flood 2014) of seed and place ---- */

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static double chance(int64_t seed, int32_t place)
{
    uint64_t z = mix((uint64_t)seed + 0x9e3779b97f4a7c15u);
    return (double)(mix(z + 0x9e3779b97f4a7c15u * ((uint64_t)place + 1)) >> 11) * 0x1p-53;
}

/* ---- the most likely first: a heap ---- */

static int comes_before(candidate a, candidate b)
{
    return a.weight > b.weight || (a.weight == b.weight && a.id < b.id);
}

static void sift(candidate *heap, int32_t n, int32_t i)
{
    candidate x = heap[i];
    for (int32_t k = 2 * i + 1; k < n; k = 2 * i + 1) {
        if (k + 1 < n && comes_before(heap[k + 1], heap[k])) k++;
        if (!comes_before(heap[k], x)) break;
        heap[i] = heap[k];
        i = k;
    }
    heap[i] = x;
}

/* ---- choosing ---- */

static void penalise(generator *g, const evla_reader *r)
{
    float by = (float)g->p.repetition_penalty;
    int64_t window = g->p.repetition_window;
    int32_t from = window && window < r->n_tokens ? r->n_tokens - (int32_t)window : 0;
    for (int32_t i = from; i < r->n_tokens; i++) {
        int32_t id = r->tokens[i];
        if (id < 0 || g->seen[id]) continue;
        g->seen[id] = 1;
        g->logits[id] = g->logits[id] > 0 ? g->logits[id] / by : g->logits[id] * by;
    }
    for (int32_t i = from; i < r->n_tokens; i++)
        if (r->tokens[i] >= 0) g->seen[r->tokens[i]] = 0;
}

/* What may not be chosen is as unlikely as can be. */
static void leave_out(generator *g)
{
    for (int32_t i = 0; i < g->vocabulary; i++)
        if (i < g->p.lowest || i > g->p.highest) g->logits[i] = -INFINITY;
}

static int is_limited(const generator *g)
{
    return g->p.lowest > 0 || g->p.highest < g->vocabulary - 1;
}

static int32_t likeliest(const float *x, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* Draws among the candidates that the rules leave. They leave the heap in order, at its
 * end. */
static int32_t draw(generator *g, int32_t best, int32_t place)
{
    const generate_params *p = &g->p;
    int32_t n = g->vocabulary, kept = 0;
    double all = 0, mass = 0;
    for (int32_t i = 0; i < n; i++) {
        double w = exp(((double)g->logits[i] - (double)g->logits[best]) / p->temperature);
        g->heap[i] = (candidate){(float)w, i};
    }
    for (int32_t i = n / 2 - 1; i >= 0; i--)
        sift(g->heap, n, i);
    int32_t most = p->top_k && p->top_k < n ? (int32_t)p->top_k : n;
    if (most == n)
        for (int32_t i = 0; i < n; i++)
            all += (double)g->heap[i].weight;
    else
        for (int32_t k = 0; k < most; k++) { /* top_p counts among the top_k */
            candidate x = g->heap[0];
            g->heap[0] = g->heap[n - 1 - k];
            sift(g->heap, n - 1 - k, 0);
            g->heap[n - 1 - k] = x;
            all += (double)x.weight;
        }
    int sorted = most < n ? most : 0;
    for (; kept < most; kept++) {
        if (kept >= sorted) {
            candidate x = g->heap[0];
            g->heap[0] = g->heap[n - 1 - kept];
            sift(g->heap, n - 1 - kept, 0);
            g->heap[n - 1 - kept] = x;
        }
        double w = (double)g->heap[n - 1 - kept].weight;
        if (kept && (mass >= p->top_p * all || w < p->min_p || w <= 0)) break;
        mass += w;
    }
    double left = chance(p->seed, place) * mass;
    for (int32_t k = 0; k < kept; k++) {
        left -= (double)g->heap[n - 1 - k].weight;
        if (left < 0) return g->heap[n - 1 - k].id;
    }
    return g->heap[n - kept].id;
}

/* e^x for x <= 0, to 2e-7 of it: 2^k times a polynomial in what is left (Cody and Waite
 * 1980), plain enough for a compiler to do several at once. Below -87 it is e^-87, nearly
 * nothing. */
static inline float exp_below(float x)
{
    x = x > -87 ? x : -87;
    int32_t k = (int32_t)(x * 1.442695041f - 0.5f);
    float r = x - (float)k * 0.693359375f + (float)k * 2.12194440e-4f, p = 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1;
    p = p * r + 1;
    uint32_t bits = (uint32_t)(k + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* ln of the sum of exp(x); NaN when one is NaN. */
static double log_sum(const float *x, int32_t n, int32_t best)
{
    enum { LANES = 16, RUN = 64 * LANES };
    float most = x[best];
    double sum = 0;
    int32_t n_nan = 0, i = 0;
    for (int32_t k = 0; k < n; k++)
        n_nan += x[k] != x[k];
    while (n - i >= LANES) {
        float part[LANES] = {0};
        int32_t end = n - i < RUN ? n - (n - i) % LANES : i + RUN;
        for (; i < end; i += LANES)
            for (int32_t k = 0; k < LANES; k++)
                part[k] += exp_below(x[i + k] - most);
        for (int32_t k = 0; k < LANES; k++)
            sum += (double)part[k];
    }
    for (; i < n; i++)
        sum += (double)exp_below(x[i] - most);
    return n_nan ? (double)NAN : (double)most + log(sum);
}

static int32_t generate_step(const evla_host *h, void *self, evla_reader *r,
                             evla_token *out, int32_t room, int32_t *n)
{
    generator *g = self;
    (void)room;
    if (g->pending >= 0) {
        int32_t st = r->read(h, r, &g->pending, 1, &g->logits);
        if (st < 0) return st;
        g->pending = -1;
    }
    int32_t best = likeliest(g->logits, g->vocabulary);
    double sum = log_sum(g->logits, g->vocabulary, best);
    if (!isfinite(sum))
        return h->fail(h, EVLA_E_RANGE,
                       "generate: the model's logits are not all numbers; its weights or "
                       "its file may be damaged");
    /* chosen by the rules, told without */
    const float *told = g->logits;
    if (g->told) {
        told = memcpy(g->told, g->logits, (size_t)g->vocabulary * sizeof *g->told);
        penalise(g, r);
        leave_out(g);
        best = likeliest(g->logits, g->vocabulary);
    }
    int32_t id = g->p.temperature > 0 ? draw(g, best, r->n_tokens) : best;
    *out = (evla_token){id, (float)((double)told[id] - sum)};
    g->pending = id;
    return *n = 1, EVLA_OK;
}

static int32_t generate_start(const evla_host *h, void *self, evla_reader *r,
                              const int32_t *ids, int32_t n)
{
    generator *g = self;
    g->pending = -1;
    if (r->n_tokens >= n)
        return h->fail(h, EVLA_E_STATE, "generate: the whole text was read before");
    return r->read(h, r, ids + r->n_tokens, n - r->n_tokens, &g->logits);
}

/* ---- life ---- */

static void generate_close(const evla_host *h, void *self)
{
    generator *g = self;
    (void)h;
    if (!g) return;
    free(g->heap);
    free(g->seen);
    free(g->told);
    free(g);
}

static int32_t generate_open(const evla_host *h, const void *params, int32_t vocabulary,
                             void **self)
{
    generator *g = *self = calloc(1, sizeof *g);
    if (!g) return h->fail(h, EVLA_E_NOMEM, "generate: out of memory");
    g->p = *(const generate_params *)params;
    g->vocabulary = vocabulary;
    g->pending = -1;
    g->heap = calloc((size_t)vocabulary, sizeof *g->heap);
    g->seen = calloc((size_t)vocabulary, 1);
    if (g->p.lowest > g->p.highest || g->p.lowest >= vocabulary)
        return h->fail(
            h, EVLA_E_ARG,
            "generate: lowest to highest leave no token of the model's to choose");
    int changes = g->p.repetition_penalty != 1 || is_limited(g);
    if (changes) g->told = calloc((size_t)vocabulary, sizeof *g->told);
    return g->heap && g->seen && (g->told || !changes)
               ? EVLA_OK
               : h->fail(h, EVLA_E_NOMEM, "generate: out of memory");
}

/* ---- the table ---- */

static const evla_loop generate = {
    .size = sizeof generate,
    .open = generate_open,
    .close = generate_close,
    .start = generate_start,
    .step = generate_step,
};

#define AT(field) .offset = offsetof(generate_params, field)
// clang-format off
static const evla_param params[] = {
    {.name = "temperature", .doc = "logits are divided by it; 0: always the likeliest token",
     .type = EVLA_P_FLOAT, .preset = "0", .max = 100, AT(temperature)},
    {.name = "top_k", .doc = "draw among that many of the likeliest; 0: among all",
     .type = EVLA_P_INT, .preset = "0", .max = 1e9, AT(top_k)},
    {.name = "top_p", .doc = "draw among the likeliest that together have this probability",
     .type = EVLA_P_FLOAT, .preset = "1", .min = 0, .max = 1, AT(top_p)},
    {.name = "min_p", .doc = "leave out what is less likely than this share of the likeliest",
     .type = EVLA_P_FLOAT, .preset = "0", .min = 0, .max = 1, AT(min_p)},
    {.name = "repetition_penalty", .doc = "logits of tokens that stand in the text already are "
     "divided by it (multiplied when negative)",
     .type = EVLA_P_FLOAT, .preset = "1", .min = 0.01, .max = 100, AT(repetition_penalty)},
    {.name = "repetition_window", .doc = "how many of the last tokens count for that; 0: all",
     .type = EVLA_P_INT, .preset = "0", .max = 1e9, AT(repetition_window)},
    {.name = "lowest", .doc = "the first token that may be chosen",
     .type = EVLA_P_INT, .preset = "0", .max = 1e9, AT(lowest)},
    {.name = "highest", .doc = "the last one", .type = EVLA_P_INT, .preset = "1000000000",
     .max = 1e9, AT(highest)},
    {.name = "seed", .doc = "of the lot", .type = EVLA_P_INT, .preset = "1", AT(seed)},
};
static const evla_item items[] = {
    {.kind = EVLA_LOOP, .name = "generate", .table = &generate,
     .doc = "continues a text token by token: greedy, or by lot with the usual rules",
     .params = params, .n_params = sizeof params / sizeof *params,
     .params_size = sizeof(generate_params)},
};
static const evla_plugin self = {
    .magic = EVLA_MAGIC, .size = sizeof self, .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR, .id = "evla.generate", .version = "0.1.0",
    .license = "Apache-2.0", .items = items, .n_items = sizeof items / sizeof *items,
};
// clang-format on

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
