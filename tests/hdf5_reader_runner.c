/*
 * hdf5_reader_runner.c -- prints what the stage hdf5 reads, one line per thing, for
 * comparison.
 *
 * hdf5_reader_runner FILE [MASK]: "attr NAME VALUE" of the dataset, "field NAME TYPE" of
 * the schema, then per record "record I", "attr NAME VALUE", "data NAME DTYPE SHAPE
 * FNV-1A". Exits with 1 and prints the sentence when the file is refused.
 */
#include "hdf5_episodes.h"

static void print_attr(const evla_attr *a)
{
    if (a->type == EVLA_ATTR_INT) printf("attr %s %lld\n", a->name, (long long)a->integer);
    if (a->type == EVLA_ATTR_FLOAT) printf("attr %s %.17g\n", a->name, a->number);
    if (a->type == EVLA_ATTR_TEXT) printf("attr %s '%s'\n", a->name, a->text);
}

static void print_field(const evla_host *h, const evla_field *f)
{
    const evla_tensor *t = &f->value;
    const uint8_t *p = t->data[0];
    uint64_t x = 0xcbf29ce484222325u;
    int64_t n = host_dtype_bytes(h, t->dtype, 1);
    printf("data %s %s ", f->name, host_dtype_name(h, t->dtype));
    for (int32_t i = 0; i < t->rank; i++) {
        printf("%s%lld", i ? "," : "", (long long)t->shape[i]);
        n *= t->shape[i];
    }
    for (; n; n--)
        x = (x ^ *p++) * 0x100000001b3u;
    printf("%s%016llx\n", t->rank ? " " : "", (unsigned long long)x);
}

static int32_t print_all(stage_host *s, const evla_stage *g, const hdf5_params *p)
{
    evla_schema schema;
    evla_site site = {.size = sizeof site, .n_workers = 1, .folder = "/", .job = "test"};
    void *self = NULL;
    int64_t n = 0;
    int32_t st = g->describe(&s->h, p, NULL, &schema);
    for (int32_t i = 0; !st && i < schema.n_attrs; i++)
        print_attr(&schema.attrs[i]);
    for (int32_t i = 0; !st && i < schema.n_fields; i++)
        printf("field %s %s\n", schema.fields[i].name, schema.fields[i].type);
    if (!st) st = g->open(&s->h, p, &site, &self);
    if (!st) st = g->count(&s->h, self, &n);
    for (int64_t i = 0; !st && i < n; i++) {
        evla_record *r = NULL;
        st = g->make(&s->h, self, i, &r);
        if (st) break;
        printf("record %lld\n", (long long)i);
        for (int32_t k = 0; k < r->n_attrs; k++)
            print_attr(&r->attrs[k]);
        for (int32_t k = 0; k < r->n_fields; k++)
            print_field(&s->h, &r->fields[k]);
        s->h.record_drop(&s->h, r);
    }
    if (self) g->close(&s->h, self);
    return st;
}

int main(int argc, char **argv)
{
    stage_host s;
    const evla_item *stage = host_item("hdf5", EVLA_STAGE, "hdf5");
    if (argc < 2 || !stage) {
        fprintf(stderr, "usage: %s FILE [MASK]\n", argv[0]);
        return 2;
    }
    host_init(&s);
    hdf5_params p = ep_params(argv[1]);
    p.mask = argc > 2 ? argv[2] : NULL;
    int32_t st = print_all(&s, stage->table, &p);
    if (st) printf("refused %d %s\n", st, s.why);
    if (host_records) printf("leaked %lld records\n", (long long)host_records);
    host_free(&s);
    return st != 0;
}
