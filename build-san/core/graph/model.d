build-san/core/graph/model.o: core/graph/model.c core/graph/model.h \
 core/graph/../param.h core/graph/../tensor.h core/graph/../ctx.h \
 core/graph/../arena.h core/graph/../evla/abi.h core/graph/../value.h \
 core/graph/../mem.h core/graph/../near.h core/graph/../registry.h
core/graph/model.h:
core/graph/../param.h:
core/graph/../tensor.h:
core/graph/../ctx.h:
core/graph/../arena.h:
core/graph/../evla/abi.h:
core/graph/../value.h:
core/graph/../mem.h:
core/graph/../near.h:
core/graph/../registry.h:
