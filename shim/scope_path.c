// SPDX-License-Identifier: MIT
//
// See scope_path.h.

#include "shim/scope_path.h"
#include "shim/place.h"

static uint32_t scope_path_number(struct scope *scope) {
    if (!scope->number || scope->generation != shim.generation) {
        scope->number = place_scope((struct place_text){scope->name, scope->length});
        scope->generation = shim.generation;
    }
    return scope->number;
}

static uint32_t scope_path_through(uint32_t node, struct scope *const *scopes, unsigned count) {
    while (count--)
        node = tree_path(node, scope_path_number(scopes[count]));
    return node;
}

__attribute__((noinline)) uint32_t scope_path_begin(void) {
    struct scope *scopes[SCOPE_NESTED];
    const uint32_t node = tree_path(TREE_ROOT, scope_path_origin());
    return scope_path_through(node, scopes, scope_list(thread_self.scopes, scopes));
}

__attribute__((noinline)) uint32_t scope_path_around(uint32_t node, const struct python_frame *frame) {
    struct scope *scopes[SCOPE_NESTED];
    return scope_path_through(node, scopes, scope_list_python(frame->frame, frame->code, scopes));
}

__attribute__((cold)) bool scope_path_is_around(const struct python_frame *frame) {
    struct scope *scopes[SCOPE_NESTED];
    return scope_list_python(frame->frame, frame->code, scopes) != 0;
}

__attribute__((noinline)) uint32_t scope_path_contexts(uint32_t node, const struct python_mark *marks,
                                                       unsigned count) {
    while (count--) {
        struct scope *scope = scope_in_context(marks[count].word, marks[count].context);
        if (scope)
            node = tree_path(node, scope_path_number(scope));
    }
    return node;
}
