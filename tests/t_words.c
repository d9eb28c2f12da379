/*
 * core/words: blank-separated lists of names.
 */
#include "tap.h"
#include "words.h"
#include <string.h>

int main(void)
{
    arena a = arena_growing(256);
    const char *list = " odd  even  prime ";
    size_t n = 0;
    ok(words_at(list, 1, &n) && n == 4 && !strncmp(words_at(list, 1, &n), "even", 4),
       "a word is found by its number");
    ok(!words_at(list, 3, &n) && !words_at("", 0, &n) && !words_at(NULL, 0, &n) &&
           !words_at("   ", 0, &n),
       "there is none behind the last, nor in an empty list");
    ok(words_find(list, "prime", 5) == 2 && words_find(list, "prim", 4) == -1 &&
           words_find(list, "evenly", 6) == -1 && words_find(NULL, "odd", 3) == -1,
       "a number is found by its whole word");
    ok(!strcmp(words_copy(&a, list, 0), "odd") && !strcmp(words_copy(&a, list, 9), "?") &&
           !strcmp(words_copy(&a, list, -1), "?"),
       "a word is copied, or it is \"?\"");
    value v = words_of(&a, list, 5);
    ok(v.n_items == 2 && !strcmp(v.as.items[0].as.text, "odd") &&
           !strcmp(v.as.items[1].as.text, "prime"),
       "bits are words");
    a.fail_in = 1;
    ok(!strcmp(words_copy(&a, list, 0), "?") && words_of(&a, list, 0).n_items == 0,
       "out of memory is no crash");
    arena_free(&a);
    return tap_done();
}
