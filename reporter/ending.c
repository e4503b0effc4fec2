// SPDX-License-Identifier: MIT
//
// How each process of a recording ended. See ending.h.

#include "reporter/ending.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

static double seconds(uint64_t ns) {
    return (double)ns / 1e9;
}

// An instant of an image's own clock on the clock that all processes of a boot share.
static uint64_t monotonic(const struct record_header *header, uint64_t ns) {
    return model_add_unsigned(header->start_monotonic_ns, ns);
}

static bool same_boot(const struct record_header *a, const struct record_header *b) {
    return memcmp(a->boot_id, b->boot_id, sizeof a->boot_id) == 0;
}

// The boot's id as /proc has it: 32 hexadecimal digits with dashes between.
static bool read_boot_id(uint8_t id[16]) {
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    char text[64];
    bool ok = file && fgets(text, sizeof text, file);
    if (file)
        fclose(file);
    if (!ok)
        return false;
    size_t digits = 0;
    memset(id, 0, 16);
    for (const char *at = text; *at && digits < 32; at++) {
        const char *hex = "0123456789abcdef", *digit = strchr(hex, *at);
        if (digit) {
            id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | (digit - hex));
            digits++;
        }
    }
    return digits == 32;
}

// Whether the process that wrote `header` lives: the pid alone may have been reused. A zombie is dead.
static bool is_alive(const struct record_header *header) {
    uint8_t boot_id[16];
    if (!read_boot_id(boot_id) || memcmp(boot_id, header->boot_id, sizeof boot_id) != 0)
        return false;
    char path[64], line[4096];
    snprintf(path, sizeof path, "/proc/%u/stat", header->pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t length = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[length] = '\0';
    char *at = strrchr(line, ')'); // the command before it may hold anything
    if (!at || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X' || at[2] == 'x')
        return false;
    at++;
    for (int field = 3; field < 22; field++) {
        at = strchr(at + 1, ' ');
        if (!at)
            return false;
    }
    return strtoull(at + 1, NULL, 10) == header->start_ticks;
}

static double running_for(const struct record_header *header) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return now_ns > header->start_monotonic_ns ? seconds(now_ns - header->start_monotonic_ns) : 0;
}

// What the file itself and its successor say.
static void from_header(struct model_process *process, const struct record_header *next) {
    const struct record_header *h = &process->image->header;
    process->duration = seconds(h->end != RECORD_RUNNING ? h->end_ns : h->last_ns);
    if (h->end == RECORD_EXITED) {
        process->end = MODEL_EXITED;
        process->exit_code = h->exit_code;
    } else if (h->end == RECORD_SIGNALLED) {
        process->end = MODEL_SIGNALLED;
        process->signal = h->end_signal;
    } else if (h->end == RECORD_REPLACED) {
        process->end = MODEL_REPLACED;
    } else if (next && same_boot(h, next) && next->start_ticks == h->start_ticks) {
        process->end = MODEL_REPLACED;
        if (next->start_monotonic_ns > h->start_monotonic_ns)
            process->duration = seconds(next->start_monotonic_ns - h->start_monotonic_ns);
    }
}

// The last image of `pid` that had begun by `when`: the one whose end a parent saw then.
static struct model_process *find_reaped(struct model_process *processes, size_t count, uint32_t pid,
                                         const struct record_header *parent, uint64_t when) {
    size_t low = 0, high = count; // the first process of a greater pid
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (processes[middle].image->header.pid <= pid)
            low = middle + 1;
        else
            high = middle;
    }
    while (low > 0 && processes[low - 1].image->header.pid == pid) {
        struct model_process *process = &processes[--low];
        const struct record_header *h = &process->image->header;
        if (same_boot(h, parent) && h->start_monotonic_ns <= when)
            return process;
    }
    return NULL;
}

static void apply_reaped(struct model_process *processes, size_t count, const struct reader_image *parent) {
    for (uint32_t i = 1; i < parent->reaped_count; i++) {
        const struct record_reaped *reaped = &parent->reaped[i];
        if (!WIFEXITED(reaped->status) && !WIFSIGNALED(reaped->status))
            continue; // stopped or continued
        uint64_t when = monotonic(&parent->header, reaped->time_ns);
        struct model_process *process = find_reaped(processes, count, reaped->pid, &parent->header, when);
        if (!process || process->image == parent || process->end == MODEL_REPLACED)
            continue;
        if (process->image->header.end == RECORD_RUNNING)
            process->duration = seconds(when - process->image->header.start_monotonic_ns);
        if (WIFEXITED(reaped->status)) {
            process->end = MODEL_EXITED;
            process->exit_code = WEXITSTATUS(reaped->status);
        } else {
            process->end = MODEL_SIGNALLED;
            process->signal = WTERMSIG(reaped->status);
        }
    }
}

void ending_find(struct model_process *processes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        bool followed = i + 1 < count && processes[i + 1].image->header.pid == processes[i].image->header.pid;
        from_header(&processes[i], followed ? &processes[i + 1].image->header : NULL);
    }
    for (size_t i = 0; i < count; i++)
        apply_reaped(processes, count, processes[i].image);
    for (size_t i = 0; i < count; i++) {
        const struct record_header *h = &processes[i].image->header;
        if (processes[i].end != MODEL_UNKNOWN)
            continue;
        if (is_alive(h)) {
            processes[i].end = MODEL_RUNNING;
            processes[i].duration = running_for(h);
        } else if (reader_look_again(processes[i].image)) {
            from_header(&processes[i], NULL);
        }
    }
}
