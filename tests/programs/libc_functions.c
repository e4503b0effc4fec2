// SPDX-License-Identifier: MIT
//
// Functions of the C library that allocate on their caller's behalf.

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

#include "target.h"

static void *blocks[16];
static int used;

static void hold(void *block) {
    REQUIRE(block != NULL);
    blocks[used++] = block;
}

int main(void) {
    static char text[4001];
    static wchar_t wide[1003];
    char *line = NULL;
    char *stream_text = NULL;
    char *printed = NULL;
    size_t size = 0;
    FILE *stream;

    memset(text, 'x', sizeof text - 1);
    wmemset(wide, L'x', 1002);
    hold(strdup(text + 4000 - 1060));                     // @strdup
    hold(strndup(text, 1068));                            // @strndup
    hold(wcsdup(wide));                                   // @wcsdup
    REQUIRE(asprintf(&printed, "%.1086s", text) == 1086); // @asprintf
    hold(printed);
    text[1500] = '\n';
    stream = fmemopen(text, sizeof text, "r"); // @fmemopen
    REQUIRE(stream != NULL);
    REQUIRE(getline(&line, &size, stream) == 1501); // @getline
    say_number("getline allocated ", (long long)size);
    hold(line);
    fclose(stream);
    stream = open_memstream(&stream_text, &size);
    REQUIRE(stream != NULL);
    text[1500] = 'x';
    REQUIRE(fputs(text, stream) >= 0);
    fclose(stream); // @memstream
    REQUIRE(size == 4000);
    hold(stream_text);
    hold(realpath("/", NULL)); // @realpath
    return 0;
}
