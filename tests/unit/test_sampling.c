// SPDX-License-Identifier: MIT
// needs: shim/sampling.c -lm
//
// Sampling against brute force: what samples say of programs whose objects are all known. Over hundreds of
// seeds, estimates must scatter around the truth, as far as their standard errors say and no further.

#include "shim/sampling.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNIT ((double)(1 << SAMPLING_FRACTION))
#define SEEDS 600
#define LINES 4

static void the_logarithm_is_right(void **state) {
    (void)state;
    for (double x = 0x1p-53; x < 1e9; x *= 1.00037)
        assert_true(fabs(sampling_log(x) - log(x)) <= 1e-14 * (1 + fabs(log(x))));
    for (double x = 1; x > 0.9; x -= 1e-5)
        assert_true(fabs(sampling_log(x) - log(x)) <= 1e-15 + 1e-13 * fabs(log(x)));
}

// Weights are the inverse of the probability that a distance is shorter than what the object takes.
static void weights_are_inverse_probabilities(void **state) {
    (void)state;
    for (size_t size = 0; size <= SAMPLING_LARGEST; size++) {
        const struct sampling_class *class = sampling_class(size);
        double bytes = size ? (double)((size + 15) / 16 * 16) : 16;
        double p = 1 - exp(-(double)class->distance / UNIT / SAMPLING_MEAN);
        assert_true(fabs(p * class->weight - 1) < 1e-7);
        assert_true(fabs(class->weight * (1 - exp(-bytes / SAMPLING_MEAN)) - 1) < 0.5 / (class->weight - 1));
        assert_int_equal(class->weight, sampling_weight(size));
    }
    assert_int_equal(sampling_weight(0), sampling_weight(16));
    assert_int_not_equal(sampling_weight(16), sampling_weight(17));
}

// The share of distances beyond each multiple of the mean is e to its negative.
static void distances_are_exponential(void **state) {
    (void)state;
    enum { DRAWS = 1000000 };
    uint64_t random = 1;
    double sum = 0;
    unsigned beyond[8] = {0};
    for (int i = 0; i < DRAWS; i++) {
        double distance = (double)sampling_distance(&random) / UNIT / SAMPLING_MEAN;
        assert_true(distance >= 0);
        sum += distance;
        for (int k = 0; k < 8 && distance > k; k++)
            beyond[k]++;
    }
    assert_true(fabs(sum / DRAWS - 1) < 4 / sqrt(DRAWS));
    for (int k = 1; k < 8; k++) {
        double p = exp(-k), share = (double)beyond[k] / DRAWS;
        assert_true(fabs(share - p) < 4 * sqrt(p * (1 - p) / DRAWS));
    }
}

// What is known of a line, and what samples say of it.
struct line {
    double bytes, count, variance, count_variance;
};

static void sample(uint64_t seed, const uint16_t *sizes, unsigned count, struct line lines[LINES]) {
    uint64_t random = seed;
    int64_t left = sampling_distance(&random);
    memset(lines, 0, LINES * sizeof *lines);
    for (unsigned i = 0; i < count; i++) {
        const struct sampling_class *class = sampling_class(sizes[i]);
        if ((left -= class->distance) >= 0)
            continue;
        left = sampling_distance(&random);
        double weight = class->weight, bytes = weight * sizes[i];
        struct line *line = &lines[i % LINES];
        line->bytes += bytes;
        line->count += weight;
        line->variance += bytes * bytes * (1 - 1 / weight);
        line->count_variance += weight * (weight - 1);
    }
}

static void estimates_are_unbiased_and_errors_honest(void **state) {
    (void)state;
    enum { OBJECTS = 200000 };
    static uint16_t sizes[OBJECTS];
    struct line truth[LINES] = {{0}};
    srand(7);
    for (unsigned i = 0; i < OBJECTS; i++) {
        // Each line has sizes of its own: one size, small ones, all, large ones.
        const unsigned of[LINES] = {48, (unsigned)rand() % 65, (unsigned)rand() % 513,
                                    400 + (unsigned)rand() % 113};
        sizes[i] = (uint16_t)of[i % LINES];
        truth[i % LINES].bytes += sizes[i];
        truth[i % LINES].count++;
    }
    double z_bytes[LINES] = {0}, z_count[LINES] = {0}, expected[LINES] = {0}, expected_count[LINES] = {0};
    unsigned within_one = 0, within_two = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct line lines[LINES];
        sample(seed * 1000003, sizes, OBJECTS, lines);
        for (int i = 0; i < LINES; i++) {
            double off = lines[i].bytes - truth[i].bytes, error = sqrt(lines[i].variance);
            z_bytes[i] += off;
            z_count[i] += lines[i].count - truth[i].count;
            expected[i] += lines[i].variance;
            expected_count[i] += lines[i].count_variance;
            within_one += fabs(off) <= error;
            within_two += fabs(off) <= 2 * error;
        }
    }
    for (int i = 0; i < LINES; i++) {
        // The sum over all seeds is off by no more than its own standard error says.
        assert_true(fabs(z_bytes[i]) < 4 * sqrt(expected[i]));
        assert_true(fabs(z_count[i]) < 4 * sqrt(expected_count[i]));
        // And the variance is the true one, sum of s^2 (1 - p) / p.
        double variance = 0;
        for (unsigned k = (unsigned)i; k < OBJECTS; k += LINES)
            variance += (double)sizes[k] * sizes[k] * (sampling_weight(sizes[k]) - 1);
        assert_true(fabs(expected[i] / SEEDS / variance - 1) < 0.05);
    }
    double cases = SEEDS * LINES;
    assert_true(fabs(within_one / cases - 0.683) < 0.04);
    assert_true(fabs(within_two / cases - 0.954) < 0.025);
}

int main(void) {
    sampling_open();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_logarithm_is_right),
        cmocka_unit_test(weights_are_inverse_probabilities),
        cmocka_unit_test(distances_are_exponential),
        cmocka_unit_test(estimates_are_unbiased_and_errors_honest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
