/*
 * t_arena.c -- memory by scope: alignment, overflow, running out, marks over several
 * blocks.
 */
#include "arena.h"
#include "tap.h"
#include <string.h>

static void in_a_fixed_block(void)
{
    _Alignas(64) unsigned char buf[128];
    memset(buf, 0xaa, sizeof buf);
    arena a = {.base = buf, .size = sizeof buf};
    unsigned char *p = arena_push(&a, 4, 8);
    ok(p == buf, "the first push starts at the base");
    ok(p[0] == 0 && p[31] == 0 && p[32] == 0xaa, "a push is zeroed, and nothing behind it");
    ok(arena_push(&a, SIZE_MAX, 2) == NULL, "n * size overflow is refused");
    ok(arena_push(&a, SIZE_MAX / 2, 2) == NULL,
       "n * size that only just fits is refused too");
    ok(arena_push(&a, 2, SIZE_MAX) == NULL, "so is a huge size");
    ok(arena_push(&a, 97, 1) == NULL, "one byte more than there is, is refused");
    ok(arena_push(&a, 96, 1) == buf + 32, "what is there, is given");
    ok(arena_push(&a, 1, 1) == NULL, "a full block gives nothing");
    ok(arena_push_aligned(&a, 0, 1, 1) != NULL, "nothing fits everywhere");
    arena_reset(&a, (arena_place){NULL, 1});
    ok(arena_push_aligned(&a, 1, 1, 1) == buf + 1, "alignment 1 leaves no gap");
    ok(arena_push_aligned(&a, 1, 1, 64) == buf + 64, "alignment 64 leaves one");
    arena_free(&a);
    ok(a.base == buf, "a fixed block is not freed by the arena");
}

static void growing(void)
{
    arena a = arena_growing(0);
    ok(a.total == 0, "an arena that nobody used holds nothing");
    char *first = arena_copy(&a, "first");
    arena_place mark = arena_mark(&a);
    size_t held = a.total;
    int aligned = 1, zeroed = 1;
    for (size_t i = 0; i < 200; i++) {
        unsigned char *p = arena_push_aligned(&a, i * 37, 1, (size_t)1 << i % 8);
        if (!p || (uintptr_t)p & (((size_t)1 << i % 8) - 1)) aligned = 0;
        for (size_t k = 0; p && k < i * 37; k++)
            if (p[k]) zeroed = 0;
        if (p) memset(p, 0xff, i * 37);
    }
    ok(aligned, "200 pushes over many blocks are aligned as asked");
    ok(zeroed, "and zeroed, dirty neighbours or not");
    ok(a.total > held, "blocks were chained");
    ok(!strcmp(first, "first"), "what stood before is untouched");
    arena_reset(&a, mark);
    ok(a.total == held, "a reset gives the chained blocks back");
    char *big = arena_push(&a, 1, 1 << 20);
    ok(big && !big[0] && !big[(1 << 20) - 1], "a push larger than a block gets its own");
    memset(big, 1, 1 << 20);
    arena_reset(&a, mark);
    char *again = arena_push(&a, 100, 1);
    int clean = 1;
    for (int i = 0; i < 100; i++)
        if (again[i]) clean = 0;
    ok(clean, "memory used before is zeroed again");
    ok(arena_push(&a, 1, SIZE_MAX - 64) == NULL, "more than an address space is refused");
    ok(!strcmp(first, "first"), "and the arena still works");
    arena_free(&a);
    ok(a.total == 0 && a.used == 0, "freed, it holds nothing");
    ok(arena_push(&a, 1, 1) != NULL, "and may be used again");
    arena_free(&a);
}

static void running_out(void)
{
    arena a = arena_growing(4096);
    a.fail_in = 3;
    ok(arena_push(&a, 1, 1) && arena_push(&a, 1, 1),
       "told to fail at the third push, two work");
    ok(!arena_push(&a, 1, 1), "the third fails");
    ok(arena_push(&a, 1, 1) != NULL, "and only the third");
    a.fail_in = 1;
    ok(!arena_text(&a, "%d", 7), "text is NULL when its push fails");
    a.fail_in = 1;
    ok(!arena_copy(&a, "x"), "so is a copy");
    arena_free(&a);
}

static void texts(void)
{
    arena a = arena_growing(1024);
    char *t = arena_text(&a, "%s and %d", "one", 2);
    ok(t && !strcmp(t, "one and 2"), "text is formatted");
    char *n = arena_copy_n(&a, "abcdef", 3);
    ok(n && !strcmp(n, "abc"), "a part is copied and ends in NUL");
    ok(!strcmp(arena_copy_n(&a, "", 0), ""), "an empty copy is an empty text");
    char *wide = arena_text(&a, "%5000d", 1);
    ok(wide && strlen(wide) == 5000, "text larger than a block is kept whole");
    arena_free(&a);
}

int main(void)
{
    in_a_fixed_block();
    growing();
    running_out();
    texts();
    return tap_done();
}
