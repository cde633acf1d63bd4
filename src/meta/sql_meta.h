/*
 * The logic over SQL: what sql_*.c share. Everything here runs inside one
 * transaction (struct txn), which belongs to one thread.
 */
#ifndef FSP_SQL_META_H
#define FSP_SQL_META_H

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "fsp_lock.h"
#include "fsp_meta.h"
#include "fsp_path.h"
#include "sqldrv.h"

#define SQL_FREE 64

/* A place that a look-up has just found free. */
struct sql_free {
	char *path;                     /* NULL: none */
	int64_t until_ns;
};

struct sql_meta {
	struct fsp_meta base;
	struct sqldrv *drv;
	struct fsp_meta_options opt;
	atomic_uint_fast64_t reads, writes, retries;
	atomic_uint unsure;             /* how many of the next places are
	                                   asked about in full at once */
	atomic_uint mixed;              /* and how many directories listed */
	atomic_bool absent;             /* where the last one was looked up
	                                   there was nothing */
	/* how many transactions were committed, and are on disk for sure */
	atomic_uint_fast64_t written, synced;
	struct fsp_mutex lock;
	uint64_t ino_next, ino_end;     /* lock: leased numbers */
	struct sql_free free[SQL_FREE]; /* lock: by a hash of the path */
	char origin[FSP_MOUNT_ID + 1];  /* of our rows in {change}: the mount
	                                   that was added, set before its use */
};

/* What a place is asked about with, from little to all: sql_quick.c. */
enum ask { ASK_FREE, ASK_QUICK, ASK_ALL };

/* The shards that a transaction needs and has; the last stands for all. */
struct claims {
	bool want[SQL_SHARDS + 1], have[SQL_SHARDS + 1];
	enum ask ask;                   /* what did not tell before is not
	                                   asked again */
};

struct txn {
	struct sql_meta *m;
	struct sqlconn *c;
	const struct fsp_ctx *ctx;
	enum sql_kind kind;
	struct claims *claims;          /* want outlives an attempt */
	unsigned statements;            /* that were begun */
	int64_t now_ns, now_us, now_s;  /* one moment for all it does */
};

/* Owns drv, also when it fails. */
int sql_meta_new(struct sqldrv *drv, const struct fsp_meta_options *o,
                 struct fsp_meta **out);

/* NULL unless m is of this implementation. */
struct sql_meta *sql_meta_of(struct fsp_meta *m);

/* ---- sql_txn.c: transactions and statements */

typedef int (*sql_fn)(struct txn *t, void *arg);

/*
 * Runs fn in a transaction, again when the database asks for that: fn must
 * set its results afresh each time. Any error of fn undoes everything.
 * SQL_ONE: as SQL_READ, from the beginning, when a second statement is needed.
 */
int sql_txn(struct fsp_meta *m, const struct fsp_ctx *ctx, enum sql_kind kind,
            sql_fn fn, void *arg);

/*
 * Parameters by letter: t text (NULL is NULL), b the bytes of a struct fsp_buf,
 * i int64_t, z int64_t where 0 is NULL, I an array of FSP_DELEG_MOST of them, T
 * one of FSP_LIST_MANY texts (b and T where the answer is waited for only).
 */
int sql_start(struct txn *t, struct sqlstmt **out, const char *text,
              const char *types, ...);
/*
 * With out NULL a statement is only asked ahead: it will be, with the same
 * values, and then its answer may be there. For writers, after their claims.
 */
int sql_next(struct sqlstmt *s);        /* 1 a row, 0 the end, -errno */
void sql_end(struct sqlstmt **s);
#define SQL_STMT __attribute__((cleanup(sql_end)))

/* All of a statement without rows. */
int sql_run(struct txn *t, const char *text, const char *types, ...);
/* The same, but it may wait for what follows, and so may its error. */
int sql_later(struct txn *t, const char *text, const char *types, ...);
/* The number of the insert that sql_later() was given last: {last} in the next
 * statement, and in *id when the transaction has been committed; -1 there when
 * the answer to the COMMIT was lost. */
int sql_last(struct txn *t, int64_t *id);
/* Ends the waiting; then the last insert's number in *id, where not NULL. */
int sql_now(struct txn *t, int64_t *id);
/* The integer of the only row; NULL and no row give 0. v NULL: ahead. */
int sql_number(struct txn *t, int64_t *v, const char *text, const char *types,
               ...);

/* Columns. A string is valid until the next row; NULL for anything else than
 * text without NUL bytes. */
const char *sql_str(struct sqlstmt *s, int col);
/* Any bytes; NULL for NULL. Likewise. */
const void *sql_bytes(struct sqlstmt *s, int col, size_t *len);
bool sql_int(struct sqlstmt *s, int col, int64_t *v);   /* false: no integer */
int64_t sql_int_or(struct sqlstmt *s, int col, int64_t other);
bool sql_null(struct sqlstmt *s, int col);

/* Errors within: run it again at once. */
#define SQL_AGAIN (-ERESTART)

/* ---- sql_change.c: for whoever may know what was there */

struct key;
/* named: the name came, went, or means another inode now. */
int sql_changed(struct txn *t, const struct key *k, uint64_t ino, bool named);
int sql_changed_at(struct txn *t, const struct fsp_place *at, uint64_t ino);

/* ---- sql_claim.c: what excludes other writers */

/*
 * Notes what is needed: a container, the locks of an inode, everything. Then
 * sql_claim() takes it, at the beginning of a transaction; later it says
 * SQL_AGAIN unless all is held already. Without effect where writers exclude
 * each other.
 */
void sql_want(struct txn *t, const char *space);
void sql_want_ino(struct txn *t, uint64_t ino);
void sql_want_all(struct txn *t);
int sql_want_dir(struct txn *t, const char *path);      /* as a container */
int sql_claim(struct txn *t);
int sql_claim_space(struct txn *t, const char *space);
int sql_claim_ino(struct txn *t, uint64_t ino);
/* Where the path of ref is, to begin with. */
int sql_want_ref(struct txn *t, const struct fsp_ref *ref);
int sql_claim_ref(struct txn *t, const struct fsp_ref *ref);

/* ---- pieces of SQL; `a` is the alias with its dot */

/* The name that lives at a place. */
#define AT_PLACE "{at n}"

/* Of rows of files, and of spaces. */
#define LIVE(a) "{live " a "deleted_at}"
#define SPACE_LIVE(a) "(" a "deleted_at IS NULL OR " a "deleted_at = 0)"
#define PHP_LIVE(a) a "ino IS NULL AND " LIVE(a)
#define ROW_COLS_OF(a) \
	a "id, " a "data_hash, " a "size_original, " a "created_at, " \
	a "deleted_at, " a "ino, " a "mode, " a "uid, " a "gid, " \
	a "mtime_ns, " a "stored_at, " a "since_us, " a "closed_us, " \
	a "pred_id"
#define ROW_COLS ROW_COLS_OF("f.")
#define ROW_N 14
/* ... as a struct row_cols, from col on. */
#define ROW_AT(col) \
	{ (col), (col) + 1, (col) + 2, (col) + 3, (col) + 4, (col) + 5, \
	  (col) + 6, (col) + 7, (col) + 8, (col) + 9, (col) + 10, (col) + 11, \
	  (col) + 12, (col) + 13 }
#define NODE_COLS \
	"d.mode, d.uid, d.gid, d.nlink, d.rdev, d.target, d.atime_ns," \
	" d.mtime_ns, d.ctime_ns"
#define NODE_N 9
/* Of several live rows for a key f is the one that is the file. */
#define IS_FILE \
	LIVE("f.") " AND NOT EXISTS (SELECT 1 FROM {file} y WHERE" \
	" {eq y.space_key f.space_key} AND {eq y.file_key f.file_key} AND " \
	LIVE("y.") " AND (COALESCE(y.created_at, -4611686018427387904) >" \
	" COALESCE(f.created_at, -4611686018427387904) OR (y.id > f.id AND" \
	" COALESCE(y.created_at, -4611686018427387904) =" \
	" COALESCE(f.created_at, -4611686018427387904))))"
/* It is the row under a key; what it is compared with comes after a blank,
 * "" is a parameter. */
#define FILE_AT(space, key) \
	"{eq f.space_key" space "} AND {eq f.file_key" key "} AND " IS_FILE
/* The oldest row of PHP with the key of f. */
#define OLDEST_ID \
	"(SELECT MIN(p.id) FROM {file} p WHERE {eq p.space_key f.space_key}" \
	" AND {eq p.file_key f.file_key} AND p.ino IS NULL)"
/* The file_key of a name. */
#define NAME_KEY(a) \
	"CASE WHEN " a "dir_key = '' THEN " a "name ELSE " a "dir_key" \
	" || '/' || " a "name END"

/* Rows of PHP that make a directory, in a space or below a key of one. */
#define FILES_IN(where) \
	"EXISTS (SELECT 1 FROM {file} b WHERE " where " AND " \
	PHP_LIVE("b.") ")"
#define BELOW "{eq b.space_key} AND {from b.file_key} AND {below b.file_key}"

/* ---- sql_row.c: rows and nodes in memory */

#define NO_TIME INT64_MIN

struct row {
	int64_t id;
	char hash[FSP_HASH_MAX + 1];
	uint64_t size;
	int64_t created_at;
	bool live;
	uint64_t ino;                   /* 0: PHP's */
	int64_t mode, uid, gid;         /* -1: unset */
	int64_t mtime_ns;               /* never NO_TIME, created_at if unset */
	int64_t stored_us;              /* the same */
	int64_t since_us, closed_us;    /* closed 0: live */
	int64_t pred_id;                /* 0: none */
};

struct node {
	uint32_t mode, uid, gid, nlink;
	uint64_t rdev, size;            /* rdev: of a directory its holder, as
	                                   int64_t; size: of a symlink's
	                                   target */
	int64_t atime_ns, mtime_ns, ctime_ns;
};

/* Where a statement has the columns of a row; -1: it has not, as if NULL. */
struct row_cols {
	int8_t id, hash, size, created, deleted, ino, mode, uid, gid, mtime,
		stored, since, closed, pred;
};
/* From ROW_COLS at col: 0, -ENOENT where the join found none, -EIO (logged)
 * for a row that cannot be. */
int sql_row_read(struct sqlstmt *s, int col, struct row *r);
/* The same, from wherever they are. */
int sql_row_read_at(struct sqlstmt *s, const struct row_cols *at,
                    struct row *r);
int sql_node_read(struct sqlstmt *s, int col, int64_t ino, struct node *n);

void sql_node_file(const struct sql_meta *m, const struct row *r,
                   struct node *n);
void sql_node_dir(const struct sql_meta *m, int64_t time_ns, struct node *n);
int64_t sql_us_to_ns(int64_t us);
int64_t sql_sec_to_us(int64_t sec);

/* ---- sql_key.c: places */

/* An entry as the tables name it. path "" is the root, which has none. */
struct key {
	char *path;
	char *space, *dir, *name;       /* of fsp_name */
	char *file;                     /* file_key */
	int depth;                      /* components of path */
};
#define KEY __attribute__((cleanup(sql_key_free)))

int sql_key(const char *dir, const char *name, struct key *k);
int sql_key_of_path(const char *path, struct key *k);
int sql_key_of_row(const char *space, const char *file_key, struct key *k);
int sql_key_copy(const struct key *from, struct key *k);
void sql_key_free(struct key *k);

/* What is below a directory: its own container, and the keys under it. */
struct tree {
	int depth;
	char *path;
	struct fsp_dirkey k;
	char *lo, *hi;  /* lo <= key < hi: of spaces above a record, or of
	                 * file keys (dir keys, too) in k.space */
};
#define TREE __attribute__((cleanup(sql_tree_free)))

bool sql_tree_spaces(const struct tree *t);
int sql_tree(const char *path, struct tree *t);
void sql_tree_free(struct tree *t);

/* ---- sql_find.c: what is at a place, or has a number */

enum how { BY_NAME, BY_ROW, BY_IMPLICIT };

struct ent {
	struct key key;
	enum how how;
	int64_t name_id, file_id;       /* BY_NAME; file_id 0: none */
	char *owner;
	/* a name here that has ended or is hidden; 0: none */
	int64_t dead_id;
	uint64_t dead_ino;
	bool hidden;
	uint64_t ino;
	int64_t since_us;               /* BY_IMPLICIT: there since then */
	struct node node;
	bool has_row;
	struct row row;                 /* the live row */
	int64_t locked;                 /* the last of its live rows, when they
	                                 * were locked; 0: not yet */
	bool alone;                     /* then there was no other one */
	bool dead_inside;               /* a directory that was found empty has
	                                 * names whose files are gone */
	bool spaced;                    /* its space is known to have a row */
	int64_t past;                   /* moved: oldest, at its new place */
	int64_t oldest;                 /* of its rows that PHP wrote and nobody
	                                 * has adopted; 0: none */
};
#define ENT __attribute__((cleanup(sql_ent_free)))

void sql_ent_free(struct ent *e);
bool sql_is_dir(const struct ent *e);
bool sql_is_file(const struct ent *e);
void sql_fill(const struct ent *e, struct fsp_entry *out);
/* A row as a file of its own; oldest gives the number that PHP's have. */
void sql_fill_row(const struct sql_meta *m, const struct row *r,
                  int64_t oldest, struct fsp_entry *out);

/* -ENOENT leaves the key and dead_id in e. */
int sql_find(struct txn *t, const char *dir, const char *name, struct ent *e);
/* What is no directory, with its row, which is locked as by sql_lock_rows(): 1, or 0 when that
 * does not tell; and the question of it. */
int sql_find_locked(struct txn *t, const char *dir, const char *name,
                    struct ent *e);
int sql_ahead_locked(struct txn *t, const char *dir, const char *name);
/* The same as sql_find(), for a place that should be free. */
int sql_find_new(struct txn *t, const char *dir, const char *name,
                 struct ent *e);
int sql_find_path(struct txn *t, const char *path, struct ent *e);
/* -ENOTDIR for anything else than a directory. */
int sql_find_dir(struct txn *t, const char *path, struct ent *e);

/*
 * sql_quick.c: with less work for the server, from e->key: as sql_find(), or 1
 * when that does not tell.
 */
