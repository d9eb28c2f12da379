mujoco_HEADER := mujoco/mujoco.h
mujoco_LIBS   := -lmujoco -lm
t_raster_SRC  := plugins/mujoco/raster.c plugins/mujoco/raster_mesh.c
t_raster_LIBS := -lmujoco
