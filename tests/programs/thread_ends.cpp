// SPDX-License-Identifier: MIT
//
// Threads that end by return, pthread_exit and cancellation, and allocate in their destructors and handlers.

#include <cstdlib>
#include <pthread.h>

#include "target.h"

static void *slots[64];
static int used;
static pthread_key_t key;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void hold(void *block) {
    pthread_mutex_lock(&lock);
    slots[used++] = block;
    pthread_mutex_unlock(&lock);
}

struct Local {
    void *block = nullptr;
    ~Local() {
        free(block);
        hold(malloc(3001)); // @thread_local
    }
};

static thread_local Local local;

static void key_gone(void *block) {
    free(block);
    hold(malloc(3011)); // @key
}

static void cleanup(void *block) {
    free(block);
    hold(malloc(3019)); // @cleanup
}

static void prepare() {
    local.block = malloc(3023);             // @prepare_local
    pthread_setspecific(key, malloc(3037)); // @prepare_key
}

static void *returning(void *unused) {
    prepare();
    return unused;
}

static void *exiting(void *) {
    prepare();
    pthread_exit(nullptr);
}

static void *cancelled(void *) {
    prepare();
    pthread_cleanup_push(cleanup, malloc(3041)); // @pushed
    for (;;)
        pause();
    pthread_cleanup_pop(1);
    return nullptr;
}

int main() {
    void *(*const bodies[])(void *) = {returning, exiting, cancelled};

    REQUIRE(pthread_key_create(&key, key_gone) == 0);
    for (auto body : bodies)
        for (int i = 0; i < 4; i++) {
            pthread_t thread;

            REQUIRE(pthread_create(&thread, nullptr, body, nullptr) == 0);
            if (body == cancelled)
                REQUIRE(pthread_cancel(thread) == 0);
            REQUIRE(pthread_join(thread, nullptr) == 0);
        }
    say_number("blocks ", used);
    return 0;
}
