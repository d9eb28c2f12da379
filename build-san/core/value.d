build-san/core/value.o: core/value.c core/value.h core/arena.h
core/value.h:
core/arena.h:
