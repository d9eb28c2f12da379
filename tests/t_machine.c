/*
 * t_machine.c -- core/machine.c: the machine that graphs are planned for.
 */
#include "machine.h"
#include "plugin.h"
#include "tap.h"
#include <string.h>

static int32_t there(const evla_host *h, evla_machine *out)
{
    (void)h;
    out->features = "wide";
    return 0;
}

static int32_t silent(const evla_host *h, evla_machine *out)
{
    (void)h, (void)out;
    return EVLA_E_MISSING;
}

static int32_t lacks(const evla_host *h, evla_machine *out)
{
    (void)out;
    return h->fail(h, EVLA_E_MISSING, "the processor has no wings");
}

static int32_t breaks(const evla_host *h, evla_machine *out)
{
    (void)out;
    return h->fail(h, EVLA_E_IO, "cannot ask");
}

#define KIND(id, place)                                                                    \
    static const evla_machine_kind id##_kind = {                                           \
        .size = sizeof id##_kind, .rank = (place), .detect = (id)};
KIND(there, 10)
static const evla_machine_kind better_kind = {
    .size = sizeof better_kind, .rank = 20, .detect = there};
KIND(silent, 30)
KIND(lacks, 40)
KIND(breaks, 50)

#define ITEM(id)                                                                           \
    {                                                                                      \
        .kind = EVLA_MACHINE, .name = #id, .table = &id##_kind, .doc = "a test's"          \
    }
static const evla_item items[] = {ITEM(there), ITEM(better), ITEM(silent), ITEM(lacks),
                                  ITEM(breaks)};

static registry reg;
static ctx cx;

static int32_t find(uint32_t n, const char *wanted)
{
    static evla_plugin p = {.magic = EVLA_MAGIC,
                            .size = sizeof p,
                            .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
                            .id = "test.machines",
                            .version = "1",
                            .license = "none",
                            .items = items};
    p.n_items = n;
    registry_init(&reg);
    ctx_init(&cx, &reg);
    if (n && plugin_add(&cx, &reg, "machines.so", &p) < 0) note("%s", cx.why);
    if (plugin_seal(&cx, &reg) < 0) note("%s", cx.why);
    return machine_find(&cx, &reg, wanted);
}

static int is(int32_t st, const char *name, const char *features)
{
    int good = st == 0 && !cx.code && !strcmp(reg.machine.name, name) &&
               !strcmp(reg.machine.features, features) &&
               reg.machine.size == sizeof(evla_machine);
    if (!good) note("%d: %s (%s), %s", st, reg.machine.name, reg.machine.features, cx.why);
    ctx_free(&cx);
    registry_free(&reg);
    return good;
}

static int says(int32_t st, int32_t code, const char *sentence)
{
    int good = st == code && !strcmp(cx.why, sentence);
    if (!good) note("%d: %s", st, cx.why);
    ctx_free(&cx);
    registry_free(&reg);
    return good;
}

int main(void)
{
    ok(is(find(0, NULL), "portable", ""), "without machine plugins it is \"portable\"");
    ok(is(find(1, NULL), "there", "wide"), "a machine that is there is taken");
    ok(is(find(4, NULL), "better", "wide"),
       "the highest that is there is taken; those that are not say so in vain");
    ok(is(find(4, "there"), "there", "wide"), "a lesser one can be asked for");
    ok(is(find(4, "portable"), "portable", ""), "and \"portable\" always");
    ok(is(find(4, ""), "better", "wide"), "an empty wish is none");
    ok(says(find(4, "lacks"), EVLA_E_MISSING,
            "EVLA_MACHINE: this machine is no \"lacks\": the processor has no wings"),
       "asking for one that is not there tells what it lacks");
    ok(says(find(4, "silent"), EVLA_E_MISSING,
            "EVLA_MACHINE: this machine is no \"silent\": not found"),
       "also when the plugin did not");
    ok(says(find(2, "wider"), EVLA_E_MISSING,
            "EVLA_MACHINE: no machine is called \"wider\"; those loaded are portable, "
            "better "
            "and there"),
       "an unknown name is refused with those there are");
    ok(says(find(5, NULL), EVLA_E_IO,
            "EVLA_MACHINE: this machine is no \"breaks\": cannot ask"),
       "a plugin that fails otherwise is not passed over");
    return tap_done();
}
