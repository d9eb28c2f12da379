/*
 * job.c -- jobs as a DAG: declaring, ordering, keys, skipping, running. See job.h.
 */
#include "job.h"
#include "../data/format.h"
#include "../mem.h"
#include "../near.h"
#include "../registry.h"
#include "sha256.h"
#include "types.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- types ---- */

static const job_type *const types[] = {JOB_TYPES};

const job_type *const *job_types(int32_t *n)
{
    *n = (int32_t)(sizeof types / sizeof *types);
    return types;
}

const job_type *job_type_find(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i]->name, name)) return types[i];
    return NULL;
}

/* ---- declaring ---- */

program *program_new(ctx *cx, const char *name, const char *out)
{
    program *p = arena_push(&cx->mem, 1, sizeof *p);
    char here[4096];
    if (!p) return NULL;
    p->cx = cx;
    p->name = arena_copy(&cx->mem, name);
    if (out[0] == '/')
        p->out = arena_text(&cx->mem, "%s/%s", out, name);
    else if (getcwd(here, sizeof here))
        p->out = arena_text(&cx->mem, "%s/%s/%s", here, out, name);
    p->options = (value){.kind = VALUE_TABLE};
    if (p->name && p->out) return p;
    ctx_fail(cx, EVLA_E_NOMEM, "program %s", name);
    return NULL;
}

void program_free(program *p)
{
    if (p) mem_free(p->jobs);
}

job *job_behind(const value *v)
{
    return v && v->kind == VALUE_REF && !strcmp(v->ref_type, "job") ? v->as.ref : NULL;
}

job *job_given(const job *j, const char *parameter)
{
    return job_behind(value_get(&j->given, parameter));
}

job *job_of(const evla_value *v)
{
    return v->job ? (job *)((char *)v - offsetof(job, result)) : NULL;
}

const evla_value *job_resolve(void *to, const value *v)
{
    (void)to;
    job *from = job_behind(v);
    return from ? &from->result : NULL;
}

/* Collects the jobs that a value refers to, also inside chosen items. */
static int32_t collect(job *j, const value *v)
{
    ctx *cx = j->in->cx;
    int32_t st = 0;
    if (v->kind == VALUE_REF && !strcmp(v->ref_type, "choice"))
        return collect(j, &((const choice *)v->as.ref)->given);
    job *from = job_behind(v);
    if (from) {
        for (int32_t i = 0; i < j->n_needs; i++)
            if (j->needs[i] == from) return 0;
        job **wide = arena_push(&cx->mem, (size_t)j->n_needs + 1, sizeof *wide);
        if (!wide) return ctx_fail(cx, EVLA_E_NOMEM, "job %s", j->name);
        if (j->n_needs) memcpy(wide, j->needs, (size_t)j->n_needs * sizeof *wide);
        wide[j->n_needs++] = from;
        j->needs = wide;
    }
    if (v->kind != VALUE_TABLE) return 0;
    for (int32_t i = 0; st >= 0 && i < v->n_items; i++)
        st = collect(j, &v->as.items[i]);
    for (int32_t i = 0; st >= 0 && i < v->n_pairs; i++)
        st = collect(j, &v->pairs[i].v);
    return st;
}

static int is_job_name(const char *s)
{
    size_t n = 0;
    for (; s[n]; n++)
        if (!isalnum((unsigned char)s[n]) && s[n] != '_' && s[n] != '-') return 0;
    return n > 0 && n < 64 && s[0] != '-';
}

job *job_declare(program *p, const char *type, const char *name, const value *given,
                 const char *where)
{
    ctx *cx = p->cx;
    const char *at = where ? where : p->name;
    const job_type *t = job_type_find(type);
    if (!t)
        return ctx_fail(cx, EVLA_E_MISSING, "%s: there is no job type \"%s\"", at, type),
               NULL;
    if (!is_job_name(name)) {
        ctx_fail(
            cx, EVLA_E_ARG,
            "%s: %s: want a name of letters, digits, - and _ for its folder, got \"%.60s\"",
            at, type, name);
        return NULL;
    }
    for (int32_t i = 0; i < p->n_jobs; i++)
        if (!strcmp(p->jobs[i]->name, name)) {
            ctx_fail(cx, EVLA_E_EXISTS,
                     "%s: a job called \"%s\" is already declared at %s; rename one", at,
                     name, p->jobs[i]->where);
            return NULL;
        }
    if (p->n_jobs == p->cap_jobs) {
        int32_t cap = p->cap_jobs ? 2 * p->cap_jobs : 16;
        job **wide = mem_grow(p->jobs, (size_t)cap * sizeof *wide);
        if (!wide) return ctx_fail(cx, EVLA_E_NOMEM, "%d jobs", cap), NULL;
        p->jobs = wide;
        p->cap_jobs = cap;
    }
    job *j = arena_push(&cx->mem, 1, sizeof *j);
    if (j) {
        *j = (job){.in = p, .type = t};
        j->name = arena_copy(&cx->mem, name);
        j->where = arena_copy(&cx->mem, at);
        j->folder = arena_text(&cx->mem, "%s/%s", p->out, name);
        j->params = arena_push(&cx->mem, 1, t->params_size);
        j->figures = (value){.kind = VALUE_TABLE};
        j->result = (evla_value){.type = t->result, .path = j->folder, .job = j->name};
    }
    if (!j || !j->name || !j->where || !j->folder || !j->params ||
        value_copy(&cx->mem, given, &j->given) < 0)
        return ctx_fail(cx, EVLA_E_NOMEM, "job %s", name), NULL;
    param_site site = {.where = j->where,
                       .what = arena_text(&cx->mem, "%s \"%s\"", type, name),
                       .resolve = job_resolve};
    if (param_fill(cx, &cx->mem, &site, t->params, t->n_params, &j->given, j->params,
                   t->params_size) < 0 ||
        collect(j, &j->given) < 0)
        return NULL;
    p->jobs[p->n_jobs++] = j;
    return j;
}

/* ---- keys ---- */

typedef struct keying {
    job *j;
    sha256 sum;
    int32_t st;
} keying;

static const char *ref_text(arena *a, const char *ref_type, const void *ref)
{
    if (!strcmp(ref_type, "job"))
        return arena_text(a, "\"job:%s\"", ((const job *)ref)->key);
    if (strcmp(ref_type, "choice") != 0) return arena_text(a, "\"%s\"", ref_type);
    const choice *c = ref;
    const char *given = value_print(a, &c->given, ref_text);
    return given ? arena_text(a, "{\"%s\":%s}", c->item.item->name, given) : NULL;
}

static void key_text(keying *k, const char *text)
{
    sha256_update(&k->sum, text, strlen(text) + 1);
}

struct digest {
    digest *next;
    const char *path;
    char hex[65];
};

/* Each file is read once per check, however many jobs it is part of. */
static void key_file(keying *k, const char *path)
{
    program *p = k->j->in;
    digest *d = p->digests;
    while (d && strcmp(d->path, path) != 0)
        d = d->next;
    if (!d) {
        digest *made = arena_push(&p->cx->mem, 1, sizeof *made);
        const char *copy = arena_copy(&p->cx->mem, path);
        if (!made || !copy) {
            k->st = ctx_fail(p->cx, EVLA_E_NOMEM, "key of job %s", k->j->name);
            return;
        }
        *made = (digest){.next = p->digests, .path = copy};
        if (sha256_file(path, made->hex) != 0) memcpy(made->hex, "absent", 7);
        d = p->digests = made;
    }
    key_text(k, d->hex);
}

/* The other files of a model that is in several. One that cannot be opened is refused by
 * who reads it. */
static void key_parts(keying *k, const char *path)
{
    ctx cx;
    format_file f;
    const evla_item *item;
    ctx_init_child(&cx, k->j->in->cx);
    if (format_probe(&cx, path, &item) >= 0 && item &&
        format_open(&cx, item, path, &f) >= 0) {
        for (int64_t i = 0; i < f.holds.n_files; i++)
            key_file(k, f.holds.files[i]);
        format_close(&f);
    }
    ctx_free(&cx);
}

/* A file as it looks from outside, for jobs that run every time: whoever needs them sees
 * when it is another one, and nobody waits for gigabytes to be read. */
static void key_stamp(keying *k, const char *path)
{
    struct stat st;
    char text[80] = "absent";
    if (stat(path, &st) == 0)
        snprintf(text, sizeof text, "%lld bytes, %lld.%09ld", (long long)st.st_size,
                 (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    key_text(k, text);
}

/* The files that path parameters read, those inside structs too. */
static void key_inputs(keying *k, const evla_param *params, int32_t n, const void *filled)
{
    for (int32_t i = 0; i < n; i++) {
        const evla_param *p = &params[i];
        const char *field = (const char *)filled + p->offset;
        if (p->type == EVLA_P_STRUCT) key_inputs(k, p->fields, (int32_t)p->n_fields, field);
        const evla_list *list = (const evla_list *)(const void *)field;
        for (int64_t e = 0; p->type == EVLA_P_STRUCTS && e < list->n; e++)
            key_inputs(k, p->fields, (int32_t)p->n_fields,
                       (const char *)list->items + e * p->fields_size);
        if (p->type != EVLA_P_PATH || !(p->flags & EVLA_PF_INPUT)) continue;
        const char *path = *(const char *const *)(const void *)field;
        if (path && k->j->type->is_live)
            key_stamp(k, path);
        else if (path) {
            key_file(k, path);
            key_parts(k, path);
        }
    }
}

/* The plugins behind the items that a value names, and what those read. */
static void key_items(keying *k, const value *v)
{
    const registry *reg = k->j->in->cx->reg;
    if (v->kind == VALUE_REF && !strcmp(v->ref_type, "choice")) {
        const choice *c = v->as.ref;
        const plugin *owner = registry_owner(reg, c->item.item);
        if (owner && owner->handle) key_file(k, owner->path);
        key_inputs(k, c->item.item->params, (int32_t)c->item.item->n_params,
                   c->item.params);
        key_items(k, &c->given);
    }
    if (v->kind != VALUE_TABLE) return;
    for (int32_t i = 0; i < v->n_items; i++)
        key_items(k, &v->as.items[i]);
    for (int32_t i = 0; i < v->n_pairs; i++)
        key_items(k, &v->pairs[i].v);
}

/* What the processor can do decides which code a library runs, and so the last bits; so
 * do the machine planned for and a choice of kernels. */
static void key_machine(keying *k)
{
    char line[8192];
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "flags", 5) || !strncmp(line, "Features", 8)) {
            key_text(k, line);
            break;
        }
    if (f) fclose(f);
    const evla_machine *m = &k->j->in->cx->reg->machine;
    key_text(k, m->name);
    key_text(k, m->features);
    const char *kernels = getenv("EVLA_KERNEL");
    key_text(k, kernels ? kernels : "");
}

static int32_t make_key(job *j)
{
    ctx *cx = j->in->cx;
    arena_place mark = arena_mark(&cx->scratch);
    keying k = {.j = j};
    sha256_init(&k.sum);
    key_text(&k, j->type->name);
    const char *given = value_print(&cx->scratch, &j->given, ref_text);
    if (!given) return ctx_fail(cx, EVLA_E_NOMEM, "key of job %s", j->name);
    key_text(&k, given);
    if (j->type->is_live) { /* never compared itself */
        key_inputs(&k, j->type->params, j->type->n_params, j->params);
        sha256_final_hex(&k.sum, j->key);
        arena_reset(&cx->scratch, mark);
        return k.st;
    }
    key_text(&k, j->in->sources ? j->in->sources : "");
    const char *options = value_print(&cx->scratch, &j->in->options, NULL);
    key_text(&k, options ? options : "");
    key_file(&k, "/proc/self/exe");
    key_machine(&k);
    key_items(&k, &j->given);
    key_inputs(&k, j->type->params, j->type->n_params, j->params);
    int has_graphs = j->type->has_graphs;
    for (int32_t i = 0; i < j->n_needs; i++) /* who is given a model may run it */
        has_graphs |= !strcmp(j->needs[i]->type->result, "model");
    if (has_graphs) /* any operator or kernel may be part of the result */
        for (int32_t i = 0; i < cx->reg->n_plugins; i++)
            if (cx->reg->plugins[i].handle) key_file(&k, cx->reg->plugins[i].path);
    sha256_final_hex(&k.sum, j->key);
    arena_reset(&cx->scratch, mark);
    return k.st;
}

