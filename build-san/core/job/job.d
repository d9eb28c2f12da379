build-san/core/job/job.o: core/job/job.c core/job/job.h \
 core/job/../param.h core/job/../tensor.h core/job/../ctx.h \
 core/job/../arena.h core/job/../evla/abi.h core/job/../value.h \
 core/job/../mem.h core/job/../near.h core/job/../registry.h \
 core/job/sha256.h core/job/types.h core/job/../graph/model.h \
 core/job/../graph/../param.h
core/job/job.h:
core/job/../param.h:
core/job/../tensor.h:
core/job/../ctx.h:
core/job/../arena.h:
core/job/../evla/abi.h:
core/job/../value.h:
core/job/../mem.h:
core/job/../near.h:
core/job/../registry.h:
core/job/sha256.h:
core/job/types.h:
core/job/../graph/model.h:
core/job/../graph/../param.h:
