/*
 * evla/abi.h -- the contract between the core and a plugin.
 *
 * A plugin is one shared object that exports evla_plugin_entry() and links against nothing of
 * ours. The function returns one constant table of items; nothing runs when the object is loaded.
 * Delete every line that starts with '#' and the rest is accepted by LuaJIT's ffi.cdef.
 *
 * Conventions, unless a declaration says otherwise:
 *   - What can fail returns int32_t: 0, or a negative EVLA_E_* after host->fail() was told why.
 *   - Pointers given to a call are borrowed until it returns. Text is UTF-8, ends in NUL.
 *   - A struct that may grow starts with `uint32_t size`, which its owner sets to sizeof; read a
 *     field only if size covers it. Fields are only ever added at the end.
 *   - Times are seconds (double) or nanoseconds (_ns), lengths metres, angles radians.
 *
 * Kinds end in /0 while their tables may still change: a plugin that uses one must come from the
 * same version of this file. A kind at /1 is frozen, and grows at its end only.
 */
#ifndef EVLA_ABI_H
#define EVLA_ABI_H
#include <stddef.h>
#include <stdint.h>

// clang-format off
enum {
    EVLA_ABI_MAJOR  = 0,
    EVLA_ABI_MINOR  = 1,
    EVLA_MAGIC      = 0x616c7665, /* "evla" */
    EVLA_MAX_RANK   = 8,
    EVLA_MAX_PLANES = 4,
    EVLA_MAX_PHASES = 4,
    EVLA_MAX_PORTS  = 16          /* inputs or outputs of one node */
};

/* Statuses. Never renumbered; new ones last. */
enum {
    EVLA_OK        = 0,
    EVLA_E_ARG     = -1,  /* a parameter or argument is wrong */
    EVLA_E_SHAPE   = -2,  /* shapes do not meet */
    EVLA_E_DTYPE   = -3,  /* a number format is wrong or not supported */
    EVLA_E_NOMEM   = -4,  /* out of memory, or a memory budget is missed */
    EVLA_E_RANGE   = -5,  /* a value lies outside its range, or is not finite */
    EVLA_E_IO      = -6,  /* the system could not read, write or sync a file */
    EVLA_E_FORMAT  = -7,  /* a file is not what it claims to be */
    EVLA_E_PLUGIN  = -8,  /* a plugin was refused */
    EVLA_E_MISSING = -9,  /* a name, item, file or service is not there */
    EVLA_E_EXISTS  = -10, /* a name is taken */
    EVLA_E_LIMIT   = -11, /* a fixed capacity is used up */
    EVLA_E_STOPPED = -12, /* the user asked to stop (Ctrl-C) */
    EVLA_E_STATE   = -13, /* called in the wrong order, or on an object a failure made invalid */
    EVLA_E_BUG     = -14  /* our own mistake: please report */
};
// clang-format on

/* ---- numbers and tensors ------------------------------------------------------------------ */

/* Number formats. The ids below are C's own types and fixed; all others (f16, bf16, block formats)
 * are registered by plugins of kind evla.dtype, get ids from EVLA_DTYPE_FIRST on in the order of
 * their names, and are found by name: host->dtype(host, "f16"). Ids are valid for one engine only;
 * files store names. */
// clang-format off
enum {
    EVLA_NONE = 0, EVLA_F32 = 1, EVLA_F64 = 2, EVLA_I8 = 3, EVLA_I16 = 4, EVLA_I32 = 5,
    EVLA_I64 = 6, EVLA_U8 = 7, EVLA_U16 = 8, EVLA_U32 = 9, EVLA_U64 = 10, EVLA_BOOL = 11,
    EVLA_DTYPE_FIRST = 64
};
// clang-format on

/* The type of a tensor once its symbols are bound. rank -1: not known yet (see evla_op.infer). */
typedef struct evla_type {
    int32_t dtype;
    int32_t rank;
    int64_t shape[8]; /* elements, outermost first */
} evla_type;

/* A view of memory. data[0] holds the codes; further planes (scales, zeros, indices) belong to block
 * formats. stride counts bytes from one index to the next; for a block format the innermost stride
 * is that of one block. layout 0 is plain rows, where strides hold; 1 is what evla_node.layout says
 * of this input. space 0 is host memory. */
typedef struct evla_tensor {
    void *data[4];
    int64_t shape[8];
    int64_t stride[8];
    int32_t dtype;
    int32_t rank;
    int32_t layout;
    int32_t space;
} evla_tensor;

typedef struct evla_shape {
    int64_t dim[8];
    int32_t rank;
    int32_t reserved;
} evla_shape;

/* ---- typed parameters --------------------------------------------------------------------- */

/* What a parameter's field in the struct looks like. */
// clang-format off
enum {
    EVLA_P_BOOL     = 1,  /* int32_t 0 or 1 */
    EVLA_P_INT      = 2,  /* int64_t */
    EVLA_P_FLOAT    = 3,  /* double */
    EVLA_P_ENUM     = 4,  /* int32_t index into choices ("a|b|c") */
    EVLA_P_STRING   = 5,  /* const char *, NULL when optional and absent */
    EVLA_P_PATH     = 6,  /* const char * */
    EVLA_P_SIZE     = 7,  /* int64_t bytes, written "2GiB", "8MiB", "4KB" or a number */
    EVLA_P_DURATION = 8,  /* int64_t nanoseconds, written "10ms", "1.5s" or a number of seconds */
    EVLA_P_RATE     = 9,  /* double hertz, written 100 or "100Hz" */
    EVLA_P_SHAPE    = 10, /* evla_shape, written {96, 96}; in a graph also symbols: {"B", "2*D"} */
    EVLA_P_LIST     = 11, /* evla_list of the element type named by `element`; one job or item may stand alone */
    EVLA_P_STRUCT   = 12, /* nested struct described by `fields`, inline */
    EVLA_P_STRUCTS  = 13, /* evla_list of such structs; values without a name fill their fields in order */
    EVLA_P_ITEM     = 14, /* evla_choice: an item of the kind named by choices, with its parameters */
    EVLA_P_VALUE    = 15  /* const evla_value *: the result of a job of the type named by choices */
};
enum {
    EVLA_PF_OPTIONAL = 1, /* may be absent although there is no preset */
    EVLA_PF_LIVE     = 2, /* may be bound to a run-time input instead of a constant */
    EVLA_PF_INPUT    = 4  /* path: a file that is read; it must exist, its content keys the job */
};
// clang-format on

typedef struct evla_list {
    const void *items;
    int64_t n;
} evla_list;

/* One parameter. Tables of these end where n_params says; presets are written as a user would. */
typedef struct evla_param evla_param;
struct evla_param {
    const char *name;
    const char *doc;           /* one line */
    const char *preset;        /* default as text; NULL: required unless optional */
    const char *unit;          /* "m", "rad", ...; NULL: none */
    const char *choices;       /* enum: "a|b|c"; item: kind id; value: type of job result */
    const evla_param *fields;  /* struct, structs */
    double min, max;           /* inclusive; both 0: unbounded. In the field's unit */
    int32_t type;              /* EVLA_P_* */
    int32_t element;           /* EVLA_P_* of a list's elements */
    uint32_t flags;            /* EVLA_PF_* */
    uint32_t offset;           /* of the field in the parameter struct */
    uint32_t n_fields;         /* struct, structs */
    uint32_t fields_size;      /* bytes of the struct that `fields` describes */
};

/* The result of a finished job, as another plugin sees it. */
typedef struct evla_value {
    const char *type;   /* "episodes", "model", ... */
    const char *path;   /* absolute path of what the job left */
    const char *job;    /* the job's name */
} evla_value;

/* ---- host --------------------------------------------------------------------------------- */

typedef struct evla_record evla_record;
typedef struct evla_field evla_field;
typedef struct evla_attr evla_attr;
typedef struct evla_host evla_host;
typedef struct evla_dtype evla_dtype;

// clang-format off
enum { EVLA_LOG_ERROR = 0, EVLA_LOG_WARN = 1, EVLA_LOG_INFO = 2, EVLA_LOG_DEBUG = 3 };
// clang-format on

/* What the core lends to a plugin for the length of a call. Inside evla_kernel.run it is the
 * worker's own and only `fail` may be used. */
struct evla_host {
    uint32_t size;
    uint32_t abi; /* the core's EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR */
    void *self;   /* the core's */
    /* Copies the sentence (first one wins) and returns code, so that a failure is one line. */
    int32_t (*fail)(const evla_host *h, int32_t code, const char *sentence);
    void (*log)(const evla_host *h, int32_t level, const char *line);
    /* Zeroed memory, 64-byte aligned, until this call returns. NULL when full (fail was told). */
    void *(*scratch)(const evla_host *h, uint64_t bytes);
    /* The same, but as long as the object being opened or described lives. */
    void *(*hold)(const evla_host *h, uint64_t bytes);
    /* A service's table (EVLA_SERVICE item), NULL when absent. List it in evla_plugin.uses. */
    const void *(*service)(const evla_host *h, const char *name);
    /* Id of a number format, EVLA_NONE when nobody registered the name; and the way back. */
    int32_t (*dtype)(const evla_host *h, const char *name);
    const char *(*dtype_name)(const evla_host *h, int32_t dtype);
    /* Bytes of a row of n elements; -1 when it ends inside a block and the format has no such rows. */
    int64_t (*dtype_bytes)(const evla_host *h, int32_t dtype, int64_t n);
    /* Parses "f32[T,7]": named extents become -1 and their names are skipped. */
    int32_t (*type_parse)(const evla_host *h, const char *text, evla_type *out);
    /* A record with zeroed, dense, 64-byte aligned fields of the given types; attributes, which
     * are no lists, are copied. Fill the fields, then hand it on: it is immutable from then on. One reference. */
    int32_t (*record_new)(const evla_host *h, const evla_field *fields, int32_t n_fields,
                          const evla_attr *attrs, int32_t n_attrs, evla_record **out);
    void (*record_keep)(const evla_host *h, const evla_record *r);
    void (*record_drop)(const evla_host *h, const evla_record *r);
    /* 1 when the user asked to stop: long work returns EVLA_E_STOPPED soon. */
    int32_t (*stopping)(const evla_host *h);
    /* The table of a number format that a plugin registered; NULL for C's own. It stays as long as
     * the engine, so a kernel's prepare may keep it in its blob. */
    const evla_dtype *(*dtype_table)(const evla_host *h, int32_t dtype);
};

/* ---- plugin and items --------------------------------------------------------------------- */

#define EVLA_OP "evla.op/0"
#define EVLA_KERNEL "evla.kernel/0"
#define EVLA_DTYPE "evla.dtype/0"
#define EVLA_STAGE "evla.stage/0"
#define EVLA_BODY "evla.body/0"
#define EVLA_SCENE "evla.scene/0"
#define EVLA_QUANT "evla.quant/0"
#define EVLA_FORMAT "evla.format/0"
#define EVLA_SERVICE "evla.service/0"
#define EVLA_MACHINE "evla.machine/0"
#define EVLA_LOOP "evla.loop/0"
#define EVLA_CACHE "evla.cache/0"
#define EVLA_CODEC "evla.codec/0"

/* One thing a plugin offers. Names are lower_case and unique within a kind. */
typedef struct evla_item {
    const char *kind;
    const char *name;
    const void *table; /* evla_op, evla_kernel, ...; starts with its size */
    const char *doc;   /* one line for lists and help; NULL for kernels */
    const evla_param *params;
    uint32_t n_params;
    uint32_t params_size; /* bytes of the parameter struct; 0 when there are none */
} evla_item;

/* An item chosen by a user together with its checked parameters. */
typedef struct evla_choice {
    const evla_item *item;
    const void *params;
} evla_choice;

typedef struct evla_plugin {
    uint32_t magic;   /* EVLA_MAGIC */
    uint32_t size;    /* sizeof(evla_plugin) */
    uint32_t built;   /* EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR of the header it was built with */
    uint32_t needs;   /* the oldest ABI it works with */
    const char *id;   /* "evla.brisk"; the file is brisk.so */
    const char *version;
    const char *license;
    const evla_item *items;
    const char *const *uses; /* names of services, ends in NULL; or NULL */
    uint32_t n_items;
    uint32_t reserved;
} evla_plugin;

const evla_plugin *evla_plugin_entry(void);

/* ---- number formats: evla.dtype ----------------------------------------------------------- */

