/*
 * libfuse's requests in, the vfs's answers out. One session a process.
 */
#ifndef FSP_FUSE_H
#define FSP_FUSE_H

#include <stdbool.h>
#include <stdint.h>

struct fsp_vfs;
struct fsp_fuse;

enum fsp_squash { FSP_SQUASH_NONE, FSP_SQUASH_ROOT, FSP_SQUASH_ALL };

/* Whose ids are shown and stored, where they differ between servers. */
struct fsp_ids {
	int64_t force_uid, force_gid;   /* -1: as stored */
	uint32_t umask;
	enum fsp_squash squash;
	uint32_t anon_uid, anon_gid;
};

struct fsp_fuse_options {
	struct fsp_ids ids;
	const char *mountpoint;
	const char *source;             /* shown as the device in mountinfo */
	const char *mount_options;      /* nodev,nosuid,... or "" */
	bool allow_other, read_only, debug;
	int64_t entry_ns, attr_ns, negative_ns;
	int64_t op_timeout_ns;
	int threads;
	/* Called once the kernel and we have shaken hands; may be NULL. */
	void (*ready)(void *arg);
	void *arg;
};

/* Mounts. *error (caller frees) says why not. */
int fsp_fuse_mount(const struct fsp_fuse_options *o, struct fsp_fuse **out,
                   char **error);
/* For fsp_vfs_options.stale; arg is the struct fsp_fuse. */
void fsp_fuse_stale(void *arg, uint64_t ino, bool pages);
/* For fsp_vfs_options.renamed. */
void fsp_fuse_renamed(void *arg, uint64_t dir, const char *name);
/* For those of aged and listing. */
void fsp_fuse_aged(void *arg, uint64_t dir, const char *name);
void fsp_fuse_listing(void *arg, uint64_t dir);
/* Serves until unmounted or told to end by a signal: 0 or -errno. */
int fsp_fuse_serve(struct fsp_fuse *f, struct fsp_vfs *vfs);
/* Unmounts where it is still mounted, and frees. */
void fsp_fuse_end(struct fsp_fuse *f);

/*
 * Clears a mount of ours whose daemon died from the mountpoint ("Transport
 * endpoint is not connected"); leaves everything else alone.
 */
int fsp_fuse_clear_stale(const char *mountpoint);

#endif
