/* Whole reads and writes, and directories. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_cleanup.h"
#include "fsp_file.h"

int fsp_write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fsp_pwrite_all(int fd, const void *buf, size_t len, off_t off)
{
	const char *p = buf;

	while (len) {
		ssize_t n = pwrite(fd, p, len, off);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			return -EIO;
		p += n;
		off += n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t fsp_pread_full(int fd, void *buf, size_t len, off_t off)
{
	char *p = buf;
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, p + done, len - done, off + (off_t)done);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* Straight into the buffer, so that no other copy of a secret stays. */
static int read_to_end(int fd, struct fsp_buf *out, size_t max)
{
	for (;;) {
		ssize_t n;
		int err = fsp_buf_reserve(out, 4096);

		if (err)
			return err;
		n = read(fd, out->data + out->len, out->cap - out->len - 1);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		out->len += (size_t)n;
		out->data[out->len] = '\0';
		if (out->len > max)
			return -EFBIG;
		if (n == 0)
			return 0;
	}
}

int fsp_read_fd(int fd, struct fsp_buf *out, size_t max)
{
	struct stat st;
	int err;

	fsp_buf_reset(out);
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode)) {
		if ((uint64_t)st.st_size > max)
			return -EFBIG;
		err = fsp_buf_reserve(out, (size_t)st.st_size + 4096);
		if (err)
			return err;
	}
	err = read_to_end(fd, out, max);
	if (err)
		fsp_buf_reset(out);
	return err;
}

int fsp_read_file(const char *path, struct fsp_buf *out, size_t max)
{
	FSP_CLOSE int fd = TEMP_FAILURE_RETRY(open(path, O_RDONLY | O_CLOEXEC));

	if (fd < 0)
		return -errno;
	return fsp_read_fd(fd, out, max);
}

int fsp_opendir(int at, const char *name, int flags, DIR **out)
{
	FSP_CLOSE int fd = TEMP_FAILURE_RETRY(openat(
		at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags));

	*out = fd < 0 ? NULL : fdopendir(fd);
	if (!*out)
		return -errno;
	(void)fsp_steal_fd(&fd);
	return 0;
}

int fsp_fsync_dir(int dirfd)
{
	return TEMP_FAILURE_RETRY(fsync(dirfd)) < 0 ? -errno : 0;
}
