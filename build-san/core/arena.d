build-san/core/arena.o: core/arena.c core/arena.h core/mem.h
core/arena.h:
core/mem.h:
