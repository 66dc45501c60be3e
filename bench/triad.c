/*
 * Bandwidth of the memory, in bytes per second, as JSON: STREAM's triad (a = b + s * c; two arrays read, one written) and plain
 * reading, which is what generating does with weights. Compiled by roofline.mjs.
 *
 *     triad THREADS
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { COUNT = 1 << 25, ROUNDS = 6 }; /* 256 MB an array: more than any cache */

static double *a, *b, *c;
static int threads;
static double sums[512];
static pthread_barrier_t barrier;
static double best_triad, best_read;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

/* Eight sums: one alone would wait for each addition. */
static double read_all(const double* from, const double* to) {
    double part[8] = {0};
    for (; from + 8 <= to; from += 8)
        for (int i = 0; i < 8; i++) part[i] += from[i];
    return part[0] + part[1] + part[2] + part[3] + part[4] + part[5] + part[6] + part[7];
}

static double measure(int id, int reading) {
    const size_t share = COUNT / threads, from = id * share, to = from + share;
    pthread_barrier_wait(&barrier);
    const double began = now();
    if (reading) sums[id] += read_all(a + from, a + to);
    else
        for (size_t i = from; i < to; i++) a[i] = b[i] + 3.0 * c[i];
    pthread_barrier_wait(&barrier);
    return now() - began;
}

static void* work(void* number) {
    const int id = (int)(size_t)number;
    const size_t share = COUNT / threads;
    for (size_t i = id * share; i < (id + 1) * share; i++) a[i] = b[i] = c[i] = i; /* each in its own memory */
    for (int round = 0; round < ROUNDS; round++) {
        const double triad = 3.0 * sizeof(double) * COUNT / measure(id, 0);
        const double reading = 1.0 * sizeof(double) * COUNT / measure(id, 1);
        if (id == 0 && triad > best_triad) best_triad = triad;
        if (id == 0 && reading > best_read) best_read = reading;
    }
    return NULL;
}

int main(int count, char** arguments) {
    threads = count > 1 ? atoi(arguments[1]) : 1;
    if (threads < 1 || threads > 512) return 1;
    a = malloc(sizeof(double) * COUNT), b = malloc(sizeof(double) * COUNT), c = malloc(sizeof(double) * COUNT);
    if (!a || !b || !c) return 1;
    pthread_barrier_init(&barrier, NULL, threads);
    pthread_t ids[512];
    for (size_t i = 0; i < (size_t)threads; i++) pthread_create(&ids[i], NULL, work, (void*)i);
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    printf("{\"triad\": %.0f, \"read\": %.0f, \"sum\": %g}\n", best_triad, best_read, sums[0]);
}
