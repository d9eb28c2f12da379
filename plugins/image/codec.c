/*
 * codec.c -- what the readers of picture files share; see codec.h.
 */
#include "codec.h"
#include <stdio.h>

int32_t codec_fail(const evla_host *h, int32_t code, const evla_picture_file *f,
                   const char *format, const char *why)
{
    char sentence[1024];
    snprintf(sentence, sizeof sentence, "%.600s: no whole %s picture: %.300s", f->name,
             format, why);
    return h->fail(h, code, sentence);
}
