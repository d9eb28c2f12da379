/*
 * op.c -- what an operator's table says about its inputs and outputs. See op.h.
 */
#include "op.h"
#include <stddef.h>
#include <string.h>

int32_t op_writes(const evla_op *op)
{
    if (op->effect != EVLA_WRITES) return 0;
    int has = op->size >= offsetof(evla_op, n_writes) + sizeof op->n_writes;
    return has && op->n_writes > 1 ? op->n_writes : 1;
}

int32_t op_ports(const char *text, op_port ports[EVLA_MAX_PORTS])
{
    int32_t n = 0;
    while (*text) {
        size_t k = strcspn(text, " ");
        if (k == 0) {
            text++;
            continue;
        }
        if (n == EVLA_MAX_PORTS || (n && ports[n - 1].variadic)) return -1;
        char last = text[k - 1];
        ports[n] = (op_port){text, (int32_t)k - (last == '?' || last == '*'), last == '?',
                             last == '*'};
        if (ports[n++].n < 1) return -1;
        text += k;
    }
    return n;
}

int op_has_input(const evla_op *op, const char *name)
{
    op_port ports[EVLA_MAX_PORTS];
    int32_t n = op_ports(op->inputs, ports);
    for (int32_t i = 0; i < n; i++)
        if ((size_t)ports[i].n == strlen(name) &&
            !memcmp(ports[i].name, name, strlen(name)))
            return 1;
    return 0;
}
