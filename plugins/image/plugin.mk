image_PKGS := spng libjpeg libdeflate
t_image_SRC := $(addprefix plugins/image/,png.c strip.c font.c colour.c)
t_image_LIBS := -lspng
fuzz_codec_SRC := $(addprefix plugins/image/,codec.c jpeg.c png_read.c turn.c)
fuzz_codec_LIBS := -ljpeg -lspng -ldeflate
