/*
 * jpeg.c -- JPEG files, by libjpeg-turbo: baseline and progressive, grey, YCbCr, RGB, CMYK
 * and YCCK, turned as their EXIF header says.
 *
 * The library leaves through setjmp where it would end the program. What it only warns of
 * and fills with grey (a file that is cut short, broken codes) is refused: a robot should
 * not act on it.
 */
#include "codec.h"
#include "turn.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

/* Each scan of a progressive file goes over the whole picture; real ones have about ten. */
enum { MOST_SCANS = 200 };
/* Cameras fill up with a few bytes before a marker. More of them are pixels for which a
 * header that lies about the size has no place. */
enum { MOST_PADDING = 64 };

typedef struct reader {
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf out;
    const evla_host *h;
    const evla_picture_file *f;
    int32_t code;
    turn turn;
    uint8_t *rgb;
} reader;

/* ---- leaving ---- */

_Noreturn static void leave(reader *r, int32_t code, const char *why)
{
    r->code = codec_fail(r->h, code, r->f, "JPEG", why);
    longjmp(r->out, 1);
}

_Noreturn static void on_error(j_common_ptr any)
{
    char why[JMSG_LENGTH_MAX];
    any->err->format_message(any, why);
    leave(any->client_data,
          any->err->msg_code == JERR_OUT_OF_MEMORY ? EVLA_E_NOMEM : EVLA_E_FORMAT, why);
}

static void on_message(j_common_ptr any, int level)
{
    int code = any->err->msg_code;
    int is_harmless =
        (code == JWRN_EXTRANEOUS_DATA && any->err->msg_parm.i[0] <= MOST_PADDING) ||
        code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR;
    if (level < 0 && !is_harmless) on_error(any);
}

static void on_progress(j_common_ptr any)
{
    if (((j_decompress_ptr)any)->input_scan_number > MOST_SCANS)
        leave(any->client_data, EVLA_E_LIMIT, "more than 200 scans");
}

/* ---- reading ---- */

static void read_header(reader *r)
{
    static const uint8_t exif[6] = "Exif\0";
    int orientation = 0;
    jpeg_mem_src(&r->d, r->f->bytes, r->f->n_bytes);
    jpeg_save_markers(&r->d, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&r->d, TRUE);
    for (const struct jpeg_marker_struct *m = r->d.marker_list; m && !orientation;
         m = m->next) /* the first one counts */
        if (m->data_length > sizeof exif && !memcmp(m->data, exif, sizeof exif))
            orientation =
                turn_orientation(m->data + sizeof exif, m->data_length - sizeof exif);
    r->turn = turn_of(orientation, r->d.image_height, r->d.image_width);
}

/* One row of CMYK as RGB, in place. 255 is no ink, as Adobe's programs store it, and nobody
 * else writes such files: Pillow asks for no marker, either. */
static void without_ink(uint8_t *row, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint8_t cmyk[4];
        for (int k = 0; k < 4; k++)
            cmyk[k] = (uint8_t)(255 - row[4 * i + k]);
        uint8_t white = (uint8_t)(255 - cmyk[3]);
        for (int k = 0; k < 3; k++)
            row[3 * i + k] = (uint8_t)(white - codec_255((uint32_t)cmyk[k] * white));
    }
}

static void read_rows(reader *r)
{
    read_header(r);
    int is_ink = r->d.jpeg_color_space == JCS_CMYK || r->d.jpeg_color_space == JCS_YCCK;
    r->d.out_color_space = is_ink ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&r->d);
    int64_t width = r->d.output_width;
    JSAMPARRAY row = r->d.mem->alloc_sarray((j_common_ptr)&r->d, JPOOL_IMAGE,
                                            (JDIMENSION)(4 * width), 1);
    while (r->d.output_scanline < r->d.output_height) {
        uint8_t *to = r->rgb + 3 * (r->turn.first + r->d.output_scanline * r->turn.down);
        if (jpeg_read_scanlines(&r->d, row, 1) != 1)
            leave(r, EVLA_E_FORMAT, "a row is missing");
        if (is_ink) without_ink(row[0], width);
        if (r->turn.right == 1) {
            memcpy(to, row[0], (size_t)(3 * width));
            continue;
        }
        for (int64_t x = 0; x < width; x++)
            memcpy(to + 3 * x * r->turn.right, row[0] + 3 * x, 3);
    }
    jpeg_finish_decompress(&r->d);
}

static int32_t with_reader(reader *r, void (*work)(reader *r))
{
    r->d.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    r->d.client_data = r;
    if (setjmp(r->out) == 0) {
        jpeg_create_decompress(&r->d);
        r->progress.progress_monitor = on_progress;
        r->d.progress = &r->progress;
        work(r);
    }
    jpeg_destroy_decompress(&r->d);
    return r->code;
}

static int32_t probe(const evla_host *h, const void *head, uint64_t n)
{
    return (void)h, n >= 3 && !memcmp(head, "\xff\xd8\xff", 3);
}

static int32_t measure(const evla_host *h, const evla_picture_file *f, int64_t size[2])
{
    reader r = {.h = h, .f = f};
    int32_t st = with_reader(&r, read_header);
    size[0] = r.turn.height;
    size[1] = r.turn.width;
    return st;
}

static int32_t decode(const evla_host *h, const evla_picture_file *f,
                      const uint8_t behind[3], uint8_t *rgb)
{
    (void)behind; /* nothing shines through */
    reader r = {.h = h, .f = f, .rgb = rgb};
    return with_reader(&r, read_rows);
}

const evla_codec jpeg_codec = {.size = sizeof jpeg_codec,
                               .source = "ITU-T T.81; EXIF 2.32; Adobe TN 5116 (CMYK)",
                               .probe = probe,
                               .measure = measure,
                               .decode = decode};