/* A number format in plain rows: blocks of block_elements values in block_bytes bytes. */
struct evla_dtype {
    uint32_t size;
    int32_t block_elements;
    int32_t block_bytes;
    int32_t is_ragged; /* 1: a row may end inside its last block, which takes all its bytes */
    /* n values (of a row; a multiple of block_elements unless is_ragged) to and from f32. encode rounds
     * to nearest even, or as a block format says, and fits a last block to the values that there are;
     * EVLA_E_RANGE for numbers that it cannot hold. [any worker] */
    int32_t (*decode)(const evla_host *h, const void *codes, int64_t n, float *out);
    int32_t (*encode)(const evla_host *h, const float *values, int64_t n, void *codes);
    const char *source; /* where the format is defined */
    /* How a linear layer multiplies weights of this format without decoding them: the rewrite "coded"
     * turns y = linear(x f32, w, b?) into y = L(A(x)..., w, b?), with one A for all that read x. */
    const char *linear;            /* L, an operator; NULL: linear reads the weights as they are */
    const char *activation;        /* A, an operator; its outputs are the first inputs of L */
    const char *activation_params; /* a JSON object; NULL: the presets */
};

/* Another arrangement of a weight's bytes, made once while it is loaded, which kernels read instead
 * of plain rows: panels of rows, interleaved for the instructions that multiply them. A weight of
 * rank 2 has one arrangement for all graphs; rows that fill no panel are padded. */
typedef struct evla_layout {
    uint32_t size;
    int32_t panel;    /* rows that lie together */
    const char *name; /* with a version, "rows16.vnni.1": files store it */
    /* Bytes of a whole weight; -1: it cannot lie so. A panel takes the same bytes wherever it is. */
    int64_t (*bytes)(const evla_host *h, const evla_type *t);
    /* n plain rows (a panel, or what is left of one) into one panel. */
    int32_t (*pack)(const evla_host *h, const evla_type *t, int64_t n, const void *rows, void *panel);
    /* Values of one row of the packed weight. [any worker] */
    void (*row)(const evla_type *t, const void *packed, int64_t row, float *out);
} evla_layout;

/* ---- operators and kernels: evla.op, evla.kernel ------------------------------------------ */

/* An element-wise operator folded onto a node: y = op(y) or, with a second operand, op(y, other). */
typedef struct evla_tail {
    const char *op;
    const void *params;
    int32_t other;  /* index of the second operand among the node's inputs; -1: none */
    int32_t is_rhs; /* 1: the running value is the right operand */
} evla_tail;

/* A node whose symbols are bound. An input that is absent has rank -1 and no value. */
typedef struct evla_node {
    uint32_t size;
    int32_t n_in;
    int32_t n_out;
    int32_t n_tail;
    const char *op;
    const char *label;       /* for messages: "policy/linear.3" */
    const void *params;      /* the operator's parameter struct */
    const evla_type *in;     /* n_in */
    const evla_type *out;    /* n_out; NULL during infer */
    const void *const *value;/* n_in; data of inputs that are constants, else NULL */
    const evla_tail *tail;   /* n_tail */
    const evla_layout *const *layout; /* n_in; how a weight lies, NULL: plain rows. NULL: all plain */
} evla_node;

// clang-format off
enum {
    EVLA_PURE    = 0, /* same inputs, same outputs */
    EVLA_WRITES  = 1, /* writes its first n_writes inputs, states; output i is the new version of
                         input i, in place */
    EVLA_ORDERED = 2  /* keeps its place among other ordered nodes */
};
// clang-format on

/* What an operator is asked when gradients are built: given a node and the gradients that reach
 * its outputs, the nodes that compute the gradients of its inputs. Values are numbers ("wires"). */
typedef struct evla_grad evla_grad;
struct evla_grad {
    uint32_t size;
    int32_t reserved;
    void *self;              /* the core's */
    const evla_node *node;   /* with types of inputs and outputs */
    const int32_t *in;       /* n_in wires; -1 where absent */
    const int32_t *out;      /* n_out wires; they may be read again */
    const int32_t *d_out;    /* n_out wires; -1: no gradient reaches this output, it counts as 0 */
    const int32_t *wanted;   /* n_in; 1: the gradient of this input is wanted */
    int32_t *d_in;           /* n_in; the answers: wires of the inputs' types; left at -1: 0 */
    /* Appends a node and infers its types. params is the operator's struct, copied; lists and texts
     * inside it are not: they are constants, or from host->hold. in may hold -1 where an input is
     * absent; out receives n_out wires. A node whose inputs are constants is computed at once. */
    int32_t (*emit)(const evla_host *h, evla_grad *g, const char *op, const void *params,
                    const int32_t *in, int32_t n_in, int32_t *out, int32_t n_out);
    int32_t (*type)(const evla_host *h, const evla_grad *g, int32_t wire, evla_type *out);
    /* 1: a weight that kernels may have in layouts of their own, so that not every operator reads it;
     * cast does, whatever the layout. 0: it is read as any other value. */
    int32_t (*may_pack)(const evla_host *h, const evla_grad *g, int32_t wire);
};

/* An operator: what it means, not how it is computed. */
typedef struct evla_op {
    uint32_t size;
    int32_t effect;      /* EVLA_PURE, ... */
    const char *inputs;  /* "x w b?": '?' may be absent; a last "xs*" takes any number */
    const char *outputs; /* "y" */
    const char *source;  /* paper, equation or spec section */
    /* Checks input types and writes the output types. An input with rank -1 that is present is a
     * weight nobody has typed yet: infer writes the type it wants into in[i]. Such a weight has a
     * dtype other than EVLA_NONE; an absent input has EVLA_NONE, or an index >= n_in. Extents are
     * integers >= 0. Fails: EVLA_E_SHAPE, EVLA_E_DTYPE, EVLA_E_RANGE, naming n->label. */
    int32_t (*infer)(const evla_host *h, const evla_node *n, evla_type *in, evla_type *out);
    /* Floating-point operations of one run; NULL: none worth counting. */
    double (*cost)(const evla_node *n);
    int32_t elementwise; /* 1: out[i] depends on in[.][i] only (with broadcasting): may be a tail */
    int32_t n_writes;    /* EVLA_WRITES: how many inputs are written; 0 counts as 1 */
    /* Emits the nodes of the derivative and fills g->d_in where wanted. NULL: not differentiable,
     * refused by name when a gradient has to flow through. Integer and bool inputs are never
     * wanted. Called when a gradient reaches at least one output. */
    int32_t (*grad)(const evla_host *h, evla_grad *g);
    /* 1: no kernel computes it. Where a graph is bound, the nodes stand in its place that the
     * operators between input 1 and input 0 emit by `grad`, when input 2 (absent: 1) is the gradient
     * that reaches input 0; output 0 is what reaches input 1. */
    int32_t is_gradient;
    int32_t reserved;
} evla_op;

/* A machine that graphs are planned for. Instruction sets are names the core does not know. */
typedef struct evla_machine {
    uint32_t size;
    int32_t n_workers;
    const char *name;     /* "portable", or what a plugin names */
    const char *features; /* blank-separated */
} evla_machine;

/* An item of kind evla.machine: a machine that this one may be. */
typedef struct evla_machine_kind {
    uint32_t size;
    int32_t rank; /* of those that are there the highest is planned for; "portable" has 0 */
    /* 0 when this machine is one: features filled in, constant text; name is the item's. Else
     * EVLA_E_MISSING, after host->fail was told what it lacks ("the processor has no ..."). */
    int32_t (*detect)(const evla_host *h, evla_machine *out);
} evla_machine_kind;

/* What a kernel answers when asked to compute a node. */
typedef struct evla_offer {
    int32_t score;      /* highest wins; the portable ones answer 1 */
    int32_t alias_in;   /* output 0 may reuse the memory of this input; -1: none */
    const char *numerics; /* id of the reduction order; same id, same bits */
} evla_offer;

/* How a kernel splits its work. Tiles may not depend on the number of workers; tiles of one phase
 * run in any order and at the same time, phases one after the other. */
typedef struct evla_work {
    uint32_t size;
    int32_t n_phases;
    int64_t tiles[4];
    uint64_t shared_bytes; /* scratch shared by all tiles of the node */
    uint64_t worker_bytes; /* scratch of one worker */
    uint64_t blob_bytes;   /* constants made once by prepare */
} evla_work;

/* The arguments of a run. All memory belongs to the plan; nothing may be kept. */
typedef struct evla_args {
    const evla_node *node;
    const evla_tensor *in;  /* n_in; data[0] NULL where absent */
    const evla_tensor *out; /* n_out */
    void *shared;
    void *scratch; /* this worker's */
    const void *blob;
} evla_args;

/* Computes one operator, alone or with a tail. */
typedef struct evla_kernel {
    uint32_t size;
    int32_t max_tail;     /* longest tail it can take; 0: none */
    const char *op;       /* the operator, the anchor of a fusion */
    const char *tail_ops; /* blank-separated operators it takes as a tail; NULL: none */
    /* 0 and offer filled, or EVLA_E_MISSING without telling host->fail: cannot do this node. */
    int32_t (*accepts)(const evla_host *h, const evla_machine *m, const evla_node *n,
                       evla_offer *offer);
    int32_t (*plan)(const evla_host *h, const evla_machine *m, const evla_node *n,
                    evla_work *work);
    int32_t (*prepare)(const evla_host *h, const evla_node *n, void *blob); /* or NULL */
    /* One tile of one phase. No allocation, lock or system call. [any worker] */
    int32_t (*run)(const evla_host *h, const evla_args *a, int32_t phase, int64_t tile);
    /* How this kernel would like its input i, a weight, to lie; NULL: plain rows. A kernel that was
     * told of a layout in n->layout reads that one or does not accept; one without this slot reads
     * plain rows only, and is not asked. */
    const evla_layout *(*layout)(const evla_host *h, const evla_machine *m, const evla_node *n,
                                 int32_t i);
} evla_kernel;

/* ---- records and stages: evla.stage ------------------------------------------------------- */

// clang-format off
enum {
    EVLA_ATTR_INT     = 1,
    EVLA_ATTR_FLOAT   = 2,
    EVLA_ATTR_TEXT    = 3,
    EVLA_ATTR_NUMBERS = 4, /* a list of one of C's own formats */
    EVLA_ATTR_TEXTS   = 5  /* a list of evla_text */
};
// clang-format on

/* Text where it lies: n bytes, without a NUL behind them. */
typedef struct evla_text {
    const char *at;
    uint64_t n;
} evla_text;

struct evla_attr {
    const char *name;
    const char *text;
    double number;
    int64_t integer;
    int32_t type;      /* EVLA_ATTR_* */
    int32_t element;   /* NUMBERS: the number format of the items; INT, FLOAT: that in the file, or none */
    const void *items; /* NUMBERS, at any alignment; TEXTS: const evla_text * */
    int64_t n_items;
};

/* A named tensor. Names are paths: "actions", "obs/joint_pos", "cameras/front/rgb". */
struct evla_field {
    const char *name;
    evla_tensor value;
};

/* One record (an episode, a sample). Immutable once handed on; counted by the core. */
struct evla_record {
    uint32_t size;
    int32_t n_fields;
    int32_t n_attrs;
    int32_t reserved;
    int64_t index; /* its place in the source */
    const evla_field *fields;
    const evla_attr *attrs;
};

typedef struct evla_schema_field {
    const char *name;
    const char *type;  /* "f32[T,7]"; T is the record's length, other letters vary per record */
    const char *unit;  /* "rad", "m", ...; "" for none */
    const char *doc;
    double rate_hz;    /* samples per second along the first axis; 0: none */
} evla_schema_field;

/* What records of a pipeline look like at one place, known before any exists. attrs are the same
 * for every record (see docs/data-layout.md for the names in use). */
typedef struct evla_schema {
    uint32_t size;
    int32_t n_fields;
    int32_t n_attrs;
    int32_t reserved;
    const evla_schema_field *fields;
    const evla_attr *attrs;
} evla_schema;

/* Where a stage works. */
typedef struct evla_site {
    uint32_t size;
    int32_t n_workers;      /* how many threads may call at once */
    const char *folder;     /* absolute; the stage's relative paths start here; it exists */
    const char *job;        /* for messages */
    const evla_schema *in;  /* NULL for a source */
} evla_site;

// clang-format off
enum { EVLA_STAGE_PARALLEL = 1 }; /* take and put may be called by several workers at once */
// clang-format on

/* A source (make), filter (take) or sink (put) of records, by the slots it fills and its place in
 * the pipeline: an item with make and put is a source when it stands first. */
typedef struct evla_stage {
    uint32_t size;
    uint32_t flags;
    /* The schema after this stage. in is NULL for a source. Nothing is opened but files a source
     * must look into. Parameters that do not fit the schema are refused here. */
    int32_t (*describe)(const evla_host *h, const void *params, const evla_schema *in,
                        evla_schema *out);
    int32_t (*open)(const evla_host *h, const void *params, const evla_site *site, void **self);
    /* Always called after open, also after failures. Frees everything. */
    void (*close)(const evla_host *h, void *self);
    /* Source: number of records; and record i, the same bits whoever asks and whenever. */
    int32_t (*count)(const evla_host *h, void *self, int64_t *n);
    int32_t (*make)(const evla_host *h, void *self, int64_t i, evla_record **out);
    /* Filter: *out = in with a reference added, or a new record; or NULL and a reason, a word such
     * as "timeout" that stays valid until close. */
    int32_t (*take)(const evla_host *h, void *self, const evla_record *in, evla_record **out,
                    const char **reason);
    /* Sink: stores the record; when it returns 0 the record survives a kill. */
    int32_t (*put)(const evla_host *h, void *self, const evla_record *in);
    /* Sink: 1 when record i was stored by an earlier run. */
    int32_t (*has)(const evla_host *h, void *self, int64_t i);
    /* Sink: all records are in; assemble what readers open. */
    int32_t (*finish)(const evla_host *h, void *self);
    /* Optional: a JSON object with figures for the summary, valid until close. */
    const char *(*report)(const evla_host *h, void *self);
} evla_stage;

/* ---- bodies: evla.body -------------------------------------------------------------------- */

/* Something a body observes. A channel slower than the control rate is sampled at the first tick at
 * or after k / rate_hz. */
typedef struct evla_channel {
    const char *name; /* the record's field: "obs/joint_pos", "cameras/front/rgb" */
    const char *type; /* of one sample: "f32[7]", "u8[96,96,3]" */
    const char *unit;
    const char *doc;
    double rate_hz;   /* 0: at every control tick */
} evla_channel;

typedef struct evla_body_info {
    uint32_t size;
    int32_t n_channels;
    int32_t n_action;       /* floats of an action, each in [-1, 1] */
    int32_t n_state;        /* doubles of a saved state */
    int64_t max_ticks;      /* an episode is cut here */
    double rate_hz;         /* control rate */
    const evla_channel *channels;
    const char *action_doc; /* meaning of the action's entries and their scales */
    const char *events;     /* blank-separated names; bit i of evla_tick.events is name i */
    const char *goals;      /* blank-separated names of goals */
    const evla_attr *attrs; /* for the dataset: "env_args", "model_file", "camera_info", ... */
    int32_t n_attrs;
    int32_t reserved;
    const char *violations; /* those of `events` after which an episode counts as unsafe; NULL: none */
} evla_body_info;

typedef struct evla_goal {
    const char *instruction; /* valid until the next reset or restore */
    const char *name;        /* one of evla_body_info.goals */
    int32_t index;
    int32_t reserved;
} evla_goal;

typedef struct evla_tick {
    uint64_t events;  /* what happened in this tick */
    double time;      /* seconds since reset */
    double reward;
    int32_t success;  /* 1: the goal is met and has held long enough */
    int32_t done;     /* 1: nothing more to do (success, or beyond repair) */
} evla_tick;

/* Something that acts: a simulator or a robot. One instance is used by one thread at a time; several
 * instances live side by side. */
typedef struct evla_body {
    uint32_t size;
    uint32_t reserved;
    int32_t (*describe)(const evla_host *h, const void *params, evla_body_info *out);
    int32_t (*open)(const evla_host *h, const void *params, void **self);
    void (*close)(const evla_host *h, void *self);
    /* Starts an episode drawn from the seed. */
    int32_t (*reset)(const evla_host *h, void *self, uint64_t seed, evla_goal *goal);
    /* The current sample of channel i, dense. */
    int32_t (*observe)(const evla_host *h, void *self, int32_t channel, void *out);
    /* Holds the action (n_action floats) for one control period. */
    int32_t (*act)(const evla_host *h, void *self, const float *action, evla_tick *out);
    /* The whole state; restoring it and acting again gives the same bits on the same build. */
    int32_t (*save)(const evla_host *h, void *self, double *state);
    int32_t (*restore)(const evla_host *h, void *self, const double *state, evla_goal *goal);
    /* The teacher's action in the current state, from nothing but that state. NULL: no teacher. */
    int32_t (*expert)(const evla_host *h, void *self, float *action);
} evla_body;

/* ---- scenes: evla.scene ------------------------------------------------------------------- */

/* What becomes of a proposed action. */
// clang-format off
enum {
    EVLA_ALLOW   = 0, /* carried out as proposed */
    EVLA_REPLACE = 1, /* a nearby action is carried out instead */
    EVLA_VETO    = 2  /* nothing of it is carried out: the body brakes and holds */
};
// clang-format on

/* What a scene wants and what it can say. Names are registered as text, blank-separated: number or
 * bit i elsewhere is name i here. */
typedef struct evla_scene_info {
    uint32_t size;
    int32_t n_wants;
    const char *const *wants; /* n_wants channels of the body, by name */
    const char *classes;      /* of nodes: "object fixture gripper" */
    const char *relations;    /* between two nodes: "contact on held" */
    const char *rules;        /* what verdicts refer to; at most 64 */
    const char *facts;        /* bits of evla_verdict.facts; at most 64 */
    uint64_t event_bytes;     /* of one event, see evla_scene.event */
    int32_t max_nodes;
    int32_t reserved;
} evla_scene_info;

/* A scene as tensors, for whoever draws or stores it. Valid until the next call. */
typedef struct evla_scene_view {
    uint32_t size;
    int32_t n_nodes;
    int32_t n_relations;
    int32_t n_words;           /* 64-bit words of a row of `relation` */
    const char *const *names;  /* [n_nodes] */
    const float *pose;         /* [n_nodes,7] x y z in metres, quaternion w x y z, world frame */
    const int32_t *node_class; /* [n_nodes] index into evla_scene_info.classes */
    const uint64_t *relation;  /* [n_relations,n_words] bit i * n_nodes + j: from node i to node j */
    double time;               /* of the observation it stands for */
} evla_scene_view;

/* What a policy would like to do in this tick. */
typedef struct evla_proposal {
    uint32_t size;
    int32_t n_action;
    const float *action; /* n_action floats, possibly not finite; NULL: none came in time */
    double slow_age;     /* s since the observation behind the slowest result that the action used;
                            0: it used this tick's only */
} evla_proposal;

/* The answer, with what it takes to say why. */
typedef struct evla_verdict {
    uint32_t size;
    int32_t kind;        /* EVLA_ALLOW, ... */
    int32_t rule;        /* the one that decided; -1: none */
    int32_t node[2];     /* what it is about, numbers as in the view; -1: nothing */
    int32_t reserved;
    uint64_t facts;      /* all facts of this tick */
    uint64_t rules;      /* bit per rule that had a say in this tick */
    double found, bound; /* the quantity that decided and its bound, in the rule's unit */
} evla_verdict;

