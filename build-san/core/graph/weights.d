build-san/core/graph/weights.o: core/graph/weights.c core/graph/weights.h \
 core/graph/model.h core/graph/../param.h core/graph/../tensor.h \
 core/graph/../ctx.h core/graph/../arena.h core/graph/../evla/abi.h \
 core/graph/../value.h core/graph/../data/format.h \
 core/graph/../data/../host.h core/graph/../data/../ctx.h \
 core/graph/../data/../tensor.h core/graph/../near.h \
 core/graph/../registry.h core/graph/bundle.h core/graph/../tensor.h \
 core/graph/../value.h
core/graph/weights.h:
core/graph/model.h:
core/graph/../param.h:
core/graph/../tensor.h:
core/graph/../ctx.h:
core/graph/../arena.h:
core/graph/../evla/abi.h:
core/graph/../value.h:
core/graph/../data/format.h:
core/graph/../data/../host.h:
core/graph/../data/../ctx.h:
core/graph/../data/../tensor.h:
core/graph/../near.h:
core/graph/../registry.h:
core/graph/bundle.h:
core/graph/../tensor.h:
core/graph/../value.h:
