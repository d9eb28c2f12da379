/*
 * quantize.h -- the rewrite of a whole model to weights in codes: which weights can become
 * codes, their codes from a quantiser, and the new model.
 *
 * A linear whose weight becomes codes turns into the quantiser's operators, with one node
 * for the activations of all linears that read the same value; an embedding (or a gather on
 * axis 0) fetches rows of each plane and decodes them. A quantiser may also leave it at
 * another number format for the weight. All graphs of the model are rewritten alike,
 * everything else is copied. Weights that nobody reads any more are gone.
 */
#ifndef EVLA_GRAPH_QUANTIZE_H
#define EVLA_GRAPH_QUANTIZE_H
#include "../host.h"
#include "graph.h"

/* One weight of rank 2 or more, and what becomes of it. */
typedef struct quantize_layer {
    const char *name;
    int32_t slot;                /* of the model */
    int32_t n_linears, n_tables; /* nodes that read it, in all graphs */
    const char *why;             /* not NULL: it cannot become codes, and this is why */
    const evla_choice *with;     /* its quantiser; NULL: none chosen, or it refused */
    evla_quant_layout layout;
    void *plane[EVLA_MAX_PLANES];
    float scale;      /* static one of the activations; 0: none */
    int is_on;        /* 1: quantize_apply uses the codes */
    int64_t observed; /* rows */
    host host;
    void *self; /* the quantiser's */
} quantize_layer;

/* Lists the weights of rank 2 or more, in the model's order, on `a`. */
int32_t quantize_layers(ctx *cx, arena *a, const model *m, quantize_layer **out,
                        int32_t *n);
/* Gives a layer its quantiser. When that refuses, `why` says so and it is no failure. What
 * the quantiser holds lives on `a`. */
int32_t quantize_open(ctx *cx, arena *a, const model *m, quantize_layer *l,
                      const evla_choice *with);
/* Calibration: rows of what a linear of this layer reads. */
int32_t quantize_observe(ctx *cx, quantize_layer *l, const float *x, int64_t rows);
/* Codes of the weight, on `a`, and switches the layer on. */
int32_t quantize_encode(ctx *cx, arena *a, const model *m, quantize_layer *l);
/* The quantiser's own figures, a JSON object or NULL. Valid until quantize_close. */
const char *quantize_report(quantize_layer *l);
/* Also good for layers without a quantiser. */
void quantize_close(quantize_layer *l);

/* Bytes of the weight as it is, and of its planes. */
int64_t quantize_bytes(ctx *cx, const model *m, const quantize_layer *l, int coded);

/* The new model. Data of weights and codes is borrowed: m and the layers' memory must
 * outlive it. `without` names rewrites to leave out: "quantize" (a copy of m is made),
 * "share" (every linear makes its own activations). */
int32_t quantize_apply(ctx *cx, const model *m, const quantize_layer *layers, int32_t n,
                       const char *without, model **out);
/* A copy of one graph whose outputs are what linears of layers read: output "reads/I.K" is
 * read by the K-th linear, in order of nodes, whose weight is layers[I]'s. With graph_name
 * NULL all graphs are copied and keep their own outputs as well. *out is NULL when no
 * linear reads a layer. */
#define QUANTIZE_PROBE "reads/"
int32_t quantize_probe(ctx *cx, const model *m, const char *graph_name,
                       const quantize_layer *layers, int32_t n, model **out);
/* A model of two graphs for one layer, "f32" and "codes", with input x and output y: a
 * linear of x f32[B,in] with bias `bias` (NULL: none), or, when no linear reads the weight,
 * its rows x i32[B]. The layer must have codes; "f32" is the weight as it was. */
int32_t quantize_pair(ctx *cx, const model *m, const quantize_layer *l, const char *bias,
                      model **out);
/* The bias that linears of this layer add; NULL when there is none, or not the same. */
const char *quantize_bias(const model *m, const quantize_layer *l);
/* Refuses names that `without` may not hold. */
int32_t quantize_check_names(ctx *cx, const char *without);

#endif
