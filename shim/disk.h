// SPDX-License-Identifier: MIT
//
// File systems on which blocks once allocated are no promise (btrfs): each change is written elsewhere, so
// that on a full disk a store to the mapped recording ends the host (SIGBUS).
//
// There the file is marked to stay in place. Since Linux 6.17 a store succeeds then ("btrfs: fix -ENOSPC mmap
// write failure on NOCOW files/extents"), though each one to a page that has been written back looks for room
// first, a thousandth of a second and more. So while the disk is nearly full, the tables are plain memory.

#ifndef PEAKLINE_DISK_H
#define PEAKLINE_DISK_H

// Of the file that was just made, and is still empty.
void disk_open(int fd);

// Looks now and then whether there is little room left, and takes the tables out of the file then, for good:
// it is written when the process ends (recording_flush). With shim.lock held, by a thread that is outside of
// its journal's gate. Matters only where shim.disk_watched.
void disk_look(void);

#endif
