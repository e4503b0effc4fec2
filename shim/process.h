// SPDX-License-Identifier: MIT
//
// Life of the shim in a process: first call, threads, fork, exec, exit.

#ifndef PEAKLINE_PROCESS_H
#define PEAKLINE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

// Before exec: says so in the recording. True: call process_not_replaced when exec returns.
bool process_replaced(void);
void process_not_replaced(void);

// The process is about to change its user or root; `filtered`: to forbid itself system calls. Then none
// but for memory is made any more. True: so it is now, and was not before; process_unconfined takes that
// back.
bool process_confined(bool filtered);
void process_unconfined(void);

// `_exit` and its like: the process ends with this status, without the handlers of exit().
void process_exits(int status);

// A child of this process was waited for.
void process_reaped(int pid, int status);

// The environment that a new program image must get so that it is recorded too; or, without `with`, so that
// it is not. process_environment_bytes: how much memory that takes; 0 when nothing is to be done. Else
// process_environment builds it in `room`, which must be aligned for pointers. Both run in children of vfork,
// too: they change nothing but the caller's memory.
size_t process_environment_bytes(char *const envp[], bool with);
char **process_environment(char *const envp[], bool with, void *room);

// With the guard held and no lock: looks for an interpreter in modules that are new.
void process_poll(void);

// With the guard held: code may have been unloaded, so what was learnt of its addresses is forgotten.
void process_unloaded(void);

#endif
