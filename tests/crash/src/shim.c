/* Makes one call of the operating system fail, for a process that is started with this in LD_PRELOAD.
 *
 * Calls are met where they enter the kernel, by a filter that turns them into a signal (seccomp(2), SECCOMP_RET_TRAP), and not in the
 * C library: part of what a Rust program is made of does without that one, and renames are among it.
 *
 * Counted are the calls of each kind that concern files below FAULT_PATH, from 1 on. The one of FAULT_KIND with the number FAULT_AT
 * fails as FAULT_HOW says: an error number, or -1 for a read or write of half of the bytes, where it is one. With FAULT_STUCK all
 * later calls of that kind fail, too. How many of each kind there were is written to FAULT_COUNT at the end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* None of the calls below has a sixth argument. With this one in its place they pass the filter: they are ours. */
#define PASS 0x6b696e66L

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#define REGISTER(n) (context->uc_mcontext.gregs[(int[]){REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8}[n]])
#define RESULT (context->uc_mcontext.gregs[REG_RAX])
static long enter(long call, const long *with) {
    long result;
    register long d __asm__("r10") = with[3], e __asm__("r8") = with[4], f __asm__("r9") = PASS;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(call), "D"(with[0]), "S"(with[1]), "d"(with[2]), "r"(d), "r"(e), "r"(f)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#define REGISTER(n) (context->uc_mcontext.regs[n])
#define RESULT (context->uc_mcontext.regs[0])
static long enter(long call, const long *with) {
    register long number __asm__("x8") = call, a __asm__("x0") = with[0], b __asm__("x1") = with[1], c __asm__("x2") = with[2];
    register long d __asm__("x3") = with[3], e __asm__("x4") = with[4], f __asm__("x5") = PASS;
    __asm__ volatile("svc 0" : "+r"(a) : "r"(number), "r"(b), "r"(c), "r"(d), "r"(e), "r"(f) : "memory");
    return a;
}
#else
#error "calls are made to fail on x86_64 and aarch64 only"
#endif

/* What tells whether a call concerns our files: a path, a path and the folder that it begins in, or an open file. */
enum place { PATH, AT, FILE_, CLOSES };
/* What it can be cut down to: a number of bytes, or of pieces. */
enum cut { WHOLE, BYTES, PIECES };

static const struct {
    int call;
    const char *kind;
    enum place place;
    enum cut cut;
} calls[] = {
#ifdef SYS_open
    {SYS_open, "open", PATH, WHOLE},
    {SYS_stat, "stat", PATH, WHOLE},
    {SYS_lstat, "stat", PATH, WHOLE},
    {SYS_rename, "rename", PATH, WHOLE},
    {SYS_link, "link", PATH, WHOLE},
    {SYS_unlink, "unlink", PATH, WHOLE},
    {SYS_rmdir, "rmdir", PATH, WHOLE},
    {SYS_mkdir, "mkdir", PATH, WHOLE},
#endif
#ifdef SYS_renameat
    {SYS_renameat, "rename", AT, WHOLE},
#endif
    {SYS_openat, "open", AT, WHOLE},
    {SYS_close, "close", CLOSES, WHOLE},
    {SYS_read, "read", FILE_, BYTES},
    {SYS_pread64, "read", FILE_, BYTES},
    {SYS_readv, "read", FILE_, PIECES},
    {SYS_write, "write", FILE_, BYTES},
    {SYS_pwrite64, "write", FILE_, BYTES},
    {SYS_writev, "write", FILE_, PIECES},
    {SYS_lseek, "lseek", FILE_, WHOLE},
    {SYS_fsync, "fsync", FILE_, WHOLE},
    {SYS_fdatasync, "fsync", FILE_, WHOLE},
    {SYS_ftruncate, "ftruncate", FILE_, WHOLE},
    {SYS_fallocate, "fallocate", FILE_, WHOLE},
    {SYS_flock, "flock", FILE_, WHOLE},
    {SYS_fstat, "stat", FILE_, WHOLE},
    {SYS_newfstatat, "stat", AT, WHOLE},
    {SYS_statx, "stat", AT, WHOLE},
    {SYS_statfs, "statfs", PATH, WHOLE},
    {SYS_fstatfs, "statfs", FILE_, WHOLE},
    {SYS_getdents64, "list", FILE_, WHOLE},
    {SYS_renameat2, "rename", AT, WHOLE},
    {SYS_linkat, "link", AT, WHOLE},
    {SYS_unlinkat, "unlink", AT, WHOLE},
    {SYS_mkdirat, "mkdir", AT, WHOLE},
};
#define CALLS (int)(sizeof calls / sizeof *calls)

/* By the first call in the table that is of the same kind. */
static atomic_long counted[CALLS];
static long at, how, stuck;
static const char *kind, *below, *count;
static atomic_int ours[65536];

static int is_ours(long file) { return file >= 0 && file < 65536 && ours[file]; }
static int is_below(const char *path) { return below && path && !strncmp(path, below, strlen(below)); }

static int concerns(enum place place, const long *with) {
    switch (place) {
    case PATH: return is_below((const char *)with[0]);
    /* A relative path, or none, of a folder or file that is ours. */
    case AT: return is_below((const char *)with[1]) || ((!with[1] || *(const char *)with[1] != '/') && is_ours(with[0]));
    case FILE_: return is_ours(with[0]);
    case CLOSES: return 0;
    }
    return 0;
}

/* Whether this call is the one. 1: fails, with the error that it says; 2: is cut short. */
static int fails(int which, int *error) {
    int first = 0;
    while (strcmp(calls[first].kind, calls[which].kind)) first++;
    long number = ++counted[first];
    if (!kind || strcmp(kind, calls[which].kind) || (stuck ? number < at : number != at)) return 0;
    if (how == -1 && calls[which].cut != WHOLE) return 2;
    *error = how == -1 ? EIO : how;
    return 1;
}

static void met(int signal, siginfo_t *info, void *of) {
    (void)signal;
    ucontext_t *context = of;
    long with[5];
    for (int n = 0; n < 5; n++) with[n] = (long)REGISTER(n);
    int which = 0, error = 0;
    while (which < CALLS && calls[which].call != info->si_syscall) which++;
    if (which < CALLS) {
        int here = concerns(calls[which].place, with);
        int what = here ? fails(which, &error) : 0;
        if (what == 1) {
            RESULT = -error;
            return;
        }
        if (what == 2 && with[2] > 1) with[2] = calls[which].cut == BYTES ? with[2] / 2 : 1;
        /* Before it is another's: whoever closes a file looks at nothing. */
        if (calls[which].place == CLOSES && with[0] >= 0 && with[0] < 65536) ours[with[0]] = 0;
        long result = enter(info->si_syscall, with);
        if (!strcmp(calls[which].kind, "open") && result >= 0 && result < 65536) ours[result] = here;
        RESULT = result;
    } else {
        RESULT = enter(info->si_syscall, with);
    }
}

static int filter(void) {
    struct sock_filter program[CALLS + 10];
    int length = 0, n;
#define ADD(...) program[length++] = (struct sock_filter)__VA_ARGS__
#define LOAD(field) ADD(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field)))
    LOAD(arch);
    ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0));
    ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    LOAD(nr);
    for (n = 0; n < CALLS; n++) ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[n].call, CALLS - n, 0));
    ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    LOAD(args[5]);
    ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PASS, 0, 1));
    ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP));
    struct sock_fprog whole = {.len = length, .filter = program};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole);
}

__attribute__((constructor)) static void begin(void) {
    const char *text;
    at = (text = getenv("FAULT_AT")) ? atol(text) : 0;
    how = (text = getenv("FAULT_HOW")) ? atol(text) : EIO;
    stuck = getenv("FAULT_STUCK") != NULL;
    kind = getenv("FAULT_KIND");
    below = getenv("FAULT_PATH");
    count = getenv("FAULT_COUNT");
    struct sigaction action = {.sa_sigaction = met, .sa_flags = SA_SIGINFO | SA_NODEFER};
    if (sigaction(SIGSYS, &action, NULL) || filter()) {
        perror("calls can't be made to fail here");
        _exit(70);
    }
}

__attribute__((destructor)) static void end(void) {
    if (!count) return;
    FILE *file = fopen(count, "w");
    if (!file) return;
    for (int n = 0; n < CALLS; n++)
        if (counted[n]) fprintf(file, "%s %ld\n", calls[n].kind, (long)counted[n]);
    fclose(file);
}
