// SPDX-License-Identifier: MIT
//
// What the formats have in common. See render.h.

#include "reporter/render/render.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "reporter/text.h"

const struct render_format render_formats[] = {
    {"table", render_table},
    {"json", render_json},
    {NULL, NULL},
};

struct source_cache *render_sources(const struct model_process *process) {
    const struct reader_image *image = process->image;
    struct source_cache *sources = source_cache_new();
    for (uint32_t i = 1; i < image->source_count; i++) {
        size_t length;
        const char *bytes = reader_string(image, image->sources[i].file, &length);
        char *file = memchr(bytes, '\0', length) ? NULL : memory_copy(bytes, length);
        bytes = reader_string(image, image->sources[i].text, &length);
        source_add(sources, file, process->cwd, bytes, length);
        free(file);
    }
    return sources;
}

bool render_load(const struct render_input *input, struct model_process *process,
                 struct reader_error *error) {
    struct model_resolver *resolver = input->symbolize ? symbolize_resolver(input->symbolize) : NULL;
    return model_load(input->model, process, resolver, error);
}

const char *render_size(const struct render_options *options, char out[TEXT_SIZE_MAX], int64_t bytes) {
    return options->mib ? text_mib(out, bytes, options->mib - 1) : text_size(out, bytes);
}

char *render_command(const struct model_process *process, size_t columns) {
    if (!process->command_count)
        return text_escape_string(process->executable ? text_basename(process->executable)
                                                      : "(unknown command)");
    size_t length = 0;
    for (size_t i = 0; i < process->command_count; i++)
        length += strlen(process->command[i]) + 1;
    char *line = memory_alloc(length + 1, 1);
    size_t used = 0;
    for (size_t i = 0; i < process->command_count; i++) {
        if (i)
            line[used++] = ' ';
        size_t size = strlen(process->command[i]);
        memcpy(line + used, process->command[i], size);
        used += size;
    }
    char *escaped = text_escape(line, used, columns);
    free(line);
    return escaped;
}

char *render_end(const struct model_process *process) {
    switch (process->end) {
    case MODEL_EXITED:
        return memory_print("exited %d", process->exit_code);
    case MODEL_SIGNALLED: {
        const char *name = sigabbrev_np(process->signal);
        return name ? memory_print("killed by SIG%s", name)
                    : memory_print("killed by signal %d", process->signal);
    }
    case MODEL_REPLACED:
        return memory_print("replaced by exec");
    case MODEL_RUNNING:
        return memory_print("still running");
    case MODEL_UNKNOWN:
        break;
    }
    return memory_print("end unknown");
}
