// SPDX-License-Identifier: MIT
// cflags: -L$OUT -lunwind_thrower -Wl,-rpath,$OUT
//
// C++ exceptions thrown, caught and thrown again across a shared library, with containers that allocate all
// the way, in destructors that run while the stack is unwound, too.

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

extern "C" void thrower_call(unsigned depth, void (*callback)(unsigned));

static unsigned seed = 3;

static unsigned pick(unsigned below) {
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % below;
}

struct allocates_when_destroyed {
    std::string name = "a name that is too long to be kept inside";
    ~allocates_when_destroyed() {
        std::vector<std::string> copies(3, name);
    }
};

static void down(unsigned depth) {
    allocates_when_destroyed guard;
    std::map<unsigned, std::string> some;
    for (unsigned i = 0; i < 4; i++)
        some[i] = std::string(30 + i, 'y');
    if (depth == 0)
        throw std::logic_error(some[1]);
    if (pick(2)) {
        thrower_call(depth - 1, down);
        return;
    }
    try {
        down(depth - 1);
    } catch (const std::runtime_error &error) {
        some[9] = error.what();
        if (pick(2))
            throw std::logic_error(some[9]);
    }
}

int main() {
    for (unsigned i = 0; i < 300; i++) {
        try {
            down(pick(12));
        } catch (const std::exception &error) {
            std::string text = error.what();
            text += text;
        }
    }
}
