// SPDX-License-Identifier: MIT
//
// Keeps the calling-context tree and the list of lines bounded by forgetting what does not matter
// (record_format.h, "Forgetting").
//
// Callers hold shim.lock. Numbers of nodes and frames that were learnt before mean nothing afterwards:
// shim.tree_epoch counts.

#ifndef PEAKLINE_FOLD_H
#define PEAKLINE_FOLD_H

// Folds until a good part of the nodes is free again, those first that are old, have no live block and had
// the lowest peaks; likewise lines, where these are short. Raises the budgets (budget.h) when what is left
// matters. Does what it can where tables are full.
void fold_tree(void);

#endif
