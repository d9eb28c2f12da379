/*
 * sanity.c -- the filter "sanity": drops records that went wrong, and says why in one word.
 *
 * A reason is one of the three below or the name of an event that the schema declares
 * (attribute "events", field "events": a bit each). The first one in the order of `reject`
 * that applies wins. Reads records only; keeps nothing between them, so any number of
 * workers may call take.
 */
#include "evla/abi.h"
#include <stdio.h>
#include <string.h>

enum { MOST_REASONS = 80, MOST_EVENTS = 64 };

typedef struct sanity_params {
    evla_list reject; /* const char * */
} sanity_params;

typedef enum rule { NOT_FINITE, TIMEOUT, TASK_FAILED, EVENT } rule;

static const char *const own[] = {"not_finite", "timeout", "task_failed"};
enum { N_OWN = sizeof own / sizeof *own };

typedef struct cause {
    const char *name; /* valid until close */
    rule rule;
    uint64_t bit; /* EVENT */
} cause;

typedef struct sanity {
    int32_t n;
    int32_t f16, bf16; /* ids, EVLA_NONE when nobody registered them */
    cause causes[MOST_REASONS];
} sanity;

/* ---- names ---- */

/* The names that may be rejected: the stage's own, then the schema's events. */
typedef struct names {
    const char *at[N_OWN + MOST_EVENTS];
    int32_t n;
} names;

static int32_t list_names(const evla_host *h, const evla_schema *in, names *out)
{
    memset(out, 0, sizeof *out);
    while (out->n < N_OWN)
        out->at[out->n] = own[out->n], out->n++;
    const char *text = NULL;
    for (int32_t i = 0; i < in->n_attrs; i++)
        if (!strcmp(in->attrs[i].name, "events")) text = in->attrs[i].text;
    if (!text) return EVLA_OK;
    char *copy = h->hold(h, strlen(text) + 1), *rest = copy;
    if (!copy) return EVLA_E_NOMEM;
    strcpy(copy, text);
    for (char *word; (word = strtok_r(rest, " ", &rest));) {
        if (out->n == N_OWN + MOST_EVENTS)
            return h->fail(h, EVLA_E_LIMIT, "the data declares more than 64 events");
        out->at[out->n++] = word;
    }
    return EVLA_OK;
}

static int distance(const char *a, const char *b)
{
    enum { MOST = 40 };
    int n = (int)strlen(a), m = (int)strlen(b), row[MOST + 1];
    if (n > MOST || m > MOST) return 1000;
    for (int k = 0; k <= m; k++)
        row[k] = k;
    for (int i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int k = 1; k <= m; k++) {
            int best = diagonal + (a[i - 1] != b[k - 1]);
            if (row[k] + 1 < best) best = row[k] + 1;
            if (row[k - 1] + 1 < best) best = row[k - 1] + 1;
            diagonal = row[k];
            row[k] = best;
        }
    }
    return row[m];
}

static int32_t unknown(const evla_host *h, const char *name, const names *all)
{
    char text[900], list[640] = "";
    const char *near = NULL;
    int least = 4;
    for (int32_t i = 0; i < all->n; i++) {
        int d = distance(name, all->at[i]);
        if (d < least) least = d, near = all->at[i];
        if (strlen(list) + strlen(all->at[i]) + 3 < sizeof list)
            strcat(strcat(list, i ? ", " : ""), all->at[i]);
    }
    snprintf(text, sizeof text,
             "reject: no reason is called \"%.40s\"; %s%s%sthere are: %s", name,
             near ? "did you mean \"" : "", near ? near : "", near ? "\"? " : "", list);
    return h->fail(h, EVLA_E_ARG, text);
}

/* Turns names into rules. */
static int32_t compile(const evla_host *h, const sanity_params *p, const evla_schema *in,
                       sanity *out)
{
    names all;
    int32_t st = list_names(h, in, &all), has_events = 0;
    if (st < 0) return st;
    for (int32_t i = 0; i < in->n_fields; i++)
        if (!strcmp(in->fields[i].name, "events")) has_events = 1;
    if (p->reject.n > MOST_REASONS)
        return h->fail(h, EVLA_E_LIMIT, "reject: more than 80 reasons");
    for (int64_t i = 0; i < p->reject.n; i++) {
        const char *name = ((const char *const *)p->reject.items)[i];
        int32_t k = 0;
        while (k < all.n && strcmp(all.at[k], name) != 0)
            k++;
        if (k == all.n) return unknown(h, name, &all);
        if (k >= N_OWN && !has_events)
            return h->fail(h, EVLA_E_MISSING,
                           "reject: the data declares events but has no field \"events\"");
        out->causes[out->n++] = (cause){
            .name = all.at[k],
            .rule = k < N_OWN ? (rule)k : EVENT,
            .bit = k < N_OWN ? 0 : (uint64_t)1 << (k - N_OWN),
        };
    }
    out->f16 = h->dtype(h, "f16");
    out->bf16 = h->dtype(h, "bf16");
    return EVLA_OK;
}

/* ---- looking ---- */

