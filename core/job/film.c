/*
 * film.c -- pictures of chosen episodes. See film.h.
 */
#include "film.h"
#include "../registry.h"
#include "../words.h"
#include <string.h>

enum { MOST_FILMS = 64, MOST_FRAMES = 10, EVEN_FRAMES = 8 };

typedef struct choice_row {
    int64_t index, ticks, moment; /* moment: a tick worth showing, -1: none */
    uint64_t seed;
    const char *instruction, *why;
    int is_taken, success, is_cut, intervened;
} choice_row;

typedef struct film {
    job *j;
    ctx *cx;
    arena *a;
    loop_spec spec;
    int32_t camera; /* channel, -1: none */
    evla_picture picture;
    const evla_image_service *image;
} film;

/* ---- which ---- */

static int64_t moment_of(const value *row)
{
    const value *spans = value_get(row, "interventions");
    if (spans && spans->kind == VALUE_TABLE && spans->n_items)
        return value_get_int(&spans->as.items[0], "tick");
    return value_get_int(row, "first_violation");
}

static int32_t read_rows(film *f, const char *journal, choice_row **rows, int64_t *n)
{
    char *text;
    size_t bytes;
    int64_t lines = 0;
    int32_t st = file_read(f->cx, f->a, journal, 1u << 30, &text, &bytes);
    if (st < 0) return st;
    for (size_t i = 0; i < bytes; i++)
        lines += text[i] == '\n';
    *rows = arena_push(f->a, (size_t)lines + 1, sizeof **rows);
    if (!*rows) return ctx_fail(f->cx, EVLA_E_NOMEM, "%lld rows", (long long)lines);
    for (size_t at = 0; at < bytes && *n < lines;) {
        value row;
        char *end = memchr(text + at, '\n', bytes - at);
        size_t length = end ? (size_t)(end - text) - at : bytes - at;
        if (value_parse(f->a, text + at, length, &row, NULL) < 0)
            return ctx_fail(f->cx, EVLA_E_FORMAT, "%s: no row", journal);
        const value *told = value_get(&row, "instruction");
        (*rows)[(*n)++] = (choice_row){
            .index = value_get_int(&row, "index"),
            .ticks = value_get_int(&row, "ticks"),
            .moment = moment_of(&row),
            .seed = (uint64_t)value_get_int(&row, "seed"),
            .instruction = told && told->kind == VALUE_TEXT ? told->as.text : "",
            .success = value_get_int(&row, "success") != 0,
            .is_cut = value_get_int(&row, "cut") != 0,
            .intervened = value_get_int(&row, "vetoed_ticks")     ? 2
                          : value_get_int(&row, "replaced_ticks") ? 1
                                                                  : 0};
        at += length + 1;
    }
    return 0;
}

static choice_row *choose(choice_row *rows, int64_t n, int32_t turn)
{
    static const char *const why[] = {"success", "veto", "failure"};
    choice_row *best = NULL;
    for (int64_t i = 0; i < n; i++) {
        choice_row *r = &rows[i];
        if (r->is_taken) continue;
        int fits = turn == 0   ? r->success && !r->intervened
                   : turn == 1 ? r->intervened > 0
                   : turn == 2 ? !r->success && !r->is_cut
                               : 1;
        /* a veto says more than a replaced action, a quiet success more than a saved one */
        if (fits && (!best || (turn == 1 && r->intervened > best->intervened))) best = r;
    }
    if (turn == 0)
        for (int64_t i = 0; i < n && !best; i++)
            if (rows[i].success && !rows[i].is_taken) best = &rows[i];
    if (!best) return NULL;
    best->is_taken = 1;
    best->why = turn < 3        ? why[turn]
                : best->is_cut  ? "cut" /* by the clock: neither */
                : best->success ? "success"
                                : "failure";
    return best;
}

/* ---- what is seen ---- */

static int ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

static int32_t find_camera(film *f)
{
    const evla_body_info *info = f->spec.info;
    const evla_item *item = registry_find(f->cx->reg, EVLA_SERVICE, "image");
    f->image = item ? item->table : NULL;
    f->camera = -1;
    for (int32_t i = 0; f->image && f->camera < 0 && i < info->n_channels; i++) {
        evla_type t;
        if (!ends_with(info->channels[i].name, "/rgb")) continue;
        int32_t st = type_parse(f->cx, info->channels[i].type, &(symbols){0}, &t);
        if (st < 0) return st;
        if (t.dtype != EVLA_U8 || t.rank != 3 || t.shape[2] != 3) continue;
        f->camera = i;
        f->picture = (evla_picture){.width = (int32_t)t.shape[1],
                                    .height = (int32_t)t.shape[0],
                                    .channels = 3,
                                    .bits = 8};
        f->spec.also |= (uint64_t)1 << i;
    }
    return 0;
}

value film_scene(arena *a, loop *l)
{
    evla_scene_view view = {.size = sizeof view}, *v = &view;
    if (!l->guard || l->guard->view(&l->h.table, l->guard_self, v) < 0) return (value){0};
    int64_t n = v->n_nodes, n_bits = n * n;
    value nodes = value_list(a, n), relations = value_list(a, v->n_relations * n_bits);
    for (int32_t i = 0; nodes.as.items && i < n; i++) {
        value pose = value_list(a, 7);
        for (int k = 0; pose.as.items && k < 7; k++)
            pose.as.items[pose.n_items++] = value_float((double)v->pose[7 * i + k]);
        const value_pair pairs[] = {
            {"class", value_text(words_copy(a, l->guard_info.classes, v->node_class[i]))},
            {"name", value_text(arena_copy(a, v->names[i]))},
            {"pose", pose}};
        nodes.as.items[nodes.n_items++] = value_table(a, pairs, 3);
    }
    for (int32_t r = 0; relations.as.items && r < v->n_relations; r++)
        for (int64_t bit = 0; bit < n_bits; bit++) {
            if (!(v->relation[(int64_t)r * v->n_words + bit / 64] >> bit % 64 & 1))
                continue;
            value three = value_list(a, 3);
            if (!three.as.items) continue;
            three.as.items[three.n_items++] =
                value_text(words_copy(a, l->guard_info.relations, r));
            three.as.items[three.n_items++] = value_int(bit / n);
            three.as.items[three.n_items++] = value_int(bit % n);
            relations.as.items[relations.n_items++] = three;
        }
    const value_pair pairs[] = {{"nodes", nodes}, {"relations", relations}};
    return value_table(a, pairs, 2);
}

static int32_t frame_of(film *f, loop *l, const choice_row *row, int32_t k, value *out)
{
    static const char *const kinds[] = {"allow", "replace", "veto"};
    arena *a = f->a;
    value_pair pairs[5];
    int32_t n = 0, st = 0;
    pairs[n++] = (value_pair){"tick", value_int(l->tick)};
    pairs[n++] =
        (value_pair){"seconds", value_float((double)l->tick / l->of.info->rate_hz)};
    if (f->camera >= 0) {
        const char *name = arena_text(a, "film_%lld_%d.png", (long long)row->index, (int)k),
                   *path = name ? arena_text(a, "%s/%s", f->j->folder, name) : NULL;
        if (!path) return ctx_fail(f->cx, EVLA_E_NOMEM, "a picture");
        f->picture.data = l->samples[f->camera];
        if ((st = f->image->png_write(&l->h.table, path, &f->picture)) < 0) return st;
        pairs[n++] = (value_pair){"picture", value_text(name)};
    }
    if (l->guard) {
        char why[512] = "";
        pairs[n++] = (value_pair){"scene", film_scene(a, l)};
        if (l->verdict.kind != EVLA_ALLOW)
            l->guard->explain(&l->h.table, l->guard_self, &l->verdict, why, sizeof why);
        const value_pair verdict[] = {
            {"kind", value_text(kinds[l->verdict.kind == EVLA_VETO      ? 2
                                      : l->verdict.kind == EVLA_REPLACE ? 1
                                                                        : 0])},
            {"rule", value_text(l->verdict.rule < 0
                                    ? ""
                                    : words_copy(a, l->guard_info.rules, l->verdict.rule))},
            {"why", value_text(arena_copy(a, why))}};
        pairs[n++] = (value_pair){"verdict", value_table(a, verdict, 3)};
    }
    *out = value_table(a, pairs, n);
    return 0;
}

/* ---- running it again ---- */

/* Evenly spread over the episode, and the moment worth showing. */
static int is_picked(const choice_row *row, int64_t tick)
{
    for (int k = 0; k < EVEN_FRAMES; k++)
        if (tick == k * (row->ticks - 1) / (EVEN_FRAMES - 1)) return 1;
    return tick == row->moment;
}

static int32_t run_again(film *f, loop *l, const choice_row *row, value *out)
{
    ctx *cx = f->cx;
    value frames = value_list(f->a, MOST_FRAMES);
    if (!frames.as.items) return ctx_fail(cx, EVLA_E_NOMEM, "a film");
    int32_t st = loop_reset(cx, l, row->seed, row->instruction, 0);
    while (st >= 0 && l->tick < row->ticks && !loop_is_over(l)) {
        arena_place mark = arena_mark(&cx->scratch);
        st = loop_sense(l, loop_time_ns(l->of.info->rate_hz, l->tick));
        if (st >= 0) st = loop_decide(l);
        if (st >= 0 && is_picked(row, l->tick) && frames.n_items < MOST_FRAMES) {
            st = frame_of(f, l, row, frames.n_items, &frames.as.items[frames.n_items]);
            frames.n_items++;
        }
        if (st >= 0) st = loop_act(l);
        if (f->a != &cx->scratch) arena_reset(&cx->scratch, mark);
        if (st >= 0 && ctx_stopping(cx)) st = ctx_fail(cx, EVLA_E_STOPPED, "stopped");
    }
    const value_pair pairs[] = {{"episode", value_int(row->index)},
                                {"why", value_text(row->why)},
                                {"instruction", value_text(row->instruction)},
                                {"ticks", value_int(row->ticks)},
                                {"frames", frames}};
    *out = value_table(f->a, pairs, 5);
    return st;
}

int32_t film_make(job *j, arena *a, const loop_spec *s, const char *journal, int64_t keep,
                  const char **json)
{
    film f = {.j = j, .cx = j->in->cx, .a = a, .spec = *s};
    choice_row *rows;
    int64_t n = 0;
    loop *l = NULL;
    value list = value_list(a, MOST_FILMS);
    if (!list.as.items) return ctx_fail(f.cx, EVLA_E_NOMEM, "films");
    f.spec.beside = 0;
    int32_t st = read_rows(&f, journal, &rows, &n);
    if (st >= 0) st = find_camera(&f);
    if (st >= 0) st = loop_open(f.cx, &f.spec, &l);
    for (int32_t turn = 0; st >= 0 && list.n_items < keep && list.n_items < MOST_FILMS;
         turn++) {
        const choice_row *row = choose(rows, n, turn);
        if (!row && turn >= 3) break;
        if (row) st = run_again(&f, l, row, &list.as.items[list.n_items++]);
    }
    loop_close(f.cx, l);
    if (st >= 0 && !(*json = value_print(a, &list, NULL)))
        st = ctx_fail(f.cx, EVLA_E_NOMEM, "films");
    return st;
}
