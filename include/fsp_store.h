/*
 * A store: its settings, rows, objects and the pipeline between content and
 * object. Opened by the wiring (src/main_wire.c), used by vfs and admin.
 * Immutable once open, so any thread may use it.
 */
#ifndef FSP_STORE_H
#define FSP_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fsp_codec.h"
#include "fsp_meta.h"
#include "fsp_objstore.h"

struct fsp_blocks;
struct fsp_buf;
struct fsp_cache_source;
struct fsp_config;
struct fsp_ctx;
struct fsp_health;

struct fsp_store {
	struct fsp_config *config;      /* owned, as all of these */
	struct fsp_meta *meta;
	struct fsp_objstore *objects;   /* the outermost decorator is counting */
	struct fsp_health *health;      /* FSP_PART_* */
	struct fsp_keys keys;
	enum fsp_format format;         /* of new objects */
	int level;                      /* of its compression */
	bool sampling;                  /* what hardly compresses is stored */
	bool sha1_names;                /* new content is named by SHA-1 */
	bool read_only;
	bool read_hosts;                /* what may be late is asked, too */
	struct fsp_damage *damage;      /* NULL: nobody keeps account */
	struct fsp_seen *seen;          /* NULL: nothing is remembered */
	char *made_in;                  /* the directory, where it was made by
	                                   this very opening; NULL */
	bool made_dir;                  /* which was not there before */
};

/* The parts of `health`. */
#define FSP_PART_DATABASE "database"
#define FSP_PART_OBJECTS "objects"
#define FSP_PART_SPOOL "spool"
#define FSP_PART_CONTENT "content"      /* what is read of the objects */

/* Empty, in memory that is fit for keys; the wiring fills it. */
struct fsp_store *fsp_store_new(void);
void fsp_store_close(struct fsp_store *s);

/* Keeps account of objects that are found damaged, for FSP_PART_CONTENT. */
int fsp_store_watch(struct fsp_store *s);

/*
 * An object that was there counts as there, and what is recorded of it as
 * recorded, for that long; 0: never. Who removes objects that no row names has
 * to wait for longer between the record and the object.
 */
int fsp_store_remember(struct fsp_store *s, int64_t for_ns);

/* Reads [off, off + len) of the content: count, short only at the end. */
typedef ssize_t (*fsp_source)(void *arg, void *buf, size_t len, uint64_t off);

/*
 * The beginning of a content that is encoded while the rest is still being
 * written, in order, into a file: what a put has left to do is the rest. One
 * thread at a time.
 */
struct fsp_early;
/*
 * fd is empty and stays the caller's; sample is how the content begins.
 * -ENOTSUP: it would be stored as it is, and nothing is gained.
 */
int fsp_early_new(struct fsp_store *s, int fd, const void *sample, size_t len,
                  struct fsp_early **out);
int fsp_early_write(struct fsp_early *e, const void *buf, size_t len);
/* How much of the content it has. */
uint64_t fsp_early_size(const struct fsp_early *e);
enum fsp_format fsp_early_format(const struct fsp_early *e);
void fsp_early_free(struct fsp_early *e);       /* NULL is fine */

struct fsp_put {
	fsp_source source;
	void *arg;
	uint64_t size;
	const struct fsp_digests *known;        /* NULL: read once more */
	struct fsp_early *early;                /* of this very content, used
	                                           up; or NULL */
};

/*
 * Makes sure that the content is stored, durably: an object that was verified
 * before and is still there in the right size is used again; else it is
 * encoded and put. *out is its record, for the commit. *reused says whether
 * nothing had to be uploaded. What was uploaded and has an index of blocks puts
 * it into *index, and out->blocks points to that.
 */
int fsp_store_put(struct fsp_store *s, const struct fsp_ctx *ctx,
                  const struct fsp_put *p, struct fsp_object *out,
                  struct fsp_buf *index, bool *reused);
/* A commit with that record is done. */
void fsp_store_recorded(struct fsp_store *s, const struct fsp_object *o);

/*
 * The verified content into fd from offset 0. A damaged object is read a second
 * time, then -EIO with a log line; nothing that was not verified stays in fd.
 * hash and size are the row's; the first full read of an object that nobody
 * recorded records it, with its index, and so does one that finds another index
 * than the recorded one. f and b, where they are not NULL, get its format and
 * index; the caller frees that.
 */
int fsp_store_fetch_fd(struct fsp_store *s, const struct fsp_ctx *ctx,
                       const char *hash, uint64_t size, int fd,
                       enum fsp_format *f, struct fsp_blocks *b);

/* Below this size a content is fetched whole, and no index is kept. */
#define FSP_INDEX_MIN (256 * 1024)

/* The recorded index; none, n 0, is no error. The caller frees it. */
int fsp_store_index(struct fsp_store *s, const struct fsp_ctx *ctx,
                    const char *hash, uint64_t size, enum fsp_format *f,
                    struct fsp_blocks *out);
/*
 * Blocks [first, first + n), verified, in order. What is damaged is read a
 * second time; -ESTALE: the object is not as this index says, and has to be
 * read whole, which tells whether it is damaged.
 */
int fsp_store_fetch_blocks(struct fsp_store *s, const struct fsp_ctx *ctx,
                           const char *hash, enum fsp_format f,
                           const struct fsp_blocks *b, size_t first, size_t n,
                           fsp_sink sink, void *arg);

/* What one range needed is kept for the next, until as often switched off. */
void fsp_store_hold(bool on);

/* A cache of this store's content. */
void fsp_store_cache_source(struct fsp_store *s, struct fsp_cache_source *out);

/* What the wiring offers to both programs. */
struct fsp_wire_options {
	const char *source;             /* SOURCE or -c FILE; NULL = default */
	bool source_is_file;            /* -c: a file and nothing else */
	const char *const *options;     /* "section.key=value" */
	int n_options;
	bool read_only;
	bool may_create;                /* make an embedded store on first use */
	bool ask_servers;               /* refuse settings that they refuse */
	bool read_hosts;                /* mysql.read_hosts may be asked */
};

/*
 * Finds, reads, checks, opens (and makes) a store. On error *error (caller
 * frees) is a line for the user.
 */
int fsp_wire_open(const struct fsp_wire_options *o, struct fsp_store **out,
                  char **error);
/*
 * Closes a store that could not be put to use; one that was made by this very
 * opening and holds nothing goes again.
 */
void fsp_wire_abandon(struct fsp_store *s);
/* Finds and reads only; what `filespacectl config` needs. */
int fsp_wire_config(const struct fsp_wire_options *o, struct fsp_config **out,
                    char **error);
/* `filespacectl init`: makes an embedded store; -EEXIST when there is one. */
int fsp_wire_init(const char *dir, const char *const *options, int n,
                  char **error);
/* `filespacectl schema`: on the database of the configuration. */
int fsp_wire_schema(const struct fsp_wire_options *o, struct fsp_schema *s);

#endif
