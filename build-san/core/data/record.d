build-san/core/data/record.o: core/data/record.c core/data/record.h \
 core/data/../tensor.h core/data/../ctx.h core/data/../arena.h \
 core/data/../evla/abi.h core/data/../mem.h
core/data/record.h:
core/data/../tensor.h:
core/data/../ctx.h:
core/data/../arena.h:
core/data/../evla/abi.h:
core/data/../mem.h:
