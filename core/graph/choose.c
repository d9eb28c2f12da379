/*
 * choose.c -- which kernel computes a node. See choose.h.
 */
#include "choose.h"
#include "../host.h"
#include "../registry.h"
#include <string.h>

static int is_separator(char c) { return c == ' ' || c == ',' || c == '|' || c == '\t'; }

static int list_has_n(const char *list, const char *word, size_t n)
{
    if (!list) return 0;
    while (*list) {
        size_t k = 0;
        while (list[k] && !is_separator(list[k]))
            k++;
        if (k == n && k && !memcmp(list, word, n)) return 1;
        list += k;
        while (*list && is_separator(*list))
            list++;
    }
    return 0;
}

int list_has(const char *list, const char *word)
{
    return list_has_n(list, word, strlen(word));
}

evla_machine choose_machine(const registry *reg, const plan_options *o)
{
    evla_machine m = reg->machine;
    if (o && o->machine) m = *o->machine;
    m.n_workers = o && o->n_workers > 0 ? o->n_workers : 1;
    return m;
}

static const char *after_dot(const char *s)
{
    const char *dot = strrchr(s, '.');
    return dot ? dot + 1 : s;
}

/* "ops" lets in all of plugin evla.ops, and any kernel called <operator>.ops. */
static int is_allowed(const registry *reg, const plan_options *o, const evla_item *item)
{
    if (!o || !o->kernels || !*o->kernels) return 1;
    const plugin *owner = registry_owner(reg, item);
    return list_has(o->kernels, item->name) ||
           list_has(o->kernels, after_dot(item->name)) ||
           (owner && (list_has(o->kernels, owner->table->id) ||
                      list_has(o->kernels, after_dot(owner->table->id))));
}

static int takes_tail(const evla_kernel *k, const evla_node *n)
{
    if (n->n_tail == 0) return 1;
    if (n->n_tail > k->max_tail) return 0;
    for (int32_t i = 0; i < n->n_tail; i++)
        if (!list_has(k->tail_ops, n->tail[i].op)) return 0;
    return 1;
}

/* Kernels that have never heard of layouts are not asked to read one. */
static int reads_rows(const evla_kernel *k, const evla_node *n)
{
    if (!n->layout || (k->size >= sizeof *k && k->layout)) return 1;
    for (int32_t i = 0; i < n->n_in; i++)
        if (n->layout[i]) return 0;
    return 1;
}

int32_t choose_blame(ctx *cx, const evla_node *n, const evla_item *kernel, int32_t code)
{
    if (!cx->code)
        return ctx_fail(cx, code, "%s: kernel %s failed: %s", n->label, kernel->name,
                        ctx_code_text(code));
    /* a kernel that names its node has said it all */
    if (!strstr(cx->why, n->label)) ctx_prefix(cx, "%s: kernel %s", n->label, kernel->name);
    return cx->code;
}

static int32_t none_accepts(ctx *cx, const plan_options *o, const evla_node *n,
                            const char *asked)
{
    arena *a = &cx->scratch;
    arena_place mark = arena_mark(a);
    const char *types = "";
    for (int32_t i = 0; types && i < n->n_in; i++)
        types = arena_text(a, "%s%s%s", types, i ? ", " : "",
                           n->in[i].rank < 0 ? "-" : type_text(cx->reg, a, &n->in[i]));
    int limited = o && o->kernels && *o->kernels;
    ctx_fail(cx, EVLA_E_MISSING, "%s: no kernel takes %s(%s); asked: %s%s%s%s", n->label,
             n->op, types ? types : "?", *asked ? asked : "none is loaded",
             limited ? " (kernels are limited to \"" : "", limited ? o->kernels : "",
             limited ? "\")" : "");
    arena_reset(a, mark);
    return EVLA_E_MISSING;
}

int32_t choose_kernel(ctx *cx, const plan_options *o, const evla_node *n, int quiet,
                      pick *out)
{
    evla_machine machine = choose_machine(cx->reg, o);
    int32_t n_items;
    const evla_item *const *items = registry_kind(cx->reg, EVLA_KERNEL, &n_items);
    char asked[300] = "";
    *out = (pick){0};
    for (int32_t i = 0; i < n_items; i++) {
        const evla_kernel *k = items[i]->table;
        if (strcmp(k->op, n->op) != 0 || !takes_tail(k, n) || !reads_rows(k, n) ||
            !is_allowed(cx->reg, o, items[i]))
            continue;
        size_t used = strlen(asked), k_n = strlen(items[i]->name);
        if (used + k_n + 3 < sizeof asked) {
            if (used) strcat(asked, ", ");
            strcat(asked, items[i]->name);
        }
        evla_offer offer = {.alias_in = -1};
        host h;
        host_init(&h, cx, &cx->scratch);
        arena_place mark = arena_mark(&cx->scratch);
        int32_t st = k->accepts(&h.table, &machine, n, &offer);
        host_done(&h, mark);
        if (st == EVLA_E_MISSING) continue;
        if (st < 0) return choose_blame(cx, n, items[i], st);
        if (!offer.numerics) offer.numerics = items[i]->name;
        if (offer.alias_in >= n->n_in) offer.alias_in = -1;
        /* items come in order of name, so the first of equals stays */
        if (!out->item || offer.score > out->offer.score) *out = (pick){items[i], offer};
    }
    if (out->item) return 0;
    return quiet ? EVLA_E_MISSING : none_accepts(cx, o, n, asked);
}

int32_t choose_work(ctx *cx, arena *hold, const plan_options *o, const evla_node *n,
                    const pick *k, evla_work *out)
{
    const evla_kernel *table = k->item->table;
    evla_machine machine = choose_machine(cx->reg, o);
    host h;
    host_init(&h, cx, hold);
    arena_place mark = arena_mark(&cx->scratch);
    *out = (evla_work){.size = sizeof *out};
    int32_t st = table->plan(&h.table, &machine, n, out);
    host_done(&h, mark);
    if (st < 0) return choose_blame(cx, n, k->item, st);
    const uint64_t most = (uint64_t)1 << 46;
    int good = out->n_phases >= 0 && out->n_phases <= EVLA_MAX_PHASES &&
               out->shared_bytes < most && out->worker_bytes < most &&
               out->blob_bytes < most;
    for (int32_t i = 0; good && i < out->n_phases; i++)
        good = out->tiles[i] >= 0 && out->tiles[i] < (int64_t)1 << 46;
    if (!good)
        return ctx_fail(
            cx, EVLA_E_PLUGIN,
            "%s: kernel %s planned %d phases, %llu shared and %llu worker bytes; "
            "want at most %d phases, tiles >= 0 and sizes below 2^46",
            n->label, k->item->name, out->n_phases, (unsigned long long)out->shared_bytes,
            (unsigned long long)out->worker_bytes, EVLA_MAX_PHASES);
    return 0;
}

static int32_t eval(ctx *cx, const plan_options *o, const evla_node *n,
                    const void *const *in_data, void *const *out_data)
{
    pick k;
    evla_work work;
    arena *a = &cx->scratch;
    evla_tensor in[EVLA_MAX_PORTS] = {0}, out[EVLA_MAX_PORTS] = {0};
    int32_t st = choose_kernel(cx, o, n, 0, &k);
    if (st < 0 || (st = choose_work(cx, a, o, n, &k, &work)) < 0) return st;
    const evla_kernel *table = k.item->table;
    host h;
    host_init(&h, cx, a);
    for (int32_t i = 0; i < n->n_in; i++)
        if (in_data[i]) in[i] = tensor_view(cx->reg, &n->in[i], (void *)in_data[i]);
    for (int32_t i = 0; i < n->n_out; i++)
        out[i] = tensor_view(cx->reg, &n->out[i], out_data[i]);
    evla_args args = {.node = n, .in = in, .out = out};
    args.shared = arena_push_aligned(a, (size_t)work.shared_bytes + 1, 1, 64);
    args.scratch = arena_push_aligned(a, (size_t)work.worker_bytes + 1, 1, 64);
    void *blob = arena_push_aligned(a, (size_t)work.blob_bytes + 1, 1, 64);
    if (!args.shared || !args.scratch || !blob)
        return ctx_fail(cx, EVLA_E_NOMEM, "%s: scratch", n->label);
    args.blob = blob;
    if (table->prepare && (st = table->prepare(&h.table, n, blob)) < 0)
        return choose_blame(cx, n, k.item, st);
    for (int32_t p = 0; p < work.n_phases; p++)
        for (int64_t t = 0; t < work.tiles[p]; t++)
            if ((st = table->run(&h.table, &args, p, t)) < 0)
                return choose_blame(cx, n, k.item, st);
    return 0;
}

int32_t choose_eval(ctx *cx, const plan_options *o, const evla_node *n,
                    const void *const *in_data, void *const *out_data)
{
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = eval(cx, o, n, in_data, out_data);
    arena_reset(&cx->scratch, mark);
    return st;
}
