/* Stands between SQLite and the kernel (LD_PRELOAD): counts the calls that change a database, and at one of them kills
 * the process, refuses the call, or writes down what it did.
 *
 * Watched are the database, "-wal", "-shm", "-journal" (all that begins with its path) and the folder that holds them.
 * What SQLite writes into the mapped "-shm" is no system call; it lives in the page cache, as SIGKILL leaves it.
 * The real calls are made by syscall(): looking libc's up would find ourselves. 64-bit Linux only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, KILL, FAIL };
enum { BEFORE, TORN, AFTER };
#define FILES 1024
#define CALLS 65536

static char prefix[4096], folder[4096];
static char role[FILES]; /* by descriptor: d(atabase), w(al), s(hm), j(ournal), f(older), or 0: not watched */
static char kinds[CALLS], whose[CALLS];
static long count, at;
static int mode, when, error, lasting, reads, log_to = -1;
static size_t torn_at;

static void die(void)
{
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;) syscall(SYS_sched_yield); /* the signal is on its way to every thread: nothing more is done here */
}

struct entry { char op, role, padding[6]; int64_t offset, length; };

static void note(char op, char who, int64_t offset, int64_t length, const void *bytes)
{
    struct entry entry = { op, who, "", offset, length };
    struct iovec parts[2] = { { &entry, sizeof entry }, { (void *)bytes, bytes ? (size_t)length : 0 } };
    if (log_to >= 0) syscall(SYS_writev, log_to, parts, 2);
}

/* Counts a call; kills at it, or says with which errno it is refused (0: it is made). */
static int enter(char kind, char who, long *number)
{
    *number = ++count;
    if (count < CALLS) kinds[count - 1] = kind, whose[count - 1] = who;
    if (mode == KILL && *number == at && when == BEFORE) die();
    return mode == FAIL && (*number == at || (lasting && *number > at)) ? error : 0;
}

static void leave(long number)
{
    if (mode == KILL && number == at && when == AFTER) die();
}

static char role_of(const char *path)
{
    size_t length = strlen(prefix);
    if (!length || !path) return 0;
    if (!strcmp(path, folder)) return 'f';
    if (strncmp(path, prefix, length)) return 0;
    if (!path[length]) return 'd';
    return !strcmp(path + length, "-wal") ? 'w' : !strcmp(path + length, "-shm") ? 's' : 'j';
}

static char watched(int fd) { return fd >= 0 && fd < FILES ? role[fd] : 0; }

#define REFUSED(kind, who) long number; do { int no = enter(kind, who, &number); if (no) { errno = no; return -1; } } while (0)

int open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t permissions = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    char who = role_of(path);
    if (!who) return (int)syscall(SYS_openat, AT_FDCWD, path, flags, permissions);
    int creates = (flags & O_CREAT) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0;
    long number = 0;
    if (creates || (reads && who != 'f')) {
        int no = enter(creates ? 'c' : 'o', who, &number);
        if (no) { errno = no; return -1; }
    }
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, permissions);
    if (fd >= 0 && fd < FILES) role[fd] = who;
    if (fd >= 0 && creates) note('c', who, 0, 0, NULL);
    leave(number);
    return fd;
}

int close(int fd)
{
    if (fd >= 0 && fd < FILES) role[fd] = 0;
    return (int)syscall(SYS_close, fd);
}

static ssize_t written(int fd, char who, const void *bytes, size_t length, off64_t offset)
{
    REFUSED('w', who);
    int torn = mode == KILL && number == at && when == TORN;
    if (torn && torn_at < length) length = torn_at;
    ssize_t done = syscall(SYS_pwrite64, fd, bytes, length, offset);
    if (torn) die();
    if (done > 0) note('w', who, offset, done, bytes);
    leave(number);
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
    char who = watched(fd);
    return who ? written(fd, who, bytes, length, offset) : syscall(SYS_pwrite64, fd, bytes, length, offset);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    char who = watched(fd);
    if (!who) return syscall(SYS_write, fd, bytes, length);
    off64_t offset = syscall(SYS_lseek, fd, 0, SEEK_CUR);
    ssize_t done = written(fd, who, bytes, length, offset);
    if (done > 0) syscall(SYS_lseek, fd, done, SEEK_CUR);
    return done;
}

ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset)
{
    char who = reads ? watched(fd) : 0;
    if (who) { REFUSED('r', who); }
    return syscall(SYS_pread64, fd, bytes, length, offset);
}

int ftruncate64(int fd, off64_t length)
{
    char who = watched(fd);
    if (!who) return (int)syscall(SYS_ftruncate, fd, length);
    REFUSED('t', who);
    int done = (int)syscall(SYS_ftruncate, fd, length);
    if (!done) note('t', who, length, 0, NULL);
    leave(number);
    return done;
}

static int synced(int fd, long call)
{
    char who = watched(fd);
    if (!who) return (int)syscall(call, fd);
    REFUSED('s', who);
    int done = (int)syscall(call, fd);
    if (!done) note('s', who, 0, 0, NULL);
    leave(number);
    return done;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int unlink(const char *path)
{
    char who = role_of(path);
    if (!who) return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    REFUSED('u', who);
    int done = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (!done) note('u', who, 0, 0, NULL);
    leave(number);
    return done;
}

/* The names without a size are the same functions where off_t has 64 bits. */
int open(const char *, int, ...) __attribute__((alias("open64")));
ssize_t pwrite(int, const void *, size_t, off_t) __attribute__((alias("pwrite64")));
ssize_t pread(int, void *, size_t, off_t) __attribute__((alias("pread64")));
int ftruncate(int, off_t) __attribute__((alias("ftruncate64")));

/* What the exams call. Nothing is watched before this, and all counts begin anew. */
void shim_watch(const char *path)
{
    strncpy(prefix, path, sizeof prefix - 1);
    strcpy(folder, prefix);
    char *slash = strrchr(folder, '/');
    if (slash) *slash = 0;
    memset(role, 0, sizeof role);
    count = at = mode = reads = 0, log_to = -1;
}

void shim_kill(long number, int moment, size_t bytes) { mode = KILL, at = number, when = moment, torn_at = bytes; }

void shim_fail(long number, int no, int lasts) { mode = FAIL, at = number, error = no, lasting = lasts; }

void shim_count_reads(void) { reads = 1; }

void shim_record(int fd) { log_to = fd; }

void shim_mark(const char *text) { note('m', 0, 0, (int64_t)strlen(text), text); }

long shim_calls(char *of_kind, char *of_role, long room)
{
    long found = count < CALLS ? count : CALLS;
    if (found > room) found = room;
    memcpy(of_kind, kinds, (size_t)found), memcpy(of_role, whose, (size_t)found);
    return count;
}
