/*
 * list.h -- the one list of this plugin's operators. X(id) stands for id_op, id_kernel and
 * the items "id" and "id.portable".
 */
#ifndef OPS_LIST_H
#define OPS_LIST_H
#include "evla/ops.h"

// clang-format off
#define OPS_PLAIN_UNARY(X) X(neg) X(abs) X(exp) X(log) X(sqrt) X(rsqrt) X(square) X(sin) X(cos) X(erf) \
    X(relu) X(silu) X(sigmoid) X(tanh) X(gelu) X(sign)
#define OPS_UNARY(X) OPS_PLAIN_UNARY(X) X(clamp)
#define OPS_BINARY(X) X(add) X(sub) X(mul) X(maximum) X(minimum)
#define OPS_COMPARE(X) X(less) X(equal)
#define OPS_REDUCE(X) X(reduce_sum) X(reduce_mean) X(reduce_max)
#define OPS_LOSS(X) X(mse_loss) X(mae_loss) X(huber_loss)
#define OPS_BACK_Y(X) X(relu_grad) X(sigmoid_grad) X(tanh_grad)
#define OPS_BACK_X(X) X(silu_grad) X(gelu_grad) X(clamp_grad)
#define OPS_BACK(X) OPS_BACK_Y(X) OPS_BACK_X(X) X(softmax_grad) X(log_softmax_grad) X(rms_norm_grad) \
    X(layer_norm_grad) X(attention_grad) X(gru_gates_grad) X(cross_entropy_grad)
#define OPS_OPTIMISE(X) X(sum_squares) X(accumulate) X(clear) X(adamw)
#define OPS_ALL(X) X(linear) X(matmul) X(solve) OPS_UNARY(X) OPS_BINARY(X) X(div) OPS_COMPARE(X) X(where) X(cast) \
    X(softmax) X(log_softmax) X(rms_norm) X(layer_norm) OPS_REDUCE(X) \
    X(reshape) X(transpose) X(broadcast) X(concat) X(slice) X(pad) X(gather) X(embedding) X(scatter_add) \
    X(one_hot) X(fill) X(assign) X(attention) X(rope_angles) X(rope) X(kv_write) X(paged_attention) X(gru_cell) OPS_LOSS(X) X(cross_entropy) \
    X(conv2d) X(max_pool2d) X(avg_pool2d) X(resize) X(quantize) X(dequantize) X(quantized_linear) X(quantize_blocks) X(coded_linear) \
    OPS_BACK(X) OPS_OPTIMISE(X)
// clang-format on

extern const evla_op gradient_op; /* has no kernel */
#define X(id)                                                                              \
    extern const evla_op id##_op;                                                          \
    extern const evla_kernel id##_kernel;
OPS_ALL(X)
#undef X

#endif
