build-san/core/graph/verify.o: core/graph/verify.c core/graph/verify.h \
 core/graph/plan.h core/graph/infer.h core/graph/choose.h \
 core/graph/../ctx.h core/graph/../arena.h core/graph/../evla/abi.h \
 core/graph/graph.h core/graph/model.h core/graph/../param.h \
 core/graph/../tensor.h core/graph/../ctx.h core/graph/../value.h \
 core/graph/op.h core/graph/../evla/abi.h core/graph/pack.h \
 core/graph/../registry.h
core/graph/verify.h:
core/graph/plan.h:
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
core/graph/pack.h:
core/graph/../registry.h:
