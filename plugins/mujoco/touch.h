/*
 * touch.h -- reads the simulator's contacts: who presses whom, and the events every scene
 * has.
 */
#ifndef MUJOCO_TOUCH_H
#define MUJOCO_TOUCH_H

#include "world.h"

#define TOUCH_FORCE_MAX 30.0 /* N upon anything that is not pinched between the fingers */

/* Adds the contacts of the step just solved to w->touch. */
void touch_scan(world *w);

/* The events that follow from joints and contacts alone. */
uint64_t touch_events(const world *w);

#endif
