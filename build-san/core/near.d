build-san/core/near.o: core/near.c core/near.h
core/near.h:
