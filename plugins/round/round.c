/*
 * round.c -- the quantiser "round": weights in a number format that a plugin brings, each
 * row encoded by that format's own rule.
 *
 * The weight keeps its name and is read by the same linears and embeddings, which decode it
 * or multiply its codes (evla_dtype.linear).
 */
#include "evla/abi.h"
#include <stdio.h>

typedef struct round_params {
    const char *format, *otherwise;
} round_params;

typedef struct quantiser {
    int64_t out, in, row_bytes;
    const evla_dtype *format;
    char report[80];
} quantiser;

/* The format that rows of n take, EVLA_NONE when neither can hold them. EVLA_E_ARG: there
 * is none of that name. */
static int32_t choose(const evla_host *h, const round_params *p, int64_t n, int32_t *out)
{
    const char *names[] = {p->format, p->otherwise};
    *out = EVLA_NONE;
    for (int i = 0; i < 2; i++) {
        if (!names[i]) continue;
        int32_t id = h->dtype(h, names[i]);
        const evla_dtype *table = id == EVLA_NONE ? NULL : h->dtype_table(h, id);
        if (!table || !table->encode) {
            char text[160];
            snprintf(text, sizeof text,
                     "round: %s: no number format \"%.40s\" is loaded that can be written",
                     i ? "otherwise" : "format", names[i]);
            return h->fail(h, EVLA_E_ARG, text);
        }
        if (*out == EVLA_NONE && h->dtype_bytes(h, id, n) > 0) *out = id;
    }
    return EVLA_OK;
}

static int32_t describe(const evla_host *h, const void *params, const evla_type *weight,
                        evla_quant_layout *out)
{
    const round_params *p = params;
    int32_t id;
    if (weight->dtype != EVLA_F32 || weight->rank != 2)
        return h->fail(h, EVLA_E_MISSING, "round: takes f32[out,in] only");
    int32_t st = choose(h, p, weight->shape[1], &id);
    if (st < 0) return st;
    if (id == EVLA_NONE) {
        char text[160];
        snprintf(text, sizeof text, "round: rows of %lld are no whole blocks of %.40s",
                 (long long)weight->shape[1], p->format);
        return h->fail(h, EVLA_E_MISSING, text);
    }
    *out = (evla_quant_layout){
        .size = sizeof *out,
        .n_planes = 1,
        .suffix = {""},
        .plane = {{.dtype = id, .rank = 2, .shape = {weight->shape[0], weight->shape[1]}}},
        .linear = "linear",
        .table = "embedding",
    };
    return EVLA_OK;
}

static int32_t open(const evla_host *h, const void *params, const evla_type *weight,
                    void **self)
{
    quantiser *q = h->hold(h, sizeof *q);
    int32_t id;
    if (!q) return EVLA_E_NOMEM;
    int32_t st = choose(h, params, weight->shape[1], &id);
    if (st < 0) return st;
    *q = (quantiser){.out = weight->shape[0],
                     .in = weight->shape[1],
                     .row_bytes = h->dtype_bytes(h, id, weight->shape[1]),
                     .format = h->dtype_table(h, id)};
    snprintf(q->report, sizeof q->report, "{\"format\":\"%.40s\"}", h->dtype_name(h, id));
    *self = q;
    return EVLA_OK;
}

static void close(const evla_host *h, void *self) { (void)h, (void)self; }

static int32_t observe(const evla_host *h, void *self, const float *x, int64_t rows)
{
    return (void)h, (void)self, (void)x, (void)rows, EVLA_OK; /* nothing is calibrated */
}

static int32_t encode(const evla_host *h, void *self, const float *w, void *const *planes,
                      float *scale)
{
    const quantiser *q = self;
    int32_t st = EVLA_OK;
    for (int64_t r = 0; st >= 0 && r < q->out; r++)
        st = q->format->encode(h, w + r * q->in, q->in,
                               (unsigned char *)planes[0] + r * q->row_bytes);
    if (scale) *scale = 0;
    return st;
}

static const char *report(const evla_host *h, void *self)
{
    return (void)h, ((quantiser *)self)->report;
}

static const evla_quant quant_round = {
    .size = sizeof quant_round,
    .describe = describe,
    .open = open,
    .close = close,
    .observe = observe,
    .encode = encode,
    .report = report,
};

// clang-format off
static const evla_param params[] = {
    {.name = "format", .doc = "a number format: bf16, q8_0, q4_0, ...", .type = EVLA_P_STRING,
     .offset = offsetof(round_params, format)},
    {.name = "otherwise", .doc = "what rows get that are no whole blocks of it; absent: they stay as they are",
     .type = EVLA_P_STRING, .flags = EVLA_PF_OPTIONAL, .offset = offsetof(round_params, otherwise)},
};
// clang-format on

static const evla_item items[] = {
    {.kind = EVLA_QUANT,
     .name = "round",
     .table = &quant_round,
     .doc = "weights in another number format, by that format's own rule",
     .params = params,
     .n_params = sizeof params / sizeof *params,
     .params_size = sizeof(round_params)},
};

static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .id = "evla.round",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof *items,
};

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
