/* SPDX-License-Identifier: Apache-2.0 */
/* Teams that own accounts: their members view, manage and rotate them without any role.  Giving an
 * account to a team takes a role, so members cannot hand it on. */

#include "service/api-team-accounts.h"

#include <stdio.h>
#include <string.h>

#include "service/accounts.h"
#include "service/api.h"
#include "service/db/queries.h"
#include "service/page.h"
#include "service/policy.h"
#include "service/revision.h"

static int take_id(DbRow *row, void *userdata) {
        snprintf(userdata, ID_MAX, "%s", db_row_text(row, 0));
        return 0;
}

int account_allow(const Request *req, Right right, const char *id, const char *tsg, Error *e) {
        Db *db = req->service->db;
        char owner[ID_MAX] = "";
        TsgChain chain;
        DbConn *c;
        int r;

        r = db_acquire(db, &c, e);
        if (r < 0)
                return r;
        r = db_query(c, SQL_ACCOUNT_OWNER, DB_ARGS(DB_TEXT(id)), take_id, owner, e);
        if (r >= 0)
                r = tsg_chain(c, tsg, &chain, e);
        db_release(db, c);
        return r < 0 ? r : policy_check_account(req->principal, right, &chain, owner, e);
}

/* The team of the path's first id, as it would be if it called. */
static int find_team(Request *req, Principal **ret, Error *e) {
        _cleanup_(principal_unrefp) Principal *team = NULL;
        Db *db = req->service->db;
        DbConn *c;
        int r;

        if (!id_is_valid(req->params[0], "team"))
                return policy_unreachable(req->principal, -CSIGN_E_NOT_FOUND, "team", NULL, e);
        r = db_acquire(db, &c, e);
        if (r < 0)
                return r;
        r = principal_by_id(c, req->params[0], &team, e);
        db_release(db, c);
        if (r >= 0 && !policy_is_member(req->principal, team->id))
                r = policy_check_principal(req->principal, team, e);
        if (r < 0)
                return strcmp(e->rule, "scope") == 0
                               ? policy_unreachable(req->principal, -CSIGN_E_NOT_FOUND, "team",
                                                    NULL, e)
                               : r;
        *ret = TAKE(team);
        return 0;
}

/* ---- showing ---- */

typedef struct AccountListing {
        Page page;
        const Principal *principal;
        const char *team;
        DbConn *c;
        Error *e;
} AccountListing;

static int list_account(DbRow *row, void *userdata) {
        AccountListing *l = userdata;
        TsgChain chain;
        int r;

        if (l->page.more)
                return 0;
        r = tsg_chain(l->c, db_row_text(row, 3), &chain, l->e);
        if (r < 0)
                return r;
        if (policy_check_account(l->principal, RIGHT_VIEW(ACCOUNTS), &chain, l->team, NULL) < 0 ||
            !page_take(&l->page, db_row_text(row, 1)))
                return 0;
        json_begin_object(&l->page.o, NULL);
        json_out_str(&l->page.o, "id", db_row_text(row, 0));
        json_out_str(&l->page.o, "path", db_row_text(row, 1));
        json_out_str(&l->page.o, "state", db_row_text(row, 2));
        json_end_object(&l->page.o);
        return l->page.o.r;
}

int api_team_account_list(Request *req, Error *e) {
        _cleanup_(principal_unrefp) Principal *team = NULL;
        AccountListing l = { .principal = req->principal, .e = e };
        int r;

        r = find_team(req, &team, e);
        if (r >= 0)
                r = page_begin(&l.page, req, "accounts", e);
        if (r >= 0)
                r = db_acquire(req->service->db, &l.c, e);
        if (r < 0)
                return r;
        l.team = team->id;
        r = db_query(l.c, SQL_TEAM_ACCOUNTS, DB_ARGS(DB_TEXT(team->id), DB_TEXT(l.page.after)),
                     list_account, &l, e);
        db_release(req->service->db, l.c);
        return r < 0 ? r : page_end(&l.page);
}

/* ---- changing ---- */

typedef struct OwnerChange {
        const char *account; /* as asked */
        Request *req;
        Account of;
        const char *from, *to; /* NULL: no team's */
} OwnerChange;

static int update_owner(DbConn *c, void *userdata, Error *e) {
        const OwnerChange *ch = userdata;
        char owner[ID_MAX] = "";
        int r;

        r = revision_bump(c, SQL_TEAM_TOUCH, "team", ch->to ?: ch->from, ch->req->if_match, e);
        if (r >= 0)
                r = db_query(c, SQL_ACCOUNT_OWNER, DB_ARGS(DB_TEXT(ch->of.id)), take_id, owner, e);
        if (r >= 0 && strcmp(owner, ch->from ?: "") != 0)
                return error_set(e, ch->from ? -CSIGN_E_NOT_FOUND : -CSIGN_E_ALREADY_EXISTS,
                                 ch->from ? "account '%s' is not this team's"
                                          : "account '%s' has a team that owns it already",
                                 ch->of.path);
        if (r >= 0)
                r = revision_bump(c, SQL_ACCOUNT_TOUCH, "account", ch->of.id, 0, e);
        if (r >= 0)
                r = db_exec(c, SQL_ACCOUNT_SET_OWNER, DB_ARGS(DB_TEXT(ch->to), DB_TEXT(ch->of.id)),
                            e);
        return r;
}

static int commit_owner(OwnerChange *ch, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(ch->req, "account.owner");
        int r;

        r = account_by_id(ch->req->service->db, ch->req->principal->tsg, ch->account, &ch->of, e);
        if (r == -CSIGN_E_NOT_FOUND)
                return policy_unreachable(ch->req->principal, r, "account", NULL, e);
        if (r >= 0)
                r = request_allow(ch->req, RIGHT_WRITE(ACCOUNTS), ch->of.tsg, e);
        if (r >= 0)
                r = audit_entry_change(&rec, &event, "account", ch->of.id, "path", ch->of.path,
                                       "team", ch->to, "team_before", ch->from, NULL);
        if (r >= 0 && ch->to)
                r = request_reply_id(ch->req, ch->of.id);
        else
                ch->req->status = 204;
        return r < 0 ? r : request_commit(ch->req, update_owner, ch, &rec, e);
}

int api_team_account_add(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "account", json_field_string, offsetof(OwnerChange, account), JSON_REQUIRED },
        };
        _cleanup_(principal_unrefp) Principal *team = NULL;
        _cleanup_(json_decrefp) json_t *root = NULL;
        OwnerChange ch = { .req = req };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &ch, &root, e);
        if (r >= 0)
                r = find_team(req, &team, e);
        if (r < 0)
                return r;
        ch.to = team->id;
        return commit_owner(&ch, e);
}

int api_team_account_remove(Request *req, Error *e) {
        _cleanup_(principal_unrefp) Principal *team = NULL;
        OwnerChange ch = { .req = req, .account = req->params[1] };
        int r;

        r = find_team(req, &team, e);
        if (r < 0)
                return r;
        ch.from = team->id;
        return commit_owner(&ch, e);
}
