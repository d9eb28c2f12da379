/*
 * core/job/rows*.c and feed.c: rows of episodes over a service of the test's own, whose
 * numbers are known, so every gathered row can be told from its place.
 */
#include "job/feed.h"
#include "plugin.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- a service: dataset k has episodes of these lengths, all numbers follow from places
 * ---- */

typedef struct set {
    const char *path;
    int64_t lengths[4];
    int32_t x_dtype; /* of obs/x */
    int is_ragged, has_nan, has_mask, has_no_text, has_huge;
} set;

static const set sets[] = {
    {.path = "a", .lengths = {5, 7, 4}, .x_dtype = EVLA_F32, .has_mask = 1},
    {.path = "b", .lengths = {6, 1}, .x_dtype = EVLA_F64},
    {.path = "ragged", .lengths = {5, 5}, .x_dtype = EVLA_F32, .is_ragged = 1},
    {.path = "nan", .lengths = {5, 5}, .x_dtype = EVLA_F32, .has_nan = 1, .has_mask = 1},
    {.path = "silent", .lengths = {5}, .x_dtype = EVLA_F32, .has_no_text = 1},
    {.path = "huge", .lengths = {5, 5}, .x_dtype = EVLA_F64, .has_huge = 1},
};

typedef struct opened {
    const set *of;
    int64_t n;
} opened;

static atomic_int n_open, n_reads;

static int32_t fr_open(const evla_host *h, const char *path, const char *mask, void **self)
{
    *self = NULL;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if (strcmp(sets[i].path, path) != 0) continue;
        if (mask && !sets[i].has_mask)
            return h->fail(h, EVLA_E_MISSING, "there is no such mask");
        opened *o = calloc(1, sizeof *o);
        o->of = &sets[i];
        while (o->n < 4 && sets[i].lengths[o->n])
            o->n++;
        if (mask && !strcmp(mask, "first")) o->n = 1;
        atomic_fetch_add(&n_open, 1);
        return *self = o, 0;
    }
    return h->fail(h, EVLA_E_IO, "there is no such file");
}

static void fr_close(const evla_host *h, void *self)
{
    (void)h;
    if (self) atomic_fetch_sub(&n_open, 1);
    free(self);
}

static int64_t fr_count(const evla_host *h, void *self)
{
    (void)h;
    return ((opened *)self)->n;
}

static int32_t fr_type(const evla_host *h, void *self, int64_t i, const char *field,
                       evla_type *out)
{
    const opened *o = self;
    (void)h;
    int64_t n = o->of->lengths[i];
    if (!strcmp(field, "obs/x"))
        *out = (evla_type){o->of->x_dtype, 2, {n, 3}};
    else if (!strcmp(field, "obs/pixels"))
        *out = (evla_type){EVLA_U8, 3, {n - (o->of->is_ragged && i), 2, 2}};
    else if (!strcmp(field, "flag"))
        *out = (evla_type){EVLA_BOOL, 1, {n}};
    else
        return EVLA_E_MISSING;
    return 0;
}

/* What stands in dataset s, episode i, tick t at place k of obs/x. */
static double x_at(const set *s, int64_t i, int64_t t, int64_t k)
{
    if (s->has_nan && i == 1 && t == 3 && k == 2) return NAN;
    if (s->has_huge && i == 1 && t == 1 && k == 0) return 1e300; /* beyond f32 */
    return (double)((s - sets) * 1000 + i * 100 + t * 10 + k) / 4;
}

static int32_t fr_read(const evla_host *h, void *self, int64_t i, const char *field,
                       int64_t first, int64_t n, void *out, uint64_t out_bytes)
{
    const opened *o = self;
    int is_x = !strcmp(field, "obs/x"), is_pixels = !strcmp(field, "obs/pixels");
    int64_t each = is_x ? 3 : is_pixels ? 4 : 1;
    int64_t width = !is_x ? 1 : o->of->x_dtype == EVLA_F64 ? 8 : 4;
    atomic_fetch_add(&n_reads, 1);
    if (first < 0 || first + n > o->of->lengths[i] ||
        (uint64_t)(n * each * width) > out_bytes)
        return h->fail(h, EVLA_E_RANGE, "out of range");
    for (int64_t t = first; t < first + n; t++)
        for (int64_t k = 0; k < each; k++) {
            int64_t at = (t - first) * each + k;
            if (is_x && o->of->x_dtype == EVLA_F64)
                ((double *)out)[at] = x_at(o->of, i, t, k);
            else if (is_x)
                ((float *)out)[at] = (float)x_at(o->of, i, t, k);
            else
                ((uint8_t *)out)[at] =
                    (uint8_t)(is_pixels ? 16 * i + 4 * (t % 4) + k : t % 2);
        }
    return 0;
}

static int32_t fr_attr(const evla_host *h, void *self, int64_t i, const char *name,
                       evla_attr *out)
{
    static const char *const texts[] = {"go", "place the \xc3\xa4 cup", "stop now, please"};
    const opened *o = self;
    (void)h;
    if (!strcmp(name, "seed")) return *out = (evla_attr){.type = EVLA_ATTR_INT}, 0;
    if (strcmp(name, "instruction") != 0 || o->of->has_no_text) return EVLA_E_MISSING;
    *out = (evla_attr){.name = "instruction", .text = texts[i % 3], .type = EVLA_ATTR_TEXT};
    return 0;
}

#include "frames_plugin.h"

static ctx cx;

static void refused(int32_t st, int32_t code, const char *part, const char *title)
{
    ok(st == code && cx.code == code && strstr(cx.why, part), "%s is refused: %s", title,
       cx.why);
    ctx_clear(&cx);
}

static int32_t open_rows(const char *paths, const rows_options *how, const rows_input *in,
                         int32_t n, rows **r)
{
    static evla_value v[4];
    static char text[64];
    const evla_value *p[4];
    int32_t k = 0;
    snprintf(text, sizeof text, "%s", paths);
    for (char *w = strtok(text, " "); w; w = strtok(NULL, " ")) {
        v[k] = (evla_value){.type = "episodes", .path = w, .job = w};
        p[k] = &v[k], k++;
    }
    ctx_clear(&cx);
    return rows_open(&cx, p, k, how, in, n, r);
}

static const rows_input all[] = {{"obs/x", {EVLA_F32, 2, {8, 3}}},
                                 {"obs/pixels", {EVLA_U8, 3, {8, 2, 2}}},
                                 {"instruction", {EVLA_U8, 2, {8, 9}}},
                                 {"flag", {EVLA_F32, 1, {8}}}};

/* ---- tests ---- */

static void order(void)
{
    int bad = 0, same = 0, moved = 0;
    char seen[1000];
    for (int64_t n = 1; n <= 1000; n += n < 20 ? 1 : 97)
        for (int epoch = 0; epoch < 3; epoch++) {
            memset(seen, 0, sizeof seen);
            for (int64_t i = 0; i < n; i++) {
                int64_t at = rows_shuffled(7, n, epoch * n + i);
                if (at < 0 || at >= n || seen[at]++) bad++;
                if (n > 500) same += at == rows_shuffled(7, n, (epoch + 1) * n + i);
                if (n > 500) moved += at == rows_shuffled(8, n, epoch * n + i);
            }
        }
    ok(bad == 0, "every epoch of 1 to 1,000 rows holds each row once");
    ok(same < 60 && moved < 60, "epochs and seeds give other orders (%d, %d equal places)",
       same, moved);
    /* neighbours end up apart: the mean distance of a random order is n / 3 */
    double sum = 0;
    for (int64_t i = 1; i < 10000; i++)
        sum += fabs((double)(rows_shuffled(3, 10000, i) - rows_shuffled(3, 10000, i - 1)));
    ok(fabs(sum / 9999 - 10000.0 / 3) < 150,
       "neighbours lie as far apart as in a random order: %.0f of 3,333", sum / 9999);
    ok(rows_shuffled(1, (int64_t)1 << 40, 12345678901) < (int64_t)1 << 40,
       "a trillion rows need no memory either");
}

static int row_is_right(rows_reader *q, int64_t row)
{
    static const int64_t first[] = {0, 5, 12, 16, 22, 23};
    int e = 0;
    while (row >= first[e + 1])
        e++;
    const set *s = &sets[e < 3 ? 0 : 1];
    int64_t i = e < 3 ? e : e - 3, t = row - first[e];
    float x[3], flag;
    uint8_t pixels[4], text[9];
    if (rows_gather(q, &row, 1, 0, x) < 0 || rows_gather(q, &row, 1, 1, pixels) < 0 ||
        rows_gather(q, &row, 1, 2, text) < 0 || rows_gather(q, &row, 1, 3, &flag) < 0)
        return 0;
    int good = flag == (float)(t % 2) && pixels[3] == 16 * i + 4 * (t % 4) + 3;
    for (int64_t k = 0; k < 3; k++)
        good &= x[k] == (float)x_at(s, i, t, k);
    return good && !memcmp(text,
                           i == 0   ? "go\0\0\0\0\0\0\0"
                           : i == 1 ? "place the"
                                    : "stop now,",
                           9);
}

static void gather(uint64_t cache, const char *title)
{
    rows *r = NULL;
    rows_reader q = {0};
    rows_options how = {.cache = cache};
    int32_t st = open_rows("a b", &how, all, 4, &r);
    ok(st == 0 && rows_count(r) == 23 && rows_episodes(r) == 5,
       "%s: 23 rows of 5 episodes %s", title, cx.why);
    if (st < 0) return;
    int before = atomic_load(&n_reads), good = 1;
    rows_reader_open(&cx, r, &q);
    for (int64_t i = 0; i < 23; i++)
        good &= row_is_right(&q, i);
    ok(good, "%s: every row of every input is the right one", title);
    ok(rows_all_cached(r) == (atomic_load(&n_reads) == before),
       "%s: %d reads, %llu bytes cached", title, atomic_load(&n_reads) - before,
       (unsigned long long)rows_cached(r));
    ok(rows_cached(r) <= cache, "%s: the cache keeps its size", title);
    double mean[3], deviation[3], one_mean, one_deviation;
    st = rows_statistics(&cx, r, "obs/x", 3, mean, deviation);
    double sum[3] = {0}, square[3] = {0}, total = 0, total_square = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int s = 0; s < 2; s++)
            for (int64_t i = 0; i < 4 && sets[s].lengths[i]; i++)
                for (int64_t t = 0; t < sets[s].lengths[i]; t++)
                    for (int64_t k = 0; k < 3; k++) {
                        double x = x_at(&sets[s], i, t, k), d = x - sum[k] / 23;
                        if (pass == 0)
                            sum[k] += x, total += x;
                        else
                            square[k] += d * d,
                                total_square += (x - total / 69) * (x - total / 69);
                    }
    good = st == 0;
    for (int k = 0; k < 3; k++)
        good &= fabs(mean[k] - sum[k] / 23) < 1e-9 &&
                fabs(deviation[k] - sqrt(square[k] / 23)) < 1e-9;
    ok(good, "%s: means and deviations are those of two passes to 1e-9", title);
    rows_statistics(&cx, r, "obs/x", 1, &one_mean, &one_deviation);
    ok(fabs(one_mean - total / 69) < 1e-9 &&
           fabs(one_deviation - sqrt(total_square / 69)) < 1e-9,
       "%s: one number for a whole field", title);
    refused(rows_statistics(&cx, r, "obs/x", 2, mean, deviation), EVLA_E_SHAPE, "want",
            "a statistic of another size");
    ctx_clear(&cx);
    rows_reader_close(&q);
    rows_close(r);
}

static void refusals(void)
{
    static const struct {
        const char *paths;
        rows_options how;
        rows_input in[2];
        int32_t n, code;
        const char *part, *title;
    } bad[] = {
        {"none",
         {0},
         {{"obs/x", {EVLA_F32, 2, {8, 3}}}},
         1,
         EVLA_E_IO,
         "no such file",
         "a file that is not there"},
        {"a",
         {.mask = "zzz"},
         {{"obs/x", {EVLA_F32, 2, {8, 4}}}},
         1,
         EVLA_E_SHAPE,
         "the input wants f32[4]",
         "another shape"},
        {"b",
         {.mask = "train"},
         {{"obs/x", {EVLA_F32, 2, {8, 3}}}},
         1,
         EVLA_E_MISSING,
         "mask",
         "a mask that was asked for and is not there"},
        {"a",
         {0},
         {{"obs/x", {EVLA_I32, 2, {8, 3}}}},
         1,
         EVLA_E_DTYPE,
         "only f32 and f64",
         "a format that nothing is converted to"},
        {"a",
         {0},
         {{"obs/y", {EVLA_F32, 2, {8, 3}}}},
         1,
         EVLA_E_MISSING,
         "has no field obs/y",
         "a field that is not there"},
        {"a",
         {0},
         {{"instruction", {EVLA_U8, 2, {8, 9}}}},
         1,
         EVLA_E_SHAPE,
         "no rows",
         "texts alone"},
        {"ragged",
         {0},
         {{"obs/x", {EVLA_F32, 2, {8, 3}}}, {"obs/pixels", {EVLA_U8, 3, {8, 2, 2}}}},
         2,
         EVLA_E_SHAPE,
         "obs/pixels has 4 rows, but obs/x has 5",
         "fields of different length"},
        {"nan",
         {.cache = 1 << 20},
         {{"obs/x", {EVLA_F32, 2, {8, 3}}}},
         1,
         EVLA_E_RANGE,
         "obs/x is nan at tick 3 of episode 1; leave",
         "a number that is none"},
        {"nan",
         {.cache = 1 << 20, .mask = "good"},
         {{"obs/x", {EVLA_F32, 2, {8, 3}}}},
         1,
         EVLA_E_RANGE,
         "obs/x is nan at tick 3 of episode 1 of mask good; leave",
         "one among a mask's episodes, which is numbered within"},
        {"silent",
         {0},
         {{"obs/x", {EVLA_F32, 2, {8, 3}}}, {"instruction", {EVLA_U8, 2, {8, 9}}}},
         2,
         EVLA_E_MISSING,
         "no text instruction",
         "an episode without its text"},
        {"a",
         {0},
         {{"obs/x", {EVLA_F32, 2, {8, 3}}}, {"seed", {EVLA_U8, 2, {8, 9}}}},
         2,
         EVLA_E_MISSING,
         "no text seed",
         "an attribute that is a number"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rows *r = NULL;
        refused(open_rows(bad[i].paths, &bad[i].how, bad[i].in, bad[i].n, &r), bad[i].code,
                bad[i].part, bad[i].title);
        ok(r == NULL && atomic_load(&n_open) == 0, "and nothing stays open");
    }
    static const struct {
        rows_without without;
        int64_t n;
        const char *title;
    } lacking[] = {{ROWS_ALL, 12, "a preset mask is left out where a file has none"},
                   {ROWS_NONE, 5, "or the file is"}};
    for (int i = 0; i < 2; i++) {
        rows *r = NULL;
        rows_options how = {.mask = "first", .without = lacking[i].without};
        ok(open_rows("a b", &how, all, 1, &r) == 0 && rows_count(r) == lacking[i].n, "%s",
           lacking[i].title);
        rows_close(r);
    }
}

/* What is read row by row is looked at, too: a loss that is no number would not say why. */
static void not_numbers(void)
{
    rows *r = NULL;
    rows_reader q = {0};
    float x[3];
    int64_t which[] = {2, 8};
    ok(open_rows("nan", &(rows_options){.cache = 0}, all, 1, &r) == 0,
       "a file with a NaN opens when nothing of it is cached %s", cx.why);
    rows_reader_open(&cx, r, &q);
    ok(rows_gather(&q, &which[0], 1, 0, x) == 0, "a good row is read");
    ok(rows_gather(&q, &which[1], 1, 0, x) == EVLA_E_RANGE &&
           strstr(q.cx.why, "obs/x is nan at tick 3 of episode 1"),
       "the bad one is named: %s", q.cx.why);
    rows_reader_close(&q);
    rows_close(r);
    static const uint64_t cache[] = {1 << 20, 0};
    for (int k = 0; k < 2; k++) {
        int64_t row = 6;
        r = NULL;
        int32_t st = open_rows("huge", &(rows_options){.cache = cache[k]}, all, 1, &r);
        const char *why = cx.why;
        if (st == 0) {
            rows_reader_open(&cx, r, &q);
            st = rows_gather(&q, &row, 1, 0, x);
            why = q.cx.why;
        }
        ok(st == EVLA_E_RANGE && strstr(why, "obs/x is 1e+300 at tick 1 of episode 1"),
           "what f32 cannot hold is named, %s: %s", k ? "read" : "cached", why);
        rows_reader_close(&q);
        rows_close(r);
        ctx_clear(&cx);
    }
}

/* Batches from the feed are those gathered by hand, also when it starts in the middle. */
static void feeding(int64_t from)
{
    rows *r;
    rows_reader q = {0};
    feed *f = NULL;
    unsigned char *const *data;
    float x[8 * 3];
    int64_t which[8];
    int same = 1, n = 0;
    open_rows("a b", &(rows_options){.cache = 1 << 20}, all, 4, &r);
    rows_reader_open(&cx, r, &q);
    feed_options o = {
        .in = all, .n_in = 4, .ahead = 3, .batch = 8, .seed = 5, .from = from, .until = 40};
    ok(feed_open(&cx, r, &o, &f) == 0, "a feed from batch %lld opens %s", (long long)from,
       cx.why);
    for (int64_t k = from; k < 40 && feed_next(&cx, f, &data) == 0; k++, n++) {
        for (int64_t i = 0; i < 8; i++)
            which[i] = rows_shuffled(5, 23, k * 8 + i);
        rows_gather(&q, which, 8, 0, x);
        same &= !memcmp(x, data[0], sizeof x);
        feed_done(f);
    }
    ok(same && n == 40 - from, "its %d batches are those of their numbers", n);
    refused(feed_next(&cx, f, &data), EVLA_E_STATE, "were taken", "a batch past the end");
    ctx_clear(&cx);
    feed_close(f);
    ok(feed_open(&cx, r, &o, &f) == 0, "it opens again");
    feed_close(f); /* with its thread waiting for room */
    rows_reader_close(&q);
    rows_close(r);
}

int main(void)
{
    registry reg;
    registry_init(&reg);
    ctx_init(&cx, &reg);
    plugin_add(&cx, &reg, "rows.so", &frames_plugin);
    plugin_seal(&cx, &reg);
    order();
    gather(1 << 20, "all cached");
    gather(200, "partly cached");
    gather(0, "nothing cached");
    refusals();
    not_numbers();
    feeding(0);
    feeding(17);
    ok(atomic_load(&n_open) == 0, "every dataset was closed");
    ctx_free(&cx);
    registry_free(&reg);
    return tap_done();
}
