/*
 * pack.c -- half floats, HDF5's shuffle and deflate filters: see pack.h.
 *
 * Why libdeflate: the same streams as zlib, written and read 2 to 3 times faster, and it
 * works on whole buffers, which is all that chunks need. The library's own filters would
 * hold its lock.
 */
#include "pack.h"
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

void pack_f32_to_f16(const float *in, int64_t n, uint16_t *out)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t x, sign, half;
        memcpy(&x, in + i, sizeof x);
        sign = x >> 16 & 0x8000;
        x &= 0x7fffffff;
        if (x >= 0x47800000) { /* 65536 and more, infinities, NaN */
            half = x > 0x7f800000 ? 0x7e00 : 0x7c00;
        } else if (x < 0x38800000) { /* subnormal: let the addition do the rounding */
            float f, magic = 0.5f;
            memcpy(&f, &x, sizeof f);
            f += magic;
            memcpy(&x, &f, sizeof x);
            half = x - 0x3f000000;
        } else {
            half = (x - 0x38000000 + 0xfff + (x >> 13 & 1)) >> 13;
        }
        out[i] = (uint16_t)(sign | half);
    }
}

void pack_f16_to_f32(const uint16_t *in, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t sign = (uint32_t)(in[i] & 0x8000) << 16, rest = in[i] & 0x7fff;
        uint32_t x = (rest << 13) + (rest >= 0x7c00 ? 0x70000000 : 0x38000000);
        if (rest < 0x400) { /* subnormal: rest * 2^-24 exactly */
            float f = (float)rest * 0x1p-24f;
            memcpy(&x, &f, sizeof x);
        }
        x |= sign;
        memcpy(out + i, &x, sizeof x);
    }
}

void pack_shuffle(const uint8_t *in, uint64_t bytes, uint32_t element, uint8_t *out)
{
    uint64_t n = bytes / element;
    if (element == 2) {
        for (uint64_t i = 0; i < n; i++) {
            out[i] = in[2 * i];
            out[n + i] = in[2 * i + 1];
        }
    } else {
        for (uint32_t b = 0; b < element; b++)
            for (uint64_t i = 0; i < n; i++)
                out[b * n + i] = in[i * element + b];
    }
    memcpy(out + n * element, in + n * element, bytes - n * element);
}

void pack_unshuffle(const uint8_t *in, uint64_t bytes, uint32_t element, uint8_t *out)
{
    uint64_t n = bytes / element;
    if (element == 2) {
        for (uint64_t i = 0; i < n; i++) {
            out[2 * i] = in[i];
            out[2 * i + 1] = in[n + i];
        }
    } else if (element == 4) {
        for (uint64_t i = 0; i < n; i++) {
            out[4 * i] = in[i];
            out[4 * i + 1] = in[n + i];
            out[4 * i + 2] = in[2 * n + i];
            out[4 * i + 3] = in[3 * n + i];
        }
    } else {
        for (uint32_t b = 0; b < element; b++)
            for (uint64_t i = 0; i < n; i++)
                out[i * element + b] = in[b * n + i];
    }
    memcpy(out + n * element, in + n * element, bytes - n * element);
}

static int32_t pack_chunks(const evla_host *h, pool *mem, column *c,
                           struct libdeflate_compressor *z, uint8_t *plain, uint8_t *packed,
                           uint64_t bound)
{
    uint64_t row = c->bytes / (uint64_t)c->shape[0], full = row * (uint64_t)c->chunk_rows;
    for (int64_t i = 0; i < c->n_chunks; i++) {
        uint64_t from = (uint64_t)i * full;
        uint64_t bytes = c->bytes - from < full ? c->bytes - from : full;
        const uint8_t *data = (const uint8_t *)c->data + from;
        if (bytes < full) { /* the last chunk is stored whole, its missing rows as zeros */
            memcpy(plain + full, data, bytes);
            memset(plain + full + bytes, 0, full - bytes);
            data = plain + full;
        }
        if (c->element > 1) {
            pack_shuffle(data, full, (uint32_t)c->element, plain);
            data = plain;
        }
        size_t n = libdeflate_zlib_compress(z, data, full, packed, bound);
        void *kept = n ? pool_push(mem, n, 1) : NULL;
        if (!kept) return say_nomem(h, "a compressed chunk");
        c->chunk[i] = memcpy(kept, packed, n);
        c->chunk_bytes[i] = n;
        c->stored += n;
    }
    return EVLA_OK;
}

int32_t pack_column(const evla_host *h, pool *mem, column *c, int level)
{
    uint64_t full = c->bytes / (uint64_t)c->shape[0] * (uint64_t)c->chunk_rows;
    struct libdeflate_compressor *z = libdeflate_alloc_compressor(level);
    uint64_t bound = z ? libdeflate_zlib_compress_bound(z, full) : 0;
    uint8_t *plain = malloc(2 * full), *packed = malloc(bound + 1);
    int32_t st = EVLA_E_NOMEM;
    c->n_chunks = (c->shape[0] + c->chunk_rows - 1) / c->chunk_rows;
    c->chunk = pool_push(mem, (uint64_t)c->n_chunks, sizeof *c->chunk);
    c->chunk_bytes = pool_push(mem, (uint64_t)c->n_chunks, sizeof *c->chunk_bytes);
    c->stored = 0;
    if (z && plain && packed && c->chunk && c->chunk_bytes)
        st = pack_chunks(h, mem, c, z, plain, packed, bound);
    else
        say_nomem(h, "compression");
    libdeflate_free_compressor(z);
    free(plain);
    free(packed);
    return st;
}

bool pack_inflate(const void *in, uint64_t in_bytes, void *out, uint64_t bytes)
{
    struct libdeflate_decompressor *z = libdeflate_alloc_decompressor();
    bool is_good = z && libdeflate_zlib_decompress(z, in, in_bytes, out, bytes, NULL) ==
                            LIBDEFLATE_SUCCESS;
    libdeflate_free_decompressor(z);
    return is_good;
}
