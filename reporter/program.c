// SPDX-License-Identifier: MIT
//
// Looks at a program before it is started: scripts, ELF headers, set-user-ID bits.

#include "reporter/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
    CHAIN_MAX = 4,     // scripts that name scripts as their interpreters: as many as the kernel follows
    SCRIPT_LINE = 256, // bytes of a #! line that the kernel reads
    HEADERS_MAX = 256, // program headers that are looked at
};

static int program_say(int status, char *why, size_t size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int program_say(int status, char *why, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, size, format, arguments);
    va_end(arguments);
    return status;
}

// 0 when `path` can be executed; else the errno of the attempt, EISDIR for a directory, EINVAL for a
// device and the like.
static int program_access(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0)
        return errno;
    if (S_ISDIR(info.st_mode))
        return EISDIR;
    if (!S_ISREG(info.st_mode))
        return EINVAL;
    if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) != 0)
        return EACCES;
    return 0;
}

// Why `path`, which the user or a script called `name`, cannot be executed.
static int program_refuse(int error, const char *name, char *why, size_t size) {
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return program_say(PROGRAM_NOT_FOUND, why, size, "%s: no such program; check the path", name);
    case EISDIR:
        return program_say(PROGRAM_NOT_EXECUTABLE, why, size,
                           "%s is a directory, not a program; name a file in it", name);
    case EACCES:
        return program_say(PROGRAM_NOT_EXECUTABLE, why, size,
                           "%s is not executable; use `chmod +x`, or name its interpreter: python3 %s", name,
                           name);
    case EINVAL:
        return program_say(PROGRAM_NOT_EXECUTABLE, why, size, "%s is not a regular file; name a program",
                           name);
    default:
        return program_say(PROGRAM_NOT_EXECUTABLE, why, size, "%s cannot be executed: %s", name,
                           strerror(error));
    }
}

int program_find(const char *name, char **path, char *why, size_t size) {
    if (*name == '\0')
        return program_say(PROGRAM_NOT_FOUND, why, size, "the program's name is empty; name one to run");
    if (strchr(name, '/') != NULL) {
        int error = program_access(name);
        if (error != 0)
            return program_refuse(error, name, why, size);
        *path = strdup(name);
        return *path != NULL ? 0 : program_say(PROGRAM_FAILED, why, size, "out of memory");
    }
    const char *directories = getenv("PATH");
    if (directories == NULL)
        directories = "/bin:/usr/bin";
    char denied[4096] = "";
    for (const char *at = directories;; at++) {
        size_t length = strcspn(at, ":");
        char *candidate = NULL;
        // An empty entry means the current directory.
        if (asprintf(&candidate, "%.*s%s%s", (int)length, at, length == 0 ? "./" : "/", name) < 0)
            return program_say(PROGRAM_FAILED, why, size, "out of memory");
        int error = program_access(candidate);
        if (error == 0) {
            *path = candidate;
            return 0;
        }
        if (error == EACCES && denied[0] == '\0')
            snprintf(denied, sizeof denied, "%s", candidate);
        free(candidate);
        at += length;
        if (*at == '\0')
            break;
    }
    if (denied[0] != '\0')
        return program_refuse(EACCES, denied, why, size);
    return program_say(PROGRAM_NOT_FOUND, why, size,
                       "%s: not found in PATH; check the name, or give its path", name);
}

// Whether the kernel would start `path` with more rights than ours, so that the loader ignores LD_PRELOAD.
static const char *program_privileged(const char *path, const struct stat *info) {
    struct statvfs system;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
        (statvfs(path, &system) == 0 && (system.f_flag & ST_NOSUID) != 0))
        return NULL;
    if ((info->st_mode & S_ISUID) != 0 && info->st_uid != getuid())
        return "is set-user-ID";
    if ((info->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && info->st_gid != getgid())
        return "is set-group-ID";
    if (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
        return "has file capabilities";
    return NULL;
}

static const char *program_machine(unsigned machine) {
    switch (machine) {
    case EM_386:
        return "32-bit x86";
    case EM_X86_64:
        return "x86-64";
    case EM_ARM:
        return "32-bit ARM";
    case EM_AARCH64:
        return "64-bit ARM";
    case EM_RISCV:
        return "RISC-V";
    case EM_PPC64:
        return "POWER";
    case EM_S390:
        return "IBM Z";
    default:
        return "another architecture";
    }
}

// The dynamic loader itself (`ld-linux-x86-64.so.2 PROGRAM`) names no loader, yet obeys LD_PRELOAD.
static bool program_is_loader(const char *path) {
    char *real = realpath(path, NULL);
    const char *slash = real != NULL ? strrchr(real, '/') : NULL;
    bool loader = slash != NULL && (strncmp(slash, "/ld-", 4) == 0 || strncmp(slash, "/ld.so", 6) == 0);
    free(real);
    return loader;
}

static int program_check_elf(int fd, const char *path, const unsigned char *head, size_t length, char *why,
                             size_t size) {
    const Elf64_Ehdr *elf = (const Elf64_Ehdr *)(const void *)head;
    unsigned machine = length >= 20 ? (unsigned)(head[18] | head[19] << 8) : EM_NONE;
    if (length >= 20 && head[EI_DATA] == ELFDATA2MSB)
        machine = (unsigned)(head[19] | head[18] << 8);
    if (head[EI_CLASS] == ELFCLASS32)
        return program_say(
            PROGRAM_FAILED, why, size,
            "%s is a 32-bit program (%s), and peakline's shim is x86-64 only; use a 64-bit build of it", path,
            machine == EM_X86_64 ? "x32" : program_machine(machine));
    if (length < sizeof *elf)
        return 0; // the kernel has the word for it
    if (machine != EM_X86_64 || head[EI_DATA] != ELFDATA2LSB)
        return program_say(
            PROGRAM_FAILED, why, size,
            "%s is a program for %s, and peakline's shim is x86-64 only; use an x86-64 build of it", path,
            program_machine(machine));
    if ((elf->e_type != ET_EXEC && elf->e_type != ET_DYN) || elf->e_phentsize != sizeof(Elf64_Phdr))
        return 0;
    for (unsigned i = 0; i < elf->e_phnum && i < HEADERS_MAX; i++) {
        Elf64_Phdr header;
        if (elf->e_phoff > INT64_MAX / 2 ||
            pread(fd, &header, sizeof header, (off_t)(elf->e_phoff + i * sizeof header)) != sizeof header)
            return 0;
        if (header.p_type != PT_INTERP)
            continue;
        char loader[4096];
        if (header.p_offset > INT64_MAX / 2 || header.p_filesz < 2 || header.p_filesz >= sizeof loader ||
            pread(fd, loader, header.p_filesz, (off_t)header.p_offset) != (ssize_t)header.p_filesz)
            return 0;
        loader[header.p_filesz] = '\0';
        if (strstr(loader, "/ld-musl") != NULL)
            return program_say(
                PROGRAM_FAILED, why, size,
                "%s is built for musl, whose loader cannot load peakline's glibc shim; use a glibc build",
                path);
        if (access(loader, F_OK) != 0)
            return program_say(
                PROGRAM_NOT_FOUND, why, size,
                "%s needs the loader %s, which is not there; install the C library that it was built for",
                path, loader);
        return 0;
    }
    if (program_is_loader(path))
        return 0;
    return program_say(PROGRAM_FAILED, why, size,
                       "%s is statically linked: nothing can be preloaded into it; link it dynamically",
                       path);
}

// The interpreter that a #! line names, as a C string within `line`; NULL when it names none.
static char *program_interpreter(char *line, size_t length) {
    char *at = line + 2, *end = line + length;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    char *stop = at;
    while (stop < end && strchr(" \t\n", *stop) == NULL)
        stop++;
    *stop = '\0'; // line has room for it
    return stop > at ? at : NULL;
}

int program_check(const char *path, char *why, size_t size) {
    char names[2][SCRIPT_LINE + 1]; // the interpreter's path, while its own first line is read
    const char *script = NULL;
    for (int i = 0; i <= CHAIN_MAX; i++) {
        _Alignas(Elf64_Ehdr) unsigned char head[SCRIPT_LINE + 1];
        struct stat info;
        int error = program_access(path);
        if (error != 0 && script != NULL) {
            int status = error == ENOENT || error == ENOTDIR ? PROGRAM_NOT_FOUND : PROGRAM_NOT_EXECUTABLE;
            return program_say(status, why, size, "%s is a script for %s, which %s; correct its #! line",
                               script, path,
                               status == PROGRAM_NOT_FOUND ? "does not exist" : "is not executable");
        }
        if (error != 0)
            return program_refuse(error, path, why, size);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return 0; // it may be executable all the same
        ssize_t length = pread(fd, head, SCRIPT_LINE, 0);
        int status = 0;
        bool again = false;
        bool is_elf = length >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0;
        bool is_script = length > 2 && head[0] == '#' && head[1] == '!';
        // The kernel ignores these bits on scripts.
        const char *privilege = !is_script && fstat(fd, &info) == 0 ? program_privileged(path, &info) : NULL;
        if (privilege != NULL)
            status =
                program_say(PROGRAM_FAILED, why, size,
                            "%s %s, so the loader ignores preloaded libraries; run a copy of it that is not",
                            path, privilege);
        else if (is_elf)
            status = program_check_elf(fd, path, head, (size_t)length, why, size);
        else if (is_script) {
            char *interpreter = program_interpreter((char *)head, (size_t)length);
            if (interpreter != NULL) {
                if (script == NULL)
                    script = path;
                char *copy = names[i % 2];
                snprintf(copy, sizeof names[0], "%s", interpreter);
                path = copy;
                again = true;
            }
        }
        close(fd);
        if (!again)
            return status;
    }
    return 0; // too long a chain: the kernel will say so
}
