/* Preloaded into a process: writes down, in order, every change it makes to files below RECORD_PREFIX.
 * An entry: kind (1 byte), length of the name (1 byte), name, offset (8 bytes), length (4 bytes), data.
 * Kinds: w write, s sync, t truncate, u unlink. The process itself runs as ever. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define FDS 1024
static char names[FDS][64];
static int log_fd = -1;
static const char *prefix;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(type, name, ...) \
    static type (*real_##name)(__VA_ARGS__); \
    if (!real_##name) real_##name = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static void put(const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    const char *at = data;
    while (size > 0) {
        ssize_t done = real_write(log_fd, at, size);
        if (done <= 0) abort();
        at += done;
        size -= (size_t)done;
    }
}

static void entry(char kind, const char *name, int64_t offset, const void *data, uint32_t size) {
    uint8_t length = (uint8_t)strlen(name);
    pthread_mutex_lock(&lock);
    put(&kind, 1);
    put(&length, 1);
    put(name, length);
    put(&offset, 8);
    put(&size, 4);
    if (size) put(data, size);
    pthread_mutex_unlock(&lock);
}

static const char *below_prefix(const char *path) {
    if (!prefix) {
        REAL(int, open64, const char *, int, ...);
        prefix = getenv("RECORD_PREFIX");
        log_fd = real_open64(getenv("RECORD_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log_fd < 0) abort();
    }
    size_t length = strlen(prefix);
    return strncmp(path, prefix, length) == 0 && path[length] == '/' ? path + length + 1 : NULL;
}

static int opened(int fd, const char *path, int flags) {
    if (fd < 0 || fd >= FDS) return fd;
    const char *name = below_prefix(path);
    names[fd][0] = 0;
    if (name && *name && strlen(name) < sizeof names[fd] && !(flags & O_DIRECTORY)) {
        strcpy(names[fd], name);
        if (flags & O_TRUNC) entry('t', name, 0, NULL, 0);
    }
    return fd;
}

#define OPEN(function) \
    int function(const char *path, int flags, ...) { \
        REAL(int, function, const char *, int, ...); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        return opened(real_##function(path, flags, mode), path, flags); \
    }
OPEN(open)
OPEN(open64)

#define IS_KEPT(fd) ((fd) >= 0 && (fd) < FDS && names[fd][0])

int close(int fd) {
    REAL(int, close, int);
    if (fd >= 0 && fd < FDS) names[fd][0] = 0;
    return real_close(fd);
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    int64_t offset = IS_KEPT(fd) ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t done = real_write(fd, data, size);
    if (done > 0 && IS_KEPT(fd)) entry('w', names[fd], offset, data, (uint32_t)done);
    return done;
}

#define PWRITE(function, offset_type) \
    ssize_t function(int fd, const void *data, size_t size, offset_type offset) { \
        REAL(ssize_t, function, int, const void *, size_t, offset_type); \
        ssize_t done = real_##function(fd, data, size, offset); \
        if (done > 0 && IS_KEPT(fd)) entry('w', names[fd], offset, data, (uint32_t)done); \
        return done; \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(function, size_type) \
    int function(int fd, size_type size) { \
        REAL(int, function, int, size_type); \
        int done = real_##function(fd, size); \
        if (done == 0 && IS_KEPT(fd)) entry('t', names[fd], size, NULL, 0); \
        return done; \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(function) \
    int function(int fd) { \
        REAL(int, function, int); \
        int done = real_##function(fd); \
        if (done == 0 && IS_KEPT(fd)) entry('s', names[fd], 0, NULL, 0); \
        return done; \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    const char *name = below_prefix(path);
    int done = real_unlink(path);
    if (done == 0 && name && *name) entry('u', name, 0, NULL, 0);
    return done;
}
