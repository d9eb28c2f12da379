build-san/core/job/sha256.o: core/job/sha256.c core/job/sha256.h
core/job/sha256.h:
