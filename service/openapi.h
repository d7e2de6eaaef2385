/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* docs/openapi.yaml, as it was when this was built: embed.py writes the source. */

#include <stddef.h>

extern const unsigned char openapi_text[];
extern const size_t openapi_len;
