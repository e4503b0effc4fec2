// SPDX-License-Identifier: MIT
//
// Exceptions thrown through deep calls that allocate, caught in the same program and in other threads.

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "target.h"

static void descend(int depth) {
    std::vector<char> room(307); // @room

    opaque(room.data());
    if (depth == 0)
        throw std::runtime_error(std::string(503, 'e')); // @throw
    descend(depth - 1);
}

static int attempts(int count) {
    int caught = 0;

    for (int i = 0; i < count; i++)
        try {
            descend(i % 20);
        } catch (const std::exception &error) {
            caught += std::string(error.what()).size() == 503; // @caught
        }
    return caught;
}

int main() {
    std::vector<std::thread> threads;

    REQUIRE(attempts(400) == 400);
    for (int i = 0; i < 4; i++)
        threads.emplace_back([] { REQUIRE(attempts(400) == 400); });
    for (auto &thread : threads)
        thread.join();
    opaque(malloc(1009)); // @after
    say("all caught\n");
    return 0;
}