/* Builds a scene graph from what a body observes and judges actions by it. One instance is used by
 * one thread at a time. reset, observe, judge, event and replay neither allocate, lock nor make
 * system calls. Same calls, same bits: a log of events replays to the same verdicts. */
typedef struct evla_scene {
    uint32_t size;
    uint32_t reserved;
    /* Refuses a body that lacks a channel it wants, naming it. */
    int32_t (*describe)(const evla_host *h, const void *params, const evla_body_info *body,
                        evla_scene_info *out);
    int32_t (*open)(const evla_host *h, const void *params, const evla_body_info *body,
                    void **self);
    void (*close)(const evla_host *h, void *self);
    /* Forgets everything. instruction: the episode's sentence; the goal behind it is not told. */
    int32_t (*reset)(const evla_host *h, void *self, const char *instruction);
    /* This tick's samples in the order of `wants`, dense; NULL: that one did not come. Once per
     * control tick, before judge. time: s since reset. */
    int32_t (*observe)(const evla_host *h, void *self, const void *const *samples, double time);
    /* Writes the action to carry out (n_action floats, always finite and within the body's range).
     * Never fails because of what is proposed. */
    int32_t (*judge)(const evla_host *h, void *self, const evla_proposal *p, float *action,
                     evla_verdict *out);
    /* One sentence that says why, at most bytes - 1 long. Not for the tick thread. */
    int32_t (*explain)(const evla_host *h, void *self, const evla_verdict *v, char *text,
                       uint64_t bytes);
    int32_t (*view)(const evla_host *h, void *self, evla_scene_view *out);
    /* The tick just judged, what was observed and proposed, as event_bytes bytes; and the same tick
     * again in an instance that was reset with the same instruction and replayed all before. */
    int32_t (*event)(const evla_host *h, void *self, void *out);
    int32_t (*replay)(const evla_host *h, void *self, const void *event, float *action,
                      evla_verdict *out);
} evla_scene;

/* ---- quantisers: evla.quant --------------------------------------------------------------- */

/* What becomes of one weight: planes of codes and what belongs to them, and the operators that read
 * them. Each plane is a weight of the new model, called NAME.suffix.
 *   a linear       y = linear(acts..., planes..., b?), where acts... are the outputs of
 *                  activation(x, scale?), made once for all linears that read the same x; without
 *                  an activation operator, x itself
 *   a table's row  decode(rows of planes...), f32; every plane's first extent is then the table's;
 *                  or, when the only plane can be looked up as it is, table(plane, ids)
 * A plane may have the suffix "": it then is the weight itself in another format, with its name. */
typedef struct evla_quant_layout {
    uint32_t size;
    int32_t n_planes;       /* 1 to EVLA_MAX_PLANES */
    const char *suffix[4];  /* "codes", "scale" */
    evla_type plane[4];
    const char *linear;
    const char *activation; /* NULL: none */
    const char *decode;     /* NULL: tables stay as they are */
    int32_t calibrates;     /* 1: observe must see what the linears read */
    int32_t reserved;
    const char *table;      /* "embedding": reads rows by itself, instead of decode; or NULL */
} evla_quant_layout;

/* Chooses codes. One object per weight, used by one thread; several live side by side. */
typedef struct evla_quant {
    uint32_t size;
    uint32_t reserved;
    /* The layout of a weight f32[out,in]. EVLA_E_MISSING when it must stay as it is; what host->fail
     * was told is then the reason that people see, and no mistake. */
    int32_t (*describe)(const evla_host *h, const void *params, const evla_type *weight,
                        evla_quant_layout *out);
    int32_t (*open)(const evla_host *h, const void *params, const evla_type *weight, void **self);
    /* Always called after open, also after failures. */
    void (*close)(const evla_host *h, void *self);
    /* Calibration: rows of what a linear with this weight reads, x[rows,in]. Their order and how they
     * are cut into batches does not matter. EVLA_E_RANGE on NaN or Inf. */
    int32_t (*observe)(const evla_host *h, void *self, const float *x, int64_t rows);
    /* w[out,in] into the planes, dense, each written in full. *scale is the activations' static one,
     * 0: none; scale is NULL when no linear reads the weight. EVLA_E_RANGE on NaN or Inf in w; EVLA_E_STATE when calibration saw nothing. */
    int32_t (*encode)(const evla_host *h, void *self, const float *w, void *const *planes,
                      float *scale);
    /* Optional: a JSON object with figures for the scorecard, valid until close. */
    const char *(*report)(const evla_host *h, void *self);
} evla_quant;

/* ---- loops: evla.loop --------------------------------------------------------------------- */

/* A model that reads tokens and says which may follow, as a loop drives it. */
typedef struct evla_reader evla_reader;
struct evla_reader {
    uint32_t size;
    int32_t vocabulary;
    void *self;            /* the core's */
    const int32_t *tokens; /* what was read so far; -1: a row of embeddings, no token */
    int32_t n_tokens;
    int32_t room;          /* how many more it can read and then forget as if they had never been read */
    /* Reads n tokens behind the others. *logits: f32[vocabulary] for what follows the last one, the
     * loop's to overwrite until the next call. After a failure nothing was read. More than room: where
     * the cache's policy drops rows, they are read, and rows dropped on the way stay dropped; elsewhere
     * EVLA_E_LIMIT. */
    int32_t (*read)(const evla_host *h, evla_reader *r, const int32_t *ids, int32_t n, float **logits);
    /* Forgets all but the first n tokens. Rows of the cache that a policy has dropped do not come back. */
    int32_t (*forget)(const evla_host *h, evla_reader *r, int32_t n);
};

typedef struct evla_token {
    int32_t id;
    float logprob; /* ln of its probability as the model has it, before any sampling rule */
} evla_token;

/* Continues a text: what stands between the runs of static graphs. One object per text at a time,
 * used by one thread. */
typedef struct evla_loop {
    uint32_t size;
    uint32_t reserved;
    /* Allocates all that it will need. */
    int32_t (*open)(const evla_host *h, const void *params, int32_t vocabulary, void **self);
    /* Always called after open, also after failures. */
    void (*close)(const evla_host *h, void *self);
    /* A new text. The reader may have read the first tokens of it; the loop reads the others. */
    int32_t (*start)(const evla_host *h, void *self, evla_reader *r, const int32_t *ids, int32_t n);
    /* The tokens that come next: at least one, at most room. EVLA_E_RANGE when the model's numbers
     * are NaN. No allocation. */
    int32_t (*step)(const evla_host *h, void *self, evla_reader *r, evla_token *out, int32_t room,
                    int32_t *n);
} evla_loop;

