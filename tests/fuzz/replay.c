// SPDX-License-Identifier: MIT
//
// Runs a fuzz target without a fuzzer: on each file of the folders that are named, and on a number of changed
// copies of each, the same every time. So that what `make fuzz` builds goes on building, and what a fuzzer
// would find in its first second is found by `make check`.

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MOST 16384u
#define COPIES 300 // of each file

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t replay_state = 88172645463325252u; // xorshift64 (Marsaglia 2003, "Xorshift RNGs")

static uint32_t replay_random(uint32_t below) {
    replay_state ^= replay_state << 13;
    replay_state ^= replay_state >> 7;
    replay_state ^= replay_state << 17;
    return (uint32_t)(replay_state >> 32) % below;
}

// In memory of exactly that size, so that a sanitizer sees what lies beyond.
static void replay_run(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static size_t replay_change(uint8_t *data, size_t size) {
    static const uint8_t telling[] = {0, 1, 4, 8, 0x7f, 0x80, 0xff};
    for (uint32_t changes = 1 + replay_random(8); changes && size; changes--) {
        uint32_t at = replay_random((uint32_t)size);
        switch (replay_random(4)) {
        case 0:
            data[at] = (uint8_t)replay_random(256);
            break;
        case 1:
            data[at] = telling[replay_random(sizeof telling)];
            break;
        case 2: // cut off
            size = at;
            break;
        case 3: // longer
            if (size < INPUT_MOST)
                data[size++] = (uint8_t)replay_random(256);
            break;
        }
    }
    return size;
}

static void replay_input(const uint8_t *data, size_t size) {
    uint8_t changed[INPUT_MOST];
    replay_run(data, size);
    for (unsigned i = 0; i < COPIES; i++) {
        memcpy(changed, data, size);
        replay_run(changed, replay_change(changed, size));
    }
}

static unsigned replay_folder(const char *folder) {
    uint8_t data[INPUT_MOST];
    char path[4096];
    unsigned files = 0;
    DIR *stream = opendir(folder);
    for (struct dirent *entry; stream && (entry = readdir(stream)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "rb");
        if (!file)
            continue;
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        replay_input(data, size);
        files++;
    }
    if (stream)
        closedir(stream);
    return files;
}

int main(int argc, char **argv) {
    unsigned files = 0;
    for (int i = 1; i < argc; i++)
        files += replay_folder(argv[i]);
    // A target that brings no files is run on noise.
    uint8_t noise[256];
    for (unsigned i = 0; files == 0 && i < 16; i++) {
        for (size_t at = 0; at < sizeof noise; at++)
            noise[at] = (uint8_t)replay_random(256);
        replay_input(noise, sizeof noise);
    }
    return 0;
}
