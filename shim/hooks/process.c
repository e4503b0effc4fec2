// SPDX-License-Identifier: MIT
//
// Where processes begin and end: exec, spawn, exit, wait. fork needs no hook (process.c in shim/ explains).
//
// Many of these run in children of vfork, which share their parent's memory: nothing here changes the shim's
// state before it has compared pids.

#include "shim/process.h"
#include "shim/guard.h"
#include "shim/program.h"
#include "shim/real.h"

#include <alloca.h>
#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

extern void peakline_shim_pause(void), peakline_shim_resume(void); // scope.c

#define PROCESS_STACK_MOST (256u << 10) // bytes of stack that an environment may take

// `envp` completed on the caller's stack, which lives as long as the call that uses it; or without us, where
// `program` (NULL: not known) could not be started with us.
#define ENVIRONMENT(program, search, envp)                                                                   \
    ({                                                                                                       \
        const bool with_ = !program_is_foreign(program, search);                                             \
        const size_t bytes_ = process_environment_bytes(envp, with_);                                        \
        bytes_ &&bytes_ <= PROCESS_STACK_MOST ? process_environment(envp, with_, alloca(bytes_))             \
                                              : (char **)(envp);                                             \
    })

// The call returns only when it has failed.
#define REPLACE(call)                                                                                        \
    do {                                                                                                     \
        if (!real_resolve()) {                                                                               \
            errno = EAGAIN;                                                                                  \
            return -1;                                                                                       \
        }                                                                                                    \
        bool marked_ = process_replaced();                                                                   \
        int result_ = (call);                                                                                \
        if (marked_)                                                                                         \
            process_not_replaced();                                                                          \
        return result_;                                                                                      \
    } while (0)

int execve(const char *path, char *const argv[], char *const envp[]) {
    char **environment = ENVIRONMENT(path, false, envp);
    REPLACE(real.execve(path, argv, environment));
}

int execv(const char *path, char *const argv[]) {
    return execve(path, argv, environ);
}

int execvpe(const char *file, char *const argv[], char *const envp[]) {
    char **environment = ENVIRONMENT(file, true, envp);
    REPLACE(real.execvpe(file, argv, environment));
}

int execvp(const char *file, char *const argv[]) {
    return execvpe(file, argv, environ);
}

int fexecve(int fd, char *const argv[], char *const envp[]) {
    char **environment = ENVIRONMENT(NULL, false, envp);
    REPLACE(real.fexecve(fd, argv, environment));
}

int execveat(int directory, const char *path, char *const argv[], char *const envp[], int flags) {
    char **environment = ENVIRONMENT(NULL, false, envp);
    if (!real_resolve() || !real.execveat) { // glibc 2.34 and later
        errno = ENOSYS;
        return -1;
    }
    REPLACE(real.execveat(directory, path, argv, environment, flags));
}

// The variadic forms end in execve or execvpe, with the arguments on the stack. The headers declare the first
// argument as never NULL, yet callers pass NULL for an empty list: hide it from the optimiser.
#define COLLECT(arg, list, after)                                                                            \
    va_list counted_, arguments_;                                                                            \
    va_start(arguments_, arg);                                                                               \
    va_copy(counted_, arguments_);                                                                           \
    char *first_ = (char *)(uintptr_t)(arg);                                                                 \
    __asm__("" : "+r"(first_));                                                                              \
    size_t count_ = 1;                                                                                       \
    while (first_ && va_arg(counted_, char *))                                                               \
        count_++;                                                                                            \
    va_end(counted_);                                                                                        \
    char **list = alloca((count_ + 1) * sizeof *list);                                                       \
    list[0] = first_;                                                                                        \
    for (size_t i_ = 1; i_ <= count_ && list[i_ - 1]; i_++)                                                  \
        list[i_] = va_arg(arguments_, char *);                                                               \
    after;                                                                                                   \
    va_end(arguments_)

int execl(const char *path, const char *arg, ...) {
    COLLECT(arg, argv, (void)0);
    return execve(path, argv, environ);
}

int execlp(const char *file, const char *arg, ...) {
    COLLECT(arg, argv, (void)0);
    return execvpe(file, argv, environ);
}

int execle(const char *path, const char *arg, ...) {
    char **envp;
    COLLECT(arg, argv, envp = va_arg(arguments_, char **));
    return execve(path, argv, envp);
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]) {
    if (!real_resolve())
        return EAGAIN;
    char **environment = ENVIRONMENT(path, false, envp);
    return real.posix_spawn(pid, path, actions, attributes, argv, environment);
}

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]) {
    if (!real_resolve())
        return EAGAIN;
    char **environment = ENVIRONMENT(file, true, envp);
    return real.posix_spawnp(pid, file, actions, attributes, argv, environment);
}

void _exit(int status) {
    process_exits(status);
    for (;;)
        sys_call_always(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

void _Exit(int status) {
    _exit(status);
}

void quick_exit(int status) {
    process_exits(status); // its handlers may still allocate; they are counted
    if (real_resolve())
        real.quick_exit(status);
    for (;;)
        sys_call_always(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

// What wait reported is worth keeping: a child that a signal killed cannot say so itself.
static pid_t process_waited(pid_t pid, const int *status) {
    if (pid > 0)
        process_reaped(pid, *status);
    return pid;
}

pid_t wait(int *status) {
    return waitpid(-1, status, 0);
}

// Process groups that cannot be, for Linux has no numbers beyond 2^22: Python's part of the shim has us begin
// and end a pause by them, where it has nothing yet to call a function with (python-startup).
#define PROCESS_PAUSE (-0x70656b01)
#define PROCESS_RESUME (-0x70656b02)

pid_t waitpid(pid_t pid, int *status, int options) {
    int own;
    if (pid == PROCESS_PAUSE || pid == PROCESS_RESUME)
        (pid == PROCESS_PAUSE ? peakline_shim_pause : peakline_shim_resume)();
    if (!real_resolve()) {
        errno = ECHILD;
        return -1;
    }
    int *place = status ? status : &own;
    return process_waited(real.waitpid(pid, place, options), place);
}

pid_t wait3(int *status, int options, struct rusage *usage) {
    return wait4(-1, status, options, usage);
}

pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage) {
    int own;
    if (!real_resolve()) {
        errno = ECHILD;
        return -1;
    }
    int *place = status ? status : &own;
    return process_waited(real.wait4(pid, place, options, usage), place);
}

int waitid(idtype_t type, id_t id, siginfo_t *info, int options) {
    siginfo_t own = {0};
    if (!real_resolve()) {
        errno = ECHILD;
        return -1;
    }
    siginfo_t *place = info ? info : &own;
    int result = real.waitid(type, id, place, options);
    if (result == 0 && !(options & WNOWAIT) && place->si_pid > 0) {
        if (place->si_code == CLD_EXITED)
            process_reaped(place->si_pid, (place->si_status & 0xff) << 8);
        else if (place->si_code == CLD_KILLED || place->si_code == CLD_DUMPED)
            process_reaped(place->si_pid, place->si_status & 0x7f);
    }
    return result;
}