int sql_find_quick(struct txn *t, struct ent *e);
/* Is there nothing? -ENOENT, or 1 when there may be something. */
int sql_find_free(struct txn *t, struct ent *e);
/*
 * Has a look-up found it free just now? Once: who is refused after all asks.
 * A name that has come since is refused by the index.
 */
bool sql_was_free(struct txn *t, const char *path);
void sql_free_end(struct sql_meta *m);
/*
 * Is there a point in asking with less work first? *unsure: how often that is
 * left out, after it did not tell. Then: 1, or SQL_AGAIN where it was the only
 * statement of a call, which asks for all now.
 */
bool sql_quick_is_worth(const struct txn *t, atomic_uint *unsure);
int sql_quick_failed(struct txn *t, atomic_uint *unsure);
/* A directory that has a name: 1, 0 when it has none. Sets e->key. */
int sql_named_dir(struct txn *t, const char *path, struct ent *e);
/* The directory of a number, that has a name: likewise. */
int sql_dir_of_ino(struct txn *t, uint64_t ino, struct ent *e);
int sql_ahead_dir_of_ino(struct txn *t, uint64_t ino);
/* sql_find_dir(), and sql_find() or sql_find_new(), will be asked. */
int sql_ahead_dir(struct txn *t, const char *path);
int sql_ahead_root(struct txn *t);
int sql_ahead_place(struct txn *t, const char *dir, const char *name,
                    bool is_new);

struct ents {
	struct ent *v;
	size_t n, cap;
};
#define ENTS __attribute__((cleanup(sql_ents_free)))

void sql_ents_free(struct ents *l);
struct ent *sql_ents_add(struct ents *l);
/* Reads the rest of a statement over NAMES_SQL, dead names, too. */
#define NAMES_SQL(where) "SELECT " NAMES_COLS NAMES_FROM " WHERE " where
#define NAMES_COLS \
	"n.id, n.ino, n.file_id, n.owner, " NODE_COLS ", " ROW_COLS \
	", n.space_key, n.dir_key, n.name"
#define FOUND_N (4 + NODE_N + ROW_N)    /* columns of sql_read_found() */
#define NAMES_N (FOUND_N + 3)
#define NAMES_FROM \
	" FROM {name} n JOIN {node} d ON d.ino = n.ino LEFT JOIN {file} f{by_key} ON " \
	FILE_AT(" n.space_key", " " NAME_KEY("n."))
int sql_read_names(struct sqlstmt *s, struct ents *l);
/* The row that a statement is at, as an entry; and without its place, of which
 * row and name may be missing. */
int sql_read_ent(struct sqlstmt *s, struct ent *e);
int sql_read_found(struct sqlstmt *s, struct ent *e);
/* Asks for the names in a directory; st NULL: ahead. */
int sql_start_names(struct txn *t, struct sqlstmt **st,
                    const struct tree *tree);
/* Appends the next: 1, 0 at the end; *bad: it cannot be read, logged. */
int sql_next_name(struct sqlstmt *s, struct ents *l, bool *bad);
/* One at a time: a directory may have very many. NULL for one that cannot be
 * read. What is not 0 ends it and comes back. */
int sql_each_name(struct sqlstmt *s, int (*each)(void *arg, const struct ent *e),
                  void *arg);
/* Its row is PHP's, which wrote over what the name says: the times are, too. */
void sql_written_over(struct ent *e);
/* A name of a regular file whose row PHP closed. */
bool sql_is_dead(const struct ent *e);

/* The living names of an inode. */
int sql_names_of(struct txn *t, uint64_t ino, struct ents *l);
/* The same for a writer, who may know the only one by its path. */
int sql_names_of_ref(struct txn *t, const struct fsp_ref *ref, struct ents *l);
/* What that will ask first. */
int sql_ahead_ref(struct txn *t, const struct fsp_ref *ref);
int sql_resolve(struct txn *t, const struct fsp_ref *ref, struct ent *e);
/* The file that is at its path: else -ESTALE. A reader's. */
int sql_resolve_at(struct txn *t, const struct fsp_ref *ref, struct ent *e);

/* ---- sql_implied.c: directories that are there because of what is below */

/* Of the row that shows it: the time of the file, and since when it is. */
struct implied {
	int64_t time_ns, since_us;
};
/* 1 when rows make the directory (at a time, or now with NO_TIME), 0 when
 * not. own: its own filespace row counts, too. */
int sql_implied(struct txn *t, const char *path, int64_t at_us, bool own,
                struct implied *out);
/* ... will be asked, as of now and without its own row. */
int sql_ahead_implied(struct txn *t, const char *path);
int sql_implicit_ino(struct txn *t, const char *path, uint64_t *ino);
/* The number of a round; the first whose number has no node counts. */
uint64_t sql_path_ino(const char *path, uint64_t round);

/* ---- sql_scan.c: ranges of rows with skipping */

/* Which rows count: live ones of PHP alone, those valid at a time, all. */
enum which { ROWS_PHP, ROWS_AT, ROWS_ALL };

/*
 * Rows of files: space_key, file_key, the oldest id that PHP's inode number
 * comes from, ROW_COLS; ordered by key. A legacy store gives closed rows, too,
 * for ROWS_PHP in a space: it has no index to find the oldest otherwise. Rows
 * of spaces: space_key, created_at, deleted_at; ordered by key.
 *
 * A row may come twice. Rows of one key come together, but those of very long
 * keys (SQL_HEAD) may come between each other.
 */
struct scan {
	enum which which;
	bool spaces;            /* those of spaces */
	const char *space;      /* files in this one; NULL: over spaces */
	const char *lo, *hi;    /* of file keys in space, else of space keys */
	int64_t at;             /* ROWS_AT */
	/* 0 goes on, 1 ends, -errno. *seek (fresh): goes on from that key. */
	int (*row)(void *arg, struct sqlstmt *s, char **seek);
	void *arg;
};
#define SCAN_ROW 3              /* the first of ROW_COLS */
int sql_scan(struct txn *t, const struct scan *s);
/* The first page of it will be asked for. */
int sql_ahead_scan(struct txn *t, const struct scan *s);
/* The file rows of a directory and all below it; sets the range of s, which
 * afterwards is that of the spaces below. */
int sql_scan_below(struct txn *t, const struct tree *tree, struct scan *s);

/* ---- sql_places.c: where a path's past is */

struct span {
	int64_t from, to;       /* from <= t < to */
};
struct place {
	char *path;
	struct span *v;
	size_t n, cap;
};
struct places {
	struct place *v;
	size_t n, cap;
};
#define PLACES __attribute__((cleanup(sql_places_free)))

/*
 * The path itself comes first, with all of its time; then what it was while it,
 * or directories above it, had other names.
 */
int sql_places(struct txn *t, const char *path, struct places *out);
void sql_places_free(struct places *l);
/* Was this (closed 0: to this day) there while the place was ours? NULL: any
 * time is. */
bool sql_place_had(const struct place *p, int64_t since, int64_t closed);

/* ---- sql_set.c: the entries of a directory by name */

struct item {
	char *name;
	bool implicit;          /* a directory without name */
	bool file;              /* rows have exactly this key */
	uint64_t seen;          /* rows below, for skipping */
	int64_t rank, id, oldest;       /* file: of its rows */
	struct fsp_entry e;
};
struct set {
	struct item *v;
	size_t n, cap;
	size_t most;            /* no more are taken; 0: any number */
	bool full;              /* there are more */
	uint32_t *slot;
	size_t slots;
};
#define SET __attribute__((cleanup(sql_set_free)))

void sql_set_free(struct set *s);
struct item *sql_set_find(const struct set *s, const char *name);
/* By what the greatest of several rows is the file: rank, then number. */
bool sql_beats(int64_t rank_a, int64_t a, int64_t rank_b, int64_t b);
/* For one more than these n? Else it is full. */
bool sql_set_room(struct set *s, size_t n);
/* Finds or adds (*fresh says which); NULL without memory, or full. */
struct item *sql_set_get(struct set *s, const char *name, bool *fresh);
/* One that cannot be there yet, in a set where nobody looks for any: all are
 * added like this. NULL as above. */
struct item *sql_set_add(struct set *s, const char *name);
int sql_set_each(const struct set *s, fsp_meta_each each, void *arg);

/* ---- sql_collect.c */

struct collect {
	struct txn *t;
	const struct tree *tree;
	enum which which;
	const struct place *within;
	struct set *set;
	struct {
		int space, key, oldest;
		struct row_cols row;
	} cols;                 /* where a statement has what a scan gives */
	char *file;             /* the key whose rows are being read */
	bool live;
	struct row best;        /* of them */
	int64_t oldest;
	uint64_t rows;
};
/* A row in the directory's space, as scan's callback; and the last one. */
int sql_collect_row(struct collect *c, struct sqlstmt *s, char **seek);
int sql_collect_end(struct collect *c);
/* A row in a space below it, and such a space, its time in `oldest`; live. */
int sql_collect_far(struct collect *c, struct sqlstmt *s, char **seek);
int sql_collect_space(struct collect *c, struct sqlstmt *s, char **seek);

/* Adds what rows alone say is in a directory. ROWS_ALL: deleted ones too, of
 * the times of a place. */
int sql_collect(struct txn *t, const struct tree *tree, enum which which,
                int64_t at_us, const struct place *within, struct set *set);

/* ---- sql_list.c */

int sql_list_live(struct txn *t, const char *dir, struct set *set);
/* For struct sqldrv. */
const char *const *sql_list_warm(bool legacy);
/* Gives directories that only rows make their numbers; ended: those that have a
 * name today are none of them. */
int sql_number_dirs(struct txn *t, const struct tree *tree, bool ended,
                    struct set *set);

/* ---- sql_write.c: the steps that changes are made of */

/* The directory that a place means, adopted; -ESTALE -ENOENT -ENOTDIR. */
int sql_parent(struct txn *t, const struct fsp_place *at, struct ent *dir);
int sql_touch(struct txn *t, uint64_t dir_ino);
int sql_touch_at(struct txn *t, uint64_t dir_ino, int64_t time_ns);
int sql_has_node(struct txn *t, uint64_t ino);          /* 1 yes, 0 no */
int sql_put_node(struct txn *t, uint64_t ino, const struct node *n,
                 const char *target);
/* ROW_LAST: the row that was inserted just before. */
#define ROW_LAST (-1)
int sql_put_name(struct txn *t, const struct key *k, uint64_t ino,
                 int64_t file_id, const char *owner, int64_t since_us);
/*
 * PHP waits where a row is locked. It locks the rows of a key by their index,
 * and so must we before anything else of them is touched, or the database ends
 * PHP's statement as a deadlock. -EDEADLK: they are not what was read.
 */
int sql_lock_rows(struct txn *t, struct ent *e);
int sql_ahead_lock(struct txn *t, const char *dir, const char *name);
int sql_ahead_lock_key(struct txn *t, const struct key *k);
/* Closes the live rows of a file but keep (0 = none). What PHP inserts in this
 * very moment comes after. */
int sql_close_rows(struct txn *t, struct ent *e, int64_t keep);
/* Takes one link off; a node of a regular file goes with its last. */
int sql_unlink_node(struct txn *t, uint64_t ino, bool file);
/* The node of a regular file whose only name has ended, in a container that is
 * claimed: nobody can have linked it. */
int sql_drop_node(struct txn *t, uint64_t ino);
/* Removes the name that has ended or is hidden at a place. */
int sql_bury(struct txn *t, struct ent *e);
/* The filespace row of a space. */
int sql_ensure_space(struct txn *t, const char *space);
/* ... that a new directory needs, whose place was free. */
int sql_new_record(struct txn *t, const struct key *k);
/* ... that a new entry needs. */
int sql_space_for(struct txn *t, const struct key *k, bool is_dir);

/* ---- sql_adopt.c */

/* Afterwards e is BY_NAME, with one live row of ours where it has any. */
int sql_adopt(struct txn *t, struct ent *e);
/*
 * A name for a directory that only rows make, and for a file that is PHP's row,
 * with the inode that e says and in a container that is claimed.
 */
int sql_name_dir(struct txn *t, struct ent *e);
int sql_name_file(struct txn *t, struct ent *e);
/* A row like another under a new key, its successor. NULL or *copy: sql_last()
 * says it. */
int sql_copy_row(struct txn *t, int64_t id, const struct key *k,
                 int64_t *copy);
/* Rows that PHP left under a key before anything new begins there; the oldest
 * of them, 0: there are none, and NULL: it will be asked. */
int sql_adopt_past(struct txn *t, const struct key *k);
int sql_oldest_past(struct txn *t, const struct key *k, int64_t *oldest);
int sql_ahead_past(struct txn *t, const char *dir, const char *name);
/* The names of what ref means, adopted; -ESTALE. */
int sql_resolve_all(struct txn *t, const struct fsp_ref *ref, struct ents *l);

/* ---- sql_asof.c */

/* Was there a directory at that time? -ENOENT -ENOTDIR */
int sql_check_dir_at(struct txn *t, const char *path, int64_t at);

/* ---- sql_remove.c */

int sql_is_empty(struct txn *t, struct ent *dir);       /* 1 yes, 0 no */
/* Ends an adopted entry; a directory must have been found empty. */
int sql_end_entry(struct txn *t, struct ent *e);
/* Closes the name of anything but a regular file. */
int sql_end_name(struct txn *t, int64_t name_id);

/* ---- sql_create.c */

/* The node and the name of an entry whose place is free, pending where it is a
 * file; owner: whose name that is. */
int sql_put_new(struct txn *t, const struct ent *e, const char *target,
                const char *owner);

/* ---- sql_commit.c */

bool sql_is_object(const struct fsp_object *o);
/* A live row, which follows the one that e has, if any; the name does not say
 * it yet. stored: of sql_stored_size(). *id: as sql_last() says it. */
int sql_put_row(struct txn *t, const struct fsp_object *o, int64_t stored,
                struct ent *e, int64_t since_us, int64_t stored_us,
                int64_t *id);
/* An adopted name gets this content, in the place of what it has. step_us: as
 * of sql_is_step(). *id: as above; as it was, where there is no new row. */
int sql_commit_name(struct txn *t, const struct fsp_object *o, struct ent *e,
                    int64_t step_us, int64_t *id);

/* Of an object that nobody has verified: what its other rows say. */
int sql_stored_size(struct txn *t, const struct fsp_object *o, int64_t *out);

/* ---- sql_queued.c */

/*
 * Its base is not what is live. 1: nothing is left to be done, *c->queued says
 * why; 0: it is to be merged with what is live, or to replace it.
 */
int sql_commit_queued(struct txn *t, const struct fsp_commit *c,
                      struct ents *l, const struct ent *live);

/* ---- sql_thin.c */

enum step {
	STEP_NONE,              /* a version that stays */
	STEP_SAME,              /* of the same writing as its successor */
	STEP_LOOP               /* of a loop that makes many */
};
/* Does the live row give way to a successor that comes now? step_us: when what
 * the same open file has committed before was stored, or NO_TIME. */
int sql_is_step(struct txn *t, const struct ent *e, int64_t step_us,
                enum step *step);
/* Deletes such a row, of a loop's with those that it had under names before;
 * what followed it follows *pred then, as its successor is to. */
int sql_drop_step(struct txn *t, const struct row *r, enum step step,
                  int64_t *pred);
/* A row was renamed over another one: `old` was there and is a step, `from` is
 * what was closed under the name before, `row` the id of its successor. */
int sql_thin_replaced(struct txn *t, const struct row *old, enum step step,
                      const struct row *from, int64_t row);

/* ---- sql_setattr.c */

void sql_apply(struct txn *t, uint32_t mask, const struct fsp_attr *a,
               struct node *n);
int sql_save_node(struct txn *t, uint64_t ino, const struct node *n);
/* The row of e gets what its node says. */
int sql_save_row(struct txn *t, const struct ent *e);
int64_t sql_created_at(int64_t mtime_ns);       /* as the column has it */

/* ---- sql_object.c */

int sql_put_object(struct txn *t, const struct fsp_object *o);
/* The same with a commit: it may be known. */
int sql_note_object(struct txn *t, const struct fsp_object *o);

/* ---- sql_ino.c */

int sql_new_ino(struct fsp_meta *m, const struct fsp_ctx *ctx, uint64_t *ino);

/* ---- sql_move.c */

/* An entry on its way: its names and those below, and filespace rows. */
struct move {
	char *from;             /* its path */
	struct ents l;          /* the entry itself comes first */
	struct moved_space {
		int64_t id;
		char *path, *name;
	} *space;
	size_t n, cap;
};
#define MOVE __attribute__((cleanup(sql_move_free)))

void sql_move_free(struct move *mv);
/* How many entries are below a directory; beyond max only that it is more. */
int sql_count_below(struct txn *t, const char *path, int64_t max, int64_t *n);
/* Adopts an entry with everything below it; takes e. */
int sql_take(struct txn *t, struct ent *e, struct move *mv);
/* Ends all its names and rows ... */
int sql_detach(struct txn *t, struct move *mv);
/* What is at the place that they will have: before anything is changed. */
int sql_look_at_target(struct txn *t, struct move *mv, const char *to);
/* ... and begins them again at another path. *row: the entry's new row, where
 * it has one, as sql_last() says it. */
int sql_attach(struct txn *t, struct move *mv, const char *to, int64_t *row);

/* ---- the calls of fsp_meta_ops, by file */

int sql_lookup(struct fsp_meta *m, const struct fsp_ctx *ctx, const char *dir,
               const char *name, bool known, struct fsp_entry *out);
int sql_getattr(struct fsp_meta *m, const struct fsp_ctx *ctx,
                const struct fsp_ref *ref, struct fsp_entry *out);
int sql_getattr_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                   const struct fsp_ref *ref, struct fsp_entry *out);
int sql_readlink(struct fsp_meta *m, const struct fsp_ctx *ctx, uint64_t ino,
                 char **target);
int sql_list_many(struct fsp_meta *m, const struct fsp_ctx *ctx,
                  struct fsp_listing *l, size_t n, size_t most);
int sql_list(struct fsp_meta *m, const struct fsp_ctx *ctx, const char *dir,
             size_t most, fsp_meta_each each, void *arg);
int sql_create(struct fsp_meta *m, const struct fsp_ctx *ctx,
               const struct fsp_place *at, const struct fsp_new *what,
               struct fsp_entry *out);
int sql_setattr(struct fsp_meta *m, const struct fsp_ctx *ctx,
                const struct fsp_ref *ref, uint32_t mask,
                const struct fsp_attr *attr, struct fsp_entry *out);
int sql_setattr_many(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     struct fsp_setattr *v, size_t n);
int sql_commit(struct fsp_meta *m, const struct fsp_ctx *ctx,
               const struct fsp_commit *c, struct fsp_entry *out);
int sql_remove(struct fsp_meta *m, const struct fsp_ctx *ctx,
               const struct fsp_place *at, bool dir, struct fsp_entry *out);
int sql_link(struct fsp_meta *m, const struct fsp_ctx *ctx,
             const struct fsp_ref *ref, const struct fsp_place *to,
             struct fsp_entry *out);
