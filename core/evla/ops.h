/*
 * evla/ops.h -- the standard operators: inputs, outputs and parameter structs.
 *
 * A contract like abi.h, and read by the same two parsers. plugins/ops gives each operator a
 * portable kernel; a faster kernel anywhere reads the same structs. Structs grow at their end only,
 * an operator's inputs grow at their end and as optional ones only.
 *
 * How to read an entry: `y = name(x, w, b?)`, a '?' marks an input that may be absent. [...] are any
 * leading extents. R is a real number format (f32, f64, f16, bf16), N any of R, i32, i64, T any
 * format with whole bytes per element. Formats of a node's R (or N) inputs must be equal, except
 * where weights are quantised. "Broadcast" is NumPy's rule. A weight that has no type yet gets the
 * one shown here, in f32. Axes count from the end when negative.
 *
 * Refusals: EVLA_E_SHAPE and EVLA_E_DTYPE naming the node and what it found; EVLA_E_ARG for a
 * parameter; EVLA_E_RANGE at run time for an index outside its table.
 */
#ifndef EVLA_OPS_H
#define EVLA_OPS_H
#include "abi.h"

// clang-format off
enum { EVLA_OPS_VERSION = 6 }; /* counts up when operators or fields are added */

/* ---- matrices --------------------------------------------------------------------------------
 *
 * y R[...,out] = linear(x R[...,in], w[out,in], b[out]?)           y = x w^T + b
 * w may also be in a format that a plugin decodes, with x f32.
 * Source: torch.nn.Linear. */
typedef struct evla_linear_params {
    int64_t out; /* features of y; 0: taken from w's type */
} evla_linear_params;

/* y R[...,M,N] = matmul(a R[...,M,K], b R[...,K,N])      leading extents broadcast
 * Source: ONNX MatMul; the transposes are BLAS's. */
typedef struct evla_matmul_params {
    int32_t transpose_a; /* 1: a is [...,K,M] */
    int32_t transpose_b; /* 1: b is [...,N,K] */
} evla_matmul_params;

/* y R[...,N,K] = solve(a R[...,N,N], b R[...,N,K])       a y = b; leading extents equal
 * A singular a gives infinities or NaN. Source: torch.linalg.solve. */
typedef struct evla_solve_params {
    int32_t transpose_a; /* 1: a^T y = b */
    int32_t reserved;
} evla_solve_params;

/* ---- element by element ------------------------------------------------------------------------
 *
 * y N = add|sub|mul|maximum|minimum(a N, b N), y R = div(a R, b R)      broadcast; integers wrap
 * y bool = less|equal(a N, b N)                                         broadcast; NaN gives 0
 * y T = where(cond bool, a T, b T)                                      broadcast; cond ? a : b
 * y R = neg|abs|exp|log|sqrt|rsqrt|square|sin|cos|erf(x R)              radians; rsqrt = 1/sqrt(x)
 * y R = sign(x R)                          -1, 0 or 1; NaN and zeros pass
 * y R = relu|silu|sigmoid|tanh(x R)        max(x,0), x/(1+e^-x), 1/(1+e^-x); maximum, minimum and
 *                                          relu pass NaN on
 * y R = gelu(x R)     none: x/2 (1 + erf(x/sqrt 2)); tanh: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
 * Source: Hendrycks and Gimpel 2016 (gelu, silu); ONNX for the rest. */
enum { EVLA_GELU_NONE = 0, EVLA_GELU_TANH = 1 };
typedef struct evla_gelu_params {
    int32_t approximate; /* EVLA_GELU_* */
    int32_t reserved;
} evla_gelu_params;

/* y R = clamp(x R)      min(max(x, min), max) */
typedef struct evla_clamp_params {
    double min, max; /* in x's unit; beyond f32's range: no bound */
} evla_clamp_params;

/* y `to` = cast(x T)      to integers: towards zero, saturating, NaN gives 0; between integers:
 * modulo 2^n; to bool: x != 0; to smaller reals: nearest even. A format that a plugin decodes by
 * blocks becomes f32, row by row. */
typedef struct evla_cast_params {
    const char *to; /* name of a number format: "f32" */
} evla_cast_params;

/* ---- along the last axis -----------------------------------------------------------------------
 *
 * y R[...,D] = softmax|log_softmax(x R[...,D])
 * y R[...,D] = rms_norm(x R[...,D], w[D]?)            x / sqrt(mean(x^2) + eps) * w
 * y R[...,D] = layer_norm(x R[...,D], w[D]?, b[D]?)   (x - mean) / sqrt(var + eps) * w + b, var over D
 * Source: Zhang and Sennrich 2019 (rms_norm); Ba, Kiros and Hinton 2016 (layer_norm). */
