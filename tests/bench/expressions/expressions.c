// SPDX-License-Identifier: MIT
//
// Short-lived small blocks from many call sites: an interpreter of expressions over numbers of any length. It
// reads the text into tokens and those into a tree, which it evaluates; every intermediate result is a fresh
// block that dies with the operation that takes it.
//
//   expressions ROUNDS

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "numbers.h"

static const char source[] =
    "fact(n) = n < 2 ? 1 : n * fact(n - 1);"
    "fib(n) = n < 2 ? n : fib(n - 1) + fib(n - 2);"
    "choose(n, k) = fact(n) / (fact(k) * fact(n - k));"
    "ack(m, n) = m < 1 ? n + 1 : n < 1 ? ack(m - 1, 1) : ack(m - 1, ack(m, n - 1));"
    "steps(n) = n < 2 ? 0 : n % 2 < 1 ? 1 + steps(n / 2) : 1 + steps(3 * n + 1);"
    "horner(x) = ((((3 * x + 14) * x + 159) * x + 2653) * x + 58979) * x + 323846;"
    "sum(i, 1, 12, gcd(fact(3 * i), square(fib(i % 9)) + i));"
    "sum(i, 1, 20, choose(i + 30, i / 2) * choose(40, i) % 1000003);"
    "sum(i, 1, 30, steps(i) + root(power(i, 120) + cube(i)));"
    "sum(i, 1, 25, lcm(i, triangle(i)) + digits(power(7, 110 + i)) - min(i, 9) + max(i, 17));"
    "sum(i, 1, 40, power(horner(i * i + 1), 5) % (power(horner(i), 3) + 1));"
    "sum(i, 1, 15, powmod(i + 2, fact(10 + i % 10) + 65537, power(10, 200) + 7));"
    "ack(2, 3) + fib(11);";

// ---- tokens ----

struct token {
    char kind; // '0' number, 'a' name, '\0' the end, else the sign itself
    char *text;
    struct token *next;
};

static struct token *scan(const char *at) {
    struct token *first = NULL, **end = &first, *token;
    do {
        while (isspace((unsigned char)*at))
            at++;
        size_t length = *at != '\0';
        token = checked(calloc(1, sizeof *token));
        token->kind = *at;
        if (isdigit((unsigned char)*at)) {
            token->kind = '0';
            length = strspn(at, "0123456789");
        } else if (isalpha((unsigned char)*at)) {
            token->kind = 'a';
            length = strspn(at, "abcdefghijklmnopqrstuvwxyz");
        }
        token->text = checked(strndup(at, length));
        at += length;
        *end = token;
        end = &token->next;
    } while (token->kind != '\0');
    return first;
}

// ---- trees ----

struct node {
    char kind; // '0' number, 'a' variable, '(' call, 'b' call of a builtin, 's' sum, '?' condition, or an
               // operator
    unsigned builtin;
    char *name;
    struct number *number;
    struct node *child[PARAMETERS];
};

struct function {
    char *name, *parameter[PARAMETERS];
    struct node *body;
    struct function *next;
};

struct binding {
    const char *name;
    struct number *value;
    struct binding *outer;
};

struct parser {
    struct token *at;
    struct function *functions;
};

static struct token *take(struct parser *parser, char kind) {
    struct token *token = parser->at;
    if (token->kind != kind) {
        fprintf(stderr, "expected %c, not '%s'\n", kind, token->text);
        exit(1);
    }
    if (kind != '\0')
        parser->at = token->next;
    return token;
}

static struct node *node_new(char kind, struct node *left, struct node *right) {
    struct node *node = checked(calloc(1, sizeof *node));
    node->kind = kind;
    node->child[0] = left;
    node->child[1] = right;
    return node;
}

static struct node *parse(struct parser *parser);

static struct node *parse_call(struct parser *parser, const char *name) {
    struct node *node = node_new('(', NULL, NULL);
    unsigned count = 0;
    node->name = checked(strdup(name));
    for (unsigned i = 0; builtins[i].name != NULL; i++)
        if (strcmp(builtins[i].name, name) == 0) {
            node->kind = 'b';
            node->builtin = i;
        }
    if (strcmp(name, "sum") == 0)
        node->kind = 's';
    take(parser, '(');
    do {
        if (count > 0)
            take(parser, ',');
        node->child[count++] = parse(parser);
    } while (parser->at->kind == ',' && count < PARAMETERS);
    take(parser, ')');
    return node;
}

static struct node *parse_primary(struct parser *parser) {
    struct node *node;
    if (parser->at->kind == '(') {
        take(parser, '(');
        node = parse(parser);
        take(parser, ')');
    } else if (parser->at->kind == '0') {
        node = node_new('0', NULL, NULL);
        node->number = number_of(strtoull(take(parser, '0')->text, NULL, 10));
    } else {
        const char *name = take(parser, 'a')->text;
        if (parser->at->kind == '(')
            return parse_call(parser, name);
        node = node_new('a', NULL, NULL);
        node->name = checked(strdup(name));
    }
    return node;
}

static struct node *parse_binary(struct parser *parser, unsigned level) {
    static const char *const signs[] = {"<", "+-", "*/%"};
    struct node *node = level == 3 ? parse_primary(parser) : parse_binary(parser, level + 1);
    while (level < 3 && parser->at->kind != '\0' && strchr(signs[level], parser->at->kind) != NULL) {
        char sign = take(parser, parser->at->kind)->kind;
        node = node_new(sign, node, parse_binary(parser, level + 1));
    }
    return node;
}

