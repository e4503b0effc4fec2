// SPDX-License-Identifier: MIT
//
// One-line messages, safe for any terminal; and the nearest spelling for a word that is not known.

#include "reporter/message.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MESSAGE_MAX = 8192, WORD_MAX = 32 };

// Length of the well-formed, printable UTF-8 sequence at `text`; 0 when there is none.
static size_t message_sequence(const unsigned char *text) {
    unsigned char first = text[0];
    if (first >= 0x20 && first < 0x7f)
        return 1;
    size_t length = first >= 0xc2 && first <= 0xdf   ? 2
                    : first >= 0xe0 && first <= 0xef ? 3
                    : first >= 0xf0 && first <= 0xf4 ? 4
                                                     : 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    // Overlong forms, surrogates, beyond U+10FFFF, and the C1 control characters, which terminals obey.
    if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) ||
        (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f) ||
        (first == 0xc2 && text[1] < 0xa0))
        return 0;
    return length;
}

char *message_escape(const char *text, char *out, size_t size) {
    size_t used = 0;
    while (*text != '\0') {
        size_t length = message_sequence((const unsigned char *)text);
        char escaped[5];
        const char *piece = text;
        size_t wanted = length;
        if (length == 0) {
            snprintf(escaped, sizeof escaped, "\\x%02x", (unsigned char)*text);
            piece = escaped;
            wanted = 4;
            length = 1;
        }
        if (used + wanted >= size)
            break;
        memcpy(out + used, piece, wanted);
        used += wanted;
        text += length;
    }
    out[used] = '\0';
    return out;
}

void message_vprint(const char *format, va_list arguments) {
    char raw[MESSAGE_MAX], line[MESSAGE_MAX];
    vsnprintf(raw, sizeof raw, format, arguments);
    message_escape(raw, line, sizeof line);
    // One write for the whole line: the profiled program may be writing to the same terminal.
    fprintf(stderr, "peakline: %s\n", line);
    fflush(stderr);
}

void message_print(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    message_vprint(format, arguments);
    va_end(arguments);
}

// Edits (insert, delete, replace, swap of neighbours) between two words.
static size_t message_distance(const char *a, const char *b) {
    size_t a_length = strlen(a), b_length = strlen(b);
    size_t d[WORD_MAX + 1][WORD_MAX + 1];
    if (a_length > WORD_MAX || b_length > WORD_MAX)
        return WORD_MAX;
    for (size_t i = 0; i <= a_length; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= b_length; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        for (size_t j = 1; j <= b_length; j++) {
            size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[a_length][b_length];
}

const char *message_nearest(const char *word, const char *const *candidates, size_t count) {
    const char *nearest = NULL;
    size_t length = strlen(word);
    size_t best = length < 4 ? 2 : length < 8 ? 3 : 4; // a distance must stay below this
    for (size_t i = 0; i < count; i++) {
        // What is cut short, or carries more than it should, is meant just as often as what is misspelt.
        size_t other = strlen(candidates[i]);
        size_t common = length < other ? length : other;
        size_t distance = common >= 3 && strncmp(word, candidates[i], common) == 0
                              ? 1
                              : message_distance(word, candidates[i]);
        if (distance < best) {
            best = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}
