/*
 * policy_needs.c -- what one pilot of a policy holds, by part, and whether that is what was
 * promised. See policy.h.
 */
#include "mailbox.h"
#include "policy.h"

static int call_reads(const policy_call *c, int32_t weight)
{
    for (int32_t k = 0; k < schedule_n_lines(c->made); k++) {
        const plan *p = schedule_plan_of(c->made, k);
        for (int32_t i = 0; i < p->graph->n_wires; i++)
            if (p->places[i].home == HOME_WEIGHT && p->places[i].slot == weight) return 1;
    }
    return 0;
}

/* Of the model of call `of` and of the calls behind it that are of the same one. */
static uint64_t model_bytes(const policy *p, int32_t of)
{
    const model *m = policy_model(&p->calls[of]);
    uint64_t sum = 0;
    for (int32_t w = 0; w < m->n_weights; w++) {
        int is_read = 0;
        for (int32_t k = of; k < p->n_calls && !is_read; k++)
            is_read = policy_model(&p->calls[k]) == m && call_reads(&p->calls[k], w);
        if (is_read) sum += (uint64_t)type_bytes(p->reg, &m->weights[w].type);
    }
    return sum;
}

static uint64_t weights_bytes(const policy *p)
{
    uint64_t sum = 0;
    for (int32_t k = 0; k < p->n_calls; k++) {
        int is_first = 1;
        for (int32_t e = 0; e < k; e++)
            is_first &= policy_model(&p->calls[e]) != policy_model(&p->calls[k]);
        if (is_first) sum += model_bytes(p, k);
    }
    return sum;
}

policy_memory policy_needs(const policy *p)
{
    if (!p) return (policy_memory){0};
    policy_memory m = {.weights = weights_bytes(p), .plans = p->mem.total};
    for (int32_t k = 0; k < p->n_calls; k++) {
        const policy_call *c = &p->calls[k];
        uint64_t lowest = 0;
        for (int32_t i = 0; i < schedule_n_lines(c->made); i++) {
            const plan *one = schedule_plan_of(c->made, i);
            m.plans += one->mem.total;
            if (one->lower_bound > lowest) lowest = one->lower_bound;
        }
        m.lower_bound += lowest;
        m.plans += schedule_held(c->made);
        schedule_bytes n = schedule_size(c->made);
        m.arenas += n.arena;
        m.states += n.states;
        m.tables += schedule_needs(c->made) - n.arena - n.states - n.values;
        m.mailboxes += n.values + mailbox_bytes(c->n_slots, c->message_bytes);
        if (c->line.latency_ns)
            m.mailboxes += mailbox_bytes(MAILBOX_LEAST, c->request_bytes);
        if (c->line.chunk) m.mailboxes += chunk_bytes(&c->chunk);
    }
    m.mailboxes += p->instruction_bytes + 1;
    m.total = m.plans + m.arenas + m.states + m.tables + m.mailboxes + m.weights;
    return m;
}

int32_t policy_promise(ctx *cx, const policy *p, uint64_t loop_bytes, uint64_t bytes)
{
    policy_memory m = policy_needs(p);
    if (!bytes || m.total + loop_bytes <= bytes) return 0;
    return ctx_fail(
        cx, EVLA_E_NOMEM,
        "memory: %llu bytes are promised, but the loop needs %llu: weights %llu, "
        "plans %llu, arenas %llu, states %llu, tables %llu, mailboxes %llu, "
        "samples and guard %llu",
        (unsigned long long)bytes, (unsigned long long)(m.total + loop_bytes),
        (unsigned long long)m.weights, (unsigned long long)m.plans,
        (unsigned long long)m.arenas, (unsigned long long)m.states,
        (unsigned long long)m.tables, (unsigned long long)m.mailboxes,
        (unsigned long long)loop_bytes);
}
