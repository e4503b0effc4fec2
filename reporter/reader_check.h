// SPDX-License-Identifier: MIT
//
// What a recording's tables must fulfil before anyone uses them.

#ifndef PEAKLINE_READER_CHECK_H
#define PEAKLINE_READER_CHECK_H

#include "reporter/reader.h"

// The first thing that is wrong.
struct reader_fault {
    enum record_table table;
    uint32_t record; // 0: in the header, at `offset`
    uint64_t offset;
    const char *what; // of the header's
};

// Whether everything in the tables refers to what is there. Nodes whose place in the tree was being changed
// at the last instant are moved below the root and counted.
bool reader_check(struct reader_image *image, struct reader_fault *fault);

// Whether the extents lie within a file of `size` bytes, and none over another: then the tables together are
// no larger than the file. `*bad` is the index of the first that does not; `*cut` says that the file is too
// short.
bool reader_check_extents(const struct record_extent *extents, uint32_t count, uint64_t size, uint32_t *bad,
                          bool *cut);

#endif