/* ---- ordering and checking ---- */

/* Depth-first; a job met again while it is open closes a cycle, which is named. */
static int32_t visit(program *p, job *j, job **order, int32_t *n, char *mark)
{
    int32_t at = 0;
    while (at < p->n_jobs && p->jobs[at] != j)
        at++;
    if (at == p->n_jobs)
        return ctx_fail(p->cx, EVLA_E_BUG, "job %s belongs to another program", j->name);
    if (mark[at] == 2) return 0;
    if (mark[at] == 1)
        return ctx_fail(p->cx, EVLA_E_ARG, "%s: jobs need each other in a circle: %s",
                        j->where, j->name);
    mark[at] = 1;
    for (int32_t i = 0; i < j->n_needs; i++) {
        int32_t st = visit(p, j->needs[i], order, n, mark);
        if (st < 0) {
            if (st == EVLA_E_ARG && strlen(p->cx->why) < 900) {
                strcat(p->cx->why, " <- ");
                strcat(p->cx->why, j->name);
            }
            return st;
        }
    }
    mark[at] = 2;
    order[(*n)++] = j;
    return 0;
}

int32_t program_check(program *p, const char **report)
{
    ctx *cx = p->cx;
    *report = NULL;
    p->digests = NULL;
    job **order = arena_push(&cx->mem, (size_t)p->n_jobs + 1, sizeof *order);
    char *mark = arena_push(&cx->mem, (size_t)p->n_jobs + 1, 1);
    int32_t n = 0, st = 0, first = 0;
    if (!order || !mark) return ctx_fail(cx, EVLA_E_NOMEM, "%d jobs", p->n_jobs);
    for (int32_t i = 0; st >= 0 && i < p->n_jobs; i++)
        st = visit(p, p->jobs[i], order, &n, mark);
    if (st < 0) return *report = arena_copy(&cx->mem, cx->why), st;
    memcpy(p->jobs, order, (size_t)n * sizeof *order);
    const char *all = NULL;
    for (int32_t i = 0; i < n; i++) {
        ctx_clear(cx);
        st = make_key(order[i]);
        if (st >= 0 && order[i]->type->check) st = order[i]->type->check(cx, order[i]);
        if (st >= 0) continue;
        if (!strstr(cx->why, order[i]->where)) ctx_prefix(cx, "%s", order[i]->where);
        all = arena_text(&cx->mem, "%s%s%s", all ? all : "", all ? "\n" : "", cx->why);
        if (!first) first = st;
    }
    ctx_clear(cx);
    *report = all;
    return first ? ctx_fail(cx, first, "%.1000s", all ? all : "out of memory") : 0;
}

/* ---- running ---- */

int32_t job_workers(const job *j, int64_t given, int32_t most)
{
    int64_t n = given ? given : j->in->workers;
    if (!n) n = sysconf(_SC_NPROCESSORS_ONLN);
    return (int32_t)(n < 1 ? 1 : n > most ? most : n);
}

void job_report_progress(job *j, int64_t done, int64_t total, const char *text)
{
    if (j->in->progress) j->in->progress(j->in->progress_to, j, done, total, text);
}

int32_t job_figure(job *j, const char *name, value v)
{
    ctx *cx = j->in->cx;
    value *t = &j->figures;
    value_pair *wide = arena_push(&cx->mem, (size_t)t->n_pairs + 1, sizeof *wide);
    if (!wide) return ctx_fail(cx, EVLA_E_NOMEM, "figure %s", name);
    int32_t k = 0;
    for (int32_t i = 0; i < t->n_pairs; i++)
        if (strcmp(t->pairs[i].name, name) != 0) wide[k++] = t->pairs[i];
    wide[k].name = arena_copy(&cx->mem, name);
    if (!wide[k].name || value_copy(&cx->mem, &v, &wide[k].v) < 0)
        return ctx_fail(cx, EVLA_E_NOMEM, "figure %s", name);
    t->pairs = wide;
    t->n_pairs = k + 1;
    value_sort(t);
    return 0;
}

/* job.json of a finished job whose key is the same. */
static int is_up_to_date(job *j)
{
    ctx *cx = j->in->cx;
    char *text;
    size_t n;
    value v;
    struct stat st;
    const char *path = arena_text(&cx->scratch, "%s/job.json", j->folder);
    int32_t code = cx->code;
    if (!path || stat(path, &st) < 0) return 0;
    if (file_read(cx, &cx->mem, path, 64 << 20, &text, &n) < 0 ||
        value_parse(&cx->mem, text, n, &v, NULL) < 0) {
        if (!code) ctx_clear(cx);
        return 0;
    }
    const value *key = value_get(&v, "key"), *figures = value_get(&v, "figures"),
                *seconds = value_get(&v, "seconds");
    if (!key || key->kind != VALUE_TEXT || strcmp(key->as.text, j->key) != 0) return 0;
    if (stat(j->result.path, &st) < 0) return 0;
    if (figures && figures->kind == VALUE_TABLE) j->figures = *figures;
    if (seconds)
        j->seconds = seconds->kind == VALUE_FLOAT ? seconds->as.f : (double)seconds->as.i;
    return 1;
}

/* A folder of another key is set aside, so that nothing of it can be mistaken for this
 * job's. */
static int32_t prepare_folder(job *j)
{
    ctx *cx = j->in->cx;
    struct stat st;
    char *have;
    size_t n = 0;
    const char *key = arena_text(&cx->scratch, "%s/key", j->folder),
               *old = arena_text(&cx->scratch, "%s.old", j->folder);
    if (!key || !old) return ctx_fail(cx, EVLA_E_NOMEM, "job %s", j->name);
    if (j->type->is_live) return folder_make(cx, j->folder);
    if (stat(j->folder, &st) == 0) {
        int same = stat(key, &st) == 0 &&
                   file_read(cx, &cx->scratch, key, 4096, &have, &n) >= 0 && n == 64 &&
                   !memcmp(have, j->key, 64);
        if (same) return 0;
        ctx_say(cx, EVLA_LOG_INFO, "%s: made from something else; set aside as %s.old",
                j->name, j->name);
        int32_t code = folder_remove(cx, old);
        if (code < 0) return code;
        if (rename(j->folder, old) < 0)
            return ctx_fail(cx, EVLA_E_IO, "%s: cannot set it aside: %s", j->folder,
                            strerror(errno));
    }
    int32_t code = folder_make(cx, j->folder);
    return code < 0 ? code : file_replace(cx, key, j->key, 64);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const int64_t *seed_of(const evla_param *params, int32_t n, const void *filled)
{
    for (int32_t i = 0; i < n; i++)
        if (params[i].type == EVLA_P_INT && !strcmp(params[i].name, "seed"))
            return (const int64_t *)((const char *)filled + params[i].offset);
    return NULL;
}

/* The seed of the first item that a value names and that has one. */
static const int64_t *seed_below(const value *v)
{
    const int64_t *seed = NULL;
    if (v->kind == VALUE_REF && !strcmp(v->ref_type, "choice")) {
        const choice *c = v->as.ref;
        const evla_item *item = c->item.item;
        seed = seed_of(item->params, (int32_t)item->n_params, c->item.params);
        return seed ? seed : seed_below(&c->given);
    }
    if (v->kind != VALUE_TABLE) return NULL;
    for (int32_t i = 0; !seed && i < v->n_items; i++)
        seed = seed_below(&v->as.items[i]);
    for (int32_t i = 0; !seed && i < v->n_pairs; i++)
        seed = seed_below(&v->pairs[i].v);
    return seed;
}

static const char *job_json(job *j, arena *a)
{
    static const char *const states[] = {"waiting", "skipped", "done", "failed"};
    value_pair pairs[] = {
        {"figures", j->figures},
        {"key", value_text(j->key)},
        {"name", value_text(j->name)},
        {"result", value_text(j->result.path)},
        {"result_type", value_text(j->result.type)},
        {"seconds", value_float(j->seconds)},
        {"state", value_text(states[j->state])},
        {"type", value_text(j->type->name)},
        {NULL, {0}},
    };
    int32_t n = sizeof pairs / sizeof *pairs - 1;
    const int64_t *seed = seed_of(j->type->params, j->type->n_params, j->params);
    if (!seed) seed = seed_below(&j->given);
    if (seed) pairs[n++] = (value_pair){"seed", value_int(*seed)};
    value v = value_table(a, pairs, n);
    return v.kind == VALUE_TABLE ? value_print(a, &v, NULL) : NULL;
}

static int32_t run_one(job *j)
{
    ctx *cx = j->in->cx;
    if (!j->type->is_live && is_up_to_date(j)) {
        j->state = JOB_SKIPPED;
        job_report_progress(j, 1, 1, "up to date");
        return 0;
    }
    int32_t st = prepare_folder(j);
    double from = now();
    if (st >= 0) st = j->type->run(cx, j);
    j->seconds = now() - from;
    j->state = st < 0 ? JOB_FAILED : JOB_DONE;
    if (st >= 0) {
        const char *json = job_json(j, &cx->scratch),
                   *path = arena_text(&cx->scratch, "%s/job.json", j->folder);
        st = json && path ? file_replace(cx, path, json, strlen(json))
                          : ctx_fail(cx, EVLA_E_NOMEM, "job %s", j->name);
    }
    if (st < 0 && st != EVLA_E_STOPPED && !strstr(cx->why, j->name))
        ctx_prefix(cx, "job %s", j->name);
    return st;
}

static void want(job *j, char *wanted)
{
    for (int32_t i = 0; i < j->in->n_jobs; i++)
        if (j->in->jobs[i] == j) wanted[i] = 1;
    for (int32_t i = 0; i < j->n_needs; i++)
        want(j->needs[i], wanted);
}

int32_t program_run(program *p, const char *only)
{
    ctx *cx = p->cx;
    char *wanted = arena_push(&cx->mem, (size_t)p->n_jobs + 1, 1);
    const char **names = arena_push(&cx->mem, (size_t)p->n_jobs + 1, sizeof *names);
    if (!wanted || !names) return ctx_fail(cx, EVLA_E_NOMEM, "%d jobs", p->n_jobs);
    int found = !only;
    for (int32_t i = 0; i < p->n_jobs; i++) {
        names[i] = p->jobs[i]->name;
        if (!only) wanted[i] = 1;
        if (only && !strcmp(only, names[i])) want(p->jobs[i], wanted), found = 1;
    }
    if (!found) {
        const char *near = near_miss(only, names, p->n_jobs);
        return ctx_fail(cx, EVLA_E_ARG, "%s declares no job \"%s\"%s%s%s", p->name, only,
                        near ? "; did you mean \"" : "", near ? near : "",
                        near ? "\"?" : "");
    }
    int32_t st = folder_make(cx, p->out);
    for (int32_t i = 0; st >= 0 && i < p->n_jobs; i++) {
        if (!wanted[i]) continue;
        arena_place mark = arena_mark(&cx->scratch);
        st = ctx_stopping(cx) ? ctx_fail(cx, EVLA_E_STOPPED, "stopped before %s", names[i])
                              : run_one(p->jobs[i]);
        arena_reset(&cx->scratch, mark);
    }
    return st;
}

const char *program_summary(program *p, arena *a)
{
    const char *text = arena_text(a, "{\"jobs\":[");
    for (int32_t i = 0; text && i < p->n_jobs; i++) {
        const char *one = job_json(p->jobs[i], a);
        text = one ? arena_text(a, "%s%s%s", text, i ? ",\n" : "\n", one) : NULL;
    }
    value name = value_text(p->name);
    const char *quoted = value_print(a, &name, NULL);
    return text && quoted ? arena_text(a, "%s],\n\"program\":%s}", text, quoted) : NULL;
}
