/*
 * MariaDB: an upgrade on its way, between maria_schema_*.c. DESIGN.md has the
 * states and what follows each. Everything here runs in one thread.
 */
#ifndef FSP_MARIA_SCHEMA_UP_H
#define FSP_MARIA_SCHEMA_UP_H

#include "fsp_meta.h"
#include "maria.h"
#include "maria_schema.h"

struct maria_up {
	const struct fsp_maria_options *o;      /* without time-outs */
	struct fsp_schema *job;
	struct maria_link *l;
	char charset[33];               /* PHP's, checked */
	int64_t batch;                  /* rows in one statement */
	int64_t lock_since_ns;          /* when the last lock was asked for */
	/* Tests: before each statement that changes something, or is only
	 * shown; non-zero ends the upgrade there, as a kill would. */
	int (*before)(void *arg, const char *sql);
	void *before_arg;
};

/* One of PHP's tables on its way into ours. */
struct maria_move {
	struct maria_up *up;
	const struct maria_table *t;
	const char *const *columns;     /* PHP's, in order */
	uint32_t have;                  /* which of them there are */
	const char *fresh, *kept, *log; /* tables beside it */
	const char *trigger;            /* its triggers' first letters */
	uint32_t bytes;                 /* which hold what PHP sees */
	char *into, *from;              /* lists for INSERT ... SELECT */
	char *same, *same_fixed;        /* o and n agree; in what PHP never
	                                   changes, too */
	char *update;                   /* on a duplicate id */
	/* what is there */
	bool done;                      /* the table is ours */
	bool has_fresh, has_kept, has_log, kept_is_mark;
	unsigned triggers;              /* bits: insert, update, delete */
};

enum { MARIA_ALL_TRIGGERS = 7 };

struct maria_trigger {
	const char *suffix, *event;
	const char *notes;              /* rows for the log */
};
extern const struct maria_trigger maria_triggers[];     /* by bit; ends NULL */

/* ---- maria_schema_up.c: statements */

/* Shows it, or does it; repeatable statements only. */
int maria_up_do(struct maria_up *u, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The same, and how many rows it changed. */
int maria_up_change(struct maria_up *u, uint64_t *rows, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * The same for one that waits until nobody uses a table, while those who come
 * wait behind it: gives up after a second each time, and lets them through.
 */
int maria_up_lock(struct maria_up *u, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* A remark in the plan. */
int maria_up_note(struct maria_up *u, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Asks; NULL is 0. */
int maria_up_number(struct maria_up *u, int64_t *v, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The only value of the only row, NULL where there is none; fresh. */
int maria_up_text(struct maria_up *u, char **v, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A sentence for the user. */
int maria_up_say(struct maria_up *u, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Why it ends: err, or -EINVAL with the sentence. Keeps the first one. */
int maria_up_fail(struct maria_up *u, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void maria_up_progress(struct maria_up *u, const char *what, uint64_t done,
                       uint64_t all);
void maria_up_locked(struct maria_up *u, int64_t since_ns);
bool maria_up_plans(const struct maria_up *u);

/* ---- maria_schema_refuse.c: what an upgrade does not touch */

/* Before anything is changed: -EINVAL with the reason. */
int maria_refuse(struct maria_up *u, const struct maria_found *f);
/* Values that would not be what PHP sees. */
int maria_refuse_values(struct maria_move *m);
/* The server lets this user make no triggers: -EINVAL with the two ways out. */
int maria_refuse_triggers(struct maria_up *u);
/* Tries what an upgrade needs on a table of its own. */
int maria_refuse_rights(struct maria_up *u);

/* ---- maria_schema_lists.c: what there is */

int maria_move_init(struct maria_move *m, struct maria_up *u, bool files);
void maria_move_free(struct maria_move *m);

/* ---- maria_schema_move.c: the rows into a new table, PHP at work */

/* From whatever is there to the end. */
int maria_move(struct maria_move *m);
/* Carries over what the triggers noted, until no more than that is left. */
int maria_move_apply(struct maria_move *m, int64_t left);
/* Ranges of ids: *hi is the end of the next; false: there are none. */
int maria_next_range(struct maria_up *u, const char *table, int64_t rows,
                     int64_t lo, int64_t *hi, bool *more);

/* ---- maria_schema_swap.c: the new table in the place of the old */

int maria_swap(struct maria_move *m);
/* What the old table had and the new one has not; then drops it. */
int maria_settle(struct maria_move *m);

/* ---- maria_schema_upgrade.c */

/* Settings of the session; an upgrade excludes another. */
int maria_schema_session(struct maria_up *u);

/* Check, plan or upgrade, as u->job says, over the connection in u. */
int maria_schema_work(struct maria_up *u);

#endif
