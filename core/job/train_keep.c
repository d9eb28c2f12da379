/*
 * train_keep.c -- what a training job keeps on disk: checkpoints and the loss curve.
 *
 * checkpoint.evla in the job's folder (kind "evla.training", see graph/bundle.h) holds
 * every state as "s:NAME", "loss" and "norm" by step, and "valid". Its head has the job's
 * key and the number of steps. Rows are drawn by place (rows.h), so the step is the whole
 * state of the shuffling.
 */
#include "../graph/bundle.h"
#include "train.h"
#include <dirent.h>
#include <string.h>
#include <unistd.h>

static const char kind[] = "evla.training";
enum { CURVE_POINTS = 500 };

static const char *checkpoint_path(ctx *cx, const job *j)
{
    const char *path = arena_text(&cx->scratch, "%s/checkpoint.evla", j->folder);
    if (!path) ctx_fail(cx, EVLA_E_NOMEM, "checkpoint of %s", j->name);
    return path;
}

static evla_type vector(int32_t dtype, int64_t n)
{
    return (evla_type){.dtype = dtype, .rank = 1, .shape = {n}};
}

static int32_t save(ctx *cx, const job *j, const grad *g, session *s, const train_log *log)
{
    const char *path = checkpoint_path(cx, j);
    int32_t n = 0, is_valid;
    bundle_part *parts =
        arena_push(&cx->scratch, (size_t)g->model->n_states + 3, sizeof *parts);
    if (!path || !parts) return ctx_fail(cx, EVLA_E_NOMEM, "checkpoint of %s", j->name);
    for (int32_t i = 0; i < g->model->n_states; i++) {
        const char *name = g->model->states[i].name;
        const evla_tensor *t = session_state(s, name, &is_valid);
        if (!t) continue;
        if (!is_valid)
            return ctx_fail(cx, EVLA_E_STATE,
                            "%s: the state %s is invalid and is not saved", path, name);
        bundle_part *p = &parts[n++];
        p->name = arena_text(&cx->scratch, "s:%s", name);
        p->type = (evla_type){.dtype = t->dtype, .rank = t->rank};
        memcpy(p->type.shape, t->shape, sizeof p->type.shape);
        p->data = t->data[0];
        if (!p->name) return ctx_fail(cx, EVLA_E_NOMEM, "checkpoint of %s", j->name);
    }
    parts[n++] = (bundle_part){"loss", vector(EVLA_F32, log->n), log->loss};
    parts[n++] = (bundle_part){"norm", vector(EVLA_F32, log->n), log->norm};
    parts[n++] = (bundle_part){"valid", vector(EVLA_F64, 2 * log->n_valid), log->valid};
    value_pair pairs[] = {{"key", value_text(j->key)},
                          {"seconds", value_float(log->seconds)},
                          {"step", value_int(log->n)}};
    value head = {.kind = VALUE_TABLE, .pairs = pairs, .n_pairs = 3};
    return bundle_write(cx, path, kind, &head, parts, n);
}

int32_t train_save(ctx *cx, const job *j, const grad *g, session *s, const train_log *log)
{
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = save(cx, j, g, s, log);
    arena_reset(&cx->scratch, mark);
    return st;
}

/* What is in the file fits this job, state by state. */
static int fits(ctx *cx, const job *j, const grad *g, session *s, const bundle *b,
                const train_log *log, int64_t *step, int64_t *n_valid)
{
    const train_params *given = j->params;
    const value *key = value_get(&b->head, "key"), *at = value_get(&b->head, "step");
    if (!key || key->kind != VALUE_TEXT || strcmp(key->as.text, j->key) != 0) return 0;
    if (!at || at->kind != VALUE_INT || at->as.i < 0 || at->as.i > given->steps) return 0;
    *step = at->as.i;
    const evla_type want = vector(EVLA_F32, *step);
    const bundle_part *loss = bundle_find(b, "loss"), *norm = bundle_find(b, "norm"),
                      *valid = bundle_find(b, "valid");
    if (!loss || !norm || !valid || !type_equal(&loss->type, &want) ||
        !type_equal(&norm->type, &want) || valid->type.dtype != EVLA_F64 ||
        valid->type.rank != 1 || valid->type.shape[0] % 2 ||
        valid->type.shape[0] / 2 > log->most_valid)
        return 0;
    *n_valid = valid->type.shape[0] / 2;
    for (int32_t i = 0; i < g->model->n_states; i++) {
        const evla_tensor *t = session_state(s, g->model->states[i].name, NULL);
        if (!t) continue;
        const char *name = arena_text(&cx->scratch, "s:%s", g->model->states[i].name);
        const bundle_part *p = name ? bundle_find(b, name) : NULL;
        evla_type type = {.dtype = t->dtype, .rank = t->rank};
        memcpy(type.shape, t->shape, sizeof type.shape);
        if (!p || !type_equal(&p->type, &type)) return 0;
    }
    return 1;
}

