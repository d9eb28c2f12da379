build-san/core/job/dataset.o: core/job/dataset.c core/job/../host.h \
 core/job/../ctx.h core/job/../arena.h core/job/../evla/abi.h \
 core/job/../registry.h core/job/../tensor.h core/job/types.h \
 core/job/../graph/model.h core/job/../graph/../param.h \
 core/job/../graph/../tensor.h core/job/../graph/../value.h \
 core/job/../graph/../arena.h core/job/job.h core/job/../param.h
core/job/../host.h:
core/job/../ctx.h:
core/job/../arena.h:
core/job/../evla/abi.h:
core/job/../registry.h:
core/job/../tensor.h:
core/job/types.h:
core/job/../graph/model.h:
core/job/../graph/../param.h:
core/job/../graph/../tensor.h:
core/job/../graph/../value.h:
core/job/../graph/../arena.h:
core/job/job.h:
core/job/../param.h:
