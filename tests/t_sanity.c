/*
 * t_sanity.c -- the filter "sanity" on records made by hand.
 */
#include "stage_host.h"
#include "tap.h"
#include <math.h>

typedef struct sanity_params {
    evla_list reject;
} sanity_params;

static stage_host s;
static const evla_stage *stage;
static const evla_host *h;

static const evla_attr declared[] = {
    {.name = "events", .text = "self_collision object_lost", .type = EVLA_ATTR_TEXT}};
static const evla_schema_field fields[] = {
    {"obs/a", "f32[T,2]", "", "", 0}, {"obs/b", "f64[T]", "", "", 0},
    {"obs/c", "f16[T]", "", "", 0},   {"events", "u64[T]", "", "", 0},
    {"obs/i", "i32[T]", "", "", 0},
};
static const evla_schema schema = {.size = sizeof schema,
                                   .n_fields = 5,
                                   .n_attrs = 1,
                                   .fields = fields,
                                   .attrs = declared};

static evla_record *record(int64_t success, int64_t timeout)
{
    const evla_field f[] = {{"obs/a", {.dtype = EVLA_F32, .rank = 2, .shape = {4, 2}}},
                            {"obs/b", {.dtype = EVLA_F64, .rank = 1, .shape = {4}}},
                            {"obs/c", {.dtype = HOST_F16, .rank = 1, .shape = {4}}},
                            {"events", {.dtype = EVLA_U64, .rank = 1, .shape = {4}}},
                            {"obs/i", {.dtype = EVLA_I32, .rank = 1, .shape = {4}}}};
    const evla_attr a[] = {{.name = "success", .integer = success, .type = EVLA_ATTR_INT},
                           {.name = "timeout", .integer = timeout, .type = EVLA_ATTR_INT}};
    evla_record *r = NULL;
    h->record_new(h, f, 5, a, 2, &r);
    memset(r->fields[4].value.data[0], 0xff, 16); /* integers are always finite */
    return r;
}

/* The reason why a record is dropped under a list of reasons, "kept" or the refusal. */
static const char *verdict(evla_record *r, const char *const *reject, int64_t n)
{
    sanity_params p = {{reject, n}};
    evla_site site = {.size = sizeof site, .n_workers = 1, .in = &schema};
    void *self = NULL;
    evla_record *out = NULL;
    static char reason[64];
    const char *why = NULL;
    host_clear(&s);
    if (stage->open(h, &p, &site, &self) < 0) return s.why;
    int32_t st = stage->take(h, self, r, &out, &why);
    snprintf(reason, sizeof reason, "%s", st < 0 ? "failed" : out == r ? "kept" : why);
    stage->close(h, self);
    if (out) h->record_drop(h, out);
    h->record_drop(h, r);
    return reason;
}

#define WITH(r, ...)                                                                       \
    verdict(r, (const char *const[]){__VA_ARGS__},                                         \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))
#define IS(text, what) (!strcmp(text, what) || (note("got: %s", text), 0))

static void numbers(void)
{
    ok(IS(WITH(record(1, 0), "not_finite"), "kept"), "a sound record is kept");
    const double odd[] = {NAN, INFINITY, -INFINITY};
    int f32 = 1, f64 = 1;
    for (int i = 0; i < 3; i++) {
        evla_record *r = record(1, 0);
        ((float *)r->fields[0].value.data[0])[7] = (float)odd[i];
        f32 &= IS(WITH(r, "not_finite"), "not_finite");
        r = record(1, 0);
        ((double *)r->fields[1].value.data[0])[3] = odd[i];
        f64 &= IS(WITH(r, "not_finite"), "not_finite");
    }
    ok(f32, "one f32 that is not a number or infinite drops it");
    ok(f64, "so does one f64");
    evla_record *r = record(1, 0);
    ((uint16_t *)r->fields[2].value.data[0])[2] = 0xfc00;
    ok(IS(WITH(r, "not_finite"), "not_finite"), "and one f16");
    r = record(1, 0);
    ((uint16_t *)r->fields[2].value.data[0])[2] = 0x7bff;
    ((float *)r->fields[0].value.data[0])[0] = 3.4e38f;
    ((double *)r->fields[1].value.data[0])[0] = -1.7e308;
    ok(IS(WITH(r, "not_finite"), "kept"), "the largest finite numbers are finite");
}

static void reasons(void)
{
    ok(IS(WITH(record(0, 0), "task_failed"), "task_failed"), "a failed task is dropped");
    ok(IS(WITH(record(1, 0), "task_failed", "timeout"), "kept"), "a task done is kept");
    ok(IS(WITH(record(0, 1), "timeout", "task_failed"), "timeout"),
       "the first reason wins");
    ok(IS(WITH(record(0, 1), "task_failed", "timeout"), "task_failed"), "in either order");
    evla_record *r = record(1, 0);
    ((uint64_t *)r->fields[3].value.data[0])[1] = 2;
    ok(IS(WITH(r, "self_collision", "object_lost"), "object_lost"),
       "an event in one tick is a reason");
    r = record(1, 0);
    ((uint64_t *)r->fields[3].value.data[0])[3] = 3;
    ok(IS(WITH(r, "not_finite", "object_lost", "self_collision"), "object_lost"),
       "of two events the one that is listed first");
    r = record(1, 0);
    ((uint64_t *)r->fields[3].value.data[0])[0] = 2;
    ok(IS(WITH(r, "self_collision"), "kept"), "an event that is not listed is no reason");
    ok(IS(verdict(record(0, 1), NULL, 0), "kept"), "an empty list keeps everything");
}

static void refusals(void)
{
    evla_record *r = record(1, 0);
    ok(IS(WITH(r, "self_colision"),
          "reject: no reason is called \"self_colision\"; did you mean \"self_collision\"? "
          "there are: not_finite, timeout, task_failed, self_collision, object_lost"),
       "an unknown reason is refused with the near miss and the list");
    ok(IS(WITH(r, "gravity"),
          "reject: no reason is called \"gravity\"; there are: not_finite, timeout, "
          "task_failed, self_collision, object_lost"),
       "with the list alone when nothing is near");
    h->record_drop(h, r);
    sanity_params p = {{(const char *const[]){"gravity"}, 1}};
    evla_schema out = {0};
    host_clear(&s);
    ok(stage->describe(h, &p, &schema, &out) == EVLA_E_ARG, "already when it is described");
    p.reject.n = 0;
    ok(stage->describe(h, &p, &schema, &out) == 0 && out.fields == schema.fields &&
           out.attrs == schema.attrs,
       "the schema passes unchanged");
    host_clear(&s);
    ok(stage->describe(h, &p, NULL, &out) == EVLA_E_ARG &&
           IS(s.why, "it is a filter; it cannot stand first"),
       "it cannot be a source");
    const evla_schema bare = {.size = sizeof bare, .n_attrs = 1, .attrs = declared};
    p = (sanity_params){{(const char *const[]){"object_lost"}, 1}};
    host_clear(&s);
    ok(stage->describe(h, &p, &bare, &out) == EVLA_E_MISSING &&
           IS(s.why, "reject: the data declares events but has no field \"events\""),
       "declared events without the field are refused");
    evla_field f = {"obs/b", {.dtype = EVLA_F64, .rank = 1, .shape = {1}}};
    h->record_new(h, &f, 1, NULL, 0, &r);
    host_clear(&s);
    ok(IS(WITH(r, "task_failed"), "failed") &&
           IS(s.why,
              "it has no whole-number attribute \"success\"; leave that reason out of "
              "reject"),
       "a record that does not tell its success is an error, not a guess");
}

int main(void)
{
    const evla_item *item = host_item("sanity", EVLA_STAGE, "sanity");
    if (!item) skip_all("sanity.so is not built");
    h = host_init(&s);
    stage = item->table;
    ok(stage->flags & EVLA_STAGE_PARALLEL, "any number of workers may call it");
    numbers();
    reasons();
    refusals();
    ok(atomic_load(&host_records) == 0, "no record is left behind");
    host_free(&s);
    return tap_done();
}
