/*
 * rules.h -- what a guard knows before it sees anything: an arm, the things around it, and
 * the rules, read from a text and compiled to masks.
 *
 * docs/guard.md describes the text, one statement a line.
 */
#ifndef CAUSAL_RULES_H
#define CAUSAL_RULES_H

#include <stddef.h>

#include "chain.h"
#include "shape.h"

enum {
    RULES_NAME = 32,
    RULES_NODES = 64, /* a set of nodes is one word */
    RULES_SHAPES = 192,
    RULES_PARTS = 24,
    RULES_WORDS = 64,
    RULES_KEEPS = 48,
    RULES_TESTS = 32,
    RULES_IDS = 64,
    RULES_FACTS = 64,
    RULES_QUERIES = 48
};

/* Parts of the robot, as a mask; CARRIED is what it holds. */
enum { PART_ARM = 1, PART_HAND = 2, PART_FINGER = 4, PART_CARRIED = 8 };

enum { CLASS_GRIPPER, CLASS_TABLE, CLASS_FIXTURE, CLASS_LID, CLASS_OBJECT, CLASS_PLACE };
#define RULES_CLASSES "gripper table fixture lid object place"

/* Relations, from the row's node to the column's. */
enum {
    IS_CONTACT, /* gripper, object: touches */
    IS_ON,      /* object: rests on */
    IS_IN,      /* object: is in a place */
    IS_HELD,    /* gripper: holds an object */
    IS_NEAR,    /* gripper: within 12 mm of */
    IS_BLOCKED, /* place: closed by a lid, or taken by an object */
    IS_BETWEEN, /* gripper: has it between its pads */
    IS_NAMED,   /* gripper: the instruction speaks of it */
    IS_LIMIT
};
#define RULES_RELATIONS "contact on in held near blocked between named"

/* Facts that code finds out; a text adds others, asked of the relations. */
enum {
    FACT_NOT_FINITE, /* the proposed action is not finite */
    FACT_NO_ACTION,  /* none came in time */
    FACT_STALE,      /* the newest reading is older than `stale` */
    FACT_LATE,       /* ... than `late` */
    FACT_SLOW_LATE,  /* the slow path's result is older than `slow_late` */
    FACT_OPENING,    /* the action opens the fingers */
    FACT_CLOSING,    /* the action closes them */
    FACT_PRESSING,   /* the joints lag behind their commands: something is pushed */
    FACT_BLIND,      /* proprioception is missing or not finite */
    FACT_SUPPORTED,  /* what is held rests on something, or is in its place */
    FACT_BUILTIN
};

/* What the hand does while it is pushed: nothing else, carries an object, leads a lid. */
enum { PRESS_EMPTY, PRESS_CARRIES, PRESS_LEADS, PRESS_LIMIT };

enum { DO_HOLD, DO_KEEP_GRIP, DO_SLOW };

typedef struct rules_part {
    int32_t part;  /* PART_* */
    int32_t frame; /* of the chain */
    int32_t side;  /* fingers: +1 or -1 along the hand's y; else 0 */
    int32_t reserved;
    shape at; /* in that frame */
} rules_part;

typedef struct rules_node {
    char name[RULES_NAME];
    int32_t class;
    int32_t parent;   /* lid, place: the node it belongs to; -1 */
    int32_t first, n; /* shapes */
    double
        home[3]; /* fixed: in the world; lid: hinge; place: middle; in the parent's frame */
    double stands; /* m, height at which it stands, when is_standing */
    double grip,
        width; /* object: TCP above its origin, m between the pads; 0: cannot be held */
    double radius, tall; /* place: how far from the middle still counts; object: height */
    int32_t is_fixed, is_standing;
    int32_t is_sweep; /* a lid's shape: what it would hit when it falls shut */
    int32_t reserved;
} rules_node;

/* A distance that is kept, or a speed that is kept near. */
typedef struct rules_keep {
    int32_t id, parts;
    uint64_t nodes;
    double clear, clear_z; /* m, sideways and up */
    double speed;          /* m/s of approach allowed at the surface; 0: stay off */
    double off;            /* m that poses may be off: so early, and so far beside it */
    uint64_t must, must_not;
    int32_t is_unless_named;
    int32_t is_sweep;
} rules_keep;

typedef struct rules_test {
    int32_t id, what;
    double amount;
    uint64_t must, must_not;
} rules_test;

/* A fact of the text: a relation between two sets of nodes, or a lid's angle. */
typedef struct rules_query {
    int32_t fact, relation; /* relation -1: angle of the lid `from` is at least `least` */
    uint64_t from, to;
    double least;
} rules_query;

typedef struct rules_word {
    char text[RULES_NAME];
    uint64_t nodes;
} rules_word;

typedef struct rules {
    chain arm;
    double action_speed, width_max; /* rad/s and m for an action of 1 and -1 */
    double grip_speed;              /* m/s at which the fingers move */
    double servo[2]; /* 1/s^2, 1/s: stiffness and damping of a joint's servo */
    double stale, late, slow_late; /* s */
    double approach;           /* 1/s: how fast a distance may shrink towards its bound */
    double calm;               /* 0 to 1: share of a new velocity taken over near contact */
    double press[PRESS_LIMIT]; /* m the TCP's command may lead the TCP, by PRESS_* */
    double squeeze;            /* m the fingers' command may lie inside what stops them */
    double hold;               /* the same, where both pads press what is gripped */
    double joint_margin, speed_part, accel_part, box_margin;
    double box_low[3], box_high[3];
    int32_t id_joint, id_speed, id_accel, id_box, id_press, id_squeeze;
    rules_part parts[RULES_PARTS];
    rules_node nodes[RULES_NODES];
    shape shapes[RULES_SHAPES];
    rules_word words[RULES_WORDS];
    rules_keep keeps[RULES_KEEPS];
    rules_test tests[RULES_TESTS];
    rules_query queries[RULES_QUERIES];
    char ids[RULES_IDS][RULES_NAME];
    char facts[RULES_FACTS][RULES_NAME];
    int32_t n_parts, n_nodes, n_shapes, n_words, n_keeps, n_tests, n_queries, n_ids,
        n_facts;
} rules;

/* Reads a text; name is for messages. Returns 0, or -1 with a sentence in why. */
int32_t rules_read(const char *name, const char *text, rules *out, char *why,
                   size_t why_size);

/* The node of that name, -1 when there is none. */
int32_t rules_node_of(const rules *r, const char *name);

/* Which nodes a sentence speaks of. */
uint64_t rules_named(const rules *r, const char *instruction);

/* Lines, NULL at the end. */
extern const char *const rules_coffee[];

#endif
