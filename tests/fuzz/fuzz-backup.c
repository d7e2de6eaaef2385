/* SPDX-License-Identifier: Apache-2.0 */

/* The file that restore is given: what is accepted lies in it, each file in a place of its own. */

#include <sys/mman.h>
#include <unistd.h>

#include "service/backup-file.h"
#include "tests/fuzz/fuzz.h"

static void check_accepted(const BackupIndex *index, size_t size) {
        uint64_t content = 0;

        for (size_t i = 0; i < BACKUP_FILES; i++) {
                uint64_t begin = index->at[i].offset, end = begin + index->at[i].size;

                assert(begin >= 10 && end >= begin && end <= size - 32);
                for (size_t j = 0; j < i; j++)
                        assert(begin >= index->at[j].offset + index->at[j].size ||
                               end <= index->at[j].offset);
                content += index->at[i].size;
        }
        assert(content < size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        int fd = memfd_create("backup", MFD_CLOEXEC);
        BackupIndex index = {};
        Error e = {};
        int r;

        assert(fd >= 0);
        assert(write(fd, data, size) == (ssize_t) size);
        r = backup_parse(fd, &index, &e);
        if (r == 0)
                check_accepted(&index, size);
        else
                assert(r == -CSIGN_E_BAD_REQUEST && e.detail[0] && index.at[0].offset == 0);

        /* With its checksum it is the same, or is refused. */
        if (backup_read(fd, &index, &e) == 0)
                assert(r == 0);
        close(fd);
        return 0;
}
