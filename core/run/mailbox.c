/*
 * mailbox.c -- the newest message wins. See mailbox.h.
 *
 * Every slot has a state of its own and changes hands by compare-and-swap. A writer takes a
 * free slot or, when there is none, the oldest message that is not being read; with three
 * slots that is never the newest one, since at most one is being read. Messages that the
 * reader passed over are the oldest, so they need not be cleared away.
 */
#include "mailbox.h"
#include <string.h>

enum { FREE, WRITING, READY, READING };

typedef struct slot {
    _Alignas(64) atomic_int state;
    mail_stamp at;    /* read by the other side only while the slot is READY or its own */
    atomic_llong due; /* the same times, for looking without taking */
    atomic_llong number;
} slot;

struct mailbox {
    _Alignas(64) int64_t n_posted; /* writer's */
    int32_t writing;
    _Alignas(64) int32_t reading; /* reader's; -1: none */
    _Alignas(64) int32_t n_slots;
    size_t stride;
    unsigned char *messages;
    slot slots[];
};

static size_t round_up(size_t n) { return (n + 63) & ~(size_t)63; }

size_t mailbox_bytes(int32_t n_slots, size_t bytes)
{
    return sizeof(mailbox) + (size_t)n_slots * (sizeof(slot) + round_up(bytes));
}

mailbox *mailbox_place(void *memory, int32_t n_slots, size_t bytes)
{
    mailbox *m = memory;
    memset(memory, 0, mailbox_bytes(n_slots, bytes));
    m->n_slots = n_slots;
    m->stride = round_up(bytes);
    m->messages = (unsigned char *)&m->slots[n_slots];
    mailbox_clear(m);
    return m;
}

void mailbox_clear(mailbox *m)
{
    for (int32_t i = 0; i < m->n_slots; i++)
        atomic_store(&m->slots[i].state, FREE);
    m->reading = m->writing = -1;
}

/* Takes a slot over when it is in the state that was seen. */
static int claim(slot *s, int from, int to)
{
    return atomic_compare_exchange_strong_explicit(
        &s->state, &from, to, memory_order_acq_rel, memory_order_relaxed);
}

void *mailbox_begin(mailbox *m)
{
    for (;;) {
        int32_t oldest = -1;
        for (int32_t i = 0; i < m->n_slots; i++) {
            slot *s = &m->slots[i];
            int state = atomic_load_explicit(&s->state, memory_order_acquire);
            if (state == FREE && claim(s, FREE, WRITING)) {
                m->writing = i;
                return m->messages + (size_t)i * m->stride;
            }
            if (state == READY &&
                (oldest < 0 ||
                 atomic_load_explicit(&s->number, memory_order_relaxed) <
                     atomic_load_explicit(&m->slots[oldest].number, memory_order_relaxed)))
                oldest = i;
        }
        /* the reader may have been faster; then what it gave up is free */
        if (oldest >= 0 && claim(&m->slots[oldest], READY, WRITING)) {
            m->writing = oldest;
            return m->messages + (size_t)oldest * m->stride;
        }
    }
}

void mailbox_post(mailbox *m, mail_stamp at)
{
    slot *s = &m->slots[m->writing];
    s->at = at;
    atomic_store_explicit(&s->due, at.due_ns, memory_order_relaxed);
    atomic_store_explicit(&s->number, ++m->n_posted, memory_order_relaxed);
    atomic_store_explicit(&s->state, READY, memory_order_release);
    m->writing = -1;
}

/* The newest that is due, among those newer than what is held; -1: none. */
static int32_t newest(const mailbox *m, int64_t now_ns)
{
    int64_t number = 0;
    int32_t found = -1;
    if (m->reading >= 0)
        number = atomic_load_explicit(&m->slots[m->reading].number, memory_order_relaxed);
    for (int32_t i = 0; i < m->n_slots; i++) {
        const slot *s = &m->slots[i];
        if (atomic_load_explicit(&s->state, memory_order_acquire) != READY ||
            atomic_load_explicit(&s->due, memory_order_relaxed) > now_ns)
            continue;
        int64_t n = atomic_load_explicit(&s->number, memory_order_relaxed);
        if (n > number) number = n, found = i;
    }
    return found;
}

const void *mailbox_take(mailbox *m, int64_t now_ns, mail_stamp *at)
{
    for (int32_t i; (i = newest(m, now_ns)) >= 0;) {
        slot *s = &m->slots[i];
        if (!claim(s, READY, READING)) continue; /* it has just been overwritten */
        /* between looking and taking it may have become a message that is not due */
        if (s->at.due_ns > now_ns) {
            atomic_store_explicit(&s->state, READY, memory_order_release);
            continue;
        }
        if (m->reading >= 0)
            atomic_store_explicit(&m->slots[m->reading].state, FREE, memory_order_release);
        m->reading = i;
    }
    if (m->reading < 0) return NULL;
    if (at) *at = m->slots[m->reading].at;
    return m->messages + (size_t)m->reading * m->stride;
}
