/* SPDX-License-Identifier: Apache-2.0 */
/* Asking whether it is really meant. */

#include "cli/confirm.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int confirm(const char *sentence, bool yes, Error *e) {
        char answer[16];

        if (yes)
                return 0;
        if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "%s  Without a terminal to ask on, this needs --yes", sentence);

        (void) fprintf(stderr, "%s\nType yes to go on: ", sentence);
        (void) fflush(stderr);
        if (fgets(answer, sizeof(answer), stdin) && strcmp(answer, "yes\n") == 0)
                return 0;
        return error_set(e, -CSIGN_E_BAD_REQUEST, "not confirmed: nothing was changed");
}
