/* SPDX-License-Identifier: Apache-2.0 */
/* The database that the service's tests share, made anew for each. */

#include "tests/unit/service-state.h"

#include <dirent.h>

#include "lib/id.h"
#include "tests/unit/test.h"

int folder_setup(void **state) {
        State *s = calloc(1, sizeof(*s));

        if (!s)
                return -1;
        strcpy(s->folder, "/tmp/csign-unit-XXXXXX");
        *state = s;
        return mkdtemp(s->folder) ? 0 : -1;
}

int folder_teardown(void **state) {
        State *s = *state;
        struct dirent *entry;
        DIR *dir;

        dir = opendir(s->folder);
        while (dir && (entry = readdir(dir)))
                (void) unlinkat(dirfd(dir), entry->d_name, 0);
        if (dir)
                closedir(dir);
        (void) rmdir(s->folder);
        free(s);
        return 0;
}

static void name_tsg(Tsg *t, const Tsg *parent, const char *path) {
        const char *slash = strrchr(path, '/');

        assert_int_equal(id_new(t->id, "tsg"), 0);
        snprintf(t->parent, sizeof(t->parent), "%s", parent ? parent->id : "");
        snprintf(t->path, sizeof(t->path), "%s", path);
        snprintf(t->name, sizeof(t->name), "%s", slash ? slash + 1 : path);
        t->created = 1;
}

static int insert_tree(DbConn *c, void *userdata, Error *e) {
        State *s = userdata;
        const Tsg *all[] = { &s->top, &s->acme, &s->mobile, &s->ios, &s->web, &s->other };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(all); i++)
                r = tsg_insert(c, all[i], e);
        return r;
}

int state_setup(void **state) {
        Error e = {};
        State *s;

        if (folder_setup(state) < 0)
                return -1;
        s = *state;
        name_tsg(&s->top, NULL, "");
        name_tsg(&s->acme, &s->top, "acme");
        name_tsg(&s->mobile, &s->acme, "acme/mobile");
        name_tsg(&s->ios, &s->mobile, "acme/mobile/ios");
        name_tsg(&s->web, &s->acme, "acme/web");
        name_tsg(&s->other, &s->top, "other");

        assert_int_equal(db_create(&s->db, s->folder, &e), 0);
        assert_int_equal(db_publish(s->db, &e), 0);
        db_close(s->db);
        assert_int_equal(db_open(&s->db, s->folder, 4, &e), 0);
        assert_int_equal(audit_open(&s->audit, s->db, &e), 0);

        AuditJob job = { .change = insert_tree, .userdata = s, .e = &e };
        assert_int_equal(audit_commit(s->audit, &job), 0);
        return 0;
}

int state_teardown(void **state) {
        State *s = *state;

        audit_close(s->audit);
        db_close(s->db);
        return folder_teardown(state);
}
