/* The vectors of NIST's "SHA-256 example" and FIPS 180-2 appendix B, and a million 'a'. */
#include "job/sha256.h"
#include "tap.h"
#include <string.h>

int main(void)
{
    static const struct {
        const char *text, *hex;
    } v[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    char hex[65];
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        sha256_hex(v[i].text, strlen(v[i].text), hex);
        ok(!strcmp(hex, v[i].hex), "digest of \"%.20s\" is NIST's", v[i].text);
    }
    sha256 s;
    sha256_init(&s);
    char block[977];
    memset(block, 'a', sizeof block);
    for (size_t left = 1000000, n; left; left -= n) {
        n = left < sizeof block ? left : sizeof block;
        sha256_update(&s, block, n);
    }
    sha256_final_hex(&s, hex);
    ok(!strcmp(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
       "a million 'a' in pieces of 977 bytes give NIST's digest");
    return tap_done();
}
