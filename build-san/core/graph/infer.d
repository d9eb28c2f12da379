build-san/core/graph/infer.o: core/graph/infer.c core/graph/infer.h \
 core/graph/choose.h core/graph/../ctx.h core/graph/../arena.h \
 core/graph/../evla/abi.h core/graph/graph.h core/graph/model.h \
 core/graph/../param.h core/graph/../tensor.h core/graph/../ctx.h \
 core/graph/../value.h core/graph/op.h core/graph/../evla/abi.h \
 core/graph/../host.h core/graph/../near.h core/graph/../registry.h
core/graph/infer.h:
core/graph/choose.h:
core/graph/../ctx.h:
core/graph/../arena.h:
core/graph/../evla/abi.h:
core/graph/graph.h:
core/graph/model.h:
core/graph/../param.h:
core/graph/../tensor.h:
core/graph/../ctx.h:
core/graph/../value.h:
core/graph/op.h:
core/graph/../evla/abi.h:
core/graph/../host.h:
core/graph/../near.h:
core/graph/../registry.h:
