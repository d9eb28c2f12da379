build-san/core/run/mailbox.o: core/run/mailbox.c core/run/mailbox.h \
 core/run/../ctx.h core/run/../arena.h core/run/../evla/abi.h
core/run/mailbox.h:
core/run/../ctx.h:
core/run/../arena.h:
core/run/../evla/abi.h:
