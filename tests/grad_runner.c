/*
 * grad_runner.c -- gradients of one operator by the core's rewrite, on cases read from
 * stdin; the oracle speaks numpy.
 *
 * usage: grad_runner PLUGIN.so...     A request is lines, with raw tensor bytes after those
 * that say so:
 *   node OP LABEL              begins a case; its graph is called "g"
 *   param NAME JSON            a parameter
 *   in DTYPE RANK N...         an input, its bytes follow; in none: an absent one
 *   want I                     the gradient of input I is asked for
 *   seed DTYPE RANK N...       of the next output: the loss gets the sum of it times these;
 * or none run The answer is `out N`, then per wanted input `DTYPE RANK N...` and bytes
 * (zeros where the loss does not depend on it); or `fail CODE SENTENCE`. Each case runs
 * with 1 and with 2 workers; other bits make the answer a failure.
 */
#include "graph/grad.h"
#include "graph/rewrite.h"
#include "plugin.h"
#include "run/session.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORTS = EVLA_MAX_PORTS, LINE = 4096 };

typedef struct tensor_in {
    evla_type type; /* rank -1: absent */
    char *data;
} tensor_in;

typedef struct grad_case {
    char op[64], json[LINE];
    tensor_in in[PORTS], seed[PORTS];
    int32_t want[PORTS];
    int32_t n_in, n_want, n_seed;
} grad_case;

static registry reg;
static ctx cx;

static void die(const char *what, const char *which)
{
    fprintf(stderr, "grad_runner: %s: %s\n", what, which);
    exit(2);
}

static void read_tensor(char *s, tensor_in *t)
{
    char name[16];
    int at = 0;
    if (!strcmp(s, "none")) {
        t->type.rank = -1;
        return;
    }
    if (sscanf(s, "%15s %d%n", name, &t->type.rank, &at) != 2) die("bad type", s);
    t->type.dtype = dtype_find(&reg, name, strlen(name));
    s += at;
    for (int32_t i = 0; i < t->type.rank; i++)
        t->type.shape[i] = strtoll(s, &s, 10);
    size_t bytes = (size_t)type_bytes(&reg, &t->type);
    t->data = malloc(bytes + 1);
    if (bytes && fread(t->data, 1, bytes, stdin) != bytes) die("short input", name);
}

static int32_t input(graph *g, const char *name, const evla_type *t, int32_t *w)
{
    return graph_input(&cx, g, name, type_text(&reg, &cx.scratch, t), "case:1", w);
}

/* loss = sum over outputs of sum(y * seed) */
static int32_t declare(const grad_case *c, graph *g, int32_t *loss)
{
    graph_arg args[PORTS];
    int32_t n = 0, st = 0, y = -1;
    value params = {0};
    char name[16];
    const char *text = arena_text(&cx.mem, "{%s}", c->json);
    if (value_parse(&cx.mem, text, strlen(text), &params, NULL) < 0) die("bad JSON", text);
    op_port ports[PORTS];
    const evla_item *item = registry_want(&cx, EVLA_OP, c->op);
    if (!item) return cx.code;
    int32_t n_ports = op_ports(op_of(item)->inputs, ports);
    for (int32_t i = 0; st >= 0 && i < c->n_in; i++) {
        if (c->in[i].type.rank < 0) continue;
        snprintf(name, sizeof name, "in%d", i);
        int32_t w;
        st = input(g, name, &c->in[i].type, &w);
        int named = i < n_ports && !ports[i].variadic;
        args[n].name =
            named ? arena_text(&cx.mem, "%.*s", ports[i].n, ports[i].name) : NULL;
        args[n++].wire = w;
    }
    if (st >= 0) st = graph_add(&cx, g, c->op, args, n, &params, "case:2", &y);
    *loss = -1;
    for (int32_t k = 0; st >= 0 && k < c->n_seed; k++) {
        int32_t r, part = -1;
        if (c->seed[k].type.rank < 0) continue;
        snprintf(name, sizeof name, "seed%d", k);
        st = input(g, name, &c->seed[k].type, &r);
        graph_arg pair[2] = {{NULL, y + k}, {NULL, r}};
        if (st >= 0) st = graph_add(&cx, g, "mul", pair, 2, NULL, "case:3", &part);
        pair[0].wire = part;
        if (st >= 0) st = graph_add(&cx, g, "reduce_sum", pair, 1, NULL, "case:3", &part);
        if (st >= 0 && *loss >= 0) {
            pair[0].wire = *loss;
            pair[1].wire = part;
            st = graph_add(&cx, g, "add", pair, 2, NULL, "case:3", &part);
        }
        *loss = part;
    }
    if (*loss < 0 && st >= 0) *loss = y; /* the output is the loss */
    return st < 0 ? st : graph_output(&cx, g, "loss", *loss, "case:4");
}

static int32_t make_plan(const grad_case *c, model *m, graph *g, int32_t loss, plan **out)
{
    const plan_options o = {.n_workers = 2};
    bound *b;
    int32_t wrt[PORTS], d[PORTS], st = plan_new(&cx, m, &o, out);
    if (st < 0) return st;
    plan *p = *out;
    if ((st = infer_bind(&cx, &p->mem, g, &(symbols){0}, &o, &b)) < 0) return st;
    for (int32_t i = 0; i < c->n_want; i++) {
        char name[16];
        snprintf(name, sizeof name, "in%d", c->want[i]);
        for (int32_t k = 0; k < b->n_inputs; k++)
            if (!strcmp(b->wires[b->inputs[k]].name, name)) wrt[i] = b->inputs[k];
    }
    if ((st = grad_append(&cx, &p->mem, &o, b, loss, -1, wrt, c->n_want, d)) < 0) return st;
    for (int32_t i = 0; st >= 0 && i < c->n_want; i++)
        if (d[i] >= 0)
            st = infer_add_output(&cx, &p->mem, b, arena_text(&p->mem, "d%d", i), d[i]);
    if (st >= 0) st = rewrite_apply(&cx, &p->mem, &o, b);
    return st < 0 ? st : plan_finish(&cx, p, b, &o);
}

static void *copy_of(const session *s, const plan *p, int32_t i, size_t bytes)
{
    char name[16];
    snprintf(name, sizeof name, "d%d", i);
    void *to = calloc(1, bytes + 1);
    int32_t slot = plan_output(p, name);
    if (slot >= 0 && bytes) memcpy(to, session_output(s, 0, slot)->data[0], bytes);
    return to;
}

static int32_t run(const grad_case *c, plan *p, int n_workers, void **made)
{
    session *s = NULL;
    int32_t st = session_open(&cx, &p, 1, &(session_options){.n_workers = n_workers}, &s);
    for (int k = 0; st >= 0 && k < 2 * PORTS; k++) {
        const tensor_in *t = k < PORTS ? &c->in[k] : &c->seed[k - PORTS];
        char name[16];
        snprintf(name, sizeof name, k < PORTS ? "in%d" : "seed%d", k % PORTS);
        int32_t slot = t->data ? plan_input(p, name) : -1;
        evla_tensor *to = slot < 0 ? NULL : session_input(s, 0, slot);
        if (to) memcpy(to->data[0], t->data, (size_t)type_bytes(&reg, &t->type));
    }
    if (st >= 0) st = session_run(&cx, s, 0);
    for (int32_t i = 0; st >= 0 && i < c->n_want; i++)
        made[i] = copy_of(s, p, i, (size_t)type_bytes(&reg, &c->in[c->want[i]].type));
    session_close(s);
    return st;
}

static int32_t solve(const grad_case *c, void **one, void **two)
{
    model *m = NULL;
    graph *g;
    plan *p = NULL;
    int32_t loss = -1, st = model_new(&cx, "m", &m);
    if (st >= 0) st = graph_new(&cx, m, "g", "case:0", &g);
    if (st >= 0) st = declare(c, g, &loss);
    if (st >= 0) st = make_plan(c, m, g, loss, &p);
    if (st >= 0) st = run(c, p, 1, one);
    if (st >= 0) st = run(c, p, 2, two);
    for (int32_t i = 0; st >= 0 && i < c->n_want; i++)
        if (memcmp(one[i], two[i], (size_t)type_bytes(&reg, &c->in[c->want[i]].type)))
            st = ctx_fail(&cx, EVLA_E_BUG, "other bits with 2 workers");
    plan_drop(p);
    model_drop(m);
    return st;
}

static void answer(grad_case *c)
{
    void *one[PORTS] = {0}, *two[PORTS] = {0};
    arena_place mark = arena_mark(&cx.scratch), kept = arena_mark(&cx.mem);
    int32_t st = solve(c, one, two);
    if (st < 0)
        printf("fail %d %s\n", st, *cx.why ? cx.why : "(without a sentence)");
    else {
        printf("out %d\n", c->n_want);
        for (int32_t i = 0; i < c->n_want; i++) {
            const evla_type *t = &c->in[c->want[i]].type;
            printf("%s %d", dtype_name(&reg, t->dtype), t->rank);
            for (int32_t k = 0; k < t->rank; k++)
                printf(" %lld", (long long)t->shape[k]);
            putchar('\n');
            fwrite(one[i], 1, (size_t)type_bytes(&reg, t), stdout);
        }
    }
    fflush(stdout);
    for (int i = 0; i < PORTS; i++) {
        free(one[i]), free(two[i]);
        free(c->in[i].data), free(c->seed[i].data);
    }
    arena_reset(&cx.scratch, mark);
    arena_reset(&cx.mem, kept);
    ctx_clear(&cx);
    *c = (grad_case){.n_in = 0};
}

static void request(grad_case *c, char *line)
{
    char *s = strchr(line, ' ');
    s = s ? (*s = 0, s + 1) : line + strlen(line);
    if (!strcmp(line, "node")) {
        *c = (grad_case){.n_in = 0};
        for (int i = 0; i < PORTS; i++)
            c->in[i].type.rank = c->seed[i].type.rank = -1;
        if (sscanf(s, "%63s", c->op) != 1) die("bad node", s);
    } else if (!strcmp(line, "param")) {
        char *text = strchr(s, ' ');
        if (!text) die("bad parameter", s);
        *text++ = 0;
        size_t n = strlen(c->json);
        snprintf(c->json + n, sizeof c->json - n, "%s\"%s\":%s", n ? "," : "", s, text);
    } else if (!strcmp(line, "in"))
        read_tensor(s, &c->in[c->n_in++]);
    else if (!strcmp(line, "want"))
        c->want[c->n_want++] = atoi(s);
    else if (!strcmp(line, "seed"))
        read_tensor(s, &c->seed[c->n_seed++]);
    else if (!strcmp(line, "run"))
        answer(c);
    else
        die("unknown request", line);
}

int main(int argc, char **argv)
{
    static grad_case c;
    static char line[LINE];
    registry_init(&reg);
    ctx_init(&cx, &reg);
    for (int i = 1; i < argc; i++)
        if (plugin_load(&cx, &reg, argv[i]) < 0) die(argv[i], cx.why);
    if (plugin_seal(&cx, &reg) < 0) die("plugins", cx.why);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        request(&c, line);
    }
    ctx_free(&cx);
    registry_free(&reg);
    return 0;
}