int sql_rename(struct fsp_meta *m, const struct fsp_ctx *ctx,
               const struct fsp_place *from, const struct fsp_place *to,
               uint32_t flags, struct fsp_renamed *out);
int sql_sync(struct fsp_meta *m, const struct fsp_ctx *ctx);
int sql_object_find(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    const char *sha256, const char *sha1, uint64_t size,
                    struct fsp_object *out);
int sql_object_get(struct fsp_meta *m, const struct fsp_ctx *ctx,
                   const char *key, struct fsp_object *out);
int sql_object_blocks(struct fsp_meta *m, const struct fsp_ctx *ctx,
                      const char *key, struct fsp_object *out,
                      struct fsp_buf *blocks);
int sql_object_put(struct fsp_meta *m, const struct fsp_ctx *ctx,
                   const struct fsp_object *o);
int sql_object_each(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    int (*each)(void *arg, const char *key, uint64_t size),
                    void *arg);
int sql_object_rows(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    const char *key,
                    int (*each)(void *arg, int64_t row, const char *path),
                    void *arg);
int sql_history(struct fsp_meta *m, const struct fsp_ctx *ctx,
                const char *path, fsp_meta_version each, void *arg);
int sql_past_names(struct fsp_meta *m, const struct fsp_ctx *ctx,
                   const char *dir,
                   int (*each)(void *arg, const char *name,
                               enum fsp_past kind), void *arg);
int sql_dir_ended(struct fsp_meta *m, const struct fsp_ctx *ctx,
                  const char *path, int64_t *at_us, char **was);
int sql_list_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                const char *dir, int64_t at_us, fsp_meta_each each,
                void *arg);
int sql_lookup_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                  const char *dir, const char *name, int64_t at_us,
                  struct fsp_entry *out);
int sql_xattr_get(struct fsp_meta *m, const struct fsp_ctx *ctx, uint64_t ino,
                  const char *name, struct fsp_buf *out);
int sql_xattr_list(struct fsp_meta *m, const struct fsp_ctx *ctx, uint64_t ino,
                   int (*each)(void *arg, const char *name), void *arg);
int sql_xattr_set(struct fsp_meta *m, const struct fsp_ctx *ctx,
                  const struct fsp_ref *ref, const char *name,
                  const void *value, size_t len, int flags);
int sql_xattr_remove(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const struct fsp_ref *ref, const char *name);
int sql_lock_set(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const struct fsp_flock *l, struct fsp_flock *conflict);
int sql_lock_get(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const struct fsp_flock *l, struct fsp_flock *conflict);
int sql_path_at(struct fsp_meta *m, const struct fsp_ctx *ctx,
                const struct fsp_ref *ref, int64_t at_us, char **path);
int sql_info_get(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const char *name, struct fsp_buf *out);
int sql_info_set(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 const char *name, const char *value);
int sql_counts(struct fsp_meta *m, const struct fsp_ctx *ctx, bool implied,
               struct fsp_counts *out);
int sql_accounts(struct fsp_meta *m, const struct fsp_ctx *ctx,
                 int (*each)(void *arg, const struct fsp_account *a),
                 void *arg);
int sql_mount_add(struct fsp_meta *m, const struct fsp_ctx *ctx,
                  const struct fsp_mountinfo *i);
int sql_mount_remove(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const char *id);
int sql_changes(struct fsp_meta *m, const struct fsp_ctx *ctx,
                struct fsp_feed **feed, fsp_meta_change each, void *arg);
int sql_changes_purge(struct fsp_meta *m, const struct fsp_ctx *ctx,
                      struct fsp_feed *f);
int sql_lease_renew(struct fsp_meta *m, const struct fsp_ctx *ctx,
                    const char *mount, int64_t started_us, int64_t lease_ns);
int sql_lease_revoke(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     const char *mount, int64_t lease_us);
/* -ENOLCK when not. The mount's shard, sql_want(mount), is claimed. */
int sql_lease_holds(struct txn *t, const char *mount, int64_t started_us);
int sql_graft(struct fsp_meta *m, const struct fsp_ctx *ctx,
              const struct fsp_graft *what);
int sql_deleg_poll(struct fsp_meta *m, const struct fsp_ctx *ctx,
                   int64_t holder, const struct fsp_ref *dir,
                   enum fsp_deleg *out);
int sql_deleg_release(struct fsp_meta *m, const struct fsp_ctx *ctx,
                      int64_t holder, const uint64_t *inos, size_t n);
int sql_deleg_recall(struct fsp_meta *m, const struct fsp_ctx *ctx,
                     uint64_t ino, bool force);
int sql_mount_each(struct fsp_meta *m, const struct fsp_ctx *ctx,
                   int (*each)(void *arg, const struct fsp_mountinfo *i),
                   void *arg);

#endif
