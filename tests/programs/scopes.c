// SPDX-License-Identifier: MIT
// also: scopes_fixed -no-pie -fno-pie
//
// Scopes of peakline.h, left in every way that C knows; marks and a pause.

#include "../../shim/peakline.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "target.h"

static jmp_buf out;

static void *take(size_t size) {
    return opaque(malloc(size)); // @take
}

static int left_by_return(int depth) {
    PEAKLINE_SCOPE("recursive") {
        void *block = take(10007);
        int result = depth ? left_by_return(depth - 1) : 7;
        free(block);
        return result;
    }
    return 0;
}

static void *in_thread(void *argument) {
    void *block = take(70001); // outside
    PEAKLINE_SCOPE("thread") {
        *(void **)argument = take(30011);
        peakline_begin("left open");
    }
    free(block);
    return NULL;
}

static void jump(void) {
    PEAKLINE_SCOPE("jumped") {
        free(take(1009));
        longjmp(out, 1);
    }
}

int main(void) {
    void *load, *other;

    PEAKLINE_SCOPE("load") {
        load = take(300007);
        PEAKLINE_SCOPE("load: part") {
            free(take(50021));
        }
        free(take(20011));
    }
    free(load);
    for (int i = 0; i < 4; i++)
        PEAKLINE_SCOPE("epoch") {
            void *block = take(8009);
            free(block);
            if (i == 1)
                continue;
            if (i == 2)
                break;
            free(take(9001));
        }
    REQUIRE(left_by_return(4) == 7);

    PEAKLINE_SCOPE("jumper") {
        if (setjmp(out) == 0)
            jump();
        free(take(2003));
    }
    free(take(400009)); // @outside

    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, in_thread, &other) == 0);
    PEAKLINE_SCOPE("joins") {
        REQUIRE(pthread_join(thread, NULL) == 0);
        free(other);
    }

    peakline_mark("before the pause");
    void *before = take(5003), *grown = take(501);
    peakline_pause();
    peakline_pause();
    void *unseen = take(1000003);
    peakline_resume();
    free(before);
    grown = opaque(realloc(grown, 2000003));
    peakline_resume();
    free(unseen);
    free(grown);
    peakline_mark("after the pause");
    peakline_mark("after the pause");

    peakline_begin("outer");
    peakline_begin("inner");
    free(take(601));
    peakline_end();
    free(take(701));
    peakline_end();
    peakline_end();
    free(take(801));

    // A child goes on in the scopes that it was forked in.
    peakline_scope_t child = peakline_begin("forked");
    if (fork() == 0) {
        free(take(60013));
        peakline_leave(child);
        free(take(70003));
        _exit(0);
    }
    int status;
    REQUIRE(wait(&status) > 0 && status == 0);
    peakline_leave(child);
    peakline_leave(child);
    say("done\n");
    return 0;
}
