// SPDX-License-Identifier: MIT
//
// Scopes of peakline.h in C++, left by exceptions.

#include "../../shim/peakline.h"

#include <stdexcept>
#include <vector>

#include "target.h"

static void fail() {
    peakline_guard guard("failing");
    std::vector<char> room(30011);
    opaque(room.data());
    throw std::runtime_error("on purpose");
}

int main() {
    for (int i = 0; i < 3; i++)
        try {
            PEAKLINE_SCOPE("loop") {
                std::vector<char> room(10007);
                opaque(room.data());
                fail();
            }
        } catch (const std::runtime_error &) {
        }
    std::vector<char> room(90001);
    opaque(room.data());
    say("done\n");
}
