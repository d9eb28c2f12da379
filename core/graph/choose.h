/*
 * choose.h -- which kernel computes a node: the best score among those that accept, ties by
 * name.
 */
#ifndef EVLA_GRAPH_CHOOSE_H
#define EVLA_GRAPH_CHOOSE_H
#include "../ctx.h"

/* How a graph is turned into a plan. All zero is the default. */
typedef struct plan_options {
    const evla_machine *machine; /* NULL: the registry's */
    int32_t n_workers;           /* most workers a session may use; 0: 1 */
    const char *kernels; /* only kernels of these: plugins' ids or the end of kernels'
                            names, separated by blanks or commas ("ops"); NULL: any */
    const char *without; /* rewrites to leave out: "fold", "coded", "dead", "fuse",
                            "recompute"; same separators */
    uint64_t budget;     /* bytes for arena and states; 0: no limit */
    int bits_free;       /* 1: a fused node may round differently from its parts */
    int inputs_consumed; /* 1: inputs must be set before every run, their memory is used
                            again */
} plan_options;

typedef struct pick {
    const evla_item *item; /* the kernel's */
    evla_offer offer;
} pick;

/* 1 when a word stands in a list separated by blanks, commas or bars. */
int list_has(const char *list, const char *word);
/* The machine that options stand for. */
evla_machine choose_machine(const registry *reg, const plan_options *o);
/* EVLA_E_MISSING when no kernel accepts; the sentence then lists those asked. With quiet 1
 * nothing is told. Any other failure comes from a kernel. */
int32_t choose_kernel(ctx *cx, const plan_options *o, const evla_node *n, int quiet,
                      pick *out);
/* Asks the chosen kernel how it splits the node, and checks what it says. */
int32_t choose_work(ctx *cx, arena *hold, const plan_options *o, const evla_node *n,
                    const pick *k, evla_work *out);
/* "kernel linear.c: ..." in front of a sentence, or a sentence when the kernel left none.
 */
int32_t choose_blame(ctx *cx, const evla_node *n, const evla_item *kernel, int32_t code);
/* Computes a node at once, on this thread, into dense outputs. in_data and out_data hold
 * n_in and n_out pointers. */
int32_t choose_eval(ctx *cx, const plan_options *o, const evla_node *n,
                    const void *const *in_data, void *const *out_data);

#endif
