// SPDX-License-Identifier: MIT
//
// The mapped file that record_format.h describes: made, grown, closed.
//
// Callers hold shim.lock (recording_open: the process has no other thread that could see it yet). Nothing
// here fails loudly: a file that cannot grow any more is full, what no longer fits is counted.

#ifndef PEAKLINE_RECORDING_H
#define PEAKLINE_RECORDING_H

#include "shim/record_format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Makes the file of this process image and fills in the header. False: nothing can be recorded.
bool recording_open(void);

// A descriptor of the file, to be closed. -1 when it is gone, is another one now, or may not be opened any
// more (privileges dropped, chroot).
int recording_reopen(void);

// All else is there, too: the process is recorded.
void recording_ready(void);

// It cannot be. If it was forked, the process that it comes from has it counted in its recording.
void recording_missing(void);

// Takes a file that was just opened away again: there is no memory to go on.
void recording_abandon(void);

// Room on the disk for what is written at that offset of the header and the lists behind it. False: there is
// none.
bool recording_reserve_head(size_t offset);

// The file may be out of reach soon: maps all of it that there can be, so that it need not be opened to grow.
// It gets long, but no blocks. Without effect before Linux 5.14, and where tables are or may become private.
void recording_map_ahead(void);

// The same where no file may be opened any more: room for some thousand contexts, 900 KiB. What else comes
// has to be folded.
void recording_stock(void);
void recording_unstock(void); // files may be opened after all

// Room for so many records more, without adding them. False: they do not fit.
bool recording_reserve(enum record_table table, uint32_t records);

// Copies `entry` to the record of that number, which exists or has been reserved. By words, unlike an
// assignment: a store across two pages may never succeed on a full btrfs, which cleans the one to make room
// for the other.
void recording_put(enum record_table table, uint32_t number, const void *entry);

// A copy of `entry` becomes the table's next record. Its number, or 0 when the table is full.
uint32_t recording_append(enum record_table table, const void *entry);

// Interning is the caller's: each call stores the bytes again. Offset of the string, or 0 when the table is
// full.
uint32_t recording_string(const char *bytes, size_t length);

// The process ends, or is about to be replaced. Safe in signal handlers and after fork: touches the header
// only.
void recording_end(enum record_end end, int exit_code);

// exec failed: the process goes on.
void recording_go_on(void);

// Writes the tables to the file, where they are not a mapping of it already (shim.file_private):
// within journal_keep_still, or what is written does not fit together.
void recording_flush(void);

#endif
