/* SPDX-License-Identifier: MIT
 *
 * peakline from inside a program: name the spans and instants that matter, leave out what does not.
 *
 *     #include <peakline.h>
 *
 *     PEAKLINE_SCOPE("load") {
 *         table = read_table(path);
 *     }
 *
 * The report then has the peak of all that was allocated in "load", in this thread, whatever was called.
 * There is nothing to link with: under `peakline run` these functions do something, anywhere else nothing. C
 * (GNU C) and C++11, gcc and clang, any thread. Names are copied; of scopes, long ones are cut at 240 bytes,
 * with a hash.
 */
#ifndef PEAKLINE_H
#define PEAKLINE_H

#ifdef __cplusplus
extern "C" {
#endif

typedef unsigned long peakline_scope_t; /* 0 = none */

/* The shim's functions are looked up through the global offset table, which the dynamic loader fills in: a
 * plain reference to a weak symbol would be bound to nothing at link time in an executable that is not
 * position independent. */
#if defined __x86_64__ && defined __linux__ && !defined __ILP32__
#define PEAKLINE_FIND_(name, pointer)                                                                        \
    __asm__(".weak " #name "\n\tmovq " #name "@GOTPCREL(%%rip), %0" : "=r"(pointer))
#else
#define PEAKLINE_FIND_(name, pointer) ((pointer) = 0)
#endif

/* Opens a scope in this thread, until peakline_end. Scopes nest; one of a name that is open already counts
 * once. At most 64 are open at a time in one thread. */
static inline __attribute__((unused)) peakline_scope_t peakline_begin(const char *name) {
    peakline_scope_t (*begin)(const char *);
    PEAKLINE_FIND_(peakline_shim_begin, begin);
    return begin ? begin(name) : 0;
}

/* Ends the innermost scope that this thread has begun. Without one, does nothing. */
static inline __attribute__((unused)) void peakline_end(void) {
    void (*end)(void);
    PEAKLINE_FIND_(peakline_shim_end, end);
    if (end)
        end();
}

/* Ends this very scope, and those inside of it that were left open (by longjmp, for example). Does nothing if
 * it has ended. */
static inline __attribute__((unused)) void peakline_leave(peakline_scope_t scope) {
    void (*leave)(peakline_scope_t);
    PEAKLINE_FIND_(peakline_shim_leave, leave);
    if (leave && scope)
        leave(scope);
}

/* Names this instant, for the timeline. A process keeps its first 384 marks. */
static inline __attribute__((unused)) void peakline_mark(const char *name) {
    void (*mark)(const char *);
    PEAKLINE_FIND_(peakline_shim_mark, mark);
    if (mark)
        mark(name);
}

/* Until the matching peakline_resume, what this thread allocates is not recorded anywhere, nor is its
 * release. Blocks that were allocated before are accounted as ever when they are freed; one that is
 * reallocated meanwhile counts as freed. Pauses nest. */
static inline __attribute__((unused)) void peakline_pause(void) {
    void (*pause)(void);
    PEAKLINE_FIND_(peakline_shim_pause, pause);
    if (pause)
        pause();
}

static inline __attribute__((unused)) void peakline_resume(void) {
    void (*resume)(void);
    PEAKLINE_FIND_(peakline_shim_resume, resume);
    if (resume)
        resume();
}

#ifdef __cplusplus
}

/* For PEAKLINE_SCOPE, or by itself: peakline_guard guard("load"); */
class peakline_guard {
  public:
    explicit peakline_guard(const char *name) : scope(peakline_begin(name)), first(true) {}
    ~peakline_guard() {
        peakline_leave(scope);
    }
    bool peakline_once() {
        bool once = first;
        first = false;
        return once;
    }

  private:
    peakline_guard(const peakline_guard &);
    peakline_guard &operator=(const peakline_guard &);
    peakline_scope_t scope;
    bool first;
};

#define PEAKLINE_SCOPE_(name, guard) for (peakline_guard guard(name); guard.peakline_once();)

#else

struct peakline_guard {
    peakline_scope_t scope;
    int first;
};

static inline __attribute__((unused)) void peakline_guard_end(struct peakline_guard *guard) {
    peakline_leave(guard->scope);
}

#define PEAKLINE_SCOPE_(name, guard)                                                                         \
    for (struct peakline_guard guard                                                                         \
         __attribute__((cleanup(peakline_guard_end))) = {peakline_begin(name), 1};                           \
         guard.first; guard.first = 0)

#endif

/* The block or statement that follows is the scope, however it is left: at its end, or by break, continue,
 * return, goto or an exception. break and continue leave the scope only, not a loop around it. */
#define PEAKLINE_SCOPE(name) PEAKLINE_SCOPE_(name, PEAKLINE_PASTE_(peakline_guard_, __COUNTER__))
#define PEAKLINE_PASTE_(name, number) PEAKLINE_PASTED_(name, number)
#define PEAKLINE_PASTED_(name, number) name##number

#endif
