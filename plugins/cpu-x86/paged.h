/*
 * paged.h -- attention to keys and values in blocks of a pool: the order of its sums, and
 * what an instruction set does for it.
 *
 * Numerics id "f32.paged512". Positions 0 to `last` are cut into parts of 512, a part into
 * pieces of 64. Within a part softmax goes along (Milakov and Gimelshein 2018, algorithm
 * 3): score = (scale q) k, in the order of x86.h;  top' = max(top, scores of the piece) p =
 * e^(score - top'),  keep = e^(top - top') sum = sum keep + p, in 16 lanes, position j in
 * lane j mod 16, folded at the part's end mix = mix keep + p v, where p v is the piece's
 * sum in the order of x86.h Parts are brought to their common top and added up from the
 * first to the last, by fused multiply-adds. So the bits depend on the position alone: not
 * on how many queries a call has, on tiles, threads or where blocks lie.
 */
#ifndef CPU_X86_PAGED_H
#define CPU_X86_PAGED_H
#include "x86.h"

#define PAGED_NUMERICS "f32.paged512"
enum { PAGED_PART = 512, PAGED_PIECE = 64, PAGED_LANES = 16 };

/* The 16 lanes of a sum. */
static inline float paged_fold(const float *l)
{
    float half[8];
    for (int i = 0; i < 8; i++)
        half[i] = l[i] + l[i + 8];
    return ((half[0] + half[4]) + (half[2] + half[6])) +
           ((half[1] + half[5]) + (half[3] + half[7]));
}

/* n numbers of each of some rows, which lie `apart` bytes from each other. n is a multiple
 * of the format's block. */
typedef void x86_read(const char *codes, int64_t apart, int64_t rows, int64_t n, float *to,
                      int64_t to_row);

typedef struct x86_paged {
    x86_read *(*read)(const char *format); /* NULL: not one of those known here */
    /* to[j * to_row + i] = from[i * from_row + j], i < n_i, j < n_j; up to the next
     * multiple of 16 in i with zeros. */
    void (*turn)(const float *from, int64_t from_row, int64_t n_i, int64_t n_j, float *to,
                 int64_t to_row);
    /* One row of a piece, n scores in room for 64: they become weights, *top their largest
     * so far, lanes[16] takes their sum. Returns `keep`. */
    float (*weigh)(float *score, int64_t n, float *top, float *lanes);
    /* y[i] = y[i] keep + x[i] take, n a multiple of 16 */
    void (*blend)(float *y, float keep, const float *x, float take, int64_t n);
    void (*divide)(float *y, float by, int64_t n);
    /* One row of n weights p that add up to `sum`, d their gradient: p becomes p / sum, d
     * the gradient of the scores, p (d - p . d), with p . d in 16 lanes as above. Where p
     * is 0 it stays, d becomes 0 and was not looked at. Both have room for a multiple of
     * 16, p is 0 behind n. */
    void (*score_grad)(float *p, float *d, float sum, int64_t n);
    float (*weight)(float x);           /* e^x, x <= 0 */
    void (*round)(float *x, int64_t n); /* to the nearest bf16 each, to even */
} x86_paged;

extern const x86_paged x86_paged_avx2, x86_paged_avx512;

#endif
