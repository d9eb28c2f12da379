build-san/core/job/recipe.o: core/job/recipe.c core/job/recipe.h \
 core/job/measure.h core/job/../graph/quantize.h \
 core/job/../graph/../host.h core/job/../graph/../ctx.h \
 core/job/../graph/../arena.h core/job/../graph/../evla/abi.h \
 core/job/../graph/graph.h core/job/../graph/model.h \
 core/job/../graph/../param.h core/job/../graph/../tensor.h \
 core/job/../graph/../value.h core/job/../graph/op.h \
 core/job/../graph/../evla/abi.h core/job/../run/session.h \
 core/job/../run/../graph/plan.h core/job/../run/../graph/infer.h \
 core/job/../run/../graph/choose.h core/job/../run/../graph/../ctx.h \
 core/job/../run/../graph/graph.h core/job/../run/../graph/pack.h \
 core/job/../run/profile.h core/job/rows.h core/job/../host.h \
 core/job/job.h core/job/../param.h core/job/types.h \
 core/job/../graph/model.h core/job/../graph/save.h \
 core/job/../graph/show.h core/job/../graph/plan.h
core/job/recipe.h:
core/job/measure.h:
core/job/../graph/quantize.h:
core/job/../graph/../host.h:
core/job/../graph/../ctx.h:
core/job/../graph/../arena.h:
core/job/../graph/../evla/abi.h:
core/job/../graph/graph.h:
core/job/../graph/model.h:
core/job/../graph/../param.h:
core/job/../graph/../tensor.h:
core/job/../graph/../value.h:
core/job/../graph/op.h:
core/job/../graph/../evla/abi.h:
core/job/../run/session.h:
core/job/../run/../graph/plan.h:
core/job/../run/../graph/infer.h:
core/job/../run/../graph/choose.h:
core/job/../run/../graph/../ctx.h:
core/job/../run/../graph/graph.h:
core/job/../run/../graph/pack.h:
core/job/../run/profile.h:
core/job/rows.h:
core/job/../host.h:
core/job/job.h:
core/job/../param.h:
core/job/types.h:
core/job/../graph/model.h:
core/job/../graph/save.h:
core/job/../graph/show.h:
core/job/../graph/plan.h:
