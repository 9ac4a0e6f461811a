/*
 * full_disk.c
 *		A disk that is full when a test says so, for LD_PRELOAD.
 *
 * While there is a file durable_full_disk in the data directory, files whose
 * path contains its first line cannot grow or be written at their end: the
 * calls PostgreSQL extends files by fail with ENOSPC, as on a full disk. What
 * is there can be read and overwritten. No rights are needed for it, as a
 * small file system would.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define CONTROL_FILE "durable_full_disk"

/* The part of the path that is full; false if nothing is. */
static int
read_control(char *part, size_t size)
{
	int			fd = open(CONTROL_FILE, O_RDONLY);
	ssize_t		n;

	if (fd < 0)
		return 0;
	n = read(fd, part, size - 1);
	close(fd);
	if (n <= 0)
		return 0;
	part[n] = '\0';
	part[strcspn(part, "\n")] = '\0';
	return part[0] != '\0';
}

/* Would this write make a file grow that is on the full disk? */
static int
is_full(int fd, off_t end)
{
	int			save_errno = errno;
	char		part[256];
	char		link[64];
	char		path[4096];
	struct stat st;
	ssize_t		n;
	int			full = 0;

	if (read_control(part, sizeof(part)))
	{
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, path, sizeof(path) - 1);
		if (n > 0)
		{
			path[n] = '\0';
			full = strstr(path, part) != NULL && fstat(fd, &st) == 0 && end > st.st_size;
		}
	}
	errno = full ? ENOSPC : save_errno;
	return full;
}

static off_t
length_of(const struct iovec *iov, int count)
{
	off_t		length = 0;

	for (int i = 0; i < count; i++)
		length += iov[i].iov_len;
	return length;
}

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

ssize_t
pwrite(int fd, const void *buffer, size_t length, off_t offset)
{
	return is_full(fd, offset + length) ? -1 : REAL(pwrite) (fd, buffer, length, offset);
}

ssize_t
pwrite64(int fd, const void *buffer, size_t length, off64_t offset)
{
	return is_full(fd, offset + length) ? -1 : REAL(pwrite64) (fd, buffer, length, offset);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	return is_full(fd, offset + length_of(iov, count)) ? -1 : REAL(pwritev) (fd, iov, count, offset);
}

ssize_t
pwritev64(int fd, const struct iovec *iov, int count, off64_t offset)
{
	return is_full(fd, offset + length_of(iov, count)) ? -1 : REAL(pwritev64) (fd, iov, count, offset);
}

int
posix_fallocate(int fd, off_t offset, off_t length)
{
	return is_full(fd, offset + length) ? ENOSPC : REAL(posix_fallocate) (fd, offset, length);
}

int
posix_fallocate64(int fd, off64_t offset, off64_t length)
{
	return is_full(fd, offset + length) ? ENOSPC : REAL(posix_fallocate64) (fd, offset, length);
}
