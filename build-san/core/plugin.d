build-san/core/plugin.o: core/plugin.c core/plugin.h core/registry.h \
 core/tensor.h core/ctx.h core/arena.h core/evla/abi.h core/mem.h \
 core/param.h core/value.h
core/plugin.h:
core/registry.h:
core/tensor.h:
core/ctx.h:
core/arena.h:
core/evla/abi.h:
core/mem.h:
core/param.h:
core/value.h:
