/*
 * t_record.c -- records: one block, aligned and zeroed, counted, trimmed before they are
 * shared.
 */
#include "data/record.h"
#include "registry.h"
#include "says.h"
#include <pthread.h>

static evla_tensor of(int32_t dtype, int32_t rank, int64_t a, int64_t b)
{
    return (evla_tensor){.dtype = dtype, .rank = rank, .shape = {a, b}};
}

static void whole(ctx *cx)
{
    char name[] = "obs/pos", text[] = "left";
    const evla_field fields[] = {{name, of(EVLA_F32, 2, 5, 3)},
                                 {"rgb", of(EVLA_U8, 2, 3, 7)},
                                 {"none", of(EVLA_F64, 2, 0, 7)},
                                 {"one", of(EVLA_F64, 0, 0, 0)}};
    const evla_attr attrs[] = {{.name = "goal", .text = text, .type = EVLA_ATTR_TEXT},
                               {.name = "success", .integer = 1, .type = EVLA_ATTR_INT},
                               {.name = "score", .number = 0.5, .type = EVLA_ATTR_FLOAT}};
    evla_record *r = NULL;
    ok(record_new(cx, fields, 4, attrs, 3, &r) == 0 && record_alive() == 1,
       "a record is made");
    name[0] = 'X', text[0] = 'X';
    ok(record_field(r, "obs/pos") == r->fields && !record_field(r, "Xbs/pos"),
       "names are its own");
    ok(!strcmp(record_attr(r, "goal")->text, "left"), "so are the texts of attributes");
    ok(record_attr(r, "success")->integer == 1 && record_attr(r, "score")->number == 0.5 &&
           !record_attr(r, "absent"),
       "attributes are found by name");
    int aligned = 1, zero = 1, apart = 1;
    for (int32_t i = 0; i < r->n_fields; i++) {
        const evla_tensor *t = &r->fields[i].value;
        evla_type type = {.dtype = t->dtype, .rank = t->rank};
        memcpy(type.shape, t->shape, sizeof type.shape);
        int64_t n = type_bytes(cx->reg, &type);
        unsigned char *p = t->data[0];
        if ((uintptr_t)p % 64) aligned = 0;
        for (int64_t k = 0; k < n; k++)
            if (p[k]) zero = 0;
        memset(p, 0x5a, (size_t)n);
        if (i && p < (unsigned char *)r->fields[i - 1].value.data[0]) apart = 0;
    }
    ok(aligned, "every field starts at 64 bytes");
    ok(zero && apart, "is zeroed, and its own");
    ok(r->fields[0].value.stride[0] == 12 && r->fields[0].value.stride[1] == 4,
       "and dense");
    record_trim(r, 0, 9);
    ok(r->fields[0].value.shape[0] == 5, "trimming to more keeps what is there");
    record_trim(r, 0, 2);
    ok(r->fields[0].value.shape[0] == 2 && r->fields[0].value.stride[0] == 12,
       "trimming cuts the first axis");
    record_trim(r, 3, 0);
    ok(r->fields[3].value.rank == 0, "a scalar has no axis to cut");
    record_attr_slot(r, 0)->text = record_text(r, "right");
    ok(!strcmp(record_attr(r, "goal")->text, "right"), "an attribute may be written anew");
    record_keep(r);
    record_drop(r);
    ok(record_alive() == 1, "kept once and dropped once, it lives");
    record_drop(r);
    ok(record_alive() == 0, "dropped again, it is gone");
    record_drop(NULL);
    ok(record_alive() == 0, "dropping nothing does nothing");
}

static void refusals(ctx *cx)
{
    evla_record *r = NULL;
    evla_field f = {"big", of(EVLA_F32, 2, 1LL << 40, 1LL << 40)};
    ok(record_new(cx, &f, 1, NULL, 0, &r) == EVLA_E_SHAPE &&
           says(cx, EVLA_E_SHAPE,
                "record field big: its size f32[1099511627776,1099511627776] cannot be "
                "held"),
       "a size that overflows is refused");
    f.value = of(EVLA_F32, 1, 1LL << 50, 0);
    ok(record_new(cx, &f, 1, NULL, 0, &r) == EVLA_E_SHAPE, "so is one beyond any machine");
    ctx_clear(cx);
    f.value = of(EVLA_F32, -1, 0, 0);
    ok(record_new(cx, &f, 1, NULL, 0, &r) == EVLA_E_SHAPE, "a negative rank is refused");
    ctx_clear(cx);
    f.value.rank = 9;
    ok(record_new(cx, &f, 1, NULL, 0, &r) == EVLA_E_SHAPE &&
           says(cx, EVLA_E_SHAPE, "record field big: rank 9, want 0 to 8"),
       "a rank above 8 is refused");
    f.value = of(9999, 1, 1, 0);
    ok(record_new(cx, &f, 1, NULL, 0, &r) == EVLA_E_SHAPE, "an unknown format is refused");
    ctx_clear(cx);
    f.name = NULL;
    ok(record_new(cx, &f, 1, NULL, 0, &r) == EVLA_E_ARG &&
           says(cx, EVLA_E_ARG, "record field 1 of 1 has no name"),
       "a field needs a name");
    const evla_attr list = {.name = "words", .type = EVLA_ATTR_TEXTS};
    ctx_clear(cx);
    ok(record_new(cx, NULL, 0, &list, 1, &r) == EVLA_E_ARG &&
           strstr(cx->why, "record attribute words is a list; want a field"),
       "an attribute that is a list is refused: %s", cx->why);
#ifndef EVLA_LIBC_MALLOC /* a sanitizer ends the program instead */
    f = (evla_field){"huge", of(EVLA_U8, 1, 1LL << 46, 0)};
    evla_field many[8] = {f, f, f, f, f, f, f, f};
    ok(record_new(cx, many, 8, NULL, 0, &r) < 0, "memory that is not there is an error");
    ctx_clear(cx);
#endif
    ok(record_alive() == 0, "a refused record leaves nothing");
}

static void *keep_and_drop(void *arg)
{
    for (int i = 0; i < 20000; i++)
        record_keep(arg), record_drop(arg);
    return NULL;
}

static void shared(ctx *cx)
{
    evla_field f = {"x", of(EVLA_F32, 1, 4, 0)};
    evla_record *r;
    record_new(cx, &f, 1, NULL, 0, &r);
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, keep_and_drop, r);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    ok(record_alive() == 1, "four threads that keep and drop leave it alive");
    record_drop(r);
    ok(record_alive() == 0, "until its owner drops it");
}

int main(void)
{
    ctx cx;
    registry reg;
    registry_init(&reg);
    ctx_init(&cx, &reg);
    whole(&cx);
    refusals(&cx);
    shared(&cx);
    ctx_free(&cx);
    registry_free(&reg);
    return tap_done();
}
