image_PKGS := spng
t_image_SRC := $(addprefix plugins/image/,png.c strip.c font.c colour.c)
t_image_LIBS := -lspng
