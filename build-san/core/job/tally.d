build-san/core/job/tally.o: core/job/tally.c core/job/tally.h \
 core/job/../run/watch.h core/job/../run/loop.h core/job/../run/../host.h \
 core/job/../run/../ctx.h core/job/../run/../arena.h \
 core/job/../run/../evla/abi.h core/job/../run/pilot.h \
 core/job/../run/policy.h core/job/../run/../graph/plan.h \
 core/job/../run/../graph/infer.h core/job/../run/../graph/choose.h \
 core/job/../run/../graph/../ctx.h core/job/../run/../graph/graph.h \
 core/job/../run/../graph/model.h core/job/../run/../graph/../param.h \
 core/job/../run/../graph/../tensor.h core/job/../run/../graph/../ctx.h \
 core/job/../run/../graph/../value.h core/job/../run/../graph/../arena.h \
 core/job/../run/../graph/op.h core/job/../run/../graph/../evla/abi.h \
 core/job/../run/../graph/pack.h core/job/job.h core/job/../param.h \
 core/job/proportion.h
core/job/tally.h:
core/job/../run/watch.h:
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
core/job/job.h:
core/job/../param.h:
core/job/proportion.h:
