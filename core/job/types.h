/*
 * types.h -- the job types of the core, one file each.
 */
#ifndef EVLA_JOB_TYPES_H
#define EVLA_JOB_TYPES_H
#include "job.h"

extern const job_type job_pipeline;

#define JOB_TYPES &job_pipeline

#endif
