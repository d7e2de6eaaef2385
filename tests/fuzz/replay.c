/* SPDX-License-Identifier: Apache-2.0 */

/* Runs a fuzz target without a fuzzer: on each file of a corpus folder, and on small changes of it
 * (cut at every length, each byte changed in a few ways), so that every test run walks the parser's
 * edges again. */

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/macro.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX   ((size_t) 1024 * 1024)
#define CHANGES_MAX ((size_t) 2048) /* bytes of a file that are changed */

static size_t runs;

/* A copy of its own for each run, so that a sanitizer sees a step over the end. */
static void run(const uint8_t *data, size_t size) {
        uint8_t *copy = malloc(size ? size : 1);

        if (!copy)
                err(1, "malloc");
        if (size > 0)
                memcpy(copy, data, size);
        (void) LLVMFuzzerTestOneInput(copy, size);
        free(copy);
        runs++;
}

static void run_changed(uint8_t *data, size_t size) {
        static const uint8_t masks[] = { 0x01, 0x20, 0x80, 0xff };
        size_t n = size < CHANGES_MAX ? size : CHANGES_MAX;

        run(data, size);
        for (size_t i = 0; i < n; i++) {
                run(data, i);
                for (size_t m = 0; m < ELEMENTSOF(masks); m++) {
                        data[i] ^= masks[m];
                        run(data, size);
                        data[i] ^= masks[m];
                }
        }
}

static void run_file(int dir_fd, const char *name) {
        uint8_t *data = malloc(INPUT_MAX);
        int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (!data || fd < 0)
                err(1, "%s", name);
        n = read(fd, data, INPUT_MAX);
        if (n < 0)
                err(1, "%s", name);
        run_changed(data, (size_t) n);
        (void) close(fd);
        free(data);
}

int main(int argc, char *argv[]) {
        size_t files = 0;
        struct dirent *d;
        DIR *dir;

        if (argc != 2)
                errx(2, "usage: %s CORPUS", argv[0]);
        dir = opendir(argv[1]);
        if (!dir)
                err(1, "%s", argv[1]);
        while ((d = readdir(dir))) {
                if (d->d_name[0] == '.')
                        continue;
                run_file(dirfd(dir), d->d_name);
                files++;
        }
        (void) closedir(dir);
        if (files == 0)
                errx(1, "%s is empty", argv[1]);
        printf("%zu inputs, %zu runs\n", files, runs);
        return 0;
}
