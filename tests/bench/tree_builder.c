// SPDX-License-Identifier: MIT
//
// Deep recursion: builds search trees whose nodes own a key and a value, looks the keys up, and frees it all;
// beside them chains a thousand deep.
//
//   tree_builder ROUNDS

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tree {
    char *key, *value;
    uint32_t priority;
    struct tree *left, *right;
};

static uint32_t random_state = 2463534242u;

static uint32_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static void *checked(void *block) {
    if (block == NULL)
        abort();
    return block;
}

static struct tree *tree_new(const char *key, uint32_t number) {
    char text[48];
    struct tree *tree = checked(malloc(sizeof *tree));
    snprintf(text, sizeof text, "the value of %s, number %u", key, number);
    *tree = (struct tree){.key = checked(strdup(key)), .value = checked(strdup(text))};
    tree->priority = next_random();
    return tree;
}

// A treap: the parent has the higher priority.
static struct tree *insert(struct tree *tree, const char *key, uint32_t number) {
    if (tree == NULL)
        return tree_new(key, number);
    int order = strcmp(key, tree->key);
    if (order == 0)
        return tree;
    struct tree **side = order < 0 ? &tree->left : &tree->right;
    struct tree *child = insert(*side, key, number);
    *side = child;
    if (child->priority <= tree->priority)
        return tree;
    struct tree **inner = order < 0 ? &child->right : &child->left;
    *side = *inner;
    *inner = tree;
    return child;
}

static const struct tree *find(const struct tree *tree, const char *key) {
    while (tree != NULL) {
        int order = strcmp(key, tree->key);
        if (order == 0)
            break;
        tree = order < 0 ? tree->left : tree->right;
    }
    return tree;
}

static struct tree *copy(const struct tree *tree) {
    if (tree == NULL)
        return NULL;
    struct tree *result = checked(malloc(sizeof *result));
    *result = (struct tree){.key = checked(strdup(tree->key)), .value = checked(strdup(tree->value))};
    result->left = copy(tree->left);
    result->right = copy(tree->right);
    return result;
}

// What a parser makes of a thousand brackets.
static struct tree *chain(unsigned length) {
    struct tree *tree = tree_new("(", length);
    tree->left = length > 1 ? chain(length - 1) : NULL;
    return tree;
}

static size_t release(struct tree *tree) {
    if (tree == NULL)
        return 0;
    size_t count = 1 + release(tree->left) + release(tree->right);
    free(tree->key);
    free(tree->value);
    free(tree);
    return count;
}

int main(int argc, char **argv) {
    size_t count = 0;
    for (int round = argc > 1 ? atoi(argv[1]) : 1; round > 0; round--) {
        struct tree *tree = NULL;
        char key[16];
        for (uint32_t i = 0; i < 5000; i++) {
            snprintf(key, sizeof key, "key %u", next_random() % 50000);
            tree = insert(tree, key, i);
        }
        struct tree *other = copy(tree);
        for (uint32_t i = 0; i < 10000; i++) {
            snprintf(key, sizeof key, "key %u", i * 5);
            const struct tree *found = find(other, key);
            count += found != NULL && found->value[0] == 't';
        }
        count += release(tree) + release(other) + release(chain(1000));
    }
    printf("%zu\n", count);
    return 0;
}
