/*
 * kernel_kit.h -- kernels of built plugins, run alone on dense tensors: for tests and
 * benches that compare a fast kernel with the portable one.
 */
#ifndef EVLA_TESTS_KERNEL_KIT_H
#define EVLA_TESTS_KERNEL_KIT_H
#include "op_host.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>

enum { KIT_PORTS = EVLA_MAX_PORTS, KIT_PLUGINS = 4 };

typedef struct kit {
    op_host host;
    const evla_plugin *plugins[KIT_PLUGINS];
    int n_plugins;
} kit;

/* A node at hand: fill op, params, in, data and tail; kit_infer finds out. */
typedef struct kit_node {
    const char *op, *label;
    const void *params;
    int32_t n_in, n_out, n_tail;
    evla_type in[KIT_PORTS], out[KIT_PORTS];
    void *data[KIT_PORTS], *made[KIT_PORTS];
    evla_tail tail[KIT_PORTS];
    const evla_layout *layout[KIT_PORTS]; /* NULL: plain rows */
} kit_node;

/* A kernel chosen for a node, with its scratch. */
typedef struct kit_run {
    const evla_kernel *kernel;
    evla_node node;
    evla_offer offer;
    evla_work work;
    const evla_host *worker;
    evla_tensor in[KIT_PORTS], out[KIT_PORTS];
    unsigned char *shared, *scratch, *blob;
    int32_t n_workers, st;
    int backwards;
    atomic_long next;
} kit_run;

/* ---- numbers that are the same in every run ---- */

static inline uint64_t *kit_seed(void)
{
    static uint64_t seed = 1;
    return &seed;
}

/* 31 bits. */
static inline uint32_t kit_draw(void)
{
    uint64_t *seed = kit_seed();
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* From -1 to 1. */
static inline float kit_number(void) { return (float)kit_draw() / 1073741824.0f - 1.0f; }

static inline float *kit_numbers(int64_t n)
{
    float *x = malloc((size_t)(n + 1) * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = kit_number();
    return x;
}

/* Loads BUILD/plugins/NAME.so; 0 when it is not there. */
static inline int kit_load(kit *k, const char *name)
{
    char path[4096];
    const char *build = getenv("EVLA_BUILD");
    snprintf(path, sizeof path, "%s/plugins/%s.so", build ? build : "build", name);
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const evla_plugin *(*entry)(void) = NULL;
    if (so) *(void **)&entry = dlsym(so, "evla_plugin_entry");
    if (!entry || k->n_plugins == KIT_PLUGINS) return 0;
    k->plugins[k->n_plugins++] = entry();
    op_host_learn(&k->host, k->plugins[k->n_plugins - 1]);
    op_host_init(&k->host);
    return 1;
}

static inline const evla_item *kit_find(const kit *k, const char *kind, const char *name)
{
    for (int i = 0; i < k->n_plugins; i++)
        for (uint32_t j = 0; j < k->plugins[i]->n_items; j++)
            if (!strcmp(k->plugins[i]->items[j].kind, kind) &&
                !strcmp(k->plugins[i]->items[j].name, name))
                return &k->plugins[i]->items[j];
    return NULL;
}

/* Learns whether this is the machine `name`, of one worker; below 0 k->host.why says what
 * it lacks. */
static inline int32_t kit_detect(kit *k, const char *name, evla_machine *out)
{
    const evla_item *item = kit_find(k, EVLA_MACHINE, name);
    *out = (evla_machine){.size = sizeof *out, .n_workers = 1, .name = name};
    op_host_init(&k->host);
    return item ? ((const evla_machine_kind *)item->table)->detect(&k->host.table, out)
                : EVLA_E_BUG;
}

static inline evla_type kit_type(int32_t dtype, int32_t rank, const int64_t *shape)
{
    evla_type t = {.dtype = dtype, .rank = rank};
    for (int32_t i = 0; i < rank; i++)
        t.shape[i] = shape[i];
    return t;
}

static inline int64_t kit_count(const evla_type *t)
{
    int64_t n = 1;
    for (int32_t i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

static inline int64_t kit_bytes(const kit *k, const evla_type *t)
{
    return op_host_type_bytes(&k->host.table, t);
}

static inline evla_tensor kit_view(const kit *k, const evla_type *t, void *data)
{
    return op_host_view(&k->host.table, t, data);
}

static inline evla_node kit_view_node(kit_node *n)
{
    static const void *const no_values[KIT_PORTS];
    return (evla_node){.size = sizeof(evla_node),
                       .n_in = n->n_in,
                       .n_out = n->n_out,
                       .n_tail = n->n_tail,
                       .op = n->op,
                       .label = n->label ? n->label : n->op,
                       .params = n->params,
                       .in = n->in,
                       .out = n->out,
                       .value = no_values,
                       .tail = n->tail,
                       .layout = n->layout};
}

/* The operator's own infer; its outputs are counted by the names in .outputs. */
static inline int32_t kit_infer(kit *k, kit_node *n)
{
    const evla_item *item = kit_find(k, EVLA_OP, n->op);
    op_host_init(&k->host);
    if (!item) return EVLA_E_MISSING;
    const evla_op *op = item->table;
    n->n_out = 1;
    for (const char *s = op->outputs; *s; s++)
        n->n_out += *s == ' ';
    evla_node seen = kit_view_node(n);
    seen.out = NULL;
    return op->infer(&k->host.table, &seen, n->in, n->out);
}

/* A copy of a weight as the layout wants it; NULL: it cannot lie so. */
static inline void *kit_pack(kit *k, const evla_layout *l, const evla_type *t,
                             const void *rows)
{
    const evla_host *h = &k->host.table;
    int64_t bytes = l->bytes(h, t), row = op_host_dtype_bytes(h, t->dtype, t->shape[1]);
    if (bytes < 0) return NULL;
    int64_t each = bytes / ((t->shape[0] + l->panel - 1) / l->panel);
    unsigned char *to = aligned_alloc(64, ((size_t)bytes + 63) / 64 * 64), *at = to;
    for (int64_t r = 0; to && r < t->shape[0]; r += l->panel, at += each) {
        int64_t n = t->shape[0] - r < l->panel ? t->shape[0] - r : l->panel;
        if (l->pack(h, t, n, (const unsigned char *)rows + r * row, at) < 0) exit(1);
    }
    return to;
}

/* Asks the kernel of this item name; EVLA_E_MISSING when it does not want the node. */
static inline int32_t kit_open(kit *k, const char *kernel, const evla_machine *m,
                               kit_node *n, int32_t n_workers, kit_run *r)
{
    const evla_item *item = kit_find(k, EVLA_KERNEL, kernel);
    memset(r, 0, sizeof *r);
    if (!item) return EVLA_E_MISSING;
    op_host_init(&k->host);
    r->kernel = item->table;
    r->node = kit_view_node(n);
    r->offer.alias_in = -1;
    r->work.size = sizeof r->work;
    r->n_workers = n_workers;
    r->worker = &k->host.table;
    int32_t st = r->kernel->accepts(&k->host.table, m, &r->node, &r->offer);
    if (st < 0 || (st = r->kernel->plan(&k->host.table, m, &r->node, &r->work)) < 0)
        return st;
    size_t each = ((size_t)r->work.worker_bytes + 63) / 64 * 64 + 64;
    size_t shared = ((size_t)r->work.shared_bytes + 63) / 64 * 64 + 64;
    size_t blob = ((size_t)r->work.blob_bytes + 63) / 64 * 64 + 64;
    r->scratch = aligned_alloc(64, each * (size_t)n_workers);
    r->shared = aligned_alloc(64, shared);
    r->blob = aligned_alloc(64, blob);
    if (!r->scratch || !r->shared || !r->blob) return EVLA_E_NOMEM;
    memset(r->scratch, 0xff, each * (size_t)n_workers); /* NaN: read before written shows */
    memset(r->shared, 0xff, shared);
    for (int32_t i = 0; i < n->n_in; i++)
        r->in[i] = kit_view(k, &n->in[i], n->data[i]);
    for (int32_t i = 0; i < n->n_out; i++)
        r->out[i] = kit_view(k, &n->out[i], n->made[i]);
    return r->kernel->prepare ? r->kernel->prepare(&k->host.table, &r->node, r->blob) : 0;
}

static inline void kit_close(kit_run *r)
{
    free(r->scratch);
    free(r->shared);
    free(r->blob);
}

typedef struct kit_hand {
    kit_run *of;
    int32_t phase, worker;
} kit_hand;

static inline void *kit_work(void *arg)
{
    kit_hand *h = arg;
    kit_run *r = h->of;
    size_t each = ((size_t)r->work.worker_bytes + 63) / 64 * 64 + 64;
    evla_args a = {.node = &r->node,
                   .in = r->in,
                   .out = r->out,
                   .shared = r->shared,
                   .scratch = r->scratch + (size_t)h->worker * each,
                   .blob = r->blob};
    int64_t tiles = r->work.tiles[h->phase];
    for (;;) {
        int64_t t = atomic_fetch_add(&r->next, 1);
        if (t >= tiles) return NULL;
        if (r->backwards) t = tiles - 1 - t;
        int32_t st = r->kernel->run(r->worker, &a, h->phase, t);
        if (st < 0) r->st = st;
    }
}

/* All phases by n_workers threads, which take tiles as they come. */
static inline int32_t kit_run_all(kit_run *r)
{
    r->st = 0;
    for (int32_t p = 0; p < r->work.n_phases && r->st == 0; p++) {
        pthread_t threads[16];
        kit_hand hands[16];
        atomic_store(&r->next, 0);
        for (int32_t w = 0; w < r->n_workers; w++)
            hands[w] = (kit_hand){r, p, w};
        for (int32_t w = 1; w < r->n_workers; w++)
            pthread_create(&threads[w], NULL, kit_work, &hands[w]);
        kit_work(&hands[0]);
        for (int32_t w = 1; w < r->n_workers; w++)
            pthread_join(threads[w], NULL);
    }
    return r->st;
}

/* Once, on so many workers. */
static inline int32_t kit_once(kit *k, const char *kernel, const evla_machine *m,
                               kit_node *n, int32_t n_workers, int backwards)
{
    kit_run r;
    int32_t st = kit_open(k, kernel, m, n, n_workers, &r);
    r.backwards = backwards;
    if (st >= 0) st = kit_run_all(&r);
    kit_close(&r);
    return st;
}

#endif
