/* Memory for secrets. */
#include "fsp_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_log.h"

/* Before what is given out: how much was mapped. */
struct head {
	_Alignas(16) size_t len;
};

void *fsp_secret_alloc(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t len;
	struct head *h;

	if (size > SIZE_MAX - sizeof(*h) - page)
		return NULL;
	len = (size + sizeof(*h) + page - 1) / page * page;
	h = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	         -1, 0);
	if (h == MAP_FAILED)
		return NULL;
	/* Swap is as the disk is: encrypted or not, whoever may read it. The
	 * limit of locked memory is small, so that this is only tried. */
	(void)mlock(h, len);
	if (madvise(h, len, MADV_DONTDUMP))
		fsp_warn("secrets may get into a core dump: %m");
	h->len = len;
	return h + 1;
}

char *fsp_secret_strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	char *copy = fsp_secret_alloc(n);

	return copy ? memcpy(copy, s, n) : NULL;
}

void fsp_secret_free(void *p)
{
	struct head *h = p;
	size_t len;

	if (!p)
		return;
	h--;
	len = h->len;
	fsp_wipe(h, len);
	munmap(h, len);
}

/* Which mappings a core holds: none. */
static int empty_cores(void)
{
	FSP_CLOSE int fd = open("/proc/self/coredump_filter",
	                        O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, "0", 1) != 1 ? -errno : 0;
}

int fsp_forbid_dumps(void)
{
	const struct rlimit none = { 0, 0 };
	int limit = setrlimit(RLIMIT_CORE, &none) ? -errno : 0;
	/* A limit of 0 does not keep a kernel from piping a core to a program,
	 * hence both. */
	int filter = empty_cores();

	/*
	 * No dump at all, no debugger but root's. An ordinary user's process
	 * would lose its own /proc/self, and its user can read the settings.
	 */
	if (geteuid() == 0)
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return limit && filter ? limit : 0;
}
