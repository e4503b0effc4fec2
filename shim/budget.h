// SPDX-License-Identifier: MIT
//
// How large the tables of nodes and frames may grow before what does not matter is forgotten (fold.h): small
// parts of the cap, so that recordings stay small, and more where much matters. Callers hold shim.lock.

#ifndef PEAKLINE_BUDGET_H
#define PEAKLINE_BUDGET_H

#include "shim/record_format.h"

#include <stdbool.h>

// The file is new.
void budget_open(void);

// How many records more the table may have within its budget, which for other tables is the cap.
uint32_t budget_spare(enum record_table table);

// The table's budget becomes half as large again. False: it is as large as the cap allows.
bool budget_raise(enum record_table table);

#endif
