/*
 * film.h -- pictures of chosen episodes of a rollout, with the scene that the guard saw.
 *
 * Nothing is drawn while episodes are judged. Afterwards a few are run again from their
 * seeds on the virtual clock, which gives the same episode, now with a camera: first a
 * success, one with a veto (or a replaced action), a failure, then others in order.
 */
#ifndef EVLA_JOB_FILM_H
#define EVLA_JOB_FILM_H
#include "../run/watch.h"
#include "job.h"

/* The scene that a loop's guard sees now, as above; nil when there is no guard. */
value film_scene(arena *a, loop *l);
/* Up to `keep` films from the rows of a rollout (journal: a path), as files film_I_K.png in
 * the job's folder and a JSON list in `a`:
 *   [{"episode":3, "why":"success", "frames":[{"tick":0, "seconds":0.0,
 * "picture":"film_3_0.png", "verdict":{"kind":"veto", "rule":"...", "why":"..."},
 * "scene":{"nodes":[{"name":..., "class":..., "pose":[x,y,z,w,x,y,z]}, ...],
 * "relations":[["on",0,4], ...]}}, ...]}, ...] picture is absent when the body has no
 * camera "NAME/rgb" or nobody offers pictures; scene and verdict when there is no guard. */
int32_t film_make(job *j, arena *a, const loop_spec *s, const char *journal, int64_t keep,
                  const char **json);

#endif
