/*
 * The POSIX suite: the same calls on a local disk and in a mount, compared
 * answer by answer.
 *
 * A case is a function that works in its current directory, which is empty and
 * writable for everybody, in a process of its own. It records every answer
 * under a label; it never looks whether an answer is right, and what it does
 * next does not depend on it, so that both transcripts have the same lines.
 */
#ifndef POSIX_H
#define POSIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define AT_ALL 1u       /* run at every level: /, /A, /A/T, /A/T/R and below */
#define AS_ROOT 2u      /* needs root: other users, owners, devices */

struct posix_case {
	const char *name;
	void (*run)(void);
	unsigned flags;
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Each ends with an entry without a name. */
extern const struct posix_case cases_open[], cases_io[], cases_seek[],
	cases_life[], cases_names[], cases_rename[], cases_limits[],
	cases_attr[], cases_times[], cases_users[], cases_dirs[], cases_map[],
	cases_locks[], cases_special[], cases_xattr[], cases_linux[],
	cases_calls[];

/* record.c: answers into the transcript. -1 is recorded as errno's name. */
void record_to(int fd);
long long step(const char *label, long long rc);        /* the value */
int step_ok(const char *label, long long rc);   /* "ok" and the value */
void say(const char *label, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* A label made at run time, for tables; valid until the next one. */
const char *label(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The call itself is the label. */
#define C(call) step(#call, (long long)(call))
#define OK(call) step_ok(#call, (long long)(call))

void stat_of(const char *path);         /* lstat: what must be equal */
void fstat_of(const char *what, int fd);
void content(const char *path);
void content_fd(const char *what, int fd);      /* the whole file, by pread */
void list(const char *path);            /* sorted names with their types */
void tree(const char *path);            /* everything below, one answer */
void same_inode(const char *a, const char *b);
/* snap() remembers the times of a file, changed() says which have moved. */
void snap(const char *path);
void changed(const char *what, const char *path);
uint64_t hash_bytes(const void *data, size_t len);

/* Preparations; a failure is recorded. */
void file(const char *path, const char *text);
void file_mode(const char *path, const char *text, mode_t mode);
void dir(const char *path);
void link_to(const char *target, const char *path);
int fill(const char *path, size_t len, unsigned seed);
int wipe(const char *path, bool self);

/*
 * With -e AT/EVERY only one in EVERY combinations of the large tables is tried,
 * in both trees the same ones, and long lists are as much shorter.
 */
extern unsigned sample_at, sample_every;
bool left_out(void);
int fewer(int n);

enum who { ROOT, NOBODY, ALICE, BOB };  /* Alice and Bob share group 2000 */
extern const char *const who_name[4];
void become(enum who who);

/* A second process: spawn() runs it, reap() records what it returned. */
pid_t spawn(int (*run)(void));
void reap(const char *what, pid_t pid);
void pause_ms(long ms);

/* run.c: a directory at a level in both trees. */
struct place {
	const char *root;
	int level;
	char name[64];
};
#define LEVELS 5
extern const char *const level_name[LEVELS];
int place_path(const struct place *p, char *out, size_t size);
/* Runs fn there in a child; the transcript, or NULL without memory. */
char *run_in(const struct place *p, void (*fn)(void), bool keep);

/* random.c: calls that a seed chooses. 0: no difference. */
int random_calls(const char *disk, const char *mount, unsigned long seed,
                 unsigned long calls, bool keep);

#endif
