/*
 * show.c -- pictures of a graph and of a plan's arena. See show.h.
 *
 * Layers are drawn as Sugiyama, Tagawa & Toda 1981 do: longest-path layers, corners where
 * an edge crosses a layer, barycentres to order each layer.
 */
#include "show.h"
#include "../plugin.h"
#include "svg.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BOX_W = 210,
    BOX_H = 66,
    PILL_H = 40,
    GAP_X = 28,
    GAP_Y = 54,
    CORNER_W = 10,
    TOP = 64
};

/* ---- vertices: nodes, sources, outputs, and corners of edges ---- */

typedef enum vertex_kind {
    VERTEX_NODE,
    VERTEX_SOURCE,
    VERTEX_OUTPUT,
    VERTEX_CORNER
} vertex_kind;

typedef struct vertex {
    vertex_kind kind;
    int32_t index;     /* node, wire or output */
    int32_t layer, at; /* place in its layer */
    double x, pull;    /* centre, and where its neighbours would have it */
} vertex;

typedef struct edge {
    int32_t from, to;
} edge;

typedef struct drawing {
    ctx *cx;
    arena *a;
    const bound *b;
    vertex *v;
    edge *e;
    int32_t n, n_edges, cap, cap_edges;
    int32_t n_layers;
    double width;
    int failed;
} drawing;

static int32_t add_vertex(drawing *d, vertex_kind kind, int32_t index, int32_t layer)
{
    if (d->n == d->cap) {
        vertex *wide = arena_push(d->a, (size_t)d->cap * 2 + 64, sizeof *wide);
        if (!wide) return d->failed = 1, 0;
        if (d->n) memcpy(wide, d->v, (size_t)d->n * sizeof *wide);
        d->v = wide;
        d->cap = d->cap * 2 + 64;
    }
    d->v[d->n] = (vertex){.kind = kind, .index = index, .layer = layer};
    if (layer >= d->n_layers) d->n_layers = layer + 1;
    return d->n++;
}

static void add_edge(drawing *d, int32_t from, int32_t to)
{
    if (d->n_edges == d->cap_edges) {
        edge *wide = arena_push(d->a, (size_t)d->cap_edges * 2 + 64, sizeof *wide);
        if (!wide) {
            d->failed = 1;
            return;
        }
        if (d->n_edges) memcpy(wide, d->e, (size_t)d->n_edges * sizeof *wide);
        d->e = wide;
        d->cap_edges = d->cap_edges * 2 + 64;
    }
    d->e[d->n_edges++] = (edge){from, to};
}

/* An edge bends at a corner in every layer between its ends. */
static void connect(drawing *d, int32_t from, int32_t to)
{
    int32_t last = d->v[to].layer;
    while (!d->failed && d->v[from].layer + 1 < last) {
        int32_t corner = add_vertex(d, VERTEX_CORNER, 0, d->v[from].layer + 1);
        add_edge(d, from, corner);
        from = corner;
    }
    add_edge(d, from, to);
}

/* Weights and constants are written inside the nodes that read them. */
static int is_drawn(const bound *b, int32_t w)
{
    return w >= 0 && (b->wires[w].kind == WIRE_INPUT || b->wires[w].kind == WIRE_STATE ||
                      b->wires[w].kind == WIRE_RESULT);
}

static void find_vertices(drawing *d)
{
    const bound *b = d->b;
    int32_t *of = arena_push(d->a, (size_t)b->n_wires + 1, sizeof *of);
    if (!of) {
        d->failed = 1;
        return;
    }
    for (int32_t w = 0; w < b->n_wires; w++)
        of[w] = -1;
    for (int32_t i = 0; i < b->n_nodes && !d->failed; i++) {
        const bound_node *n = &b->nodes[i];
        int32_t layer = 0;
        if (n->is_gone) continue;
        for (int32_t k = 0; k < n->n_in; k++) {
            if (!is_drawn(b, n->in[k])) continue;
            if (of[n->in[k]] < 0) of[n->in[k]] = add_vertex(d, VERTEX_SOURCE, n->in[k], 0);
            if (d->failed) return;
            int32_t above = d->v[of[n->in[k]]].layer;
            if (above + 1 > layer) layer = above + 1;
        }
        int32_t v = add_vertex(d, VERTEX_NODE, i, layer);
        for (int32_t k = 0; k < n->n_out; k++)
            of[n->out[k]] = v;
        for (int32_t k = 0; k < n->n_in; k++) {
            int twice = 0;
            for (int32_t j = 0; j < k; j++)
                twice |= n->in[j] == n->in[k];
            if (is_drawn(b, n->in[k]) && !twice) connect(d, of[n->in[k]], v);
        }
    }
    for (int32_t i = 0; i < b->n_outputs && !d->failed; i++) {
        int32_t w = b->outputs[i].wire;
        if (of[w] < 0) of[w] = add_vertex(d, VERTEX_SOURCE, w, 0);
        int32_t v = add_vertex(d, VERTEX_OUTPUT, i, d->v[of[w]].layer + 1);
        connect(d, of[w], v);
    }
}

/* ---- where they stand ---- */

static double vertex_width(const vertex *v)
{
    return v->kind == VERTEX_CORNER ? CORNER_W : BOX_W;
}

static int by_pull(const void *a, const void *b)
{
    const vertex *x = *(vertex *const *)a, *y = *(vertex *const *)b;
    if (x->pull != y->pull) return x->pull < y->pull ? -1 : 1;
    return x->at - y->at;
}

/* Where the neighbours above (or below) would have each vertex. */
static void find_pulls(drawing *d, int from_above, double *sum, double *count)
{
    memset(sum, 0, (size_t)d->n * sizeof *sum);
    memset(count, 0, (size_t)d->n * sizeof *count);
    for (int32_t i = 0; i < d->n_edges; i++) {
        int32_t me = from_above ? d->e[i].to : d->e[i].from;
        int32_t other = from_above ? d->e[i].from : d->e[i].to;
        sum[me] += d->v[other].x;
        count[me]++;
    }
    for (int32_t i = 0; i < d->n; i++)
        d->v[i].pull = count[i] > 0 ? sum[i] / count[i] : d->v[i].x;
}

/* Puts a layer as near to its pulls as widths allow: left to right, then the rest shifted
 * back. */
static void place_layer(vertex **row, int32_t n)
{
    double edge_x = -1e9, shift = 0;
    for (int32_t i = 0; i < n; i++) {
        double half = vertex_width(row[i]) / 2, x = row[i]->pull;
        if (x - half < edge_x) x = edge_x + half;
        row[i]->x = x;
        edge_x = x + half + GAP_X;
        shift += row[i]->pull - x;
    }
    for (int32_t i = 0; i < n; i++)
        row[i]->x += shift / n;
}

static void lay_out(drawing *d)
{
    double *sum = arena_push(d->a, (size_t)d->n + 1, sizeof *sum);
    double *count = arena_push(d->a, (size_t)d->n + 1, sizeof *count);
    vertex **rows = arena_push(d->a, (size_t)d->n + 1, sizeof *rows);
    int32_t *first = arena_push(d->a, (size_t)d->n_layers + 2, sizeof *first);
    if (!sum || !count || !rows || !first) {
        d->failed = 1;
        return;
    }
    for (int32_t i = 0; i < d->n; i++)
        first[d->v[i].layer + 1]++;
    for (int32_t l = 0; l < d->n_layers; l++)
        first[l + 1] += first[l];
    int32_t *next = arena_push(d->a, (size_t)d->n_layers + 2, sizeof *next);
    if (!next) {
        d->failed = 1;
        return;
    }
    memcpy(next, first, ((size_t)d->n_layers + 1) * sizeof *next);
    for (int32_t i = 0; i < d->n; i++) {
        vertex *v = &d->v[i];
        v->at = next[v->layer] - first[v->layer];
        v->x = v->at * (double)(BOX_W + GAP_X);
        rows[next[v->layer]++] = v;
    }
    for (int sweep = 0; sweep < 16; sweep++) {
        int down = sweep % 2 == 0;
        for (int32_t k = 0; k < d->n_layers; k++) {
            int32_t l = down ? k : d->n_layers - 1 - k, n = first[l + 1] - first[l];
            vertex **row = rows + first[l];
            find_pulls(d, down, sum, count);
            if (sweep < 12) qsort(row, (size_t)n, sizeof *row, by_pull);
            for (int32_t i = 0; i < n; i++)
                row[i]->at = i;
            place_layer(row, n);
        }
    }
    double left = 1e9, right = -1e9;
    for (int32_t i = 0; i < d->n; i++) {
        double half = vertex_width(&d->v[i]) / 2;
        if (d->v[i].x - half < left) left = d->v[i].x - half;
        if (d->v[i].x + half > right) right = d->v[i].x + half;
    }
    for (int32_t i = 0; i < d->n; i++)
        d->v[i].x += 24 - left;
    d->width = d->n ? right - left + 48 : 300;
}

/* ---- drawing ---- */

static double vertex_y(const vertex *v) { return TOP + v->layer * (double)(BOX_H + GAP_Y); }

static double half_height(const vertex *v)
{
    return v->kind == VERTEX_CORNER ? 0 : v->kind == VERTEX_NODE ? BOX_H / 2 : PILL_H / 2;
}

static void draw_edges(const drawing *d, svg *s)
{
    svg_put(s, "<g fill=\"none\" stroke=\"#9aa3ad\" stroke-width=\"1.4\">\n");
    for (int32_t i = 0; i < d->n_edges; i++) {
        const vertex *a = &d->v[d->e[i].from], *b = &d->v[d->e[i].to];
        double y0 = vertex_y(a) + BOX_H / 2.0 + half_height(a),
               y1 = vertex_y(b) + BOX_H / 2.0 - half_height(b), mid = (y0 + y1) / 2;
        svg_put(s, "<path d=\"M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f\"%s/>\n", a->x, y0,
                a->x, mid, b->x, mid, b->x, y1,
                b->kind == VERTEX_CORNER ? "" : " marker-end=\"url(#tip)\"");
    }
    svg_put(s, "</g>\n");
}

static void draw_node(const drawing *d, svg *s, const vertex *v)
{
    const bound_node *n = &d->b->nodes[v->index];
    char name[160], bytes[24], work[24] = "", held[24] = "";
    double x = v->x - BOX_W / 2.0, y = vertex_y(v), flops = 0;
    int hue = svg_hue(n->op->name);
    infer_cost(d->cx, d->b, n, &flops);
    size_t k = (size_t)snprintf(name, sizeof name, "%s", n->op->name);
    for (int32_t i = 0; i < n->n_tail && k < sizeof name; i++)
        k += (size_t)snprintf(name + k, sizeof name - k, " + %s", n->tail[i].op);
    uint64_t weights = 0;
    for (int32_t i = 0; i < n->n_in; i++)
        if (n->in[i] >= 0 && d->b->wires[n->in[i]].kind == WIRE_WEIGHT)
            weights += (uint64_t)type_bytes(d->cx->reg, &d->b->wires[n->in[i]].type);
    const evla_type *out = &d->b->wires[n->out[0]].type;
    svg_bytes(bytes, (uint64_t)type_bytes(d->cx->reg, out));
    if (flops > 0) svg_flops(work, flops);
    if (weights) svg_bytes(held, weights);
    svg_put(s,
            "<g><rect x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%d\" rx=\"8\" "
            "fill=\"hsl(%d,62%%,94%%)\" stroke=\"hsl(%d,38%%,55%%)\"%s/>"
            "<text x=\"%.1f\" y=\"%.1f\" font-weight=\"600\" fill=\"hsl(%d,55%%,24%%)\">",
            x, y, BOX_W, BOX_H, hue, hue, n->n_tail ? " stroke-width=\"2\"" : "", x + 10,
            y + 19, hue);
    svg_word(s, name, 28);
    svg_put(s, "</text><text x=\"%.1f\" y=\"%.1f\" fill=\"#444\">", x + 10, y + 37);
    svg_word(s, type_text(d->cx->reg, d->a, out), 20);
    svg_put(s, "<tspan dx=\"8\" fill=\"#888\">%s</tspan></text>", bytes);
    svg_put(s, "<text x=\"%.1f\" y=\"%.1f\" fill=\"#888\" font-size=\"11\">", x + 10,
            y + 55);
    svg_put(s, "%s%s%s%s", work, flops > 0 && weights ? ", " : "", held,
            weights ? " weights" : "");
    if (flops <= 0 && !weights) svg_word(s, n->label, 30);
    svg_put(s, "</text><title>");
    svg_word(s, n->label, 100);
    if (n->where) {
        svg_put(s, " at ");
        svg_word(s, n->where, 100);
    }
    svg_put(s, "</title></g>\n");
}

static void draw_pill(const drawing *d, svg *s, const vertex *v)
{
    static const char *const fill[] = {"#e3eefc", "#eee", "#fdebd8",
                                       "#eee",    "#eee", "#e2f3e4"};
    static const char *const line[] = {"#5b8fd0", "#999", "#d08a3c",
                                       "#999",    "#999", "#4e9a5a"};
    int is_output = v->kind == VERTEX_OUTPUT;
    int32_t w = is_output ? d->b->outputs[v->index].wire : v->index;
    const bound_wire *of = &d->b->wires[w];
    int look = is_output ? 5 : (int)of->kind;
    double x = v->x - BOX_W / 2.0, y = vertex_y(v) + (BOX_H - PILL_H) / 2.0;
    svg_put(s,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%d\" rx=\"%d\" fill=\"%s\" "
            "stroke=\"%s\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" "
            "font-weight=\"600\" fill=\"#333\">",
            x, y, BOX_W, PILL_H, PILL_H / 2, fill[look], line[look], v->x, y + 17);
    svg_word(s, is_output ? d->b->outputs[v->index].name : of->name, 26);
    svg_put(s,
            "</text><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" font-size=\"11\" "
            "fill=\"#666\">",
            v->x, y + 32);
    svg_word(s, type_text(d->cx->reg, d->a, &of->type), 28);
    svg_put(s, "</text>\n");
}

const char *show_graph(ctx *cx, arena *a, const bound *b, const char *title)
{
    drawing d = {.cx = cx, .a = a, .b = b};
    svg s = {.a = a};
    int32_t nodes = 0;
    find_vertices(&d);
    if (!d.failed) lay_out(&d);
    if (d.failed) return NULL;
    for (int32_t i = 0; i < b->n_nodes; i++)
        nodes += !b->nodes[i].is_gone;
    double width = d.width < 460 ? 460 : d.width;
    svg_begin(&s, width, TOP + d.n_layers * (double)(BOX_H + GAP_Y), title);
    svg_put(
        &s,
        "<text x=\"24\" y=\"48\" fill=\"#777\">%d nodes; folded %d, coded %d, dead %d, "
        "fused %d"
        "</text>\n"
        "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" "
        "markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" "
        "fill=\"#9aa3ad\"/></marker></defs>\n<g transform=\"translate(%.1f 0)\">\n",
        nodes, b->n_folded, b->n_coded, b->n_dead, b->n_fused, (width - d.width) / 2);
    draw_edges(&d, &s);
    for (int32_t i = 0; i < d.n; i++)
        if (d.v[i].kind == VERTEX_NODE)
            draw_node(&d, &s, &d.v[i]);
        else if (d.v[i].kind != VERTEX_CORNER)
            draw_pill(&d, &s, &d.v[i]);
    svg_put(&s, "</g>\n");
    return svg_end(&s);
}

/* ---- the arena ---- */

enum { LEFT = 96, PLOT_H = 420, BELOW = 120 };

static void draw_region(const plan *p, svg *s, const region *r, double step_w, double scale)
{
    int32_t first = r->first < 0 ? -1 : r->first, last = r->last;
    const char *name =
        r->wire >= 0 ? p->graph->wires[r->wire].name : p->steps[r->step].node.label;
    double x = LEFT + (first + 1) * step_w, w = (last - first + 1) * step_w,
           h = (double)r->bytes * scale, y = 72 + PLOT_H - (double)r->offset * scale - h;
    int is_input = r->wire >= 0 && p->graph->wires[r->wire].kind == WIRE_INPUT;
    char bytes[24];
    svg_bytes(bytes, r->bytes);
    svg_put(s, "<g><rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" ", x + 0.5,
            y + 0.5, w > 1 ? w - 1 : w, h > 1 ? h - 1 : h);
    if (r->wire < 0)
        svg_put(s, "fill=\"url(#hatch)\" stroke=\"#aaa\"");
    else if (is_input)
        svg_put(s, "fill=\"#dbe9fb\" stroke=\"#5b8fd0\"");
    else
        svg_put(s, "fill=\"hsl(%d,60%%,88%%)\" stroke=\"hsl(%d,40%%,55%%)\"", svg_hue(name),
                svg_hue(name));
    svg_put(s, " stroke-width=\"0.8\"/><title>%s", r->wire < 0 ? "scratch of " : "");
    svg_word(s, name, 80);
    svg_put(s, ", %s at %llu, steps %d to %d</title>", bytes, (unsigned long long)r->offset,
            first + 1, last + 1);
    int letters = (int)(w / 7.2) - 1;
    if (h >= 14 && letters >= 4) {
        svg_put(s, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"11\" fill=\"#333\">", x + 5,
                y + h / 2 + 4);
        svg_word(s, name, letters);
        int used = (int)strlen(name);
        if (letters > used + 12)
            svg_put(s, "<tspan dx=\"8\" fill=\"#777\">%s</tspan>", bytes);
        svg_put(s, "</text>");
    }
    svg_put(s, "</g>\n");
}

static void draw_axes(const plan *p, svg *s, double step_w, double width, double scale)
{
    char bytes[24];
    svg_put(s, "<g stroke=\"#ddd\">");
    for (int i = 0; i <= 4; i++)
        svg_put(s, "<path d=\"M%d %.1fH%.1f\"/>", LEFT, 72 + PLOT_H - i * PLOT_H / 4.0,
                LEFT + width);
    svg_put(s, "</g>\n<g fill=\"#777\" font-size=\"11\">");
    for (int i = 0; i <= 4; i++) {
        svg_bytes(bytes, (uint64_t)((double)PLOT_H / scale * i / 4));
        svg_put(s, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>", LEFT - 8,
                76 + PLOT_H - i * PLOT_H / 4.0, bytes);
    }
    int every = 1 + (int)(16 / step_w);
    for (int32_t t = 0; t < p->n_steps; t += every) {
        double x = LEFT + (t + 1.5) * step_w;
        const char *label = strchr(p->steps[t].node.label, '/');
        svg_put(s, "<text transform=\"translate(%.1f %d) rotate(40)\">", x,
                72 + PLOT_H + 16);
        svg_word(s, label ? label + 1 : p->steps[t].node.label, 18);
        svg_put(s, "</text>");
    }
    svg_put(s, "</g>\n");
}

const char *show_arena(ctx *cx, arena *a, const plan *p, const char *title)
{
    svg s = {.a = a};
    char have[24], least[24];
    double step_w = p->n_steps < 1 ? 60 : 1100.0 / (p->n_steps + 2);
    (void)cx;
    if (step_w > 90) step_w = 90;
    if (step_w < 3) step_w = 3;
    double width = step_w * (p->n_steps + 2);
    if (width < 420) step_w = 420.0 / (p->n_steps + 2), width = 420;
    double scale = p->arena_bytes ? PLOT_H / (double)p->arena_bytes : 1;
    svg_bytes(have, p->arena_bytes);
    svg_bytes(least, p->lower_bound);
    svg_begin(&s, LEFT + width + 150, 72 + PLOT_H + BELOW, title);
    svg_put(
        &s,
        "<text x=\"24\" y=\"48\" fill=\"#777\">arena %s, lower bound %s (%.3fx), "
        "%s</text>\n"
        "<defs><pattern id=\"hatch\" width=\"6\" height=\"6\" "
        "patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect width=\"6\" "
        "height=\"6\" fill=\"#eee\"/><path d=\"M0 0V6\" stroke=\"#ccc\" "
        "stroke-width=\"3\"/></pattern></defs>\n",
        have, least, p->lower_bound ? (double)p->arena_bytes / (double)p->lower_bound : 1.0,
        p->order);
    draw_axes(p, &s, step_w, width, scale);
    for (int32_t i = 0; i < p->n_regions; i++)
        draw_region(p, &s, &p->regions[i], step_w, scale);
    double y = 72 + PLOT_H - (double)p->lower_bound * scale,
           peak = LEFT + (p->peak_step + 1.5) * step_w;
    svg_put(&s,
            "<path d=\"M%d %.1fH%.1f\" stroke=\"#c0392b\" stroke-width=\"1.5\" "
            "stroke-dasharray=\"7 4\"/><text x=\"%.1f\" y=\"%.1f\" fill=\"#c0392b\" "
            "font-size=\"11\">lower bound %s</text>\n"
            "<path d=\"M%.1f %dV%d\" stroke=\"#c0392b\" stroke-width=\"1\" opacity=\"0.5\" "
            "stroke-dasharray=\"2 3\"/>\n",
            LEFT, y, LEFT + width, LEFT + width + 6, y + 4, least, peak, 72, 72 + PLOT_H);
    return svg_end(&s);
}
