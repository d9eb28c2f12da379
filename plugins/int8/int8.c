/*
 * int8.c -- the quantiser "int8": symmetric eight-bit codes for weights and activations.
 *
 * A weight's scale is max|w| / 127, of each output channel or of the whole tensor.
 * Activations get theirs per token while the policy runs, or per tensor once, from
 * calibration: the largest magnitude seen, or a percentile of magnitudes, counted in a
 * histogram whose bins are the leading bits of a float, so that the result does not depend
 * on the order of batches. The operators are those of evla/ops.h.
 */
#include "evla/ops.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PER_CHANNEL, PER_TENSOR };
enum { PER_TOKEN, STATIC };
enum { MAX, PERCENTILE };

typedef struct int8_params {
    int32_t weights;
    int32_t activations;
    int32_t calibration;
    int32_t reserved;
    double percentile;
} int8_params;

/* Sign, exponent and six bits of mantissa: bins 1/64 to 1/128 wide, relative to where they
 * lie. */
enum { SHIFT = 17, BINS = 0x7f800000 >> SHIFT };

typedef struct quantiser {
    const int8_params *how;
    int64_t out, in;
    int64_t seen;
    float most, scale;
    int64_t *bins; /* NULL: no percentile is wanted */
    char report[160];
} quantiser;

static int32_t refuse(const evla_host *h, int32_t code, const char *format, long long a,
                      long long b)
{
    char text[160];
    snprintf(text, sizeof text, format, a, b);
    return h->fail(h, code, text);
}

static int32_t describe(const evla_host *h, const void *params, const evla_type *weight,
                        evla_quant_layout *out)
{
    const int8_params *p = params;
    if (weight->dtype != EVLA_F32 || weight->rank != 2)
        return h->fail(h, EVLA_E_MISSING, "int8: codes f32[out,in] only");
    int64_t rows = weight->shape[0], cols = weight->shape[1];
    if (cols > EVLA_QUANTIZED_MAX)
        return refuse(h, EVLA_E_MISSING,
                      "int8: rows of %lld; sums of more than %lld products may leave 32 "
                      "bits",
                      (long long)cols, EVLA_QUANTIZED_MAX);
    *out = (evla_quant_layout){
        .size = sizeof *out,
        .n_planes = 2,
        .suffix = {"codes", "scale"},
        .plane = {{.dtype = EVLA_I8, .rank = 2, .shape = {rows, cols}},
                  {.dtype = EVLA_F32, .rank = 2, .shape = {rows, 1}}},
        .linear = "quantized_linear",
        .activation = "quantize",
        .decode = "dequantize",
        .calibrates = p->activations == STATIC,
    };
    return EVLA_OK;
}

static int32_t open(const evla_host *h, const void *params, const evla_type *weight,
                    void **self)
{
    const int8_params *p = params;
    quantiser *q = h->hold(h, sizeof *q);
    if (!q) return EVLA_E_NOMEM;
    *q = (quantiser){.how = p, .out = weight->shape[0], .in = weight->shape[1]};
    if (p->activations == STATIC && p->calibration == PERCENTILE) {
        q->bins = h->hold(h, (uint64_t)BINS * sizeof *q->bins);
        if (!q->bins) return EVLA_E_NOMEM;
    }
    *self = q;
    return EVLA_OK;
}

static void close(const evla_host *h, void *self) { (void)h, (void)self; }

static int32_t observe(const evla_host *h, void *self, const float *x, int64_t rows)
{
    quantiser *q = self;
    for (int64_t i = 0; i < rows * q->in; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7fffffffu;
        if (bits >= 0x7f800000u)
            return refuse(h, EVLA_E_RANGE,
                          "int8: calibration: row %lld holds a NaN or Inf at %lld",
                          (long long)(i / q->in), (long long)(i % q->in));
        if (q->bins) q->bins[bits >> SHIFT]++;
        float v = fabsf(x[i]);
        q->most = v > q->most ? v : q->most;
    }
    q->seen += rows * q->in;
    return EVLA_OK;
}

