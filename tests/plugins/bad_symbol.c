/*
 * bad_symbol.c -- needs a symbol that no library has, so the system cannot load it.
 */
extern int evla_test_nowhere;
__attribute__((visibility("default"))) int *evla_test_somewhere(void);
__attribute__((visibility("default"))) int *evla_test_somewhere(void)
{
    return &evla_test_nowhere;
}
