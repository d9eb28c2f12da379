build-san/core/ctx.o: core/ctx.c core/ctx.h core/arena.h core/evla/abi.h
core/ctx.h:
core/arena.h:
core/evla/abi.h:
