/* LD_PRELOAD shim for tests of storage: it counts the writes and syncs below one directory, can make one of them fail, and
 * writes a log. From the log, a test can reconstruct the contents of the disk after a power failure.
 *
 * The program under test calls disk_watch() and disk_fail() through ctypes. The log has a record for each call: a
 * header (struct record), the path, and the written bytes. The program under test adds marks with disk_mark().
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

struct record {
	uint64_t offset;
	uint32_t path; /* the length of the path */
	uint32_t data; /* the number of bytes */
	uint32_t kind; /* w(rite), t(runcate), s(ync), u(nlink), r(ename: the data is the new path), m(ark) */
	uint32_t zero;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[4096];
static int log_file = -1;
static long count, failing;
static int failing_errno;

void disk_watch(const char *path, int log)
{
	snprintf(folder, sizeof folder, "%s/", path);
	log_file = log;
	count = failing = 0;
}

void disk_fail(long nth, int number)
{
	failing = nth;
	failing_errno = number;
}

long disk_calls(void)
{
	return count;
}

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

static void put(const void *data, size_t size)
{
	ssize_t done;

	while (size && (done = REAL(write)(log_file, data, size)) > 0) {
		data = (const char *)data + done;
		size -= done;
	}
}

static void record(char kind, const char *path, uint64_t offset, const void *data, size_t size)
{
	struct record head = { offset, strlen(path), size, kind, 0 };

	if (log_file < 0)
		return;
	pthread_mutex_lock(&lock);
	put(&head, sizeof head);
	put(path, head.path);
	put(data, size);
	pthread_mutex_unlock(&lock);
}

void disk_mark(uint64_t number)
{
	record('m', "", number, "", 0);
}

/* The path of a descriptor below the directory, or an empty string. */
static const char *watched(int fd, char *path, size_t size)
{
	char link[40];
	ssize_t length;

	path[0] = 0;
	if (!folder[0] || fd == log_file)
		return path;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	length = readlink(link, path, size - 1);
	path[length < 0 ? 0 : length] = 0;
	if (strncmp(path, folder, strlen(folder)))
		path[0] = 0;
	return path;
}

/* Count a call, and return whether it must fail. */
static int fails(const char *path)
{
	if (!path[0] || __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST) != failing)
		return 0;
	errno = failing_errno;
	return 1;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
	char path[4096];
	ssize_t done;

	if (fails(watched(fd, path, sizeof path))) {
		done = REAL(pwrite64)(fd, data, size / 2, offset); /* half of the data is written */
		errno = failing_errno;
		return -1;
	}
	done = REAL(pwrite64)(fd, data, size, offset);
	if (path[0] && done > 0)
		record('w', path, offset, data, done);
	return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
	return pwrite64(fd, data, size, offset);
}

int ftruncate64(int fd, off64_t length)
{
	char path[4096];
	int result;

	if (fails(watched(fd, path, sizeof path)))
		return -1;
	result = REAL(ftruncate64)(fd, length);
	if (path[0] && !result)
		record('t', path, length, "", 0);
	return result;
}

int ftruncate(int fd, off_t length)
{
	return ftruncate64(fd, length);
}

static int synced(int fd, int (*sync)(int))
{
	char path[4096];
	int result;

	if (fails(watched(fd, path, sizeof path)))
		return -1;
	result = sync(fd);
	if (path[0] && !result)
		record('s', path, 0, "", 0);
	return result;
}

int fsync(int fd)
{
	return synced(fd, REAL(fsync));
}

int fdatasync(int fd)
{
	return synced(fd, REAL(fdatasync));
}

int unlink(const char *path)
{
	int result = REAL(unlink)(path);

	if (!result && folder[0] && !strncmp(path, folder, strlen(folder)))
		record('u', path, 0, "", 0);
	return result;
}

int rename(const char *from, const char *to)
{
	int result = REAL(rename)(from, to);

	if (!result && folder[0] && !strncmp(from, folder, strlen(folder)))
		record('r', from, 0, to, strlen(to));
	return result;
}
