/*
 * bad_entry.c -- a shared object that exports another name.
 */
__attribute__((visibility("default"))) int evla_plugin_enter(void);
__attribute__((visibility("default"))) int evla_plugin_enter(void) { return 0; }
