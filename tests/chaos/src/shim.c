/* Loaded into a node before the C library: its wall clock can be stepped, and its syncs can be slow or fail, as three numbers in a
 * shared file say. All else is as it was. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BILLION 1000000000LL

/* Nanoseconds that the wall clock is ahead; microseconds that a sync takes longer; the error that a sync ends with. */
static volatile const int64_t *told;

__attribute__((constructor)) static void listen_to_the_file(void)
{
    const char *path = getenv("KINFOLD_CHAOS_SHIM");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *map = mmap(NULL, 3 * sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (map != MAP_FAILED)
        told = map;
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
    if (syscall(SYS_clock_gettime, clock, at) != 0)
        return -1;
    if (told && clock == CLOCK_REALTIME) {
        int64_t now = at->tv_sec * BILLION + at->tv_nsec + told[0];
        at->tv_sec = now / BILLION;
        at->tv_nsec = now % BILLION;
    }
    return 0;
}

static int hinder(void)
{
    if (!told)
        return 0;
    if (told[1] > 0)
        usleep(told[1]);
    errno = told[2];
    return told[2] != 0;
}

int fsync(int file)
{
    return hinder() ? -1 : syscall(SYS_fsync, file);
}

int fdatasync(int file)
{
    return hinder() ? -1 : syscall(SYS_fdatasync, file);
}
