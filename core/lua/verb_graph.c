/*
 * verb_graph.c -- evla ops and evla show.
 */
#include "verbs.h"

int verb_ops(call *c)
{
    ctx_fail(c->cx, EVLA_E_MISSING, "evla ops: not there yet");
    return call_fail(c);
}

int verb_show(call *c)
{
    ctx_fail(c->cx, EVLA_E_MISSING, "evla show: not there yet");
    return call_fail(c);
}
