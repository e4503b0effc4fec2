// SPDX-License-Identifier: MIT
//
// The shim's path in a form that LD_PRELOAD can carry.
//
// LD_PRELOAD separates its entries by colons and spaces and expands `$`, and has no way to quote them. A shim
// that is installed under such a path is preloaded through a symbolic link in a temporary directory.
// Processes look at LD_PRELOAD when they exec, and the program may leave some behind, so the link must not be
// removed with the launcher: it stays, one per user and path of a shim, and the next run uses it again. The
// directory is `peakline-UID` in $TMPDIR or /tmp; one that is not the user's alone (somebody else may have
// put it there) is not used, but one with a name that nobody could foresee.
//
// Threads: main thread only. Failure: one line on standard error.

#ifndef PEAKLINE_PRELOAD_H
#define PEAKLINE_PRELOAD_H

// The path of the shim for LD_PRELOAD: beside the running executable or in ../lib/peakline/. malloc'd; NULL
// on failure.
char *preload_find(void);

// The directory that Python programs are to find first: beside the shim, wherever `shim` links to. malloc'd;
// NULL when it is not there, or has a colon in its path, which PYTHONPATH cannot hold.
char *preload_python(const char *shim);

// `old`, a list with colons between its entries or NULL, with `entry` in front of it; malloc'd, NULL when out
// of memory.
char *preload_list(const char *entry, const char *old);

// `old`, an LD_PRELOAD or NULL, with the shim in front of it; malloc'd, NULL when out of memory.
char *preload_prepend(const char *shim, const char *old);

#endif
