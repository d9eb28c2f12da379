build-san/core/run/pool.o: core/run/pool.c core/run/pool.h \
 core/run/../ctx.h core/run/../arena.h core/run/../evla/abi.h \
 core/run/../mem.h
core/run/pool.h:
core/run/../ctx.h:
core/run/../arena.h:
core/run/../evla/abi.h:
core/run/../mem.h:
