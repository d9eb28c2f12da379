build-san/core/machine.o: core/machine.c core/machine.h core/registry.h \
 core/tensor.h core/ctx.h core/arena.h core/evla/abi.h core/host.h
core/machine.h:
core/registry.h:
core/tensor.h:
core/ctx.h:
core/arena.h:
core/evla/abi.h:
core/host.h:
