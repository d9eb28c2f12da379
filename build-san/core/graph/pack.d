build-san/core/graph/pack.o: core/graph/pack.c core/graph/pack.h \
 core/graph/../ctx.h core/graph/../arena.h core/graph/../evla/abi.h
core/graph/pack.h:
core/graph/../ctx.h:
core/graph/../arena.h:
core/graph/../evla/abi.h:
