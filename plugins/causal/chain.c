/*
 * chain.c -- forward kinematics and rows of the Jacobian.
 *
 * Not here: the numbers (a rules text), shapes (shape.c).
 */
#include "chain.h"

#include <string.h>

#include "vec.h"

void chain_forward(const chain *c, const double q[CHAIN_JOINTS], chain_pose *out)
{
    static const double level[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    double step[3], still[9], turn[9];
    memcpy(out->pos[0], c->base, sizeof c->base);
    memcpy(out->rot[0], level, sizeof level);
    for (int i = 0; i < CHAIN_JOINTS; i++) {
        vec_turn(step, out->rot[i], c->pos[i]);
        vec_add(out->pos[i + 1], out->pos[i], 1, step);
        vec_mul(still, out->rot[i], c->rot[i]);
        vec_yaw(turn, q[i]);
        vec_mul(out->rot[i + 1], still, turn);
        for (int k = 0; k < 3; k++)
            out->axis[i][k] = still[3 * k + 2];
    }
    const double *last = out->rot[CHAIN_JOINTS];
    vec_turn(step, last, c->hand_pos);
    vec_add(out->pos[CHAIN_HAND], out->pos[CHAIN_JOINTS], 1, step);
    vec_mul(out->rot[CHAIN_HAND], last, c->hand_rot);
    for (int k = 0; k < 3; k++)
        out->tcp[k] = out->pos[CHAIN_HAND][k] + out->rot[CHAIN_HAND][3 * k + 2] * c->tcp;
}

void chain_row(const chain_pose *p, int32_t frame, const double point[3],
               const double dir[3], double row[CHAIN_JOINTS])
{
    for (int i = 0; i < CHAIN_JOINTS; i++) {
        double lever[3], v[3];
        row[i] = 0;
        if (i >= frame) continue;
        vec_sub(lever, point, p->pos[i + 1]);
        vec_cross(v, p->axis[i], lever);
        row[i] = vec_dot(dir, v);
    }
}
