/*
 * types.c -- the tables behind types.h, from ggml.h and docs/gguf.md of
 * https://github.com/ggml-org/ggml.
 */
#include "types.h"
#include <string.h>

const types_value types_values[TYPES_VALUES] = {
    {EVLA_U8, 1},  {EVLA_I8, 1},  {EVLA_U16, 2},  {EVLA_I16, 2},  {EVLA_U32, 4},
    {EVLA_I32, 4}, {EVLA_F32, 4}, {EVLA_BOOL, 1}, {EVLA_NONE, 0}, {EVLA_NONE, 0},
    {EVLA_U64, 8}, {EVLA_I64, 8}, {EVLA_F64, 8},
};

// clang-format off
static const types_tensor tensors[] = {
    {0, 1, "f32"}, {1, 1, "f16"}, {2, 32, "q4_0"}, {3, 32, "q4_1"}, {6, 32, "q5_0"}, {7, 32, "q5_1"},
    {8, 32, "q8_0"}, {9, 32, "q8_1"}, {10, 256, "q2_k"}, {11, 256, "q3_k"}, {12, 256, "q4_k"},
    {13, 256, "q5_k"}, {14, 256, "q6_k"}, {15, 256, "q8_k"}, {16, 256, "iq2_xxs"}, {17, 256, "iq2_xs"},
    {18, 256, "iq3_xxs"}, {19, 256, "iq1_s"}, {20, 32, "iq4_nl"}, {21, 256, "iq3_s"}, {22, 256, "iq2_s"},
    {23, 256, "iq4_xs"}, {24, 1, "i8"}, {25, 1, "i16"}, {26, 1, "i32"}, {27, 1, "i64"}, {28, 1, "f64"},
    {29, 256, "iq1_m"}, {30, 1, "bf16"}, {34, 256, "tq1_0"}, {35, 256, "tq2_0"}, {39, 32, "mxfp4"},
    {40, 64, "nvfp4"}, {41, 128, "q1_0"}, {42, 64, "q2_0"},
};
// clang-format on
enum { TENSORS = sizeof tensors / sizeof *tensors };

const types_tensor *types_by_id(uint64_t id)
{
    for (int i = 0; i < TENSORS; i++)
        if (tensors[i].id == id) return &tensors[i];
    return NULL;
}

const types_tensor *types_by_name(const char *name)
{
    for (int i = 0; i < TENSORS; i++)
        if (!strcmp(tensors[i].name, name)) return &tensors[i];
    return NULL;
}
