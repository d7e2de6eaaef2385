/* SPDX-License-Identifier: Apache-2.0 */

/* A tool's arguments, as far as csign has to understand them. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/tools.h"

/* The value of option `name` in an argument: behind "=", or behind a letter; NULL: not in here. */
static const char *attached(const char *arg, const char *name) {
        size_t len = strlen(name);

        if (strncmp(arg, name, len) != 0 || !arg[len])
                return NULL;
        if (arg[len] == '=' && name[1] == '-')
                return arg + len + 1;
        return len == 2 && name[1] != '-' ? arg + len : NULL;
}

size_t tool_option(const ToolCall *c, const char *const names[], const char **ret) {
        for (size_t i = 1; names && i < c->n && strcmp(c->argv[i], "--") != 0; i++) {
                for (const char *const *name = names; *name; name++) {
                        const char *value = attached(c->argv[i], *name);

                        if (value) {
                                *ret = value;
                                return i;
                        }
                        if (strcmp(c->argv[i], *name) == 0 && i + 1 < c->n) {
                                *ret = c->argv[i + 1];
                                return i + 1;
                        }
                }
        }
        return 0;
}

static bool takes_value(const char *arg, const char *const names[]) {
        for (; names && *names; names++)
                if (strcmp(arg, *names) == 0)
                        return true;
        return false;
}

size_t tool_positions(const ToolCall *c, size_t ret[], size_t max) {
        const Tool *t = c->tool;
        bool options = true;
        size_t n = 0;

        for (size_t i = t->verbs ? 2 : 1; i < c->n; i++) {
                const char *arg = c->argv[i];

                if (options && strcmp(arg, "--") == 0)
                        options = false;
                else if (options && arg[0] == '-' && arg[1])
                        i += takes_value(arg, t->key) || takes_value(arg, t->cert) ||
                             takes_value(arg, t->out) || takes_value(arg, t->values);
                else if (n < max)
                        ret[n++] = i;
        }
        return n;
}

int tool_replace(ToolCall *c, size_t at, const char *old_value, const char *value) {
        size_t head = (size_t) (old_value - c->argv[at]), len = strlen(value);
        char *made = malloc(head + len + 1);

        if (!made)
                return -ENOMEM;
        memcpy(made, c->argv[at], head);
        memcpy(made + head, value, len + 1);
        free(c->argv[at]);
        c->argv[at] = made;
        return 0;
}
