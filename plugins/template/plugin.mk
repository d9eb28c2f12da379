template_LIBS := -lm
