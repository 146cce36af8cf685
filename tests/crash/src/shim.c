/* Makes one call of the C library fail, for a process that is started with this in LD_PRELOAD.
 *
 * Counted are the calls that concern files below FAULT_PATH, from 1 on. The call with the number FAULT_AT fails as FAULT_HOW
 * says: an error number, or -1 for a read or write of half of the bytes, where it is one. With FAULT_STUCK all later calls of the
 * same kind fail, too. How many there were is written to FAULT_COUNT at the end, with the name of what failed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;
static long at, how, stuck;
static const char *below, *count;
static char failed[32];
static atomic_int ours[65536];

__attribute__((constructor)) static void begin(void) {
    const char *text;
    at = (text = getenv("FAULT_AT")) ? atol(text) : 0;
    how = (text = getenv("FAULT_HOW")) ? atol(text) : EIO;
    stuck = getenv("FAULT_STUCK") != NULL;
    below = getenv("FAULT_PATH");
    count = getenv("FAULT_COUNT");
}

__attribute__((destructor)) static void end(void) {
    if (!count) return;
    FILE *file = fopen(count, "w");
    if (!file) return;
    fprintf(file, "%ld %s\n", (long)calls, failed[0] ? failed : "-");
    fclose(file);
}

/* Whether this call is the one. `kind` names it; 1: fails, 2: is cut short. */
static int fails(const char *kind, int can_be_short) {
    long number = ++calls;
    int now = number == at || (stuck && failed[0] && !strcmp(failed, kind));
    if (!now) return 0;
    if (!failed[0]) strncpy(failed, kind, sizeof failed - 1);
    if (how == -1 && can_be_short) return 2;
    errno = how == -1 ? EIO : how;
    return 1;
}

static int is_below(const char *path) {
    return below && path && !strncmp(path, below, strlen(below));
}
static int is_ours(int fd) { return fd >= 0 && fd < 65536 && ours[fd]; }
static int opened(int fd) {
    if (fd >= 0 && fd < 65536) ours[fd] = 1;
    return fd;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define OPEN(name, kind) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list list; va_start(list, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; \
        va_end(list); \
        if (!is_below(path)) return real(path, flags, mode); \
        if (fails(kind, 0)) return -1; \
        return opened(real(path, flags, mode)); \
    }
OPEN(open, "open")
OPEN(open64, "open")

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(name); \
        va_list list; va_start(list, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; \
        va_end(list); \
        if (!is_below(path) && !is_ours(folder)) return real(folder, path, flags, mode); \
        if (fails("open", 0)) return -1; \
        return opened(real(folder, path, flags, mode)); \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
    REAL(close);
    /* It is closed in any case: whoever closes a file looks at nothing. */
    if (fd >= 0 && fd < 65536) ours[fd] = 0;
    return real(fd);
}

ssize_t write(int fd, const void *bytes, size_t len) {
    REAL(write);
    int how = is_ours(fd) ? fails("write", 1) : 0;
    return how == 1 ? -1 : real(fd, bytes, how == 2 && len > 1 ? len / 2 : len);
}
ssize_t writev(int fd, const struct iovec *pieces, int n) {
    REAL(writev);
    int how = is_ours(fd) ? fails("write", 1) : 0;
    return how == 1 ? -1 : real(fd, pieces, how == 2 && n > 1 ? 1 : n);
}
#define PWRITE(name, offset) \
    ssize_t name(int fd, const void *bytes, size_t len, offset from) { \
        REAL(name); \
        int how = is_ours(fd) ? fails("write", 1) : 0; \
        return how == 1 ? -1 : real(fd, bytes, how == 2 && len > 1 ? len / 2 : len, from); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t read(int fd, void *bytes, size_t len) {
    REAL(read);
    int how = is_ours(fd) ? fails("read", 1) : 0;
    return how == 1 ? -1 : real(fd, bytes, how == 2 && len > 1 ? len / 2 : len);
}
#define PREAD(name, offset) \
    ssize_t name(int fd, void *bytes, size_t len, offset from) { \
        REAL(name); \
        int how = is_ours(fd) ? fails("read", 1) : 0; \
        return how == 1 ? -1 : real(fd, bytes, how == 2 && len > 1 ? len / 2 : len, from); \
    }
PREAD(pread, off_t)
PREAD(pread64, off64_t)

#define SIMPLE(name, kind, parameters, arguments, mine) \
    int name parameters { \
        REAL(name); \
        if ((mine) && fails(kind, 0) == 1) return -1; \
        return real arguments; \
    }
SIMPLE(fsync, "fsync", (int fd), (fd), is_ours(fd))
SIMPLE(fdatasync, "fsync", (int fd), (fd), is_ours(fd))
SIMPLE(ftruncate, "ftruncate", (int fd, off_t len), (fd, len), is_ours(fd))
SIMPLE(ftruncate64, "ftruncate", (int fd, off64_t len), (fd, len), is_ours(fd))
SIMPLE(rename, "rename", (const char *from, const char *to), (from, to), is_below(from))
SIMPLE(unlink, "unlink", (const char *path), (path), is_below(path))
SIMPLE(rmdir, "rmdir", (const char *path), (path), is_below(path))
SIMPLE(unlinkat, "unlink", (int folder, const char *path, int flags), (folder, path, flags), is_ours(folder) || is_below(path))
SIMPLE(mkdir, "mkdir", (const char *path, mode_t mode), (path, mode), is_below(path))
SIMPLE(flock, "flock", (int fd, int what), (fd, what), is_ours(fd))
off64_t lseek64(int fd, off64_t from, int whence) {
    REAL(lseek64);
    return is_ours(fd) && fails("lseek", 0) == 1 ? -1 : real(fd, from, whence);
}
