mujoco_HEADER := mujoco/mujoco.h
mujoco_LIBS   := -lmujoco -lm
t_raster_SRC  := plugins/mujoco/raster.c plugins/mujoco/raster_mesh.c
t_raster_LIBS := -lmujoco
mujoco_SIM         := $(addprefix plugins/mujoco/,rng.c mjcf.c camera.c arm.c world.c touch.c monitor.c disturb.c motion.c coffee.c \
                      coffee_model.c coffee_judge.c coffee_expert.c reach.c)
t_mujoco_world_SRC  := $(mujoco_SIM)
t_mujoco_world_LIBS := -lmujoco
t_mujoco_body_SRC   := $(mujoco_SIM) $(addprefix plugins/mujoco/,mujoco.c sensor.c channel.c raster.c raster_mesh.c)
t_mujoco_body_LIBS  := -lmujoco
t_monitor_SRC       := $(mujoco_SIM)
t_monitor_LIBS      := -lmujoco
t_mujoco_sensor_SRC  := $(mujoco_SIM) plugins/mujoco/sensor.c
t_mujoco_sensor_LIBS := -lmujoco
