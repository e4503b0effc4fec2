// SPDX-License-Identifier: MIT
//
// What a process had noted in its threads' journals but not yet applied to its tables when it was recorded.

#ifndef PEAKLINE_READER_REPLAY_H
#define PEAKLINE_READER_REPLAY_H

#include "reporter/reader.h"

// Applies them to the image's tables and header, as record_format.h ("Journals") says. The image has passed
// reader_check. Events that make no sense are left out: the process was killed, or is at work, while it wrote
// them. Numbers that overflow wrap around: only a damaged file has them.
void reader_replay(struct reader_image *image, const struct record_journal *journals, uint32_t count);

#endif
