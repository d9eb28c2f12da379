replay_LIBS := -lpthread
