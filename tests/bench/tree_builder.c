// SPDX-License-Identifier: MIT
//
// Deep recursion: builds, copies and frees binary trees.

#include <stdio.h>
#include <stdlib.h>

struct tree {
    struct tree *left, *right;
};

static struct tree *build(int depth) {
    struct tree *tree = malloc(sizeof *tree);

    if (tree == NULL)
        abort();
    tree->left = depth > 0 ? build(depth - 1) : NULL;
    tree->right = depth > 0 ? build(depth - 1) : NULL;
    return tree;
}

static struct tree *chain(int length) {
    struct tree *tree = malloc(sizeof *tree);

    if (tree == NULL)
        abort();
    tree->left = length > 0 ? chain(length - 1) : NULL;
    tree->right = NULL;
    return tree;
}

static long release(struct tree *tree) {
    long count = 1;

    if (tree->left != NULL)
        count += release(tree->left);
    if (tree->right != NULL)
        count += release(tree->right);
    free(tree);
    return count;
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 1;
    long count = 0;

    for (int i = 0; i < rounds; i++) {
        count += release(build(16));
        count += release(chain(1000));
    }
    printf("%ld\n", count);
    return 0;
}
