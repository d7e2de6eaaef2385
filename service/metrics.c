/* SPDX-License-Identifier: Apache-2.0 */
/* The counters, and their OpenMetrics text. */

#include "service/metrics.h"

#include <sys/resource.h>

Metrics metrics;

static int write_counter(Buf *b, const char *name, const char *help, uint64_t value) {
        return buf_printf(b, "# TYPE csign_%s counter\n# HELP csign_%s %s\ncsign_%s_total %llu\n",
                          name, name, help, name, (unsigned long long) value);
}

static int write_cpu(Buf *b) {
        struct rusage u;
        double s;

        (void) getrusage(RUSAGE_SELF, &u);
        s = (double) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
            (double) (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
        return buf_printf(b,
                          "# TYPE process_cpu_seconds counter\n"
                          "# HELP process_cpu_seconds user and system time of the service\n"
                          "process_cpu_seconds_total %.6f\n",
                          s);
}

int metrics_write(Buf *b) {
        static const struct {
                const char *name, *help;
                atomic_uint_fast64_t *value;
        } all[] = {
#define X(n, h) { #n, h, &metrics.n },
                METRIC_LIST(X)
#undef X
        };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                r = write_counter(b, all[i].name, all[i].help, atomic_load(all[i].value));
                if (r < 0)
                        return r;
        }
        return write_cpu(b);
}
