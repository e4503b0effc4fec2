// SPDX-License-Identifier: MIT
//
// Raw system calls for use inside a host: they touch neither errno nor any lock of the C library, and are
// async-signal-safe. Each returns what the kernel returned: a negative value in [-4095, -1] is -errno.

#ifndef PEAKLINE_SYS_H
#define PEAKLINE_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#if !defined(__x86_64__)
#error "peakline's shim is written for x86-64 Linux"
#endif

// The process has announced a filter of system calls: any that it does not make itself could be its end. From
// then on sys_call fails, in children, too. One for all who include this.
__attribute__((weak, visibility("hidden"))) bool sys_confined;

static inline bool sys_is_confined(void) {
    return __builtin_expect(__atomic_load_n(&sys_confined, __ATOMIC_RELAXED), 0);
}

// In any case: for what the process does itself, or could not go on without.
static inline long sys_call_always(long number, long a, long b, long c, long d, long e, long f) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static inline long sys_call(long number, long a, long b, long c, long d, long e, long f) {
    return sys_is_confined() ? -EPERM : sys_call_always(number, a, b, c, d, e, f);
}

static inline bool sys_failed(long result) {
    return result < 0 && result >= -4095;
}

static inline long sys_open(const char *path, int flags, int mode) {
    return sys_call(SYS_openat, AT_FDCWD, (long)path, flags, mode, 0, 0);
}

static inline long sys_close(int fd) {
    return sys_call(SYS_close, fd, 0, 0, 0, 0, 0);
}

static inline long sys_read(int fd, void *buffer, size_t size) {
    return sys_call(SYS_read, fd, (long)buffer, (long)size, 0, 0, 0);
}

static inline long sys_pwrite(int fd, const void *buffer, size_t size, uint64_t offset) {
    return sys_call(SYS_pwrite64, fd, (long)buffer, (long)size, (long)offset, 0, 0);
}

// Of memory alone also where the process is confined: it needs that itself.
static inline long sys_mmap(void *address, size_t size, int protection, int flags, int fd, uint64_t offset) {
    if (sys_is_confined() && fd >= 0)
        return -EPERM;
    return sys_call_always(SYS_mmap, (long)address, (long)size, protection, flags, fd, (long)offset);
}

static inline long sys_munmap(void *address, size_t size) {
    return sys_call(SYS_munmap, (long)address, (long)size, 0, 0, 0, 0);
}

static inline long sys_madvise(void *address, size_t size, int advice) {
    return sys_call(SYS_madvise, (long)address, (long)size, advice, 0, 0, 0);
}

static inline long sys_fallocate(int fd, int mode, uint64_t offset, uint64_t length) {
    return sys_call(SYS_fallocate, fd, mode, (long)offset, (long)length, 0, 0);
}

// Negative, and so nobody's, where that must not be asked.
static inline int sys_getpid(void) {
    return (int)sys_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

static inline int sys_gettid(void) {
    return (int)sys_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

// A lock's, which is fought for: the process has threads, and locks of its own.
static inline long sys_futex(uint32_t *word, int operation, uint32_t value) {
    return sys_call_always(SYS_futex, (long)word, operation, value, 0, 0, 0);
}

#define SYS_DECIMAL 21 // bytes, with the NUL, of the longest number

// The number, with a NUL behind it. Its length.
static inline size_t sys_decimal(char *out, uint64_t value) {
    char digits[SYS_DECIMAL];
    size_t count = 0, length = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while (count)
        out[length++] = digits[--count];
    out[length] = '\0';
    return length;
}

// A word of this process's memory, which may be gone: sizeof *word, or -EFAULT where there is none.
static inline long sys_read_word(uintptr_t address, uintptr_t *word) {
    const struct iovec to = {word, sizeof *word}, from = {(void *)address, sizeof *word};
    return sys_call(SYS_process_vm_readv, sys_getpid(), (long)&to, 1, (long)&from, 1, 0);
}

// Whether the kernel can read 8 bytes there: it reads the mask before it rejects the first argument.
static inline bool sys_can_read(uintptr_t address) {
    return sys_call(SYS_rt_sigprocmask, -1, (long)address, 0, 8, 0, 0) == -EINVAL;
}

// The beginning of a small file, of /proc say, in `text`, with a NUL behind it. Its length; 0 when it cannot
// be read.
static inline size_t sys_read_text(const char *path, char *text, size_t size) {
    long fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0), length = -1;
    if (!sys_failed(fd)) {
        length = sys_read((int)fd, text, size - 1);
        sys_close((int)fd);
    }
    if (length < 0)
        length = 0;
    text[length] = '\0';
    return (size_t)length;
}

#endif
