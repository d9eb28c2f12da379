build-san/core/graph/show.o: core/graph/show.c core/graph/show.h \
 core/graph/plan.h core/graph/infer.h core/graph/choose.h \
 core/graph/../ctx.h core/graph/../arena.h core/graph/../evla/abi.h \
 core/graph/graph.h core/graph/model.h core/graph/../param.h \
 core/graph/../tensor.h core/graph/../ctx.h core/graph/../value.h \
 core/graph/op.h core/graph/../evla/abi.h core/graph/pack.h \
 core/graph/../plugin.h core/graph/../registry.h core/graph/svg.h \
 core/graph/../arena.h
core/graph/show.h:
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
core/graph/../plugin.h:
core/graph/../registry.h:
core/graph/svg.h:
core/graph/../arena.h:
