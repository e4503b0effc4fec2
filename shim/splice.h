// SPDX-License-Identifier: MIT
//
// One stack of both languages: native frames between Python's, where the evaluation loop was entered.
//
//   C stack, outermost first          Python's stack        the mixed one
//   _start, main, ... libpython
//   evaluation loop ................. main                  main.py:10
//   libpython, numpy, numpy                                 numpy, numpy
//   libpython
//   evaluation loop ................. callback              main.py:3
//   numpy, malloc                                           numpy
//
// Each activation of the loop on the C stack stands for one run of Python frames (python.h). What is outside
// of the outermost one and what is the interpreter's own is left out. Where loops and runs do not match one
// to one, nothing is guessed: the stack is Python's, and inside it the native frames as far as the
// interpreter (RECORD_LOST_SPLICE).
//
// Of one thread, in its struct stack. Memory from the arena.

#ifndef PEAKLINE_SPLICE_H
#define PEAKLINE_SPLICE_H

#include "shim/stack_parts.h"

// Gives the stack its struct splice. False: no memory.
bool splice_open(struct stack *stack);

// The node of the present stack, Python's part of which has just been captured with so many frames unchanged;
// `frame` is the hook's. With the thread's journal locked; as stack_find.
uint32_t splice_node(struct thread *thread, unsigned unchanged, const void *frame);

// Numbers of nodes mean nothing any more.
void splice_forget_nodes(struct splice *splice);

// Code may be other code now, and the stack another thread's.
void splice_forget(struct splice *splice);

#endif
