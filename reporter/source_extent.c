// SPDX-License-Identifier: MIT
//
// Where functions end, told from their text: not a parser, but strings, comments and brackets are known, so
// that what is inside them does not mislead.

#include <ctype.h>
#include <string.h>

#include "reporter/source.h"

// ---- Python ----

struct python {
    const struct source *source;
    uint32_t line;  // the physical line that is read next
    int brackets;   // open ones
    char quote;     // of the string that is open; 0 = none
    bool triple;    // it is a triple-quoted one
    bool continued; // the last line ended with a backslash
};

static bool starts_triple(const char *text, size_t length, size_t at, char quote) {
    return at + 2 < length && text[at] == quote && text[at + 1] == quote && text[at + 2] == quote;
}

// Follows strings, comments and brackets through one physical line.
static void python_scan(struct python *p, const char *text, size_t length) {
    p->continued = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '\\') {
            p->continued = i + 1 == length;
            i++;
        } else if (p->quote) {
            if (p->triple ? starts_triple(text, length, i, p->quote) : c == p->quote) {
                i += p->triple ? 2 : 0;
                p->quote = 0;
            }
        } else if (c == '#') {
            break;
        } else if (c == '"' || c == '\'') {
            p->quote = c;
            p->triple = starts_triple(text, length, i, c);
            i += p->triple ? 2 : 0;
        } else if (strchr("([{", c)) {
            p->brackets++;
        } else if (strchr(")]}", c)) {
            p->brackets--;
        }
    }
    if (p->quote && !p->triple && !p->continued)
        p->quote = 0; // an unterminated string: it ends with its line
}

// Reads one logical line; returns the number of its last physical line.
static uint32_t python_logical_line(struct python *p) {
    p->brackets = 0;
    p->quote = 0;
    uint32_t count = source_line_count(p->source);
    do {
        size_t length;
        const char *text = source_line(p->source, p->line, &length);
        python_scan(p, text, length);
    } while (p->line++ < count && (p->brackets > 0 || p->quote || p->continued));
    return p->line - 1;
}

// Indentation in columns; -1 for a line that is blank or only a comment.
static int python_indent(const struct source *source, uint32_t line, const char **first) {
    size_t length;
    const char *text = source_line(source, line, &length);
    int column = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == ' ')
            column++;
        else if (text[i] == '\t')
            column = (column / 8 + 1) * 8;
        else if (text[i] == '#')
            return -1;
        else if (text[i] != '\f') {
            *first = text + i;
            return column;
        }
    }
    return -1;
}

static bool starts_block(const char *first, const char *end) {
    static const char *const words[] = {"def", "class", "async"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i]);
        if ((size_t)(end - first) > length && memcmp(first, words[i], length) == 0 &&
            isspace((unsigned char)first[length]))
            return true;
    }
    return false;
}

uint32_t source_python_end(const struct source *source, uint32_t first_line) {
    struct python p = {.source = source, .line = first_line};
    uint32_t count = source_line_count(source);
    if (!first_line || first_line > count)
        return 0;
    uint32_t end = first_line;
    int indent = -1;
    while (p.line <= count) {
        const char *first = NULL;
        uint32_t at = p.line;
        indent = python_indent(source, at, &first);
        if (indent < 0) {
            p.line++;
            continue;
        }
        end = python_logical_line(&p);
        if (*first != '@') {
            size_t length;
            const char *text = source_line(source, at, &length);
            if (!starts_block(first, text + length))
                return end; // a lambda or a comprehension
            break;
        }
    }
    while (p.line <= count) {
        const char *first;
        int next = python_indent(source, p.line, &first);
        if (next < 0)
            p.line++;
        else if (next > indent)
            end = python_logical_line(&p);
        else
            break;
    }
    return end;
}

// ---- braces ----

#define LONGEST_FUNCTION 5000 // lines

struct braces {
    const struct source *source;
    uint32_t line;
    const char *text;
    size_t length, at;
    int braces, brackets;
    bool comment;    // inside /* */
    int skipped;     // nesting of #if inside an #else branch that is left out; 0 = not in one
    bool done, none; // the end was found; there is no body
};

// A character literal, or an apostrophe that is something else: a digit separator, a lifetime.
static void skip_apostrophe(struct braces *b) {
    size_t i = b->at + 1;
    if (b->at && isalnum((unsigned char)b->text[b->at - 1]))
        return;
    for (; i < b->length && i < b->at + 12; i++) {
        if (b->text[i] == '\\')
            i++;
        else if (b->text[i] == '\'') {
            b->at = i;
            return;
        }
    }
}

static void skip_string(struct braces *b) {
    while (++b->at < b->length && b->text[b->at] != '"')
        if (b->text[b->at] == '\\')
            b->at++;
}

// Of #if … #else … #endif only the first branch counts: both together may open more than they close.
static bool skip_directive(struct braces *b) {
    size_t i = 0;
    while (i < b->length && (b->text[i] == ' ' || b->text[i] == '\t'))
        i++;
    bool directive = !b->comment && i < b->length && b->text[i] == '#';
    if (directive) {
        i++;
        while (i < b->length && (b->text[i] == ' ' || b->text[i] == '\t'))
            i++;
        const char *word = b->text + i;
        size_t left = b->length - i;
        if (left >= 2 && memcmp(word, "if", 2) == 0)
            b->skipped += b->skipped > 0;
        else if (left >= 3 && memcmp(word, "els", 3) == 0)
            b->skipped += b->skipped == 0;
        else if (left >= 4 && memcmp(word, "elif", 4) == 0)
            b->skipped += b->skipped == 0;
        else if (left >= 5 && memcmp(word, "endif", 5) == 0)
            b->skipped -= b->skipped > 0;
    }
    return directive || b->skipped;
}

static void scan_code(struct braces *b) {
    switch (b->text[b->at]) {
    case '"':
        skip_string(b);
        break;
    case '\'':
        skip_apostrophe(b);
        break;
    case '(':
    case '[':
        b->brackets++;
        break;
    case ')':
    case ']':
        b->brackets--;
        break;
    case '{':
        b->braces++;
        break;
    case '}':
        b->braces--;
        b->done = b->braces <= 0 && b->brackets <= 0;
        break;
    case ';':
        b->none = !b->braces && b->brackets <= 0;
        break;
    default:
        break;
    }
}

static void scan_line(struct braces *b) {
    for (b->at = 0; b->at < b->length && !b->done && !b->none; b->at++) {
        bool pair = b->at + 1 < b->length;
        if (b->comment) {
            if (pair && b->text[b->at] == '*' && b->text[b->at + 1] == '/') {
                b->comment = false;
                b->at++;
            }
        } else if (pair && b->text[b->at] == '/' && b->text[b->at + 1] == '/') {
            return;
        } else if (pair && b->text[b->at] == '/' && b->text[b->at + 1] == '*') {
            b->comment = true;
            b->at++;
        } else {
            scan_code(b);
        }
    }
}

uint32_t source_braces_end(const struct source *source, uint32_t first_line) {
    struct braces b = {.source = source};
    uint32_t count = source_line_count(source);
    if (!first_line)
        return 0;
    for (b.line = first_line; b.line <= count && b.line - first_line < LONGEST_FUNCTION; b.line++) {
        b.text = source_line(source, b.line, &b.length);
        if (skip_directive(&b))
            continue;
        scan_line(&b);
        if (b.done)
            return b.line;
        if (b.none)
            return 0;
    }
    return 0;
}
