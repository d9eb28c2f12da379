/*
 * vec.h -- three numbers, nine numbers: the little algebra that the guard needs.
 *
 * Matrices are row-major 3x3, columns are the axes; quaternions are w x y z.
 */
#ifndef CAUSAL_VEC_H
#define CAUSAL_VEC_H

#include <math.h>

static inline double vec_dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static inline void vec_sub(double out[3], const double a[3], const double b[3])
{
    for (int k = 0; k < 3; k++)
        out[k] = a[k] - b[k];
}

/* out = a + s b */
static inline void vec_add(double out[3], const double a[3], double s, const double b[3])
{
    for (int k = 0; k < 3; k++)
        out[k] = a[k] + s * b[k];
}

static inline void vec_cross(double out[3], const double a[3], const double b[3])
{
    double x = a[1] * b[2] - a[2] * b[1], y = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
    out[0] = x;
    out[1] = y;
}

static inline double vec_length(const double a[3]) { return sqrt(vec_dot(a, a)); }

static inline double vec_clip(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* out = r v; out may not be v */
static inline void vec_turn(double out[3], const double r[9], const double v[3])
{
    for (int k = 0; k < 3; k++)
        out[k] = r[3 * k] * v[0] + r[3 * k + 1] * v[1] + r[3 * k + 2] * v[2];
}

/* out = r' v */
static inline void vec_back(double out[3], const double r[9], const double v[3])
{
    for (int k = 0; k < 3; k++)
        out[k] = r[k] * v[0] + r[3 + k] * v[1] + r[6 + k] * v[2];
}

/* out = a b */
static inline void vec_mul(double out[9], const double a[9], const double b[9])
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            out[3 * i + j] =
                a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
}

/* out = a' b */
static inline void vec_mul_back(double out[9], const double a[9], const double b[9])
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            out[3 * i + j] = a[i] * b[j] + a[3 + i] * b[3 + j] + a[6 + i] * b[6 + j];
}

static inline void vec_of_quat(double r[9], const double q[4])
{
    double w = q[0], x = q[1], y = q[2], z = q[3];
    r[0] = 1 - 2 * (y * y + z * z), r[1] = 2 * (x * y - w * z), r[2] = 2 * (x * z + w * y);
    r[3] = 2 * (x * y + w * z), r[4] = 1 - 2 * (x * x + z * z), r[5] = 2 * (y * z - w * x);
    r[6] = 2 * (x * z - w * y), r[7] = 2 * (y * z + w * x), r[8] = 1 - 2 * (x * x + y * y);
}

/* Source: Shepperd 1978, the branch with the largest divisor. */
static inline void vec_to_quat(double q[4], const double r[9])
{
    double t = r[0] + r[4] + r[8];
    if (t > 0) {
        double s = 2 * sqrt(t + 1);
        q[0] = s / 4, q[1] = (r[7] - r[5]) / s, q[2] = (r[2] - r[6]) / s;
        q[3] = (r[3] - r[1]) / s;
        return;
    }
    int i = r[0] > r[4] ? (r[0] > r[8] ? 0 : 2) : (r[4] > r[8] ? 1 : 2);
    int j = (i + 1) % 3, k = (i + 2) % 3;
    double s = 2 * sqrt(1 + r[4 * i] - r[4 * j] - r[4 * k]);
    q[0] = (r[3 * k + j] - r[3 * j + k]) / s;
    q[1 + i] = s / 4;
    q[1 + j] = (r[3 * j + i] + r[3 * i + j]) / s;
    q[1 + k] = (r[3 * k + i] + r[3 * i + k]) / s;
    if (q[0] < 0)
        for (int n = 0; n < 4; n++)
            q[n] = -q[n];
}

/* A rotation about z. */
static inline void vec_yaw(double r[9], double angle)
{
    double c = cos(angle), s = sin(angle);
    r[0] = c, r[1] = -s, r[2] = 0, r[3] = s, r[4] = c, r[5] = 0, r[6] = 0, r[7] = 0,
    r[8] = 1;
}

#endif
