// SPDX-License-Identifier: MIT
// output: libunwind_thrower.so
// cflags: -shared -fPIC
//
// Half of unwind_exceptions: throws through frames of its own and its caller's.

#include <stdexcept>
#include <string>

extern "C" void thrower_call(unsigned depth, void (*callback)(unsigned)) {
    std::string text(40 + depth, 'x');
    try {
        callback(depth);
    } catch (const std::logic_error &error) {
        text += error.what();
        if (depth % 3 == 0)
            throw std::runtime_error(text);
    }
}