static struct node *parse(struct parser *parser) {
    struct node *node = parse_binary(parser, 0);
    if (parser->at->kind != '?')
        return node;
    take(parser, '?');
    node = node_new('?', node, parse(parser));
    take(parser, ':');
    node->child[2] = parse(parser);
    return node;
}

static void node_free(struct node *node) {
    if (node == NULL)
        return;
    for (int i = 0; i < PARAMETERS; i++)
        node_free(node->child[i]);
    free(node->number);
    free(node->name);
    free(node);
}

// ---- evaluation: every result belongs to the caller ----

static struct number *evaluate(const struct parser *parser, const struct node *node, struct binding *scope);

static struct number *evaluate_call(const struct parser *parser, const struct node *node,
                                    struct binding *scope) {
    const struct function *function = parser->functions;
    while (strcmp(function->name, node->name) != 0)
        function = function->next;
    struct binding *inner = NULL;
    for (int i = 0; i < PARAMETERS && node->child[i] != NULL; i++) {
        struct binding *binding = checked(malloc(sizeof *binding));
        *binding = (struct binding){function->parameter[i], evaluate(parser, node->child[i], scope), inner};
        inner = binding;
    }
    struct number *result = evaluate(parser, function->body, inner);
    while (inner != NULL) {
        struct binding *outer = inner->outer;
        free(inner->value);
        free(inner);
        inner = outer;
    }
    return result;
}

static struct number *evaluate_builtin(const struct parser *parser, const struct node *node,
                                       struct binding *scope) {
    struct number *arguments[PARAMETERS] = {NULL};
    for (int i = 0; i < PARAMETERS && node->child[i] != NULL; i++)
        arguments[i] = evaluate(parser, node->child[i], scope);
    struct number *result = builtins[node->builtin].call(arguments);
    for (int i = 0; i < PARAMETERS; i++)
        free(arguments[i]);
    return result;
}

// sum(name, from, to, term)
static struct number *evaluate_sum(const struct parser *parser, const struct node *node,
                                   struct binding *scope) {
    struct number *from = evaluate(parser, node->child[1], scope),
                  *to = evaluate(parser, node->child[2], scope);
    struct number *one = number_of(1), *sum = number_of(0);
    struct binding inner = {node->child[0]->name, from, scope};
    while (compare(inner.value, to) <= 0) {
        struct number *term = evaluate(parser, node->child[3], &inner);
        become(&sum, add(sum, term));
        free(term);
        become(&inner.value, add(inner.value, one));
    }
    free(inner.value);
    free(to);
    free(one);
    return sum;
}

static struct number *evaluate_binary(const struct parser *parser, const struct node *node,
                                      struct binding *scope) {
    struct number *a = evaluate(parser, node->child[0], scope), *b = evaluate(parser, node->child[1], scope);
    struct number *result = node->kind == '+'   ? add(a, b)
                            : node->kind == '-' ? subtract(a, b)
                            : node->kind == '*' ? multiply(a, b)
                            : node->kind == '/' ? quotient(a, b)
                            : node->kind == '%' ? remainder_of(a, b)
                                                : number_of(compare(a, b) < 0);
    free(a);
    free(b);
    return result;
}

static struct number *evaluate(const struct parser *parser, const struct node *node, struct binding *scope) {
    switch (node->kind) {
    case '0':
        return copy(node->number);
    case 'a':
        while (strcmp(scope->name, node->name) != 0)
            scope = scope->outer;
        return copy(scope->value);
    case '(':
        return evaluate_call(parser, node, scope);
    case 'b':
        return evaluate_builtin(parser, node, scope);
    case 's':
        return evaluate_sum(parser, node, scope);
    case '?': {
        struct number *condition = evaluate(parser, node->child[0], scope);
        const struct node *chosen = node->child[condition->count > 0 ? 1 : 2];
        free(condition);
        return evaluate(parser, chosen, scope);
    }
    default:
        return evaluate_binary(parser, node, scope);
    }
}

// ---- the program ----

// NAME(PARAMETER, …) = EXPRESSION: the expression before the sign was read as a call.
static void define(struct parser *parser, struct node *head) {
    struct function *function = checked(calloc(1, sizeof *function));
    function->name = checked(strdup(head->name));
    for (int i = 0; i < PARAMETERS && head->child[i] != NULL; i++)
        function->parameter[i] = checked(strdup(head->child[i]->name));
    take(parser, '=');
    function->body = parse(parser);
    function->next = parser->functions;
    parser->functions = function;
}

static uint64_t interpret(const char *text) {
    struct token *tokens = scan(text);
    struct parser parser = {.at = tokens};
    uint64_t hash = 0;
    while (parser.at->kind != '\0') {
        struct node *node = parse(&parser);
        if (parser.at->kind == '=') {
            define(&parser, node);
        } else {
            struct number *result = evaluate(&parser, node, NULL);
            for (uint32_t i = 0; i < result->count; i++)
                hash = hash * 31 + result->digit[i];
            free(result);
        }
        node_free(node);
        take(&parser, ';');
    }
    while (parser.functions != NULL) {
        struct function *function = parser.functions;
        parser.functions = function->next;
        node_free(function->body);
        for (int i = 0; i < PARAMETERS; i++)
            free(function->parameter[i]);
        free(function->name);
        free(function);
    }
    while (tokens != NULL) {
        struct token *next = tokens->next;
        free(tokens->text);
        free(tokens);
        tokens = next;
    }
    return hash;
}

int main(int argc, char **argv) {
    uint64_t hash = 0;
    for (int i = argc > 1 ? atoi(argv[1]) : 1; i > 0; i--)
        hash = hash * 7 + interpret(source);
    printf("%016llx\n", (unsigned long long)hash);
    return 0;
}
