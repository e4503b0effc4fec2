// SPDX-License-Identifier: MIT
//
// The numbers of a report: for each line and each function, what it allocated itself and in all that it
// called.
//
//   self   it is the innermost level of its language
//   total  it is anywhere on the stack; counted once, however often it is there
//
// Sums are exact, with two exceptions: what several call sites of one line, or an inlined function, did in
// contexts that were folded can count twice under recursion; and what is live can be too small by `unseen`. A
// peak is exact when the recording kept an account that is just this line or function: a Python line, a
// native call site, a native function; otherwise it is the smallest upper bound that can be had from the
// accounts. Cost: proportional to nodes plus levels, whatever the depth of the tree. Units: bytes. Threads:
// one. The process must be loaded (model_load) when metrics_compute is called.

#ifndef PEAKLINE_METRICS_H
#define PEAKLINE_METRICS_H

#include "reporter/model.h"

// Of sums that were estimated from samples: in bytes^2, but for `allocations`. 0: exact.
struct metrics_variance {
    double allocated, allocations, net, live, peak;
};

struct metrics_measure {
    uint64_t allocated_bytes, allocations;
    uint64_t freed_bytes, frees; // freed while it was running, whoever had allocated it
    uint64_t temporary;
    int64_t peak, at_peak, live;
    bool peak_exact; // otherwise an upper bound. Either may be off by the header's peak_error_bytes
    int64_t unseen;  // not 0: the bound is at most this much too high
    // Not 0: the line was forgotten and came back. What it did before that is missing in its numbers, but its
    // peak is a bound, at most this much too high.
    int64_t forgotten;
    struct metrics_variance variance; // see errors.h
    bool sums_bound;                  // its sums may count a path twice
};

struct metrics_entry {
    struct metrics_measure self, total;
    int64_t mem_usage; // highest heap at an allocation while it was running; 0 = it allocated nothing
    uint32_t contexts; // nodes in which it is on the stack for the first time; folded ones are not counted
    bool folded;       // there were folded ones
};

struct metrics {
    struct metrics_entry *lines;     // by the model's line numbers
    struct metrics_entry *functions; // by the model's function numbers
    bool frees_known;                // freed_bytes and frees mean something
    bool sampled;                    // there are estimates: the variances mean something
};

// The caller releases it with metrics_free.
struct metrics *metrics_compute(const struct model_process *process);
void metrics_free(struct metrics *metrics);

// The measure of a single node. Its line is the last level of its frame.
struct metrics_measure metrics_of_node(const struct model_process *process, uint32_t node);

// Shares the bytes at the peak among chosen functions: each node's go to the innermost line on its path
// whose function is one of them. Returns one number per line of the model; the caller frees it.
int64_t *metrics_share_peak(const struct model_process *process, const bool *chosen_functions);

// The same of all bytes that were ever allocated.
int64_t *metrics_share_allocated(const struct model_process *process, const bool *chosen_functions);

#endif
