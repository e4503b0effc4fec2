// SPDX-License-Identifier: MIT
//
// A Python str as UTF-8, read in place. The str's own UTF-8 cache is never used: it may not be there, and
// making it allocates.

#ifndef PEAKLINE_PYTHON_TEXT_H
#define PEAKLINE_PYTHON_TEXT_H

#include "shim/python/layout.h"

#include <stddef.h>

// Bytes written to `buffer`, at most `size`: as many whole characters as fit. Bytes that surrogateescape
// smuggled in (U+DC80 to U+DCFF) come out as they were, other lone surrogates as the three bytes that they
// would have if UTF-8 allowed them: different names stay different. 0 where `text` is no str.
size_t text_copy(const struct python_layout *layout, const void *text, char *buffer, size_t size);

#endif
