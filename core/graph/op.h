/*
 * op.h -- what an operator's table says about its inputs and outputs.
 */
#ifndef EVLA_GRAPH_OP_H
#define EVLA_GRAPH_OP_H
#include "../evla/abi.h"

typedef struct op_port {
    const char *name;
    int32_t n; /* length of the name */
    int optional, variadic;
} op_port;

/* Splits "x w b?" or "xs*". Returns how many, at most EVLA_MAX_PORTS; -1 when the text is
 * bad. */
int32_t op_ports(const char *text, op_port ports[EVLA_MAX_PORTS]);
/* 1 when the operator has an input of that name, so that a host can tell inputs from
 * parameters. */
int op_has_input(const evla_op *op, const char *name);
static inline const evla_op *op_of(const evla_item *item) { return item->table; }
/* How many of its first inputs it writes: output i is the new version of input i. */
int32_t op_writes(const evla_op *op);

#endif
