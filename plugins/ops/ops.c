/*
 * ops.c -- the plugin "ops": its operators' parameters, and the table of items.
 *
 * What the operators mean is in evla/ops.h; infer and the portable kernels are in a file
 * per family.
 */
#include "list.h"

// clang-format off
#define P(owner, field, kind, text, ...) \
    {.name = #field, .doc = (text), .type = EVLA_P_##kind, .offset = offsetof(owner, field), __VA_ARGS__}
#define MOST 1e300 /* no upper bound */
#define REDUCTION(owner) P(owner, reduction, ENUM, "what becomes of the losses of all elements", .preset = "mean", .choices = "mean|sum|none")

static const evla_param linear_params[] = {
    P(evla_linear_params, out, INT, "features of the output; 0: taken from w", .preset = "0", .max = MOST)};
static const evla_param matmul_params[] = {
    P(evla_matmul_params, transpose_a, BOOL, "a is [...,K,M]", .preset = "false"),
    P(evla_matmul_params, transpose_b, BOOL, "b is [...,N,K]", .preset = "false")};
static const evla_param solve_params[] = {
    P(evla_solve_params, transpose_a, BOOL, "a^T y = b", .preset = "false")};
static const evla_param gelu_params[] = {
    P(evla_gelu_params, approximate, ENUM, "none: with erf; tanh: with tanh", .preset = "none", .choices = "none|tanh")};
static const evla_param clamp_params[] = {
    P(evla_clamp_params, min, FLOAT, "lower bound; below f32's range: none", .preset = "-1e300"),
    P(evla_clamp_params, max, FLOAT, "upper bound; above f32's range: none", .preset = "1e300")};
static const evla_param cast_params[] = {
    P(evla_cast_params, to, STRING, "name of a number format, such as f32", .flags = 0)};
static const evla_param rms_norm_params[] = {
    P(evla_norm_params, eps, FLOAT, "added to the mean square", .preset = "1e-6", .max = MOST)};
static const evla_param layer_norm_params[] = {
    P(evla_norm_params, eps, FLOAT, "added to the variance", .preset = "1e-5", .max = MOST)};
static const evla_param reduce_params[] = {
    P(evla_reduce_params, axes, LIST, "axes that go; none: all", .element = EVLA_P_INT, .flags = EVLA_PF_OPTIONAL),
    P(evla_reduce_params, keepdims, BOOL, "keep them with extent 1", .preset = "false")};
static const evla_param reshape_params[] = {
    P(evla_reshape_params, shape, SHAPE, "the new shape; one extent may be -1", .flags = 0)};
static const evla_param transpose_params[] = {
    P(evla_transpose_params, perm, LIST, "the input's axes in their new order; none: reversed", .element = EVLA_P_INT, .flags = EVLA_PF_OPTIONAL)};
static const evla_param broadcast_params[] = {
    P(evla_broadcast_params, shape, SHAPE, "the shape to repeat to", .max = MOST)};
static const evla_param concat_params[] = {
    P(evla_concat_params, axis, INT, "the axis to join along", .preset = "-1")};
static const evla_param slice_params[] = {
    P(evla_slice_params, axis, INT, "the axis to cut", .preset = "-1"),
    P(evla_slice_params, start, INT, "first index; negative: from the end", .preset = "0"),
    P(evla_slice_params, stop, INT, "one past the last index; negative: from the end; 0: to the end", .preset = "0")};
static const evla_param gather_params[] = {
    P(evla_gather_params, axis, INT, "the axis that ids index", .preset = "0")};
static const evla_param embedding_params[] = {
    P(evla_embedding_params, num_embeddings, INT, "rows of the table; 0: taken from it", .preset = "0", .max = MOST),
    P(evla_embedding_params, embedding_dim, INT, "columns of the table; 0: taken from it", .preset = "0", .max = MOST)};
static const evla_param scatter_add_params[] = {
    P(evla_scatter_add_params, rows, INT, "rows of the output", .max = MOST)};
static const evla_param one_hot_params[] = {
    P(evla_one_hot_params, classes, INT, "number of classes", .min = 1, .max = MOST)};
static const evla_param fill_params[] = {
    P(evla_fill_params, shape, SHAPE, "shape of the output", .max = MOST),
    P(evla_fill_params, value, FLOAT, "every element's value", .preset = "0"),
    P(evla_fill_params, dtype, STRING, "number format of the output", .preset = "f32")};
static const evla_param attention_params[] = {
    P(evla_attention_params, heads, INT, "query heads", .min = 1, .max = MOST),
    P(evla_attention_params, kv_heads, INT, "key and value heads; 0: as many as heads", .preset = "0", .max = MOST),
    P(evla_attention_params, scale, FLOAT, "factor on q k^T; 0: 1 / sqrt(D)", .preset = "0"),
    P(evla_attention_params, causal, BOOL, "query i sees keys up to i + Tk - Tq", .preset = "false"),
    P(evla_attention_params, products, ENUM, "bf16: what is multiplied is rounded to it first", .preset = "plain", .choices = "plain|bf16")};
static const evla_param rope_angles_params[] = {
    P(evla_rope_angles_params, dims, INT, "entries of a head that are turned, even", .min = 2, .max = MOST),
    P(evla_rope_angles_params, base, FLOAT, "pair i turns by base^(-2i/dims) per position", .preset = "10000", .max = MOST),
    P(evla_rope_angles_params, scale, FLOAT, "factor on positions", .preset = "1")};
static const evla_param rope_params[] = {
    P(evla_rope_params, heads, INT, "heads in a row of x", .min = 1, .max = MOST),
    P(evla_rope_params, pairs, ENUM, "half: i with i + D/2; interleaved: 2i with 2i + 1", .preset = "half", .choices = "half|interleaved")};
static const evla_param paged_attention_params[] = {
    P(evla_paged_attention_params, heads, INT, "query heads", .min = 1, .max = MOST),
    P(evla_paged_attention_params, kv_heads, INT, "key and value heads; 0: as many as heads", .preset = "0", .max = MOST),
    P(evla_paged_attention_params, scale, FLOAT, "factor on q k^T; 0: 1 / sqrt(D)", .preset = "0")};
static const evla_param loss_params[] = {REDUCTION(evla_loss_params)};
static const evla_param huber_loss_params[] = {
    P(evla_huber_loss_params, delta, FLOAT, "where the square becomes linear; more than 0", .preset = "1"),
    REDUCTION(evla_huber_loss_params)};
static const evla_param cross_entropy_params[] = {
    P(evla_cross_entropy_params, ignore_index, INT, "targets that do not count", .preset = "-100"),
    REDUCTION(evla_cross_entropy_params)};
static const evla_param conv2d_params[] = {
    P(evla_conv2d_params, out, INT, "channels of the output; 0: taken from w", .preset = "0", .max = MOST),
    P(evla_conv2d_params, groups, INT, "groups of channels that do not mix", .preset = "1", .min = 1, .max = MOST),
    P(evla_conv2d_params, kernel_size, SHAPE, "{height, width} or {both}; none: taken from w", .flags = EVLA_PF_OPTIONAL),
    P(evla_conv2d_params, stride, SHAPE, "{height, width} or {both}", .preset = "{1}"),
    P(evla_conv2d_params, padding, SHAPE, "zeros around: {both}, {height, width} or {top, left, bottom, right}", .preset = "{0}"),
    P(evla_conv2d_params, dilation, SHAPE, "{height, width} or {both}", .preset = "{1}")};
static const evla_param max_pool2d_params[] = {
    P(evla_pool2d_params, kernel_size, SHAPE, "{height, width} or {both}", .flags = 0),
    P(evla_pool2d_params, stride, SHAPE, "{height, width} or {both}; none: kernel_size", .flags = EVLA_PF_OPTIONAL),
    P(evla_pool2d_params, padding, SHAPE, "{both}, {height, width} or {top, left, bottom, right}", .preset = "{0}")};
static const evla_param avg_pool2d_params[] = {
    P(evla_pool2d_params, kernel_size, SHAPE, "{height, width} or {both}", .flags = 0),
    P(evla_pool2d_params, stride, SHAPE, "{height, width} or {both}; none: kernel_size", .flags = EVLA_PF_OPTIONAL),
    P(evla_pool2d_params, padding, SHAPE, "{both}, {height, width} or {top, left, bottom, right}", .preset = "{0}"),
    P(evla_pool2d_params, count_include_pad, BOOL, "padding counts in the divisor", .preset = "true")};
static const evla_param resize_params[] = {
    P(evla_resize_params, size, SHAPE, "{height, width} of the output, or {both}", .flags = 0),
    P(evla_resize_params, mode, ENUM, "what a new pixel is made of", .preset = "bilinear", .choices = "nearest|nearest_floor|bilinear|bicubic|area"),
    P(evla_resize_params, antialias, BOOL, "where it shrinks, all pixels that a new one covers count, as in Pillow", .preset = "false")};

static const evla_param quantize_blocks_params[] = {
    P(evla_quantize_blocks_params, group, INT, "neighbours that share a scale", .preset = "32", .min = 1, .max = MOST)};
static const evla_param pad_params[] = {
    P(evla_pad_params, axis, INT, "the axis that grows", .preset = "-1"),
    P(evla_pad_params, before, INT, "zeros before the first element", .preset = "0", .max = MOST),
    P(evla_pad_params, after, INT, "zeros after the last", .preset = "0", .max = MOST)};
static const evla_param adamw_params[] = {
    P(evla_adamw_params, beta1, FLOAT, "decay of the first moment, below 1", .preset = "0.9", .max = 1),
    P(evla_adamw_params, beta2, FLOAT, "decay of the second moment, below 1", .preset = "0.999", .max = 1),
    P(evla_adamw_params, eps, FLOAT, "added to the root of the second moment", .preset = "1e-8", .max = MOST),
    P(evla_adamw_params, weight_decay, FLOAT, "decoupled decay per unit of lr", .preset = "0.01", .max = MOST)};

#define KERNEL(id) {.kind = EVLA_KERNEL, .name = #id ".portable", .table = &id##_kernel}
#define PLAIN(id, text) {.kind = EVLA_OP, .name = #id, .table = &id##_op, .doc = (text)}, KERNEL(id)
#define WITH(id, params_of, type, text) \
    {.kind = EVLA_OP, .name = #id, .table = &id##_op, .doc = (text), .params = (params_of), \
     .n_params = sizeof (params_of) / sizeof *(params_of), .params_size = sizeof(type)}, KERNEL(id)

static const evla_item items[] = {
    WITH(linear, linear_params, evla_linear_params, "x w^T + b"),
    WITH(matmul, matmul_params, evla_matmul_params, "matrix product over the last two axes"),
    WITH(solve, solve_params, evla_solve_params, "solution of linear equations"),
    PLAIN(add, "a + b"),
    PLAIN(sub, "a - b"),
    PLAIN(mul, "a b, element by element"),
    PLAIN(div, "a / b"),
    PLAIN(maximum, "the larger of a and b"),
    PLAIN(minimum, "the smaller of a and b"),
    PLAIN(less, "a < b"),
    PLAIN(equal, "a = b"),
    PLAIN(where, "cond ? a : b"),
    PLAIN(neg, "-x"),
    PLAIN(abs, "|x|"),
    PLAIN(exp, "e^x"),
    PLAIN(log, "natural logarithm"),
    PLAIN(sqrt, "square root"),
    PLAIN(rsqrt, "1 / sqrt(x)"),
    PLAIN(square, "x^2"),
    PLAIN(sin, "sine of radians"),
    PLAIN(cos, "cosine of radians"),
    PLAIN(erf, "error function"),
    PLAIN(relu, "max(x, 0)"),
    WITH(gelu, gelu_params, evla_gelu_params, "x times the normal distribution's Phi(x)"),
    PLAIN(silu, "x sigmoid(x)"),
    PLAIN(sigmoid, "1 / (1 + e^-x)"),
    PLAIN(tanh, "hyperbolic tangent"),
    PLAIN(sign, "-1, 0 or 1"),
    WITH(clamp, clamp_params, evla_clamp_params, "x kept between min and max"),
    WITH(cast, cast_params, evla_cast_params, "the same values in another number format"),
    PLAIN(softmax, "e^x / sum e^x over the last axis"),
    PLAIN(log_softmax, "log of softmax over the last axis"),
    WITH(rms_norm, rms_norm_params, evla_norm_params, "rows scaled to a mean square of 1, times w"),
    WITH(layer_norm, layer_norm_params, evla_norm_params, "rows brought to mean 0 and variance 1, times w, plus b"),
    WITH(reduce_sum, reduce_params, evla_reduce_params, "sum over axes"),
    WITH(reduce_mean, reduce_params, evla_reduce_params, "mean over axes"),
    WITH(reduce_max, reduce_params, evla_reduce_params, "largest value over axes"),
    WITH(reshape, reshape_params, evla_reshape_params, "the same elements in another shape"),
    WITH(transpose, transpose_params, evla_transpose_params, "axes in another order"),
    WITH(broadcast, broadcast_params, evla_broadcast_params, "x repeated to a shape"),
    WITH(concat, concat_params, evla_concat_params, "tensors joined along an axis"),
    WITH(slice, slice_params, evla_slice_params, "a range of one axis"),
    WITH(pad, pad_params, evla_pad_params, "zeros around one axis"),
    WITH(gather, gather_params, evla_gather_params, "the places of an axis that ids name"),
    WITH(embedding, embedding_params, evla_embedding_params, "the rows of a table that ids name"),
    WITH(scatter_add, scatter_add_params, evla_scatter_add_params, "rows added up at the places that ids name"),
    WITH(one_hot, one_hot_params, evla_one_hot_params, "1 at the place of the id, 0 elsewhere"),
    WITH(fill, fill_params, evla_fill_params, "a constant"),
    PLAIN(assign, "gives a state a new value"),
    WITH(attention, attention_params, evla_attention_params, "softmax(scale q k^T + mask) v, by heads"),
    WITH(rope_angles, rope_angles_params, evla_rope_angles_params, "cosines and sines of rotary positions"),
    WITH(rope, rope_params, evla_rope_params, "pairs of each head's entries turned by their positions"),
    PLAIN(kv_write, "writes rows of keys or values into blocks of a pool"),
    WITH(paged_attention, paged_attention_params, evla_paged_attention_params, "causal attention to keys and values in blocks of a pool"),
    PLAIN(gru_cell, "one step of a gated recurrent unit"),
    WITH(mse_loss, loss_params, evla_loss_params, "squared error"),
    WITH(mae_loss, loss_params, evla_loss_params, "absolute error"),
    WITH(huber_loss, huber_loss_params, evla_huber_loss_params, "squared error near 0, absolute beyond delta"),
    WITH(cross_entropy, cross_entropy_params, evla_cross_entropy_params, "-log softmax(logits) at the target"),
    WITH(conv2d, conv2d_params, evla_conv2d_params, "two-dimensional convolution of [N,C,H,W]"),
    WITH(max_pool2d, max_pool2d_params, evla_pool2d_params, "largest value under a window"),
    WITH(avg_pool2d, avg_pool2d_params, evla_pool2d_params, "mean value under a window"),
    WITH(resize, resize_params, evla_resize_params, "pictures [...,H,W,C] at another height and width"),
    PLAIN(quantize, "eight-bit codes and their scale, per row or given"),
    PLAIN(dequantize, "codes times their scale"),
    PLAIN(quantized_linear, "linear on eight-bit codes, summed exactly"),
    WITH(quantize_blocks, quantize_blocks_params, evla_quantize_blocks_params, "eight-bit codes, and a scale for each group of neighbours"),
    PLAIN(coded_linear, "linear on codes, with a weight in a format that a plugin decodes"),
    {.kind = EVLA_OP, .name = "gradient", .table = &gradient_op, .doc = "dy times the derivative of y by x"},
    PLAIN(relu_grad, "gradient of relu, from its output"),
    PLAIN(sigmoid_grad, "gradient of sigmoid, from its output"),
    PLAIN(tanh_grad, "gradient of tanh, from its output"),
    PLAIN(silu_grad, "gradient of silu, from its input"),
    WITH(gelu_grad, gelu_params, evla_gelu_params, "gradient of gelu, from its input"),
    WITH(clamp_grad, clamp_params, evla_clamp_params, "gradient of clamp, from its input"),
    PLAIN(softmax_grad, "gradient of softmax, from its output"),
    PLAIN(log_softmax_grad, "gradient of log_softmax, from its output"),
    WITH(rms_norm_grad, rms_norm_params, evla_norm_params, "gradients of rms_norm"),
    WITH(layer_norm_grad, layer_norm_params, evla_norm_params, "gradients of layer_norm"),
    WITH(attention_grad, attention_params, evla_attention_params, "gradients of attention"),
    PLAIN(gru_gates_grad, "gradients of a gated recurrent unit's gates"),
    WITH(cross_entropy_grad, cross_entropy_params, evla_cross_entropy_params, "gradient of cross_entropy"),
    PLAIN(sum_squares, "sum of the squares of all elements"),
    PLAIN(accumulate, "adds to a state"),
    PLAIN(clear, "sets a state to zero"),
    WITH(adamw, adamw_params, evla_adamw_params, "one step of Adam with decoupled weight decay"),
};
// clang-format on

/* A row was forgotten when the list and the table differ in length. */
#define X(id) NUMBER_##id,
enum { OPS_ALL(X) OPERATORS };
#undef X
_Static_assert(sizeof items / sizeof *items == 2 * OPERATORS + 1,
               "every operator of list.h has its two items, gradient one");

static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .id = "evla.ops",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof *items,
};

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
