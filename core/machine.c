/*
 * machine.c -- which machine graphs are planned for. See machine.h.
 */
#include "machine.h"
#include "host.h"
#include <stdio.h>
#include <string.h>

static int32_t no_such(ctx *cx, const registry *reg, const char *wanted)
{
    char names[256] = "portable";
    int32_t n;
    const evla_item *const *all = registry_kind(reg, EVLA_MACHINE, &n);
    for (int32_t i = 0; i < n; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i + 1 < n ? ", " : " and ",
                 all[i]->name);
    }
    return ctx_fail(cx, EVLA_E_MISSING,
                    "EVLA_MACHINE: no machine is called \"%.60s\"; those loaded are %s",
                    wanted, names);
}

static int32_t ask(ctx *cx, const evla_item *item, evla_machine *out)
{
    const evla_machine_kind *kind = item->table;
    host h;
    host_init(&h, cx, NULL);
    arena_place mark = arena_mark(&cx->scratch);
    *out = (evla_machine){
        .size = sizeof *out, .n_workers = 1, .name = item->name, .features = ""};
    int32_t st = kind->detect(&h.table, out);
    host_done(&h, mark);
    if (!out->features) out->features = "";
    return st;
}

int32_t machine_find(ctx *cx, registry *reg, const char *wanted)
{
    int32_t n, best = 0, found = !wanted || !*wanted || !strcmp(wanted, "portable");
    const evla_item *const *all = registry_kind(reg, EVLA_MACHINE, &n);
    if (wanted && !*wanted) wanted = NULL;
    for (int32_t i = 0; i < n; i++) {
        evla_machine m;
        int32_t rank = ((const evla_machine_kind *)all[i]->table)->rank;
        if (wanted ? strcmp(wanted, all[i]->name) != 0 : rank <= best) continue;
        int32_t st = ask(cx, all[i], &m);
        found = 1;
        if (st == EVLA_E_MISSING && !wanted) {
            ctx_clear(cx);
            continue;
        }
        if (st < 0) {
            if (!cx->code) ctx_fail(cx, st, "%s", ctx_code_text(st));
            ctx_prefix(cx, "EVLA_MACHINE: this machine is no \"%s\"", all[i]->name);
            return st;
        }
        reg->machine = m;
        best = rank;
    }
    return found ? 0 : no_such(cx, reg, wanted);
}
