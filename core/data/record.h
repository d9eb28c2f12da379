/*
 * record.h -- records: named tensors and attributes in one block, counted, immutable once
 * shared.
 */
#ifndef EVLA_RECORD_H
#define EVLA_RECORD_H
#include "../tensor.h"

/* One reference. Fields are zeroed, dense, 64-byte aligned; names and attributes are
 * copied. */
int32_t record_new(ctx *cx, const evla_field *fields, int32_t n_fields,
                   const evla_attr *attrs, int32_t n_attrs, evla_record **out);
void record_keep(const evla_record *r);
void record_drop(const evla_record *r);
/* Before sharing: cuts a field's first axis to n entries; the memory behind stays. */
void record_trim(evla_record *r, int32_t field, int64_t n);
/* Before sharing: writes attribute i anew (text is not copied: it must be the record's own
 * or outlive it). */
evla_attr *record_attr_slot(evla_record *r, int32_t i);
/* Text that lives as long as the record; NULL when memory is out. Before sharing only. */
const char *record_text(evla_record *r, const char *text);
const evla_field *record_field(const evla_record *r, const char *name);
const evla_attr *record_attr(const evla_record *r, const char *name);
/* Records alive in this process, for leak tests. */
int64_t record_alive(void);

const evla_schema_field *schema_field(const evla_schema *s, const char *name);
const evla_attr *schema_attr(const evla_schema *s, const char *name);

#endif
