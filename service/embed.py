#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py docs/openapi.yaml openapi.c: the document as the source of service/openapi.h."""

import sys

with open(sys.argv[1], "rb") as source, open(sys.argv[2], "w", encoding="ascii") as out:
    out.write('#include "service/openapi.h"\n\nconst unsigned char openapi_text[] = {\n')
    out.writelines(f"{byte}," + "\n" * (i % 20 == 19) for i, byte in enumerate(source.read()))
    out.write("};\nconst size_t openapi_len = sizeof(openapi_text);\n")
