build-san/core/job/feed.o: core/job/feed.c core/job/feed.h \
 core/job/rows.h core/job/../host.h core/job/../ctx.h core/job/../arena.h \
 core/job/../evla/abi.h core/job/job.h core/job/../param.h \
 core/job/../tensor.h core/job/../value.h core/job/../mem.h \
 core/job/../tensor.h
core/job/feed.h:
core/job/rows.h:
core/job/../host.h:
core/job/../ctx.h:
core/job/../arena.h:
core/job/../evla/abi.h:
core/job/job.h:
core/job/../param.h:
core/job/../tensor.h:
core/job/../value.h:
core/job/../mem.h:
core/job/../tensor.h:
