// SPDX-License-Identifier: MIT
//
// See program.h.

#include "shim/program.h"
#include "shim/sys.h"

#include <elf.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM_BYTES 4096  // where the header, its table and the loader's name lie, or the first line
#define PROGRAM_SCRIPTS 4   // one that is the next one's interpreter
#define PROGRAM_HEADERS 64u // of a program that is looked at

static size_t program_read(const char *path, char bytes[PROGRAM_BYTES]) {
    const long fd = sys_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (sys_failed(fd))
        return 0;
    const long length = sys_read((int)fd, bytes, PROGRAM_BYTES);
    sys_close((int)fd);
    return length > 0 ? (size_t)length : 0;
}

// The interpreter that a script's first line names becomes the beginning of `bytes`.
static bool program_script(char bytes[PROGRAM_BYTES], size_t length) {
    size_t at = 2, count = 0;
    while (at < length && (bytes[at] == ' ' || bytes[at] == '\t'))
        at++;
    while (at + count < length && bytes[at + count] && !strchr(" \t\n", bytes[at + count]))
        count++;
    if (!count || at + count == length)
        return false;
    memmove(bytes, bytes + at, count);
    bytes[count] = '\0';
    return true;
}

static bool program_loader_is_foreign(const char *bytes, size_t length) {
    static const char musl[] = "/ld-musl-";
    Elf64_Ehdr header;
    memcpy(&header, bytes, sizeof header);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phoff > length)
        return false;
    for (unsigned i = 0; i < header.e_phnum && i < PROGRAM_HEADERS; i++) {
        const uint64_t at = header.e_phoff + i * sizeof(Elf64_Phdr);
        Elf64_Phdr part;
        if (at + sizeof part > length)
            return false;
        memcpy(&part, bytes + at, sizeof part);
        if (part.p_type == PT_INTERP)
            return part.p_offset < length && part.p_filesz < length - part.p_offset &&
                   memmem(bytes + part.p_offset, part.p_filesz, musl, sizeof musl - 1);
    }
    return false;
}

// Reads the program that the C library would find in PATH under this name.
static size_t program_search(const char *name, char bytes[PROGRAM_BYTES]) {
    const size_t name_length = strlen(name);
    const char *at = NULL;
    for (char **entry = environ; entry && *entry && !at; entry++)
        if (strncmp(*entry, "PATH=", 5) == 0)
            at = *entry + 5;
    while (at && *at) {
        char path[PROGRAM_BYTES];
        const char *end = strchrnul(at, ':');
        const size_t length = (size_t)(end - at);
        if (length && length + name_length + 2 <= sizeof path) {
            memcpy(path, at, length);
            path[length] = '/';
            memcpy(path + length + 1, name, name_length + 1);
            const size_t found = program_read(path, bytes);
            if (found)
                return found;
        }
        at = *end ? end + 1 : end;
    }
    return 0;
}

bool program_is_foreign(const char *path, bool search) {
    char bytes[PROGRAM_BYTES];
    for (int scripts = 0; path && scripts <= PROGRAM_SCRIPTS; scripts++) {
        const size_t length =
            search && !strchr(path, '/') ? program_search(path, bytes) : program_read(path, bytes);
        if (length < 2 || memcmp(bytes, "#!", 2) != 0)
            return length >= sizeof(Elf64_Ehdr) && program_loader_is_foreign(bytes, length);
        if (!program_script(bytes, length))
            return false;
        path = bytes; // read before it is written over
        search = false;
    }
    return false;
}
