build-san/core/job/drive.o: core/job/drive.c core/job/drive.h \
 core/job/../run/loop.h core/job/../run/../host.h \
 core/job/../run/../ctx.h core/job/../run/../arena.h \
 core/job/../run/../evla/abi.h core/job/../run/pilot.h \
 core/job/../run/policy.h core/job/../run/../graph/plan.h \
 core/job/../run/../graph/infer.h core/job/../run/../graph/choose.h \
 core/job/../run/../graph/../ctx.h core/job/../run/../graph/graph.h \
 core/job/../run/../graph/model.h core/job/../run/../graph/../param.h \
 core/job/../run/../graph/../tensor.h core/job/../run/../graph/../ctx.h \
 core/job/../run/../graph/../value.h core/job/../run/../graph/../arena.h \
 core/job/../run/../graph/op.h core/job/../run/../graph/../evla/abi.h \
 core/job/../run/../graph/pack.h core/job/types.h \
 core/job/../graph/model.h core/job/job.h core/job/../param.h \
 core/job/../graph/save.h core/job/../graph/graph.h
core/job/drive.h:
core/job/../run/loop.h:
core/job/../run/../host.h:
core/job/../run/../ctx.h:
core/job/../run/../arena.h:
core/job/../run/../evla/abi.h:
core/job/../run/pilot.h:
core/job/../run/policy.h:
core/job/../run/../graph/plan.h:
core/job/../run/../graph/infer.h:
core/job/../run/../graph/choose.h:
core/job/../run/../graph/../ctx.h:
core/job/../run/../graph/graph.h:
core/job/../run/../graph/model.h:
core/job/../run/../graph/../param.h:
core/job/../run/../graph/../tensor.h:
core/job/../run/../graph/../ctx.h:
core/job/../run/../graph/../value.h:
core/job/../run/../graph/../arena.h:
core/job/../run/../graph/op.h:
core/job/../run/../graph/../evla/abi.h:
core/job/../run/../graph/pack.h:
core/job/types.h:
core/job/../graph/model.h:
core/job/job.h:
core/job/../param.h:
core/job/../graph/save.h:
core/job/../graph/graph.h:
