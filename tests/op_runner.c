/*
 * op_runner.c -- runs operators of real plugins on cases read from stdin; the oracle speaks
 * numpy.
 *
 * usage: op_runner PLUGIN.so...      A request is lines, with raw tensor bytes after lines
 * that say so: node OP LABEL          begins a case kernel NAME            this kernel
 * instead of the first that accepts param NAME TEXT        a parameter, as text in DTYPE
 * RANK N...     an input, its bytes follow        in none      an absent one weight DTYPE
 * RANK N... an input that infer must type, with bytes of the type it should find tail OP
 * OTHER IS_RHS   a tail; tparam NAME TEXT are its parameters run                    ends
 * it; or: infer, which answers with types only decode|encode DTYPE N  N codes or N floats
 * follow An answer is `out N`, then per output `DTYPE RANK N...` and its bytes; or `fail
 * CODE SENTENCE`.
 *
 * A case runs three times: tiles in order, tiles shuffled with other rubbish in scratch and
 * output, and in place when the kernel offers it. Different bits, a changed input or a byte
 * written outside an output make the answer a failure.
 */
#include "op_host.h"
#include <dlfcn.h>

enum { PORTS = EVLA_MAX_PORTS, FENCE = 64, LINE = 4096 };

typedef struct node_case {
    const evla_item *op;
    const evla_kernel *kernel;
    void *params;
    char label[128];
    int32_t n_in, n_tail;
    evla_type in[PORTS], expect[PORTS], out[PORTS];
    unsigned char *data[PORTS];
    evla_tail tail[PORTS];
    const evla_item *tail_op[PORTS];
} node_case;

static op_host host;
static const evla_plugin *plugins[16];
static int n_plugins;

static const evla_item *find(const char *kind, const char *name)
{
    for (int i = 0; i < n_plugins; i++)
        for (uint32_t k = 0; k < plugins[i]->n_items; k++)
            if (!strcmp(plugins[i]->items[k].kind, kind) &&
                !strcmp(plugins[i]->items[k].name, name))
                return &plugins[i]->items[k];
    return NULL;
}

static void die(const char *what, const char *which)
{
    fprintf(stderr, "op_runner: %s: %s\n", what, which);
    exit(2);
}

static int64_t type_bytes(const evla_type *t) { return op_host_type_bytes(&host.table, t); }

/* ---- memory with fences ---- */

static unsigned char *fenced(int64_t bytes)
{
    unsigned char *p = aligned_alloc(64, (size_t)(bytes + 2 * FENCE + 63) / 64 * 64);
    if (!p) die("out of memory", "");
    memset(p, 0x5e, (size_t)bytes + 2 * FENCE);
    return p + FENCE;
}

static int fence_holds(const unsigned char *p, int64_t bytes)
{
    for (int i = 0; i < FENCE; i++)
        if (p[-1 - i] != 0x5e || p[bytes + i] != 0x5e) return 0;
    return 1;
}

static void fenced_free(unsigned char *p)
{
    if (p) free(p - FENCE);
}

/* ---- running ---- */

/* One run over all tiles. Pass 0: in order; 1: shuffled; rubbish differs. */
static int32_t run_once(const node_case *c, const evla_node *n, const evla_kernel *k,
                        const evla_work *work, const void *blob, int pass, evla_tensor *in,
                        evla_tensor *out)
{
    uint32_t seed = 12345;
    evla_host worker = op_host_worker(&host);
    unsigned char *shared = work->shared_bytes ? fenced((int64_t)work->shared_bytes) : NULL;
    unsigned char *scratch =
        work->worker_bytes ? fenced((int64_t)work->worker_bytes) : NULL;
    if (shared) memset(shared, pass ? 0xff : 0, work->shared_bytes);
    evla_args a = {.node = n,
                   .in = in,
                   .out = out,
                   .shared = shared,
                   .scratch = scratch,
                   .blob = blob};
    int32_t st = 0;
    (void)c;
    for (int32_t p = 0; st == 0 && p < work->n_phases; p++) {
        int64_t tiles = work->tiles[p];
        int64_t *order = malloc((size_t)(tiles + 1) * sizeof *order);
        for (int64_t i = 0; i < tiles; i++)
            order[i] = i;
        for (int64_t i = tiles - 1; pass && i > 0; i--) {
            seed = seed * 1664525u + 1013904223u;
            int64_t j = seed % (uint64_t)(i + 1), t = order[i];
            order[i] = order[j];
            order[j] = t;
        }
        for (int64_t i = 0; st == 0 && i < tiles; i++) {
            if (scratch) memset(scratch, pass ? 0x7f : 0xff, work->worker_bytes);
            st = k->run(&worker, &a, p, order[i]);
        }
        free(order);
    }
    if ((shared && !fence_holds(shared, (int64_t)work->shared_bytes)) ||
        (scratch && !fence_holds(scratch, (int64_t)work->worker_bytes)))
        st = op_host_fail(&host.table, EVLA_E_BUG, "wrote outside its scratch");
    fenced_free(shared);
    fenced_free(scratch);
    return st;
}

static int32_t check_fences(const node_case *c, unsigned char *const *copy,
                            unsigned char *const *made, int32_t n_out)
{
    for (int32_t i = 0; i < c->n_in; i++)
        if (c->data[i] && memcmp(c->data[i], copy[i], (size_t)type_bytes(&c->in[i])))
            return op_host_fail(&host.table, EVLA_E_BUG, "changed an input");
    for (int32_t i = 0; i < n_out; i++)
        if (!fence_holds(made[i], type_bytes(&c->out[i])))
            return op_host_fail(&host.table, EVLA_E_BUG, "wrote outside its output");
    return 0;
}

/* Runs all passes; made[] holds the outputs of the first. */
static int32_t run_all(node_case *c, const evla_node *n, const evla_kernel *k,
                       const evla_offer *offer, unsigned char **made)
{
    evla_work work = {.size = sizeof work, .n_phases = 1};
    evla_machine machine = {
        .size = sizeof machine, .n_workers = 1, .name = "portable", .features = ""};
    const evla_op *op = c->op->table;
    int32_t writes = op->effect != EVLA_WRITES ? 0 : op->n_writes ? op->n_writes : 1;
    int32_t st = k->plan(&host.table, &machine, n, &work);
    if (st < 0) return st;
    unsigned char *blob = work.blob_bytes ? fenced((int64_t)work.blob_bytes) : NULL;
    if (blob && k->prepare) st = k->prepare(&host.table, n, blob);
    unsigned char *copy[PORTS] = {0}, *again[PORTS] = {0};
    for (int32_t i = 0; i < c->n_in; i++)
        if (c->data[i]) {
            copy[i] = fenced(type_bytes(&c->in[i]));
            memcpy(copy[i], c->data[i], (size_t)type_bytes(&c->in[i]));
        }
    for (int pass = writes ? 2 : 0; st == 0 && pass < 3; pass++) {
        if (pass == 2 && offer->alias_in < 0) break;
        evla_tensor in[PORTS] = {0}, out[PORTS] = {0};
        unsigned char **to = pass && !writes ? again : made;
        for (int32_t i = 0; i < c->n_in; i++)
            in[i] = op_host_view(&host.table, &c->in[i], c->data[i]);
        for (int32_t i = 0; i < n->n_out; i++) {
            int64_t bytes = type_bytes(&c->out[i]);
            fenced_free(to[i]);
            to[i] = fenced(bytes);
            memset(to[i], pass ? 0x3c : 0xa5, (size_t)bytes);
            out[i] = op_host_view(&host.table, &c->out[i], to[i]);
        }
        for (int32_t i = 0; pass == 2 && i < (writes ? writes : 1); i++) {
            int32_t from =
                writes ? i : offer->alias_in; /* the output begins as that input */
            memcpy(to[i], c->data[from], (size_t)type_bytes(&c->out[i]));
            in[from].data[0] = to[i];
        }
        if ((st = run_once(c, n, k, &work, blob, pass, in, out)) < 0) break;
        if ((st = check_fences(c, copy, to, n->n_out)) < 0) break;
        for (int32_t i = 0; to == again && st == 0 && i < n->n_out; i++)
            if (memcmp(made[i], again[i], (size_t)type_bytes(&c->out[i])))
                st = op_host_fail(&host.table, EVLA_E_BUG,
                                  pass == 2 ? "other bits in place"
                                            : "other bits when shuffled");
    }
    if (blob && !fence_holds(blob, (int64_t)work.blob_bytes))
        st = op_host_fail(&host.table, EVLA_E_BUG, "wrote outside its blob");
    for (int32_t i = 0; i < PORTS; i++)
        fenced_free(copy[i]), fenced_free(again[i]);
    fenced_free(blob);
    return st;
}

static int32_t choose(const evla_node *n, const node_case *c, const evla_kernel **best,
                      evla_offer *offer)
{
    evla_machine machine = {
        .size = sizeof machine, .n_workers = 2, .name = "portable", .features = ""};
    for (int i = 0; i < n_plugins; i++)
        for (uint32_t k = 0; k < plugins[i]->n_items; k++) {
            const evla_kernel *t = plugins[i]->items[k].table;
            if (strcmp(plugins[i]->items[k].kind, EVLA_KERNEL) || strcmp(t->op, n->op) ||
                (c->kernel && c->kernel != t) || n->n_tail > t->max_tail)
                continue;
            *offer = (evla_offer){.alias_in = -1};
            if (t->accepts(&host.table, &machine, n, offer) == 0) return *best = t, 0;
        }
    return op_host_fail(&host.table, EVLA_E_MISSING, "no kernel accepts");
}

static void answer_types(const evla_type *t)
{
    printf("%s %d", op_host_dtype_name(&host.table, t->dtype), t->rank);
    for (int32_t k = 0; k < t->rank; k++)
        printf(" %lld", (long long)t->shape[k]);
    putchar('\n');
}

static int32_t count_words(const char *s)
{
    int32_t n = 1;
    while ((s = strchr(s, ' ')))
        s++, n++;
    return n;
}

static int32_t infer(node_case *c, evla_node *n)
{
    const evla_op *op = c->op->table;
    *n = (evla_node){.size = sizeof *n,
                     .n_in = c->n_in,
                     .n_out = count_words(op->outputs),
                     .n_tail = c->n_tail,
                     .op = c->op->name,
                     .label = c->label,
                     .params = c->params,
                     .in = c->in,
                     .tail = c->tail};
    static const void *const values[PORTS];
    n->value = values;
    for (int32_t i = 0; i < PORTS; i++)
        c->out[i] = (evla_type){.rank = -1};
    int32_t st = op->infer(&host.table, n, c->in, c->out);
    for (int32_t i = 0; st == 0 && i < c->n_in; i++)
        if (c->expect[i].rank >= 0 && memcmp(&c->in[i], &c->expect[i], sizeof c->in[i]))
            st = op_host_fail(&host.table, EVLA_E_BUG,
                              "typed a weight otherwise than expected");
    n->out = c->out;
    return st;
}

static void answer(node_case *c, int types_only)
{
    evla_node n;
    evla_offer offer = {.alias_in = -1};
    const evla_kernel *k = NULL;
    unsigned char *made[PORTS] = {0};
    int32_t st = infer(c, &n);
    if (st == 0 && !types_only) st = choose(&n, c, &k, &offer);
    if (st == 0 && !types_only) st = run_all(c, &n, k, &offer, made);
    if (st < 0) {
        printf("fail %d %s\n", st, *host.why ? host.why : "(without a sentence)");
    } else {
        printf("out %d\n", n.n_out);
        for (int32_t i = 0; i < n.n_out; i++) {
            answer_types(&c->out[i]);
            if (!types_only) fwrite(made[i], 1, (size_t)type_bytes(&c->out[i]), stdout);
        }
    }
    for (int32_t i = 0; i < PORTS; i++) {
        fenced_free(made[i]);
        fenced_free(c->data[i]);
    }
    fflush(stdout);
    op_host_init(&host);
    *c = (node_case){.n_in = 0};
}

/* ---- reading ---- */

static evla_type read_type(char *s)
{
    evla_type t = {.rank = -1};
    char name[16];
    int at = 0;
    if (sscanf(s, "%15s %d%n", name, &t.rank, &at) != 2) die("bad type", s);
    t.dtype = op_host_dtype(&host.table, name);
    s += at;
    for (int32_t i = 0; i < t.rank; i++)
        t.shape[i] = strtoll(s, &s, 10);
    return t;
}

static void read_bytes(void *to, int64_t bytes)
{
    if (bytes && fread(to, 1, (size_t)bytes, stdin) != (size_t)bytes)
        die("short input", "");
}

static void set_param(const evla_item *op, void *params, char *s)
{
    char *text = strchr(s, ' ');
    if (!text) die("bad parameter", s);
    *text++ = 0;
    for (uint32_t i = 0; op && i < op->n_params; i++)
        if (!strcmp(op->params[i].name, s) &&
            op_host_param(&host, &op->params[i], text, params))
            return;
    die("no such parameter", s);
}

static void begin(node_case *c, char *s)
{
    char name[64];
    if (sscanf(s, "%63s %127s", name, c->label) != 2) die("bad node", s);
    if (!(c->op = find(EVLA_OP, name))) die("no such operator", name);
    c->params = op_host_params(&host, c->op);
    if (c->op->params_size && !c->params) die("a preset cannot be read", name);
}

static void add_input(node_case *c, char *s, int is_weight)
{
    int32_t i = c->n_in++;
    c->expect[i].rank = -1;
    c->in[i] = (evla_type){.rank = -1};
    if (!strcmp(s, "none")) return;
    evla_type t = read_type(s);
    int64_t bytes = type_bytes(&t);
    if (bytes < 0) bytes = 0; /* rows that are no whole blocks: infer should refuse them */
    c->data[i] = fenced(bytes);
    read_bytes(c->data[i], bytes);
    if (is_weight) {
        c->expect[i] = t;
        c->in[i].dtype = EVLA_F32; /* present, but nobody has typed it */
    } else {
        c->in[i] = t;
    }
}

static void add_tail(node_case *c, char *s)
{
    char name[64];
    evla_tail *t = &c->tail[c->n_tail];
    if (sscanf(s, "%63s %d %d", name, &t->other, &t->is_rhs) != 3) die("bad tail", s);
    const evla_item *op = find(EVLA_OP, name);
    if (!op) die("no such tail", name);
    c->tail_op[c->n_tail++] = op;
    t->op = op->name;
    t->params = op_host_params(&host, op);
}

static void transcode(char *s, int is_decode)
{
    char name[16];
    long long n = 0;
    if (sscanf(s, "%15s %lld", name, &n) != 2) die("bad request", s);
    const evla_item *item = find(EVLA_DTYPE, name);
    if (!item) die("no such number format", name);
    const evla_dtype *d = item->table;
    int32_t id = host.table.dtype(&host.table, name);
    int64_t codes = host.table.dtype_bytes(&host.table, id, n), floats = n * 4;
    if (codes < 0) die("no row of this format", name);
    int64_t from = is_decode ? codes : floats, to = is_decode ? floats : codes;
    unsigned char *x = fenced(from), *y = fenced(to);
    read_bytes(x, from);
    int32_t st = is_decode ? d->decode(&host.table, x, n, (float *)(void *)y)
                           : d->encode(&host.table, (const float *)(const void *)x, n, y);
    if (st < 0 || !fence_holds(y, to)) die("transcoding failed", name);
    fwrite(y, 1, (size_t)to, stdout);
    fflush(stdout);
    fenced_free(x);
    fenced_free(y);
}

static void request(node_case *c, char *line)
{
    char *s = strchr(line, ' ');
    s = s ? (*s = 0, s + 1) : line + strlen(line);
    if (!strcmp(line, "node"))
        begin(c, s);
    else if (!strcmp(line, "kernel")) {
        const evla_item *k = find(EVLA_KERNEL, s);
        if (!k) die("no such kernel", s);
        c->kernel = k->table;
    } else if (!strcmp(line, "param"))
        set_param(c->op, c->params, s);
    else if (!strcmp(line, "in") || !strcmp(line, "weight"))
        add_input(c, s, *line == 'w');
    else if (!strcmp(line, "tail"))
        add_tail(c, s);
    else if (!strcmp(line, "tparam") && c->n_tail)
        set_param(c->tail_op[c->n_tail - 1],
                  (void *)(uintptr_t)c->tail[c->n_tail - 1].params, s);
    else if (!strcmp(line, "run") || !strcmp(line, "infer"))
        answer(c, *line == 'i');
    else if (!strcmp(line, "decode") || !strcmp(line, "encode"))
        transcode(s, *line == 'd');
    else
        die("unknown request", line);
}

int main(int argc, char **argv)
{
    static node_case c;
    static char line[LINE];
    for (int i = 1; i < argc && n_plugins < 16; i++) {
        void *so = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
        if (!so) die("cannot load", dlerror());
        const evla_plugin *(*entry)(void);
        *(void **)&entry = dlsym(so, "evla_plugin_entry");
        if (!entry) die("no evla_plugin_entry", argv[i]);
        plugins[n_plugins++] = entry();
        op_host_learn(&host, plugins[n_plugins - 1]);
    }
    op_host_init(&host);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        request(&c, line);
    }
    return 0;
}
