/*
 * mailbox.h -- messages of one size from one thread to another: the newest one wins, nobody
 * waits.
 *
 * Each message carries two times: when what it tells was captured, and from when it may be
 * read. A reader asks for the newest that may be read by now, so it never sees the future
 * and never goes back. Neither side takes a lock, makes a system call or fails; a writer
 * that is faster than the reader overwrites the oldest message nobody has read.
 */
#ifndef EVLA_RUN_MAILBOX_H
#define EVLA_RUN_MAILBOX_H
#include "../ctx.h"

enum { MAILBOX_LEAST = 3 }; /* slots: one being read, one being written, one to be had */

typedef struct mailbox mailbox;

typedef struct mail_stamp {
    int64_t captured_ns;
    int64_t due_ns;
    int64_t tick; /* at which it was asked for */
} mail_stamp;

/* Room for a mailbox with messages of `bytes`. */
size_t mailbox_bytes(int32_t n_slots, size_t bytes);
/* n_slots >= MAILBOX_LEAST; more of them hold messages that are not due yet. memory: of
 * mailbox_bytes, 64-byte aligned, borrowed. */
mailbox *mailbox_place(void *memory, int32_t n_slots, size_t bytes);
/* Forgets all messages. Only while neither side is at work. */
void mailbox_clear(mailbox *m);

/* [writer] Where the next message goes, 64-byte aligned; then hands it in. */
void *mailbox_begin(mailbox *m);
void mailbox_post(mailbox *m, mail_stamp at);
/* [reader] The newest message that is due at now_ns; it stays as it is until the next call.
 * NULL: there has been none yet. */
const void *mailbox_take(mailbox *m, int64_t now_ns, mail_stamp *at);

#endif
