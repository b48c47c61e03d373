/* A time of day that a test sets: seconds to add, in the file that W2S_TEST_CLOCK names. For LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t id, struct timespec *found) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(id, found);
    const char *path = getenv("W2S_TEST_CLOCK");
    if (failed || id != CLOCK_REALTIME || !path)
        return failed;
    FILE *file = fopen(path, "r");
    long seconds = 0;
    if (file) {
        if (fscanf(file, "%ld", &seconds) == 1)
            found->tv_sec += seconds;
        fclose(file);
    }
    return 0;
}
