// SPDX-License-Identifier: MIT
//
// SHIM_OWN: for declarations of variables that hooks read at every event. A compiler that knows that they are
// in this very object reads them directly, without asking the loader's table where they are.

#ifndef PEAKLINE_OWN_H
#define PEAKLINE_OWN_H

#define SHIM_OWN __attribute__((visibility("hidden")))

#endif