/* The magnitude below which the percentile of all values lie: the upper edge of its bin. */
static float at_percentile(const quantiser *q)
{
    double want = q->how->percentile / 100 * (double)q->seen;
    int64_t below = 0;
    for (uint32_t i = 0; i < BINS; i++) {
        below += q->bins[i];
        if ((double)below < want) continue;
        uint32_t bits = (i + 1) << SHIFT;
        float edge;
        memcpy(&edge, &bits, sizeof edge);
        return edge < q->most ? edge : q->most;
    }
    return q->most;
}

static float positive(float scale) { return scale > 0 ? scale : 1.0f; }

static int8_t code_of(float w, float scale)
{
    float v = nearbyintf(w / scale);
    return (int8_t)(v > 127 ? 127 : v < -127 ? -127 : v);
}

static int32_t encode(const evla_host *h, void *self, const float *w, void *const *planes,
                      float *scale)
{
    quantiser *q = self;
    int8_t *codes = planes[0];
    float *scales = planes[1], whole = 0;
    for (int64_t r = 0; r < q->out; r++) {
        float most = 0;
        for (int64_t i = 0; i < q->in; i++) {
            float v = fabsf(w[r * q->in + i]);
            if (!(v <= 3.4028234664e38f))
                return refuse(h, EVLA_E_RANGE,
                              "int8: the weight holds a NaN or Inf at [%lld,%lld]",
                              (long long)r, (long long)i);
            most = v > most ? v : most;
        }
        whole = most > whole ? most : whole;
        scales[r] = positive(most / 127.0f);
    }
    for (int64_t r = 0; r < q->out; r++) {
        if (q->how->weights == PER_TENSOR) scales[r] = positive(whole / 127.0f);
        for (int64_t i = 0; i < q->in; i++)
            codes[r * q->in + i] = code_of(w[r * q->in + i], scales[r]);
    }
    if (scale) *scale = 0;
    if (!scale || q->how->activations == PER_TOKEN) return EVLA_OK;
    if (!q->seen)
        return h->fail(h, EVLA_E_STATE,
                       "int8: a static scale needs calibration, which saw no value");
    *scale = q->scale = positive((q->bins ? at_percentile(q) : q->most) / 127.0f);
    return EVLA_OK;
}

static const char *report(const evla_host *h, void *self)
{
    (void)h;
    quantiser *q = self;
    if (!(q->scale > 0)) return "{\"activations\":\"per_token\"}";
    snprintf(q->report, sizeof q->report,
             "{\"activations\":\"per_tensor\",\"largest\":%.9g,\"observed\":%lld,"
             "\"scale\":%.9g}",
             (double)q->most, (long long)q->seen, (double)q->scale);
    return q->report;
}

static const evla_quant int8 = {
    .size = sizeof int8,
    .describe = describe,
    .open = open,
    .close = close,
    .observe = observe,
    .encode = encode,
    .report = report,
};

// clang-format off
static const evla_param params[] = {
    {.name = "weights", .doc = "one scale per output channel, or one for the whole weight",
     .type = EVLA_P_ENUM, .choices = "per_channel|per_tensor", .preset = "per_channel",
     .offset = offsetof(int8_params, weights)},
    {.name = "activations", .doc = "scales found while it runs, or one from calibration",
     .type = EVLA_P_ENUM, .choices = "per_token|per_tensor", .preset = "per_token",
     .offset = offsetof(int8_params, activations)},
    {.name = "calibration", .doc = "per_tensor: what the scale is taken from",
     .type = EVLA_P_ENUM, .choices = "max|percentile", .preset = "max",
     .offset = offsetof(int8_params, calibration)},
    {.name = "percentile", .doc = "of all magnitudes; larger ones are cut off", .unit = "%",
     .type = EVLA_P_FLOAT, .preset = "99.9", .min = 50, .max = 100,
     .offset = offsetof(int8_params, percentile)},
};
// clang-format on

static const evla_item items[] = {
    {.kind = EVLA_QUANT,
     .name = "int8",
     .table = &int8,
     .doc = "symmetric eight-bit codes for weights and activations",
     .params = params,
     .n_params = sizeof params / sizeof *params,
     .params_size = sizeof(int8_params)},
};

static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .id = "evla.int8",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof *items,
};

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
