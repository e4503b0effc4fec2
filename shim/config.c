// SPDX-License-Identifier: MIT
//
// The shim's settings, from the environment.

#include "shim/config.h"
#include "shim/shim.h"
#include "shim/sys.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define CONFIG_MAX_SIZE_DEFAULT (16ull << 20)
#define CONFIG_MAX_SIZE_LEAST (1ull << 20)
#define CONFIG_MAX_SIZE_MOST (1ull << 30)
#define CONFIG_ENVIRON_MAX (4ul << 20) // more than the kernel passes to exec by default

struct config config;

static const char *config_value(const char *entry, const char *name) {
    while (*name && *entry == *name) {
        entry++;
        name++;
    }
    return *name == '\0' && *entry == '=' ? entry + 1 : NULL;
}

static uint64_t config_number(const char *text) {
    uint64_t value = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (value > UINT64_MAX / 10 - 10)
            return UINT64_MAX;
        value = value * 10 + (uint64_t)(*text - '0');
    }
    return value;
}

static void config_path(char *out, const char *value) {
    size_t length = 0;
    while (value[length] && length < CONFIG_PATH_MAX - 1)
        length++;
    if (value[length])
        return; // cut short it would name something else
    __builtin_memcpy(out, value, length + 1);
}

static void config_entry(const char *entry) {
    const char *value;
    if (entry[0] != 'P' || entry[1] != 'E')
        return;
    if ((value = config_value(entry, "PEAKLINE_OUTPUT")) != NULL && value[0] == '/')
        config_path(config.output, value);
    else if ((value = config_value(entry, "PEAKLINE_SHIM")) != NULL)
        config_path(config.shim, value);
    else if ((value = config_value(entry, "PEAKLINE_FOLLOW")) != NULL)
        config.follow = value[0] != '0';
    else if ((value = config_value(entry, "PEAKLINE_NATIVE")) != NULL)
        config.native = value[0] == '1';
    else if ((value = config_value(entry, "PEAKLINE_FREES")) != NULL)
        config.frees = value[0] == '1';
    else if ((value = config_value(entry, "PEAKLINE_ROOT")) != NULL)
        config.root = (uint32_t)config_number(value);
    else if ((value = config_value(entry, "PEAKLINE_PYTHON_OBJECTS")) != NULL)
        config.objects = value[0] == 'o'   ? RECORD_OBJECTS_OFF
                         : value[0] == 's' ? RECORD_OBJECTS_SAMPLED
                                           : RECORD_OBJECTS_EXACT;
    else if ((value = config_value(entry, "PEAKLINE_SAMPLING_SEED")) != NULL)
        config.sampling_seed = config_number(value);
    else if ((value = config_value(entry, "PEAKLINE_MAX_SIZE")) != NULL)
        config.max_size = config_number(value);
}

// The environment as the kernel keeps it, for the time before the C library has set `environ`.
static void config_read_proc(void) {
    long fd = sys_open("/proc/self/environ", O_RDONLY | O_CLOEXEC, 0);
    if (sys_failed(fd))
        return;
    long map = sys_mmap(NULL, CONFIG_ENVIRON_MAX, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!sys_failed(map)) {
        char *text = (char *)map;
        size_t length = 0;
        long got;
        while (length < CONFIG_ENVIRON_MAX - 1 &&
               (got = sys_read((int)fd, text + length, CONFIG_ENVIRON_MAX - 1 - length)) > 0)
            length += (size_t)got;
        for (char *entry = text; entry < text + length;) {
            config_entry(entry);
            while (*entry)
                entry++;
            entry++;
        }
        sys_munmap(text, CONFIG_ENVIRON_MAX);
    }
    sys_close((int)fd);
}

// What is reserved at the start is some two to four times max_size; where address space is limited, that must
// stay a small part of it.
#define CONFIG_LIMIT_PART 128

static uint64_t config_limit_of(int resource) {
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
    sys_call(SYS_getrlimit, resource, (long)&limit, 0, 0, 0, 0);
    return limit.rlim_cur;
}

static void config_limit(void) {
    const uint64_t space = config_limit_of(RLIMIT_AS), data = config_limit_of(RLIMIT_DATA);
    const uint64_t limit = space < data ? space : data;
    if (limit == RLIM_INFINITY)
        return;
    config.scarce = true;
    // A child may have been handed what its parent had lowered.
    config.lowered = config.max_size >= limit / CONFIG_LIMIT_PART;
    config.lowered_data = config.lowered && data < space;
    if (config.lowered)
        config.max_size = limit / CONFIG_LIMIT_PART;
}

void config_read(void) {
    config.follow = true;
    config.objects = RECORD_OBJECTS_EXACT;
    config.max_size = CONFIG_MAX_SIZE_DEFAULT;
    if (environ) {
        for (char **entry = environ; *entry; entry++)
            config_entry(*entry);
    } else {
        config_read_proc();
    }
    config_limit();
    if (config.max_size < CONFIG_MAX_SIZE_LEAST)
        config.max_size = CONFIG_MAX_SIZE_LEAST;
    if (config.max_size > CONFIG_MAX_SIZE_MOST)
        config.max_size = CONFIG_MAX_SIZE_MOST;
    config.active = config.output[0] != '\0';
}