typedef struct evla_norm_params {
    double eps; /* in the unit of x^2; rms_norm presets 1e-6, layer_norm 1e-5 */
} evla_norm_params;

/* ---- reductions --------------------------------------------------------------------------------
 *
 * y R = reduce_sum|reduce_mean|reduce_max(x R)      reduce_max passes NaN on, refuses empty axes
 * Source: ONNX ReduceSum, ReduceMean, ReduceMax. */
typedef struct evla_reduce_params {
    evla_list axes;   /* int64_t; none: all axes */
    int32_t keepdims; /* 1: reduced axes stay as extent 1; 0: they go */
    int32_t reserved;
} evla_reduce_params;

/* ---- shapes and places -------------------------------------------------------------------------
 *
 * y T = reshape(x T)        same elements in the same order */
typedef struct evla_reshape_params {
    evla_shape shape; /* one extent may be -1: whatever is left */
} evla_reshape_params;

/* y T = transpose(x T)      y.shape[i] = x.shape[perm[i]] */
typedef struct evla_transpose_params {
    evla_list perm; /* int64_t, each axis once; none: reversed */
} evla_transpose_params;

/* y T = broadcast(x T)      x repeated to the shape; ONNX Expand with an exact shape */
typedef struct evla_broadcast_params {
    evla_shape shape;
} evla_broadcast_params;

/* y T = concat(xs T...)     1 to 16 tensors, equal but for the axis */
typedef struct evla_concat_params {
    int64_t axis;
} evla_concat_params;

/* y T = slice(x T)          x[start:stop] on one axis; start = stop gives an extent of 0 */
typedef struct evla_slice_params {
    int64_t axis;
    int64_t start; /* negative: from the end */
    int64_t stop;  /* exclusive; negative: from the end; 0: to the end */
} evla_slice_params;

/* y T = pad(x T)            zeros before and after x along one axis */
typedef struct evla_pad_params {
    int64_t axis;
    int64_t before, after; /* how many, >= 0 */
} evla_pad_params;

/* y T[before,ids...,after] = gather(x T[before,rows,after], ids i32|i64)      ids in [0, rows)
 * Source: ONNX Gather, without its negative indices. */
typedef struct evla_gather_params {
    int64_t axis;
} evla_gather_params;

/* y[ids...,embedding_dim] = embedding(table[num_embeddings,embedding_dim], ids i32|i64)
 * A table in f32 or f64 gives its own format, one in a format that a plugin decodes gives f32.
 * Source: torch.nn.Embedding. */
typedef struct evla_embedding_params {
    int64_t num_embeddings; /* 0: taken from the table's type */
    int64_t embedding_dim;  /* 0: likewise */
} evla_embedding_params;

/* y R[rows,D...] = scatter_add(src R[ids...,D...], ids i32|i64)      y[ids[k]] += src[k], k ascending
 * What embedding's derivative needs. */
typedef struct evla_scatter_add_params {
    int64_t rows;
} evla_scatter_add_params;

/* y f32[ids...,classes] = one_hot(ids i32|i64)      ids in [0, classes) */
typedef struct evla_one_hot_params {
    int64_t classes;
} evla_one_hot_params;

/* y `dtype` = fill()        a constant; the value is cast as by cast */
typedef struct evla_fill_params {
    evla_shape shape;
    double value;
    const char *dtype; /* one of C's own formats; preset "f32" */
} evla_fill_params;

/* y T = assign(state T, x T)      EVLA_WRITES: the state's new version is x. No parameters. */

/* ---- sequences ---------------------------------------------------------------------------------
 *
 * y R[...,Tq,heads*Dv] = attention(q R[...,Tq,heads*D], k R[...,Tk,kv_heads*D],
 *                                  v R[...,Tk,kv_heads*Dv], mask?)
 * softmax(scale q k^T + mask) v per head; query head h reads kv head h / (heads / kv_heads).
 * mask broadcasts to [...,heads,Tq,Tk]: bool, 1 = may be attended, or R, added to the scaled scores.
 * A row that may attend to nothing gives 0; what is masked out is not read, even if it is NaN.
 * products bf16: scale q, k, v and the weights e^(score - largest) are rounded to that format, to
 * nearest even, before they are multiplied; sums are f32, and so is the sum that divides weights.
 * Source: Vaswani et al. 2017, eq. 1; Ainslie et al. 2023 (grouped heads). */
enum { EVLA_PRODUCTS_PLAIN = 0, EVLA_PRODUCTS_BF16 = 1 };
typedef struct evla_attention_params {
    int64_t heads;
    int64_t kv_heads; /* 0: heads */
    double scale;     /* 0: 1 / sqrt(D) */
    int32_t causal;   /* 1: query i sees keys j <= i + Tk - Tq (aligned at the end) */
    int32_t products; /* EVLA_PRODUCTS_*; its derivative is the plain one's */
} evla_attention_params;

/* cos f32[T,D/2], sin f32[T,D/2] = rope_angles(position i32|i64[T], factors f32[D/2]?)
 * angle[t,i] = scale position[t] base^(-2i/D) / factors[i], in radians, computed in f64, below 2^31
 * y R[...,T,heads*W] = rope(x R[...,T,heads*W], cos f32[T,D/2], sin f32[T,D/2])
 * turns pairs of each head's first D <= W entries: (a, b) to (a cos - b sin, a sin + b cos).
 * Source: Su et al. 2021, eq. 34; factors: Peng et al. 2023, section 3.2 (by parts). */
enum { EVLA_ROPE_HALF = 0, EVLA_ROPE_INTERLEAVED = 1 };
typedef struct evla_rope_angles_params {
    int64_t dims; /* D, even */
    double base;  /* preset 10000 */
    double scale; /* of positions; preset 1 */
} evla_rope_angles_params;
typedef struct evla_rope_params {
    int64_t heads;
    int32_t pairs; /* half: i with i + D/2 (GPT-NeoX); interleaved: 2i with 2i + 1 */
    int32_t reserved;
} evla_rope_params;

/* Keys and values in blocks of a pool, any number of sequences in one pool. A slot is a place for
 * one row: block * S + place in the block.
 * pool T[N,S,W] = kv_write(pool T[N,S,W], x f32[T,W], slot i32[T])        EVLA_WRITES
 *   row slot[t] becomes x[t], encoded; slot -1: x[t] goes nowhere. Of equal slots the last t stays.
 *   No parameters.
 * y f32[T,heads*Dv] = paged_attention(q f32[T,heads*D], k T[N,S,kv_heads*D], v T[N,S,kv_heads*Dv],
 *                                     table i32[M], last i32[T])
 *   attention of query t to rows 0 to last[t] of a sequence whose row j lies in block table[j / S] at
 *   place j mod S. last -1: y[t] is 0. What lies behind row last[t], in pool or table, is not used.
 * T: f32, or a format that a plugin decodes.
 * EVLA_E_RANGE for a slot, block or last outside pool or table.
 * Source: Kwon et al. 2023, section 4; softmax as it goes: Milakov and Gimelshein 2018. */
typedef struct evla_paged_attention_params {
    int64_t heads;
    int64_t kv_heads; /* 0: heads */
    double scale;     /* 0: 1 / sqrt(D) */
} evla_paged_attention_params;

/* y R[...,H] = gru_cell(x R[...,I], h R[...,H], w_ih[3H,I], w_hh[3H,H], b_ih[3H]?, b_hh[3H]?)
 * r = sigmoid(W_ir x + b_ir + W_hr h + b_hr), z likewise, n = tanh(W_in x + b_in + r (W_hn h + b_hn)),
 * y = (1 - z) n + z h; rows of the weights in the order r, z, n. No parameters.
 * Source: Cho et al. 2014 in the form of torch.nn.GRUCell. */

/* ---- losses ------------------------------------------------------------------------------------
 *
 * y = mse_loss|mae_loss(pred R, target R)      (p - t)^2, |p - t|; shapes equal
 * y = huber_loss(pred R, target R)             d^2/2 for |d| <= delta, else delta (|d| - delta/2)
 * y = cross_entropy(logits R[...,C], target i32|i64[...])      -log_softmax(logits)[target]
 * mean and sum give rank 0; none keeps one value per element (cross_entropy: per target). */
enum { EVLA_REDUCTION_MEAN = 0, EVLA_REDUCTION_SUM = 1, EVLA_REDUCTION_NONE = 2 };
typedef struct evla_loss_params {
    int32_t reduction; /* EVLA_REDUCTION_* */
    int32_t reserved;
} evla_loss_params;

typedef struct evla_huber_loss_params {
    double delta; /* > 0, in pred's unit */
    int32_t reduction;
    int32_t reserved;
} evla_huber_loss_params;

/* The mean is over targets that are not ignored, 0 when all are. */
typedef struct evla_cross_entropy_params {
    int64_t ignore_index; /* such targets count 0; preset -100 */
    int32_t reduction;
    int32_t reserved;
} evla_cross_entropy_params;

/* ---- derivatives -------------------------------------------------------------------------------
 *
 * dx R = gradient(y R, x R, dy R?)                        dy^T (dy/dx), y made of x in the same graph
 * The vector-Jacobian product: nodes that the operators between x and y emit stand in its place, so it
 * is planned as they are. dy is as y and counts as constant; absent it is 1, and y has rank 0. Refused:
 * y that does not depend on x, and EVLA_E_MISSING for an operator between them without a derivative.
 * No parameters. Source: torch.autograd.grad, jax.vjp; Griewank and Walther 2008, chapter 3.
 *
 * What the grad slots emit where primitives would be slow; dy is the gradient of y, dx of x. x and y
 * are the forward node's, parameters too. Shapes are equal unless shown.
 *
 * dx R = relu_grad|sigmoid_grad|tanh_grad(dy R, y R)      y > 0 ? dy : 0, dy y (1-y), dy (1-y^2)
 * dx R = silu_grad|gelu_grad|clamp_grad(dy R, x R)        clamp: dy where min <= x <= max, else 0
 * dx R[...,D] = softmax_grad(dy, y)                       y (dy - sum(dy y))
 * dx R[...,D] = log_softmax_grad(dy, y)                   dy - e^y sum(dy)
 * (dx R[...,D], dw[D]) = rms_norm_grad(dy, x, w?)
 * (dx R[...,D], dw[D], db[D]) = layer_norm_grad(dy, x, w?)
 *                                                         dw, db as if w were ones where it is absent
 * (dq, dk, dv) = attention_grad(dy R[...,Tq,heads*Dv], q, k, v, mask?)
 *                                                         weights are computed again from q and k
 * (dgi R[...,3H], dgh R[...,3H], dh R[...,H]) = gru_gates_grad(dy R[...,H], gi R[...,3H], gh R[...,3H],
 *                                                              h R[...,H])
 *                                                         gi = W_i x + b_i, gh = W_h h + b_h; dh without
 *                                                         what flows through gh. No parameters.
 * dlogits R[...,C] = cross_entropy_grad(dy R, logits R[...,C], target i32|i64[...])
 *                                                         dy rank 0, or as target without reduction */

/* ---- optimisers ---------------------------------------------------------------------------------
 *
 * y R[] = sum_squares(xs R...)                            over all elements of 1 to 16 tensors
 * y R = accumulate(state R, x R)                          EVLA_WRITES: state + x
 * y T = clear(state T)                                    EVLA_WRITES: 0
 * (w, m, v) R = adamw(w R, m R, v R, g R, lr R[], t i64[], scale R[]?)      EVLA_WRITES all three
 * With g' = g scale:  m = beta1 m + (1 - beta1) g',  v = beta2 v + (1 - beta2) g'^2,
 * w = (1 - lr weight_decay) w - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps).
 * t counts updates from 1. Source: Loshchilov and Hutter 2019, algorithm 2; Kingma and Ba 2015. */
typedef struct evla_adamw_params {
    double beta1, beta2; /* [0, 1) */
    double eps;          /* in the unit of g */
    double weight_decay; /* per unit of lr */
} evla_adamw_params;

/* ---- images ------------------------------------------------------------------------------------
 *
 * y R[N,out,Ho,Wo] = conv2d(x R[N,C,H,W], w[out,C/groups,kh,kw], b[out]?)
 * y R[N,C,Ho,Wo] = max_pool2d|avg_pool2d(x R[N,C,H,W])
 * Ho = (H + top + bottom - dilation (kh - 1) - 1) / stride + 1, rounded down; Wo likewise.
 * Pairs are {height, width}; one entry stands for both. padding is {both}, {height, width} or
 * {top, left, bottom, right}, of zeros in conv2d and avg_pool2d, of -inf in max_pool2d.
 * Source: torch.nn.Conv2d, MaxPool2d, AvgPool2d; ONNX Conv for the four-sided padding. */
typedef struct evla_conv2d_params {
    int64_t out;    /* channels of y; 0: taken from w's type */
    int64_t groups; /* divides C and out */
    evla_shape kernel_size; /* empty: taken from w's type */
    evla_shape stride;
    evla_shape padding;
    evla_shape dilation;
} evla_conv2d_params;

typedef struct evla_pool2d_params {
    evla_shape kernel_size;
    evla_shape stride; /* empty: kernel_size */
    evla_shape padding; /* at most half the kernel */
    int32_t count_include_pad; /* avg_pool2d: 1: padding counts in the divisor */
    int32_t reserved;
} evla_pool2d_params;

/* y T[...,Ho,Wo,C] = resize(x T[...,H,W,C])      T: u8, f32; extents 1 to 65536
 * Pixel i of n covers [i, i + 1) / n of the picture, its middle is at (i + 1/2) / n (align_corners false).
 *   nearest         the pixel that the middle lies in: Pillow's NEAREST, torch's nearest-exact
 *   nearest_floor   pixel floor(i H / Ho): torch's nearest
 *   bilinear, bicubic   between the nearest 2 or 4 middles of an axis, a = -0.75: torch's, without antialias
 *   area            mean of all pixels touched: torch's
 * antialias: where the picture shrinks, windows grow with it: Pillow's BILINEAR, BICUBIC (a = -0.5) and
 * BOX (area), and torch's with antialias. Rows first, then columns; u8 is rounded, half up, and kept to 0 to
 * 255 after either, and has Pillow's bits.
 * Source: Pillow's Image.resize, torch.nn.functional.interpolate; Keys 1981 (bicubic). */
enum {
    EVLA_RESIZE_NEAREST = 0, EVLA_RESIZE_NEAREST_FLOOR = 1, EVLA_RESIZE_BILINEAR = 2, EVLA_RESIZE_BICUBIC = 3,
    EVLA_RESIZE_AREA = 4
};
typedef struct evla_resize_params {
    evla_shape size; /* {height, width} of y; one entry stands for both */
    int32_t mode;    /* EVLA_RESIZE_* */
    int32_t antialias;
} evla_resize_params;

/* ---- eight-bit codes ---------------------------------------------------------------------------
 *
 * Symmetric: a code stands for code * scale. Every f32 operation below is rounded by itself, to
 * nearest even, in the order written (no FMA), so all kernels give the same bits. No parameters.
 *
 * q i8[...,D], s f32 = quantize(x f32[...,D], scale f32[]?)
 *   q = clamp(nearest_even(x / s), -127, 127), and 0 where x / s is NaN.
 *   Without scale, dynamic: s is f32[...,1], max|row| / 127, or 1 where that is 0 (rows of zeros). A
 *   row that holds NaN or Inf has s = NaN and codes 0, so that what is made of it is NaN as well.
 *   With scale, static: s is that same scalar; it should be finite and > 0.
 * x f32[...] = dequantize(q i8[...], scale f32)      scale broadcasts to q; x = q * scale
 * y f32[...,out] = quantized_linear(q i8[...,in], qs f32, w i8[out,in], ws f32[out,1], b f32[out]?)
 *   y = (float)sum * (qs * ws) + b with sum = q w^T, an exact i32; qs is a scalar or [...,1].
 *   in is at most EVLA_QUANTIZED_MAX, so that no sum leaves 32 bits. Tails as on linear.
 * Source: Jacob et al. 2018, eq. 1 and section 2.2, with zero points of 0. */
enum { EVLA_QUANTIZED_MAX = 131071 };

/* ---- weights in blocks -------------------------------------------------------------------------
 *
 * Weights in formats that plugins bring, whose blocks hold their own scales. linear and embedding
 * take them too: their values are then decoded, one by one.
 *
 * q i8[...,G*group], s f32[...,G] = quantize_blocks(x f32[...,D])      G = D / group, rounded up
 *   quantize without a scale, for each `group` neighbours of a row by themselves; what x lacks of its
 *   last group are codes of 0.
 * y f32[...,out] = coded_linear(q i8[...,G*group], s f32[...,G], w[out,in], b f32[out]?)
 * y f32[...,out] = coded_linear(q C[...,in], -, w C[out,in], b f32[out]?)       C: f16, bf16
 *   linear(q s, decode(w), b), G = in / group, rounded up; codes of q behind `in` are 0. w is always
 *   typed. Sums are f32; their order, and whether FMA rounds once, is the kernel's. Tails as on linear.
 * Source: Dettmers et al. 2022, section 2.1 (block-wise quantisation). */
typedef struct evla_quantize_blocks_params {
    int64_t group; /* preset 32 */
} evla_quantize_blocks_params;
// clang-format on

#endif