static int32_t load(ctx *cx, const job *j, const grad *g, session *s, train_log *log)
{
    const char *path = checkpoint_path(cx, j);
    bundle b;
    if (!path) return cx->code;
    if (access(path, F_OK) < 0) return 0;
    int32_t st = bundle_open(cx, path, kind, &b);
    if (st < 0) {
        ctx_say(cx, EVLA_LOG_WARN, "%s; it is left aside, and training begins anew",
                cx->why);
        ctx_clear(cx);
        return 0;
    }
    int64_t step = 0, n_valid = 0;
    int good = fits(cx, j, g, s, &b, log, &step, &n_valid);
    if (!good)
        ctx_say(
            cx, EVLA_LOG_WARN,
            "%s: belongs to another training; it is left aside, and training begins anew",
            path);
    for (int32_t i = 0; good && i < g->model->n_states; i++) {
        evla_tensor *t = session_state(s, g->model->states[i].name, NULL);
        if (!t) continue;
        const char *name = arena_text(&cx->scratch, "s:%s", g->model->states[i].name);
        const bundle_part *p = name ? bundle_find(&b, name) : NULL;
        if (!p) {
            st = ctx_fail(cx, EVLA_E_NOMEM, "checkpoint of %s", j->name);
            break;
        }
        memcpy(t->data[0], p->data, (size_t)type_bytes(cx->reg, &p->type));
    }
    if (good && st >= 0) {
        const value *seconds = value_get(&b.head, "seconds");
        log->n = step;
        log->n_valid = n_valid;
        if (seconds && seconds->kind == VALUE_FLOAT) log->seconds = seconds->as.f;
        memcpy(log->loss, bundle_find(&b, "loss")->data, (size_t)step * sizeof *log->loss);
        memcpy(log->norm, bundle_find(&b, "norm")->data, (size_t)step * sizeof *log->norm);
        memcpy(log->valid, bundle_find(&b, "valid")->data,
               (size_t)n_valid * sizeof *log->valid);
    }
    bundle_close(&b);
    return st < 0 ? st : good;
}

/* What a killed run had not finished writing. */
static void tidy(const job *j)
{
    DIR *d = opendir(j->folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strstr(e->d_name, ".tmp")) unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
}

int32_t train_load(ctx *cx, const job *j, const grad *g, session *s, train_log *log)
{
    arena_place mark = arena_mark(&cx->scratch);
    tidy(j);
    int32_t st = load(cx, j, g, s, log);
    arena_reset(&cx->scratch, mark);
    return st;
}

/* ---- the curve ---- */

static void add(value *list, double x)
{
    if (list->as.items) list->as.items[list->n_items++] = value_float(x);
}

/* {"loss":[...],"lr":[...],"norm":[...],"step":[...],"valid":{"loss":[...],"step":[...]},
 * "window":w}: entry i is the mean over the w steps that end at step[i]; lr is that step's.
 */
int32_t train_curve(ctx *cx, const job *j, const train_log *log)
{
    const train_params *given = j->params;
    arena *a = &cx->scratch;
    arena_place mark = arena_mark(a);
    int64_t w = (log->n + CURVE_POINTS - 1) / CURVE_POINTS, points = w ? log->n / w + 1 : 0;
    value loss = value_list(a, points), norm = value_list(a, points),
          lr = value_list(a, points), step = value_list(a, points),
          at = value_list(a, log->n_valid), valid_loss = value_list(a, log->n_valid);
    for (int64_t from = 0; from < log->n; from += w) {
        int64_t to = from + w < log->n ? from + w : log->n;
        double sum = 0, size = 0;
        for (int64_t i = from; i < to; i++) {
            sum += (double)log->loss[i];
            size += (double)log->norm[i];
        }
        add(&loss, sum / (double)(to - from));
        add(&norm, size / (double)(to - from));
        add(&lr, train_lr(given, to));
        add(&step, (double)to);
    }
    for (int64_t i = 0; i < log->n_valid; i++) {
        add(&at, log->valid[i].step);
        add(&valid_loss, log->valid[i].loss);
    }
    value_pair inner[] = {{"loss", valid_loss}, {"step", at}};
    value valid = {.kind = VALUE_TABLE, .pairs = inner, .n_pairs = 2};
    value_pair pairs[] = {{"loss", loss}, {"lr", lr},       {"norm", norm},
                          {"step", step}, {"valid", valid}, {"window", value_int(w)}};
    value all = {.kind = VALUE_TABLE, .pairs = pairs, .n_pairs = 6};
    const char *path = arena_text(a, "%s/curve.json", j->folder),
               *text = value_print(a, &all, NULL);
    int32_t st = path && text && valid_loss.as.items
                     ? file_replace(cx, path, text, strlen(text))
                     : ctx_fail(cx, EVLA_E_NOMEM, "the curve of %s", j->name);
    arena_reset(a, mark);
    return st;
}
