build-san/core/engine.o: core/engine.c core/engine.h core/evla/evla.h \
 core/evla/abi.h core/plugin.h core/registry.h core/tensor.h core/ctx.h \
 core/arena.h core/evla/abi.h core/graph/save.h core/graph/graph.h \
 core/graph/model.h core/graph/../param.h core/graph/../tensor.h \
 core/graph/../value.h core/graph/../arena.h core/graph/op.h \
 core/graph/../evla/abi.h core/machine.h core/mem.h core/run/session.h \
 core/run/../graph/plan.h core/run/../graph/infer.h \
 core/run/../graph/choose.h core/run/../graph/../ctx.h \
 core/run/../graph/graph.h core/run/../graph/pack.h core/run/profile.h
core/engine.h:
core/evla/evla.h:
core/evla/abi.h:
core/plugin.h:
core/registry.h:
core/tensor.h:
core/ctx.h:
core/arena.h:
core/evla/abi.h:
core/graph/save.h:
core/graph/graph.h:
core/graph/model.h:
core/graph/../param.h:
core/graph/../tensor.h:
core/graph/../value.h:
core/graph/../arena.h:
core/graph/op.h:
core/graph/../evla/abi.h:
core/machine.h:
core/mem.h:
core/run/session.h:
core/run/../graph/plan.h:
core/run/../graph/infer.h:
core/run/../graph/choose.h:
core/run/../graph/../ctx.h:
core/run/../graph/graph.h:
core/run/../graph/pack.h:
core/run/profile.h:
