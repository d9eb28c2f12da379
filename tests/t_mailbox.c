/*
 * core/run/mailbox: the newest message that is due, whole, in order, and never from the
 * future; also with both sides at work at once.
 */
#include "mem.h"
#include "run/clock.h"
#include "run/mailbox.h"
#include "tap.h"
#include <pthread.h>
#include <string.h>

static mailbox *make(int32_t slots, size_t bytes)
{
    void *memory = mem_alloc_aligned(mailbox_bytes(slots, bytes), 64);
    return memory ? mailbox_place(memory, slots, bytes) : NULL;
}

static void send(mailbox *m, int64_t value, int64_t captured, int64_t due)
{
    *(int64_t *)mailbox_begin(m) = value;
    mailbox_post(m, (mail_stamp){captured, due, 0});
}

static int64_t take(mailbox *m, int64_t now)
{
    const int64_t *v = mailbox_take(m, now, NULL);
    return v ? *v : -1;
}

static void test_order(void)
{
    mailbox *m = make(MAILBOX_LEAST, sizeof(int64_t));
    mail_stamp at;
    ok(!mailbox_take(m, 1000, &at), "an empty mailbox has nothing");
    send(m, 7, 10, 20);
    ok(take(m, 19) == -1, "a message is not there before it is due");
    ok(take(m, 20) == 7, "and is there when it is");
    ok(take(m, 20) == 7, "it stays until there is a newer one");
    send(m, 8, 30, 40);
    send(m, 9, 50, 60);
    ok(take(m, 45) == 8, "of two messages the newest that is due is read");
    ok(take(m, 100) == 9, "then the next");
    ok(mailbox_take(m, 0, &at) && at.captured_ns == 50 && at.due_ns == 60,
       "its times come with it");
    for (int i = 0; i < 100; i++)
        send(m, 100 + i, 100 + i, 100 + i);
    ok(take(m, 1000) == 199, "a slow reader gets the newest of many");
    send(m, 300, 300, 2000);
    for (int i = 0; i < 5; i++)
        ok(take(m, 1000 + i) == 199, "time %d: nothing of the future is read", 1000 + i);
    mailbox_clear(m);
    ok(take(m, 5000) == -1, "a cleared mailbox has nothing");
    mem_free(m);
    m = make(6, sizeof(int64_t));
    for (int64_t t = 0; t < 60; t++) { /* three periods on their way at any time */
        send(m, t, t * 10, t * 10 + 30);
        int64_t want = t < 3 ? -1 : t - 3, got = take(m, t * 10);
        if (got != want)
            ok(0, "time %lld: want %lld, got %lld", (long long)t * 10, (long long)want,
               (long long)got);
    }
    ok(take(m, 590) == 56, "messages under way are kept until they are due");
    mem_free(m);
}

/* ---- both sides at once ---- */

enum { WORDS = 500 };
static atomic_int is_over;
static const int64_t RUN_NS = 400000000;

static void *writer(void *to)
{
    mailbox *m = to;
    for (int64_t n = 1; !atomic_load(&is_over); n++) {
        int64_t *words = mailbox_begin(m);
        for (int i = 0; i < WORDS; i++)
            words[i] = n;
        int64_t now = clock_ns();
        /* every third is due a little later */
        mailbox_post(m, (mail_stamp){n, now + (n % 3 == 0 ? 20000 : 0), 0});
    }
    return NULL;
}

static void test_threads(void)
{
    for (int32_t slots = MAILBOX_LEAST; slots < MAILBOX_LEAST + 3; slots++) {
        mailbox *m = make(slots, WORDS * sizeof(int64_t));
        pthread_t thread;
        int64_t torn = 0, back = 0, future = 0, reads = 0, news = 0, last = 0;
        atomic_store(&is_over, 0);
        pthread_create(&thread, NULL, writer, m);
        int64_t now, end = clock_ns() + RUN_NS, at_last = end + 50 * RUN_NS;
        /* a busy machine may give the two sides no time together for long */
        for (; (now = clock_ns()) < end || (news <= 5 && now < at_last); reads++) {
            mail_stamp at;
            const int64_t *words = mailbox_take(m, now, &at);
            if (!words) continue;
            for (int i = 0; i < WORDS; i++)
                torn += words[i] != at.captured_ns;
            back += at.captured_ns < last;
            future += at.due_ns > now;
            news += at.captured_ns != last;
            last = at.captured_ns;
        }
        atomic_store(&is_over, 1);
        pthread_join(thread, NULL);
        ok(torn == 0 && back == 0 && future == 0,
           "%d slots: no message is torn (%lld), older than the last (%lld) or of the "
           "future (%lld)",
           slots, (long long)torn, (long long)back, (long long)future);
        ok(news > 5, "%d slots: news get through", slots);
        note("%lld reads, %lld news of %lld", (long long)reads, (long long)news,
             (long long)last);
        mem_free(m);
    }
}

int main(void)
{
    test_order();
    test_threads();
    return tap_done();
}
