/*
 * sha256.c -- SHA-256 as in FIPS 180-4, sections 4 to 6. See sha256.h.
 */
#include "sha256.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* First 32 bits of the fractional parts of the cube roots of the first 64 primes (4.2.2).
 */
// clang-format off
static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
// clang-format on

static uint32_t ror(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* One round (6.2.2, step 3) on working variables whose places rotate instead of their
 * contents; x is the round's constant plus its word of the schedule. */
static inline void turn(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e,
                        uint32_t f, uint32_t g, uint32_t *h, uint32_t x)
{
    uint32_t t = *h + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + (g ^ (e & (f ^ g))) + x;
    *d += t;
    *h = t + (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & b) | (c & (a | b)));
}

static void compress(uint32_t s[8], const unsigned char *p)
{
    uint32_t w[64], a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6],
                    h = s[7];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];
        w[i] = w[i - 16] + (ror(x, 7) ^ ror(x, 18) ^ x >> 3) + w[i - 7] +
               (ror(y, 17) ^ ror(y, 19) ^ y >> 10);
    }
    for (int i = 0; i < 64; i += 8) {
        turn(a, b, c, &d, e, f, g, &h, K[i] + w[i]);
        turn(h, a, b, &c, d, e, f, &g, K[i + 1] + w[i + 1]);
        turn(g, h, a, &b, c, d, e, &f, K[i + 2] + w[i + 2]);
        turn(f, g, h, &a, b, c, d, &e, K[i + 3] + w[i + 3]);
        turn(e, f, g, &h, a, b, c, &d, K[i + 4] + w[i + 4]);
        turn(d, e, f, &g, h, a, b, &c, K[i + 5] + w[i + 5]);
        turn(c, d, e, &f, g, h, a, &b, K[i + 6] + w[i + 6]);
        turn(b, c, d, &e, f, g, h, &a, K[i + 7] + w[i + 7]);
    }
    s[0] += a, s[1] += b, s[2] += c, s[3] += d;
    s[4] += e, s[5] += f, s[6] += g, s[7] += h;
}

void sha256_init(sha256 *s)
{
    *s = (sha256){.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                        0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void sha256_update(sha256 *s, const void *data, size_t n)
{
    const unsigned char *p = data;
    size_t have = s->n % 64;
    s->n += n;
    if (have) {
        size_t take = n < 64 - have ? n : 64 - have;
        memcpy(s->block + have, p, take);
        p += take;
        n -= take;
        if (have + take < 64) return;
        compress(s->h, s->block);
    }
    for (; n >= 64; p += 64, n -= 64)
        compress(s->h, p);
    if (n) memcpy(s->block, p, n);
}

void sha256_final(sha256 *s, unsigned char digest[32])
{
    uint64_t bits = s->n * 8;
    unsigned char tail[72] = {0x80};
    size_t pad = (s->n % 64 < 56 ? 56 : 120) - s->n % 64;
    for (int i = 0; i < 8; i++)
        tail[pad + (size_t)i] = (unsigned char)(bits >> (56 - 8 * i));
    sha256_update(s, tail, pad + 8);
    for (int i = 0; i < 32; i++)
        digest[i] = (unsigned char)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

void sha256_final_hex(sha256 *s, char out[65])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char d[32];
    sha256_final(s, d);
    for (int i = 0; i < 32; i++) {
        out[2 * i] = hex[d[i] >> 4];
        out[2 * i + 1] = hex[d[i] & 15];
    }
    out[64] = 0;
}

void sha256_hex(const void *data, size_t n, char out[65])
{
    sha256 s;
    sha256_init(&s);
    sha256_update(&s, data, n);
    sha256_final_hex(&s, out);
}

int32_t sha256_file(const char *path, char out[65])
{
    unsigned char buf[65536];
    sha256 s;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    sha256_init(&s);
    while ((n = read(fd, buf, sizeof buf)) > 0)
        sha256_update(&s, buf, (size_t)n);
    int error = errno;
    close(fd);
    errno = error;
    if (n < 0) return -1;
    sha256_final_hex(&s, out);
    return 0;
}