/* ---- caches: evla.cache ------------------------------------------------------------------- */

/* A policy over the keys and values of a text, one row per token: which rows stay when the cache is
 * full. It is asked between runs, of rows that are written and final. Rows keep the positions that
 * their keys were turned by, later tokens take the next place in the whole text. */

// clang-format off
/* What attention must tell a policy of the rows. This core carries EVLA_CACHE_NOTHING. */
enum {
    EVLA_CACHE_NOTHING = 0,
    EVLA_CACHE_MASS    = 1, /* the weight that each row got, summed over all queries */
    EVLA_CACHE_QUERIES = 2  /* that of the last n_queries queries */
};
/* What one list of rows is for. This core carries EVLA_CACHE_SAME. */
enum { EVLA_CACHE_SAME = 0, EVLA_CACHE_LAYER = 1, EVLA_CACHE_HEAD = 2 };
// clang-format on

/* The cache that is asked about. */
typedef struct evla_cache_place {
    uint32_t size;
    int32_t context; /* rows that it can hold */
    int32_t layer;   /* from 0 on; -1: all of them */
    int32_t n_layers; /* 0 with layer -1 */
} evla_cache_place;

typedef struct evla_cache_plan {
    uint32_t size;
    int32_t budget;    /* rows that stay at most, below context; context: none is ever dropped */
    int32_t wants;     /* EVLA_CACHE_NOTHING, ... */
    int32_t n_queries;
    int32_t lists;     /* EVLA_CACHE_SAME: one list for all layers and heads; ... */
    int32_t reserved;
} evla_cache_plan;

/* A text whose cache is full. */
typedef struct evla_cache_view {
    uint32_t size;
    int32_t n;         /* rows, in the order of the text */
    const int32_t *place; /* n; the place of each in the text, ascending */
    int32_t n_tokens;  /* of the text, those whose rows were dropped included */
    int32_t reserved;
} evla_cache_view;

/* Without a memory of its own: same parameters, same view, same rows. */
typedef struct evla_cache {
    uint32_t size;
    uint32_t reserved;
    /* What it needs and leaves; once, before anything is planned. EVLA_E_ARG when its parameters do
     * not go with the place. */
    int32_t (*plan)(const evla_host *h, const void *params, const evla_cache_place *at,
                    evla_cache_plan *out);
    /* The rows that stay, ascending; 1 to budget of them, room for v->n. No allocation. NULL: a policy
     * that drops none. */
    int32_t (*keep)(const evla_host *h, const void *params, const evla_cache_view *v, int32_t *rows,
                    int32_t *n);
} evla_cache;

/* ---- model files: evla.format ------------------------------------------------------------- */

/* What a model file holds, or is to hold. Tensors are dense plain rows of any registered number
 * format, block formats included, have names of their own, and are only read. attrs is what else
 * the file says, by key. */
typedef struct evla_archive {
    uint32_t size;
    int32_t n_attrs;
    int64_t n_tensors;
    const evla_field *tensors;
    const evla_attr *attrs;
    const char *const *files; /* n_files others, besides the one that was opened, that it is in */
    int64_t n_files;
} evla_archive;

/* Where the bytes of a file go, one after the other. */
typedef struct evla_sink evla_sink;
struct evla_sink {
    uint32_t size;
    uint32_t reserved;
    void *self; /* the core's */
    /* Appends n bytes. After a failure, of which host->fail was told, there is nothing more to put. */
    int32_t (*put)(const evla_host *h, evla_sink *s, const void *bytes, uint64_t n);
};

/* Reads or writes files of named tensors. Nothing in a file is trusted: whatever does not hold what
 * it claims is refused with a sentence that starts with its path. */
typedef struct evla_format {
    uint32_t size;
    uint32_t reserved;
    const char *endings; /* blank-separated: how files that it writes end, ".abc" */
    const char *source;  /* where the format is defined */
    /* Whose file is it? 0: not ours; 1: by its name; 2: by its first n bytes. Highest wins. NULL, as
     * open and close are then: only writes. */
    int32_t (*probe)(const evla_host *h, const char *path, const void *head, uint64_t n,
                     uint64_t file_bytes);
    /* Maps the file, and others that it is split into. *out, its text and its tensors' bytes stay
     * as they are until close; bytes lie in place, so at any alignment. */
    int32_t (*open)(const evla_host *h, const char *path, void **self, evla_archive *out);
    /* Always called after open, also after failures. Frees everything. */
    void (*close)(const evla_host *h, void *self);
    /* The same bytes for the same archive in any order. The core makes the file, which is there whole
     * or not at all, and puts its path in front of sentences. NULL: only reads. */
    int32_t (*write)(const evla_host *h, const evla_archive *in, evla_sink *to);
} evla_format;

/* ---- picture files: evla.codec ------------------------------------------------------------ */

/* A picture file in memory. */
typedef struct evla_picture_file {
    const char *name; /* for sentences: its path */
    const void *bytes;
    uint64_t n_bytes;
} evla_picture_file;

/* Reads picture files of one format. Nothing in them is trusted: one that lies about its size, is cut
 * short or damaged is refused with a sentence that starts with its name. Pictures come as people see
 * them: turned as the file says, and as u8[height,width,3] in RGB whatever the file holds. */
typedef struct evla_codec {
    uint32_t size;
    uint32_t reserved;
    const char *source; /* where the format is defined */
    /* 1: a file that begins with these bytes is ours. */
    int32_t (*probe)(const evla_host *h, const void *head, uint64_t n);
    /* size[0] height and size[1] width, from the header: pixels are not touched, memory of their
     * number not asked for. Whoever calls may refuse a size before it decodes. */
    int32_t (*measure)(const evla_host *h, const evla_picture_file *f, int64_t size[2]);
    /* All pixels into rgb, dense, as many as measure said. What is transparent is mixed with the
     * colour `behind`. */
    int32_t (*decode)(const evla_host *h, const evla_picture_file *f, const uint8_t behind[3],
                      uint8_t *rgb);
} evla_codec;

/* ---- services: evla.service --------------------------------------------------------------- */

/* The service named "image": pictures for people. Top row first, rows dense unless row_bytes says
 * otherwise, channels interleaved. */
typedef struct evla_picture {
    void *data;
    int64_t row_bytes; /* 0: dense */
    int32_t width, height;
    int32_t channels;  /* 1 gray, 3 RGB, 4 RGBA */
    int32_t bits;      /* 8 or 16 (native endian) */
} evla_picture;

/* A film strip: frames [F,H,W,3] u8, of which n_picks are shown left to right, top to bottom. */
typedef struct evla_strip {
    const evla_tensor *frames;
    const int64_t *picks;        /* frame numbers; NULL: spread evenly */
    const char *const *captions; /* n_picks short texts under the frames; NULL: none */
    const char *title;           /* above the strip; NULL: none */
    int32_t n_picks;
    int32_t columns;             /* 0: all in one row */
    int32_t scale;               /* whole enlargement, >= 1 */
    int32_t reserved;
} evla_strip;

typedef struct evla_image_service {
    uint32_t size;
    uint32_t reserved;
    int32_t (*png_write)(const evla_host *h, const char *path, const evla_picture *p);
    int32_t (*strip_write)(const evla_host *h, const char *path, const evla_strip *s);
    /* Depth in metres [H,W] f32 to RGB u8 over [near, far]; labels [H,W] u8 to RGB u8. */
    int32_t (*depth_colours)(const evla_host *h, const float *depth, int64_t n, float near_m,
                             float far_m, uint8_t *rgb);
    int32_t (*label_colours)(const evla_host *h, const uint8_t *labels, int64_t n, uint8_t *rgb);
} evla_image_service;

/* The service named "frames": rows of stored records, in any order, without reading the rest. A
 * dataset is opened by one thread and then read by any number at once; mask names a list of
 * records in the file ("train"), NULL reads all. */
typedef struct evla_frames_service {
    uint32_t size;
    uint32_t reserved;
    int32_t (*open)(const evla_host *h, const char *path, const char *mask, void **self);
    /* Always called after open, also after failures. */
    void (*close)(const evla_host *h, void *self);
    int64_t (*count)(const evla_host *h, void *self);
    /* The type of a field of record i. EVLA_E_MISSING, without host->fail, when it has none of that
     * name. [any thread] */
    int32_t (*type)(const evla_host *h, void *self, int64_t i, const char *field, evla_type *out);
    /* Rows [first, first + n) along the field's first axis, dense; out holds out_bytes, at least
     * what they take. [any thread] */
    int32_t (*read)(const evla_host *h, void *self, int64_t i, const char *field, int64_t first,
                    int64_t n, void *out, uint64_t out_bytes);
    /* An attribute of record i ("instruction"), or of the whole file when the record has none of
     * that name; its text is valid until close. EVLA_E_MISSING, without host->fail, when neither
     * has one. [any thread] */
    int32_t (*attr)(const evla_host *h, void *self, int64_t i, const char *name, evla_attr *out);
} evla_frames_service;

/* The service named "tokenizer": text to the numbers of its pieces (token ids), and back. */
typedef struct evla_tokenizer_info {
    uint32_t size;
    int32_t n_tokens;
    int32_t bos, eos, unk, pad; /* -1: none */
    int32_t adds_bos, adds_eos; /* 1: a whole text gets one */
    const char *method;         /* "spm", "bpe", "wordpiece" */
    const char *pre;            /* how text is cut before "bpe", by the name that model files use */
    const char *chat;           /* family of the chat template, "chatml"; NULL: none, or unknown */
} evla_tokenizer_info;

/* One message of a chat. */
typedef struct evla_message {
    const char *role; /* "system", "user", "assistant" */
    const char *text;
} evla_message;

// clang-format off
enum {
    EVLA_TOKENS_WHOLE   = 1, /* encode: the text starts a sequence and ends it: BOS and EOS as adds_* say;
                                no second BOS where EVLA_TOKENS_SPECIAL finds one at the start */
    EVLA_TOKENS_SPECIAL = 2  /* encode: names of special tokens ("<s>") in the text stand for them;
                                decode: special tokens are written by name, else they are left out */
};
// clang-format on

/* What decoding piece by piece must remember. Zero before the first piece. */
typedef struct evla_token_stream {
    uint8_t held[8]; /* bytes of a character that is not whole yet */
    int32_t n_held;
    int32_t begun;   /* a piece was decoded before: its leading blank counts */
} evla_token_stream;

/* A tokenizer does not change once it is open: any thread may use it. Results go to `out`, of which
 * `room` items may be written; *n is how many there are, also when that is more than room: then
 * nothing is refused and the caller asks again. */
typedef struct evla_tokenizer_service {
    uint32_t size;
    uint32_t reserved;
    /* From what a model file says of its tokenizer ("tokenizer.ggml.tokens", ...), borrowed until close. */
    int32_t (*open)(const evla_host *h, const evla_attr *attrs, int32_t n_attrs, void **self);
    /* From a file tokenizer.json; tokenizer_config.json and chat_template.jinja beside it are read too. */
    int32_t (*open_file)(const evla_host *h, const char *path, void **self);
    /* Always called after open, also after failures. */
    void (*close)(const evla_host *h, void *self);
    int32_t (*describe)(const evla_host *h, const void *self, evla_tokenizer_info *out);
    int32_t (*encode)(const evla_host *h, const void *self, const char *text, uint64_t bytes,
                      uint32_t flags, int32_t *out, int64_t room, int64_t *n);
    /* ids outside the vocabulary: EVLA_E_RANGE. */
    int32_t (*decode)(const evla_host *h, const void *self, const int32_t *ids, int64_t n_ids,
                      uint32_t flags, char *out, int64_t room, int64_t *n);
    /* The next piece of a text: whole characters only, so always valid UTF-8; special tokens are left
     * out. id -1 ends the text and writes what was held as U+FFFD. room: 512 is enough for all
     * vocabularies in use; when *n is more, nothing was written and *s is as before. No allocation. */
    int32_t (*stream)(const evla_host *h, const void *self, evla_token_stream *s, int32_t id,
                      char *out, int64_t room, int64_t *n);
    /* The id of a token by its text as the vocabulary has it; -1: none. */
    int32_t (*find)(const evla_host *h, const void *self, const char *piece);
    /* 1 when a generation ends with this token: EOS and its kin ("<|im_end|>", "<|eot_id|>"). */
    int32_t (*ends)(const evla_host *h, const void *self, int32_t id);
    /* Messages as the model was trained to read them, BOS included, up to where its answer begins. To
     * be encoded with EVLA_TOKENS_SPECIAL. EVLA_E_MISSING when there is no template, or one of no
     * family known. */
    int32_t (*chat)(const evla_host *h, const void *self, const evla_message *m, int32_t n_messages,
                    char *out, int64_t room, int64_t *n);
} evla_tokenizer_service;

#endif
