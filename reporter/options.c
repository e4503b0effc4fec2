// SPDX-License-Identifier: MIT
//
// Command lines, the same for every verb.

#include "reporter/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "reporter/message.h"

enum { SPECS_MAX = 64 };

static void options_help(const struct options *options) {
    printf("usage: peakline %s\n\n%s\n\noptions:\n", options->usage, options->about);
    for (const struct options_spec *spec = options->specs; spec->name != NULL; spec++) {
        char left[64], letter[8] = "";
        if (spec->letter != 0)
            snprintf(letter, sizeof letter, "-%c, ", spec->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, spec->name, spec->value != NULL ? " " : "",
                 spec->value != NULL ? spec->value : "");
        printf("  %-26s %s", left, spec->help);
        if (spec->variable != NULL)
            printf(" [%s]", spec->variable);
        putchar('\n');
    }
    printf("  %-26s %s\n", "-h, --help", "this text");
}

int options_fail(const struct options *options, const char *format, ...) {
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t length = strlen(text);
    message_print("%s%s `peakline %.*s -h`", text, length > 0 && text[length - 1] == '?' ? " See" : "; see",
                  (int)strcspn(options->usage, " "), options->usage);
    return OPTIONS_ERROR;
}

void options_start(struct options *options, int argc, char **argv) {
    options->argc = argc;
    options->argv = argv;
    options->at = 1;
    options->environment = 0;
    options->ended = false;
    options->operands = 0;
}

static bool options_truth(const char *text, bool *truth) {
    static const char *const no[] = {"", "0", "no", "off", "false"}, *const yes[] = {"1", "yes", "on",
                                                                                     "true"};
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (strcasecmp(text, no[i]) == 0) {
            *truth = false;
            return true;
        }
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (strcasecmp(text, yes[i]) == 0) {
            *truth = true;
            return true;
        }
    return false;
}

// Takes `value` (NULL: none was attached) for the option at `index`.
static int options_take(struct options *options, int index, const char *given, const char *value) {
    const struct options_spec *spec = &options->specs[index];
    options->given = given;
    options->value = NULL;
    options->on = true;
    if (spec->value == NULL) {
        if (value != NULL && !options_truth(value, &options->on))
            return options_fail(options, "%s takes no value other than yes or no, not '%s'", given, value);
        return index;
    }
    if (value == NULL) {
        if (options->at >= options->argc)
            return options_fail(options, "%s needs a value, %s", given, spec->value);
        value = options->argv[options->at++];
    }
    if (*value == '\0')
        return options_fail(options, "%s needs a value, %s, not an empty one", given, spec->value);
    options->value = value;
    return index;
}

static int options_unknown(const struct options *options, const char *given, size_t length) {
    const char *names[SPECS_MAX];
    char word[64];
    size_t count = 0;
    for (const struct options_spec *spec = options->specs; spec->name != NULL && count < SPECS_MAX; spec++)
        names[count++] = spec->name;
    snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), given);
    const char *nearest = strncmp(word, "--", 2) == 0 ? message_nearest(word + 2, names, count) : NULL;
    if (nearest != NULL)
        return options_fail(options, "unknown option '%s', did you mean '--%s'?", word, nearest);
    return options_fail(options, "unknown option '%s'", word);
}

static int options_long(struct options *options, const char *argument) {
    const char *name = argument + 2;
    size_t length = strcspn(name, "=");
    const char *value = name[length] == '=' ? name + length + 1 : NULL;
    if (strcmp(name, "help") == 0) {
        options_help(options);
        return OPTIONS_HELP;
    }
    for (int i = 0; options->specs[i].name != NULL; i++) {
        const struct options_spec *spec = &options->specs[i];
        if (strlen(spec->name) != length || strncmp(spec->name, name, length) != 0)
            continue;
        // "--name" as a string of its own: it is the tail of usage texts and messages.
        static char given[64];
        snprintf(given, sizeof given, "--%s", spec->name);
        return options_take(options, i, given, value);
    }
    return options_unknown(options, argument, length + 2);
}

static int options_short(struct options *options, const char *argument) {
    if (argument[1] == 'h' && argument[2] == '\0') {
        options_help(options);
        return OPTIONS_HELP;
    }
    for (int i = 0; options->specs[i].name != NULL; i++) {
        const struct options_spec *spec = &options->specs[i];
        if (spec->letter == 0 || spec->letter != argument[1] || (spec->value == NULL && argument[2] != '\0'))
            continue;
        snprintf(options->short_name, sizeof options->short_name, "-%c", spec->letter);
        return options_take(options, i, options->short_name, argument[2] != '\0' ? argument + 2 : NULL);
    }
    return options_unknown(options, argument, strlen(argument));
}

// The next option that the environment sets. A variable that is set but empty counts as not set.
static int options_from_environment(struct options *options) {
    while (options->specs[options->environment].name != NULL) {
        int index = options->environment++;
        const char *variable = options->specs[index].variable;
        const char *value = variable != NULL ? getenv(variable) : NULL;
        if (value != NULL && *value != '\0')
            return options_take(options, index, variable, value);
    }
    return OPTIONS_END;
}

int options_next(struct options *options) {
    int index = options_from_environment(options);
    if (index != OPTIONS_END)
        return index;
    while (options->at < options->argc) {
        char *argument = options->argv[options->at];
        if (options->ended || argument[0] != '-' || argument[1] == '\0') {
            if (options->program) {
                options->operands = options->argc - options->at;
                options->operand = options->argv + options->at;
                return OPTIONS_END;
            }
            // Operands gather at argv[1…]: each moves to a place that has been read already.
            options->argv[1 + options->operands++] = argument;
            options->at++;
            continue;
        }
        options->at++;
        if (strcmp(argument, "--") == 0) {
            options->ended = true;
            continue;
        }
        return strncmp(argument, "--", 2) == 0 ? options_long(options, argument)
                                               : options_short(options, argument);
    }
    options->operand = options->argv + (options->program ? options->argc : 1);
    if (!options->program && options->operands + 1 < options->argc)
        options->argv[options->operands + 1] = NULL;
    return OPTIONS_END;
}

bool options_parse_size(const char *text, uint64_t *bytes) {
    static const char units[] = "KMGT";
    char *rest;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, &rest, 10);
    if (errno != 0)
        return false;
    unsigned shift = 0;
    if (*rest != '\0' && strcasecmp(rest, "B") != 0) {
        const char *unit = strchr(units, *rest >= 'a' && *rest <= 'z' ? *rest - 'a' + 'A' : *rest);
        if (unit == NULL ||
            (rest[1] != '\0' && strcasecmp(rest + 1, "iB") != 0 && strcasecmp(rest + 1, "B") != 0))
            return false;
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (number > UINT64_MAX >> shift)
        return false;
    *bytes = (uint64_t)number << shift;
    return true;
}

// "1 GiB", "16 MiB", "4096": the bounds of a range as a message shows them.
static const char *options_show_size(uint64_t bytes, char *text, size_t size) {
    static const char *const names[] = {"", " KiB", " MiB", " GiB", " TiB"};
    size_t unit = 0;
    while (unit < 4 && bytes >= 1024 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, size, "%" PRIu64 "%s", bytes, names[unit]);
    return text;
}

bool options_size(const struct options *options, uint64_t low, uint64_t high, uint64_t *bytes) {
    char a[32], b[32];
    if (!options_parse_size(options->value, bytes)) {
        options_fail(options, "%s needs a size like 512K, 16M or 1G, not '%s'", options->given,
                     options->value);
        return false;
    }
    if (*bytes >= low && *bytes <= high)
        return true;
    options_fail(options, "%s is '%s', but must be from %s to %s", options->given, options->value,
                 options_show_size(low, a, sizeof a), options_show_size(high, b, sizeof b));
    return false;
}

bool options_number(const struct options *options, uint64_t low, uint64_t high, uint64_t *number) {
    char *rest;
    errno = 0;
    unsigned long long value = strtoull(options->value, &rest, 10);
    if (*options->value >= '0' && *options->value <= '9' && *rest == '\0' && errno == 0 && value >= low &&
        value <= high) {
        *number = value;
        return true;
    }
    options_fail(options, "%s needs a whole number from %" PRIu64 " to %" PRIu64 ", not '%s'", options->given,
                 low, high, options->value);
    return false;
}

bool options_choice(const struct options *options, const char *const *choices, size_t count, size_t *index) {
    char list[256] = "";
    for (size_t i = 0; i < count; i++) {
        if (strcmp(options->value, choices[i]) == 0) {
            *index = i;
            return true;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s",
                 i == 0           ? ""
                 : i + 1 == count ? " or "
                                  : ", ",
                 choices[i]);
    }
    options_fail(options, "%s is '%s', but must be %s", options->given, options->value, list);
    return false;
}
