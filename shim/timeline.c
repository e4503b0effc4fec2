// SPDX-License-Identifier: MIT
//
// The clock is read when a thread's events are applied.

#include "shim/timeline.h"
#include "shim/arena.h"
#include "shim/clock.h"
#include "shim/recording.h"
#include "shim/shim.h"

#define TIMELINE_FIRST_NS 10000000u // 10 ms

uint64_t timeline_resident(void) {
    char text[128];
    sys_read_text("/proc/self/statm", text, sizeof text);
    const char *at = text;
    while (*at && *at != ' ')
        at++;
    uint64_t pages = 0;
    if (*at)
        for (at++; *at >= '0' && *at <= '9'; at++)
            pages = pages * 10 + (uint64_t)(*at - '0');
    if (pages * 4096 > shim.header->rss_peak_bytes)
        shim.header->rss_peak_bytes = pages * 4096;
    return pages * 4096;
}

// The coarse clock lags behind the one that the start and the last tick were taken from.
static uint64_t timeline_since_start(uint64_t now) {
    const struct record_header *header = shim.header;
    return now > header->start_monotonic_ns ? now - header->start_monotonic_ns : 0;
}

static void timeline_halve(struct record_header *header) {
    const uint32_t ticks = header->ticks; // even: a page's, or all
    for (uint32_t i = 0; i + 1 < ticks; i += 2) {
        const struct record_tick *one = &shim.ticks[i], *next = one + 1;
        struct record_tick *into = &shim.ticks[i / 2];
        into->heap_bytes = next->heap_bytes > one->heap_bytes ? next->heap_bytes : one->heap_bytes;
        into->mapped_bytes = next->mapped_bytes;
        into->rss_bytes = next->rss_bytes;
        // Last: by their times a reader knows those that are in another one already.
        __atomic_store_n(&into->time_ns, next->time_ns, __ATOMIC_RELEASE);
    }
    header->tick_ns *= 2;
    header->table_bytes = arena_resident();
    __atomic_store_n(&header->ticks, ticks / 2, __ATOMIC_RELEASE);
}

__attribute__((noinline)) static void timeline_tick(uint64_t now) {
    struct record_header *header = shim.header;
    if (header->ticks == RECORD_TICKS_MAX ||
        !recording_reserve_head(RECORD_TICKS_AT + header->ticks * sizeof *shim.ticks))
        timeline_halve(header);
    struct record_tick *tick = &shim.ticks[header->ticks];
    tick->time_ns = now;
    tick->heap_bytes = shim.tick_heap_high;
    tick->mapped_bytes = header->mapped_live;
    tick->rss_bytes = timeline_resident();
    header->last_ns = now;
    if (arena_bytes() > header->table_bytes)
        header->table_bytes = arena_bytes();
    shim.tick_heap_high = header->heap_live;
    __atomic_store_n(&header->ticks, header->ticks + 1, __ATOMIC_RELEASE);
}

void timeline_look(void) {
    struct record_header *header = shim.header;
    uint64_t now = timeline_since_start(clock_coarse());
    if (!header->tick_ns)
        header->tick_ns = TIMELINE_FIRST_NS;
    if (now > header->last_ns && now - header->last_ns >= header->tick_ns)
        timeline_tick(now);
}

void timeline_raised(uint64_t since) {
    shim.header->peak_ns = timeline_since_start(since);
}

void timeline_now(void) {
    uint64_t now = clock_monotonic() - shim.header->start_monotonic_ns;
    // A point less than a clock tick after the last one would say nothing new.
    if (!shim.header->tick_ns)
        shim.header->tick_ns = TIMELINE_FIRST_NS;
    if (now > shim.header->last_ns)
        timeline_tick(now);
    shim.header->table_bytes = arena_resident();
}
