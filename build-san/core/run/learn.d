build-san/core/run/learn.o: core/run/learn.c core/run/learn.h \
 core/run/../graph/grad.h core/run/../graph/plan.h \
 core/run/../graph/infer.h core/run/../graph/choose.h \
 core/run/../graph/../ctx.h core/run/../graph/../arena.h \
 core/run/../graph/../evla/abi.h core/run/../graph/graph.h \
 core/run/../graph/model.h core/run/../graph/../param.h \
 core/run/../graph/../tensor.h core/run/../graph/../ctx.h \
 core/run/../graph/../value.h core/run/../graph/op.h \
 core/run/../graph/../evla/abi.h core/run/../graph/pack.h \
 core/run/session.h core/run/../graph/plan.h core/run/profile.h
core/run/learn.h:
core/run/../graph/grad.h:
core/run/../graph/plan.h:
core/run/../graph/infer.h:
core/run/../graph/choose.h:
core/run/../graph/../ctx.h:
core/run/../graph/../arena.h:
core/run/../graph/../evla/abi.h:
core/run/../graph/graph.h:
core/run/../graph/model.h:
core/run/../graph/../param.h:
core/run/../graph/../tensor.h:
core/run/../graph/../ctx.h:
core/run/../graph/../value.h:
core/run/../graph/op.h:
core/run/../graph/../evla/abi.h:
core/run/../graph/pack.h:
core/run/session.h:
core/run/../graph/plan.h:
core/run/profile.h:
