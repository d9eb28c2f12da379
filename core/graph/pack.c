/*
 * pack.c -- gives regions that live at different times addresses in one arena. See pack.h.
 */
#include "pack.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_WORK = 20000000 }; /* regions looked at by the search: some 80 ms */
enum { GOOD_ENOUGH = 1024 };   /* it ends within this part of the lower bound */

/* ---- lower bound ---- */

typedef struct event {
    int32_t at;
    int is_end;
    uint64_t bytes;
} event;

static int by_time(const void *a, const void *b)
{
    const event *x = a, *y = b;
    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return y->is_end - x->is_end; /* ends first: `at` of an end is one past the last step */
}

static uint64_t sweep(event *e, int32_t n, int32_t *peak)
{
    uint64_t live = 0, most = 0;
    qsort(e, (size_t)n, sizeof *e, by_time);
    for (int32_t i = 0; i < n; i++) {
        live = e[i].is_end ? live - e[i].bytes : live + e[i].bytes;
        if (live > most) {
            most = live;
            if (peak) *peak = e[i].at;
        }
    }
    return most;
}

static uint64_t bound_with(event *e, const region *r, int32_t n, int32_t *peak)
{
    for (int32_t i = 0; i < n; i++) {
        e[2 * i] = (event){r[i].first, 0, r[i].bytes};
        e[2 * i + 1] = (event){r[i].last + 1, 1, r[i].bytes};
    }
    return sweep(e, 2 * n, peak);
}

/* Without memory of its own: at every start, what is alive. Quadratic. */
uint64_t pack_lower_bound(const region *r, int32_t n, int32_t *peak)
{
    uint64_t most = 0;
    if (peak) *peak = 0;
    for (int32_t i = 0; i < n; i++) {
        uint64_t live = 0;
        for (int32_t k = 0; k < n; k++)
            if (r[k].first <= r[i].first && r[i].first <= r[k].last) live += r[k].bytes;
        if (live > most || (live == most && peak && r[i].first < *peak)) {
            most = live;
            if (peak) *peak = r[i].first;
        }
    }
    return most;
}

/* ---- one placement ---- */

typedef struct packer {
    const region *r;
    int32_t n;
    int32_t *order; /* what is placed when */
    int32_t *head,
        *rival;       /* who lives at the same time as i: rival[head[i] .. head[i+1]) */
    int32_t *near;    /* of those, the placed ones, by offset */
    uint64_t *offset; /* of this attempt */
    uint64_t *best_offset;
    int32_t *best_order, *now_order;
    uint64_t best;
    const char *best_name;
    int64_t work;      /* regions looked at so far */
    uint64_t *breadth; /* bytes alive while a region lives, at most */
} packer;

/* Regions already placed that live at the same time as one, by offset. */
static int32_t gather(packer *p, int32_t one)
{
    int32_t n = 0;
    for (int32_t e = p->head[one]; e < p->head[one + 1]; e++) {
        int32_t o = p->rival[e], k = n++;
        if (p->offset[o] == UINT64_MAX) {
            n--;
            continue;
        }
        for (; k > 0 && p->offset[p->near[k - 1]] > p->offset[o]; k--)
            p->near[k] = p->near[k - 1];
        p->near[k] = o;
    }
    p->work += p->head[one + 1] - p->head[one] + n;
    return n;
}

/* Places regions in order; the total, or UINT64_MAX as soon as it exceeds `most`. */
static uint64_t place_all(packer *p, int smallest_gap, uint64_t most)
{
    uint64_t total = 0;
    memset(p->offset, 0xff, (size_t)p->n * sizeof *p->offset);
    for (int32_t i = 0; i < p->n; i++) {
        const region *r = &p->r[p->order[i]];
        uint64_t end = 0, at = UINT64_MAX, gap_best = UINT64_MAX;
        int32_t n = gather(p, p->order[i]);
        for (int32_t k = 0; k < n; k++) {
            uint64_t from = p->offset[p->near[k]];
            if (from > end && from - end >= r->bytes && from - end < gap_best) {
                gap_best = from - end;
                at = end;
                if (!smallest_gap) break;
            }
            from += p->r[p->near[k]].bytes;
            if (from > end) end = from;
        }
        if (at == UINT64_MAX) at = end;
        p->offset[p->order[i]] = at;
        if (at + r->bytes > total) total = at + r->bytes;
        if (total > most) return UINT64_MAX;
    }
    return total;
}

static void keep(packer *p, uint64_t total, const char *name)
{
    p->best = total;
    p->best_name = name;
    memcpy(p->best_offset, p->offset, (size_t)p->n * sizeof *p->offset);
    memcpy(p->best_order, p->order, (size_t)p->n * sizeof *p->order);
}

static void attempt(packer *p, const char *name)
{
    for (int gap = 0; gap < 2; gap++) {
        uint64_t total = place_all(p, gap, p->best - 1);
        if (total < p->best) keep(p, total, name);
    }
}

/* ---- orders ---- */

typedef struct rank {
    uint64_t major, minor;
    int32_t index;
} rank;

/* Largest first; then in order of declaration, so that plans do not depend on qsort. */
static int by_rank(const void *a, const void *b)
{
    const rank *x = a, *y = b;
    if (x->major != y->major) return x->major > y->major ? -1 : 1;
    if (x->minor != y->minor) return x->minor > y->minor ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static const char *const order_names[] = {"size",   "breadth", "area",
                                          "length", "start",   "end"};

static void sort_by(packer *p, rank *ranks, int which)
{
    for (int32_t i = 0; i < p->n; i++) {
        const region *r = &p->r[i];
        uint64_t length = (uint64_t)(r->last - r->first) + 1;
        uint64_t start = UINT32_MAX - (uint64_t)(r->first + 1),
                 end = (uint64_t)(r->last + 1);
        uint64_t key[] = {r->bytes, p->breadth[i], r->bytes * length, length, start, end};
        ranks[i] = (rank){key[which], which == 0 ? length : r->bytes, i};
    }
    qsort(ranks, (size_t)p->n, sizeof *ranks, by_rank);
    for (int32_t i = 0; i < p->n; i++)
        p->order[i] = ranks[i].index;
}

/* The most bytes alive while each region lives. offset serves as room for what lives at the
 * start of each. */
static void find_breadth(packer *p)
{
    for (int32_t i = 0; i < p->n; i++) {
        p->offset[i] = 0;
        for (int32_t k = 0; k < p->n; k++)
            if (p->r[k].first <= p->r[i].first && p->r[i].first <= p->r[k].last)
                p->offset[i] += p->r[k].bytes;
    }
    for (int32_t i = 0; i < p->n; i++)
        for (int32_t k = 0; k < p->n; k++)
            if (p->r[k].first >= p->r[i].first && p->r[k].first <= p->r[i].last &&
                p->offset[k] > p->breadth[i])
                p->breadth[i] = p->offset[k];
}

/* Moves what tops the arena, one that lives beside it, or any, towards the front. An order
 * that is hardly worse than the one before is kept too: most improvements lie behind a
 * plateau.
 */
static void search(packer *p, uint64_t lower)
{
    uint64_t luck = 0x9e3779b97f4a7c15u, now = p->best;
    size_t bytes = (size_t)p->n * sizeof *p->order;
    int32_t *order = p->now_order, top = 0;
    memcpy(order, p->best_order, bytes);
    for (int32_t i = 0; i < p->n; i++)
        if (p->best_offset[i] + p->r[i].bytes == p->best) top = i;
    while (p->best - lower > lower / GOOD_ENOUGH && p->work < MOST_WORK) {
        luck = luck * 6364136223846793005u + 1442695040888963407u;
        int32_t rivals = p->head[top + 1] - p->head[top], moved = top, from = 0;
        if (luck >> 62 == 0)
            moved = (int32_t)((luck >> 40 & 0xfffff) % (uint64_t)p->n);
        else if (rivals && luck >> 62 == 1)
            moved = p->rival[p->head[top] +
                             (int32_t)((luck >> 40 & 0xfffff) % (uint64_t)rivals)];
        while (order[from] != moved)
            from++;
        int32_t to = from ? (int32_t)((luck >> 12 & 0xfffff) % (uint64_t)from) : 0;
        memcpy(p->order, order, bytes);
        memmove(p->order + to + 1, p->order + to, (size_t)(from - to) * sizeof moved);
        p->order[to] = moved;
        p->work += p->n;
        uint64_t most = now + (luck >> 56 & 63 ? 0 : (now - lower) / 4);
        uint64_t total = place_all(p, (int)(luck >> 61 & 1), most);
        if (total > most) continue;
        now = total;
        memcpy(order, p->order, bytes);
        for (int32_t i = 0; i < p->n; i++)
            if (p->offset[i] + p->r[i].bytes == total) top = i;
        if (total < p->best) keep(p, total, "search");
    }
}

static int meet(const region *a, const region *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* How many rivals there are; head gets where each one's begin. */
static int64_t count_rivals(const region *r, int32_t n, int32_t *head)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        for (int32_t k = 0; k < n; k++)
            sum += k != i && meet(&r[i], &r[k]);
        if (sum > INT32_MAX) return -1;
        head[i + 1] = (int32_t)sum;
    }
    return sum;
}

static void find_rivals(packer *p)
{
    for (int32_t i = 0, e = 0; i < p->n; i++)
        for (int32_t k = 0; k < p->n; k++)
            if (k != i && meet(&p->r[i], &p->r[k])) p->rival[e++] = k;
}

int32_t pack_regions(ctx *cx, region *r, int32_t n, uint64_t align, uint64_t *total,
                     const char **order)
{
    arena *a = &cx->scratch;
    arena_place mark = arena_mark(a);
    size_t room = (size_t)n + 1;
    packer p = {.r = r, .n = n, .best = UINT64_MAX, .best_name = "none"};
    event *events = arena_push(a, room * 2, sizeof *events);
    rank *ranks = arena_push(a, room, sizeof *ranks);
    p.order = arena_push(a, room, sizeof *p.order);
    p.near = arena_push(a, room, sizeof *p.near);
    p.head = arena_push(a, room, sizeof *p.head);
    int64_t rivals = p.near && p.head ? count_rivals(r, n, p.head) : 0;
    p.rival = rivals < 0 ? NULL : arena_push(a, (size_t)rivals + 1, sizeof *p.rival);
    p.offset = arena_push(a, room, sizeof *p.offset);
    p.best_offset = arena_push(a, room, sizeof *p.best_offset);
    p.best_order = arena_push(a, room, sizeof *p.best_order);
    p.now_order = arena_push(a, room, sizeof *p.now_order);
    p.breadth = arena_push(a, room, sizeof *p.breadth);
    if (!events || !ranks || !p.order || !p.near || !p.head || !p.rival || !p.offset ||
        !p.best_offset || !p.best_order || !p.now_order || !p.breadth) {
        arena_reset(a, mark);
        return ctx_fail(cx, EVLA_E_NOMEM, "packing %d regions", n);
    }
    *total = 0;
    *order = "none";
    if (n) {
        uint64_t lower = bound_with(events, r, n, NULL);
        find_rivals(&p);
        find_breadth(&p);
        for (int which = 0; which < 6 && p.best > lower; which++) {
            sort_by(&p, ranks, which);
            attempt(&p, order_names[which]);
        }
        search(&p, lower);
        for (int32_t i = 0; i < n; i++)
            r[i].offset = (p.best_offset[i] + align - 1) / align * align;
        *total = p.best;
        *order = p.best_name;
    }
    arena_reset(a, mark);
    return 0;
}
