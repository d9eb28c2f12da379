/*
 * frames.h -- the service "frames": see evla_frames_service.
 */
#ifndef EVLA_HDF5_FRAMES_H
#define EVLA_HDF5_FRAMES_H
#include "common.h"

extern const evla_frames_service frames_service;
#endif
