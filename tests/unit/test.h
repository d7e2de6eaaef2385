/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What every unit test starts with: cmocka, after the headers that it needs. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/error.h"
#include "lib/macro.h"

/* A refusal is only good with a sentence for a person. */
#define assert_refused(r, expect, e)                                                               \
        do {                                                                                       \
                assert_int_equal(r, expect);                                                       \
                assert_int_equal((e)->code, expect);                                               \
                assert_string_not_equal((e)->detail, "");                                          \
                assert_null(strchr((e)->detail, '\n'));                                            \
        } while (0)