static int64_t count(const evla_tensor *t)
{
    int64_t n = 1;
    for (int32_t i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

/* 1 when an exponent has all its bits: infinity or not a number. */
static int has_full_exponent(const sanity *s, const evla_tensor *t)
{
    int64_t n = count(t);
    const void *data = t->data[0];
    int bad = 0;
    if (t->dtype == EVLA_F32) {
        for (int64_t i = 0; i < n; i++)
            bad |= (((const uint32_t *)data)[i] & 0x7f800000) == 0x7f800000;
    } else if (t->dtype == EVLA_F64) {
        const uint64_t mask = 0x7ff0000000000000;
        for (int64_t i = 0; i < n; i++)
            bad |= (((const uint64_t *)data)[i] & mask) == mask;
    } else if (t->dtype != EVLA_NONE && (t->dtype == s->f16 || t->dtype == s->bf16)) {
        const uint16_t mask = t->dtype == s->f16 ? 0x7c00 : 0x7f80;
        for (int64_t i = 0; i < n; i++)
            bad |= (((const uint16_t *)data)[i] & mask) == mask;
    }
    return bad;
}

static int32_t attr_int(const evla_host *h, const evla_record *r, const char *name,
                        int64_t *out)
{
    char text[160];
    for (int32_t i = 0; i < r->n_attrs; i++)
        if (!strcmp(r->attrs[i].name, name) && r->attrs[i].type == EVLA_ATTR_INT)
            return *out = r->attrs[i].integer, EVLA_OK;
    snprintf(text, sizeof text,
             "it has no whole-number attribute \"%s\"; leave that reason out of reject",
             name);
    return h->fail(h, EVLA_E_MISSING, text);
}

/* The bits of all ticks together. */
static uint64_t events_of(const evla_record *r)
{
    uint64_t all = 0;
    for (int32_t i = 0; i < r->n_fields; i++) {
        const evla_tensor *t = &r->fields[i].value;
        if (strcmp(r->fields[i].name, "events") != 0 || t->dtype != EVLA_U64) continue;
        for (int64_t k = 0; k < count(t); k++)
            all |= ((const uint64_t *)t->data[0])[k];
    }
    return all;
}

static int32_t applies(const evla_host *h, const sanity *s, const cause *why,
                       const evla_record *r, int *yes)
{
    int64_t v = 0;
    int32_t st = EVLA_OK;
    *yes = 0;
    switch (why->rule) {
    case NOT_FINITE:
        for (int32_t i = 0; i < r->n_fields && !*yes; i++)
            *yes = has_full_exponent(s, &r->fields[i].value);
        break;
    case TIMEOUT:
        st = attr_int(h, r, "timeout", &v);
        *yes = v != 0;
        break;
    case TASK_FAILED:
        st = attr_int(h, r, "success", &v);
        *yes = v == 0;
        break;
    case EVENT:
        *yes = (events_of(r) & why->bit) != 0;
        break;
    }
    return st;
}

/* ---- the stage ---- */

static int32_t sanity_describe(const evla_host *h, const void *params,
                               const evla_schema *in, evla_schema *out)
{
    sanity *s = h->scratch(h, sizeof *s);
    if (!s) return EVLA_E_NOMEM;
    if (!in) return h->fail(h, EVLA_E_ARG, "it is a filter; it cannot stand first");
    *out = *in;
    return compile(h, params, in, s);
}

static int32_t sanity_open(const evla_host *h, const void *params, const evla_site *site,
                           void **self)
{
    sanity *s = h->hold(h, sizeof *s);
    if (!s) return EVLA_E_NOMEM;
    *self = s;
    return compile(h, params, site->in, s);
}

static void sanity_close(const evla_host *h, void *self)
{
    (void)h;
    (void)self;
}

static int32_t sanity_take(const evla_host *h, void *self, const evla_record *in,
                           evla_record **out, const char **reason)
{
    const sanity *s = self;
    *out = NULL;
    for (int32_t i = 0; i < s->n; i++) {
        int yes;
        int32_t st = applies(h, s, &s->causes[i], in, &yes);
        if (st < 0) return st;
        if (yes) return *reason = s->causes[i].name, EVLA_OK;
    }
    h->record_keep(h, in);
    *out = (evla_record *)(uintptr_t)in;
    return EVLA_OK;
}

static const evla_param params[] = {
    {.name = "reject",
     .doc =
         "not_finite, timeout, task_failed and events of the body; the first that applies "
         "is the reason",
     .preset = "[\"not_finite\", \"timeout\", \"task_failed\"]",
     .type = EVLA_P_LIST,
     .element = EVLA_P_STRING,
     .offset = offsetof(sanity_params, reject)},
};
static const evla_stage stage = {
    .size = sizeof stage,
    .flags = EVLA_STAGE_PARALLEL,
    .describe = sanity_describe,
    .open = sanity_open,
    .close = sanity_close,
    .take = sanity_take,
};
static const evla_item items[] = {{EVLA_STAGE, "sanity", &stage,
                                   "drops records that went wrong, and counts why", params,
                                   sizeof params / sizeof *params, sizeof(sanity_params)}};
static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16,
    .n_items = 1,
    .items = items,
    .id = "evla.sanity",
    .version = "0.1.0",
    .license = "Apache-2.0",
};
__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
