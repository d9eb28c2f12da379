/*
 * sha256.h -- SHA-256 (FIPS 180-4), for the keys of jobs and manifests.
 */
#ifndef EVLA_SHA256_H
#define EVLA_SHA256_H
#include <stddef.h>
#include <stdint.h>

typedef struct sha256 {
    uint32_t h[8];
    uint64_t n; /* bytes seen */
    unsigned char block[64];
} sha256;

void sha256_init(sha256 *s);
void sha256_update(sha256 *s, const void *data, size_t n);
void sha256_final(sha256 *s, unsigned char digest[32]);
/* The digest as 64 hex digits and a NUL. */
void sha256_final_hex(sha256 *s, char out[65]);
void sha256_hex(const void *data, size_t n, char out[65]);
/* Of a file's content. 0, or -1 with errno. */
int32_t sha256_file(const char *path, char out[65]);

#endif
