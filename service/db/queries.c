/* SPDX-License-Identifier: Apache-2.0 */
/* Every SQL text of the service, in one place to read. */

#include "service/db/queries.h"

/* ---- transactions, schema ---- */

const char SQL_SAVEPOINT[] = "SAVEPOINT job";
const char SQL_SAVEPOINT_KEEP[] = "RELEASE job";
const char SQL_SAVEPOINT_UNDO[] = "ROLLBACK TO job";

const char SQL_SCHEMA_TABLE[] =
        "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)";
const char SQL_SCHEMA_VERSION[] = "SELECT COALESCE(MAX(version), 0) FROM schema_version";
const char SQL_SCHEMA_SET_VERSION[] = "INSERT INTO schema_version (version) VALUES (?)";

/* ---- TSGs ---- */

/* What lies in a TSG or below it, as a listing goes on: the index of paths finds it, and the
 * closure table decides.  First path to look at, path to leave out, path before which to end, path
 * of the subtree, the same with "/", TSG (PATH_RANGE_ARGS in service/tsg.h). */
#define IN_ROOT(tsg, path)                                                                         \
        path " >= ? AND " path " <> ? AND " path " < ? AND (" path " = ? OR " path " > ?) "        \
             "AND EXISTS (SELECT 1 FROM tsg_closure c WHERE c.descendant = " tsg                   \
             " AND c.ancestor = ?)"

#define TSG_COLUMNS  "t.id, t.parent, t.name, t.path, t.created, t.revision"
#define TSG_IN_SCOPE " FROM tsgs t JOIN tsg_closure c ON c.descendant = t.id WHERE c.ancestor = ?"

const char SQL_TSG_INSERT[] =
        "INSERT INTO tsgs (id, parent, name, path, created) VALUES (?, ?, ?, ?, ?)";
const char SQL_TSG_CLOSURE_INSERT[] =
        "INSERT INTO tsg_closure (ancestor, descendant, depth) "
        "SELECT ?, ?, 0 UNION ALL "
        "SELECT ancestor, ?, depth + 1 FROM tsg_closure WHERE descendant = ?";
const char SQL_TSG_BY_ID[] = "SELECT " TSG_COLUMNS TSG_IN_SCOPE " AND t.id = ?";
const char SQL_TSG_BY_PATH[] = "SELECT " TSG_COLUMNS TSG_IN_SCOPE " AND t.path = ?";
const char SQL_TSG_TOP[] = "SELECT " TSG_COLUMNS " FROM tsgs t WHERE t.parent IS NULL";
const char SQL_TSG_LIST[] =
        "SELECT " TSG_COLUMNS
        " FROM tsgs t WHERE " IN_ROOT("t.id", "t.path") " ORDER BY t.path LIMIT ?";
const char SQL_TSG_SETTINGS[] = "SELECT separation_of_duties, revision FROM tsgs WHERE id = ?";
const char SQL_TSG_SET_DUTIES[] = "UPDATE tsgs SET separation_of_duties = ? WHERE id = ?";
const char SQL_TSG_PATH[] = "SELECT path FROM tsgs WHERE id = ?";
const char SQL_TSG_ANCESTORS[] = "SELECT t.id, t.path, t.separation_of_duties FROM tsg_closure c "
                                 "JOIN tsgs t ON t.id = c.ancestor "
                                 "WHERE c.descendant = ? ORDER BY c.depth DESC";

/* ---- changes of the tree ---- */

#define BELOW(id) "(SELECT descendant FROM tsg_closure WHERE ancestor = " id ")"

const char SQL_TSG_TOUCH[] =
        "UPDATE tsgs SET revision = revision + 1 WHERE id = ? AND ? IN (0, revision)";
const char SQL_TSG_AT_REVISION[] = "SELECT 1 FROM tsgs WHERE id = ? AND revision = ?";
const char SQL_TSG_DEPTH_BELOW[] = "SELECT MAX(depth) FROM tsg_closure WHERE ancestor = ?";
const char SQL_TSG_PLACE[] = "UPDATE tsgs SET parent = ?, name = ?, path = ? WHERE id = ?";
const char SQL_TSG_PATHS_BELOW[] =
        "UPDATE tsgs SET path = ? || substr(path, ?), revision = revision + 1 WHERE id IN "
        "(SELECT descendant FROM tsg_closure WHERE ancestor = ? AND depth > 0)";
const char SQL_KEY_PATHS_BELOW[] =
        "UPDATE keys SET path = ? || substr(path, ?), revision = revision + 1 "
        "WHERE tsg IN " BELOW("?");
const char SQL_ACCOUNT_PATHS_BELOW[] =
        "UPDATE accounts SET path = ? || substr(path, ?), revision = revision + 1 "
        "WHERE tsg IN " BELOW("?");
const char SQL_USER_PATHS_BELOW[] =
        "UPDATE users SET path = ? || substr(path, ?), revision = revision + 1 "
        "WHERE tsg IN " BELOW("?");
const char SQL_ROLE_PATHS_BELOW[] =
        "UPDATE roles SET path = ? || substr(path, ?), revision = revision + 1 "
        "WHERE tsg IN " BELOW("?");
const char SQL_TEAM_PATHS_BELOW[] =
        "UPDATE teams SET path = ? || substr(path, ?), revision = revision + 1 "
        "WHERE tsg IN " BELOW("?");
const char SQL_PROJECT_PATHS_BELOW[] =
        "UPDATE projects SET path = ? || substr(path, ?), revision = revision + 1 "
        "WHERE tsg IN " BELOW("?");
const char SQL_TSG_CLOSURE_CUT[] = "DELETE FROM tsg_closure WHERE descendant IN " BELOW(
        "?") " AND ancestor IN "
             "(SELECT ancestor FROM tsg_closure WHERE descendant = ? AND depth > 0)";
const char SQL_TSG_CLOSURE_JOIN[] =
        "INSERT INTO tsg_closure (ancestor, descendant, depth) "
        "SELECT a.ancestor, d.descendant, a.depth + d.depth + 1 "
        "FROM tsg_closure a CROSS JOIN tsg_closure d WHERE a.descendant = ? AND d.ancestor = ?";
const char SQL_TSG_HAS_TSG[] = "SELECT 1 FROM tsgs WHERE parent = ? LIMIT 1";
const char SQL_TSG_HAS_KEY[] = "SELECT 1 FROM keys WHERE tsg = ? LIMIT 1";
const char SQL_TSG_HAS_ACCOUNT[] = "SELECT 1 FROM accounts WHERE tsg = ? LIMIT 1";
const char SQL_TSG_HAS_USER[] = "SELECT 1 FROM users WHERE tsg = ? LIMIT 1";
const char SQL_TSG_HAS_TEAM[] = "SELECT 1 FROM teams WHERE tsg = ? LIMIT 1";
const char SQL_TSG_HAS_PROJECT[] = "SELECT 1 FROM projects WHERE tsg = ? LIMIT 1";
const char SQL_TSG_HAS_ROLE[] = "SELECT 1 FROM roles WHERE tsg = ? LIMIT 1";
const char SQL_TSG_HAS_BINDING[] = "SELECT 1 FROM role_bindings WHERE tsg = ? LIMIT 1";
const char SQL_TSG_HAS_API_KEY[] = "SELECT 1 FROM api_keys WHERE tsg = ? LIMIT 1";
const char SQL_TSG_KEYS_COUNT[] =
        "SELECT COUNT(*) FROM (SELECT 1 FROM tsg_closure c CROSS JOIN keys k "
        "WHERE c.ancestor = ? AND k.tsg = c.descendant LIMIT ?) some";
const char SQL_TSG_CLOSURE_DELETE[] = "DELETE FROM tsg_closure WHERE descendant = ?";
const char SQL_AUTHORITY_DELETE[] = "DELETE FROM authorities WHERE tsg = ?";
const char SQL_TSG_DELETE[] = "DELETE FROM tsgs WHERE id = ?";

/* ---- users ---- */

const char SQL_USER_INSERT[] =
        "INSERT INTO users (id, tsg, name, path, created) VALUES (?, ?, ?, ?, ?)";

#define USER_COLUMNS "u.id, u.tsg, u.name, u.path, u.state, u.created, u.revision"

const char SQL_USER_BY_ID[] = "SELECT " USER_COLUMNS " FROM users u WHERE u.id = ?";
const char SQL_USER_LIST[] =
        "SELECT " USER_COLUMNS
        " FROM users u WHERE " IN_ROOT("u.tsg", "u.path") " ORDER BY u.path LIMIT ?";
const char SQL_USER_TOUCH[] =
        "UPDATE users SET revision = revision + 1 WHERE id = ? AND ? IN (0, revision)";
const char SQL_USER_SET_STATE[] = "UPDATE users SET state = ? WHERE id = ?";
const char SQL_USER_DELETE[] = "DELETE FROM users WHERE id = ?";

#define API_KEY_COLUMNS                                                                            \
        "k.id, k.user_id, k.name, k.tsg, t.path, k.purpose, k.created, k.expires, k.last_used "    \
        "FROM api_keys k LEFT JOIN tsgs t ON t.id = k.tsg WHERE k.user_id = ? "

const char SQL_API_KEY_INSERT[] =
        "INSERT INTO api_keys (id, user_id, hash, name, tsg, purpose, created, expires) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
const char SQL_API_KEYS[] = "SELECT " API_KEY_COLUMNS "ORDER BY k.name";
const char SQL_API_KEY_BY_ID[] = "SELECT " API_KEY_COLUMNS "AND k.id = ?";
const char SQL_API_KEY_USED[] = "UPDATE api_keys SET last_used = ? WHERE id = ? AND last_used < ?";
const char SQL_API_KEY_DELETE[] = "DELETE FROM api_keys WHERE id = ?";
const char SQL_API_KEYS_DROP[] = "DELETE FROM api_keys WHERE user_id = ?";
const char SQL_USER_BY_API_KEY[] = "SELECT u.id, u.path, u.tsg, COALESCE(a.tsg, u.tsg), a.expires, "
                                   "a.purpose, a.id, a.last_used "
                                   "FROM api_keys a JOIN users u ON u.id = a.user_id "
                                   "WHERE a.hash = ? AND u.state = 'enabled'";

/* ---- roles and teams ---- */

/* What a role gives counts only where it may be granted: below the TSG that defines it, and below
 * the team's own. */
const char SQL_BINDINGS_OF[] =
        "SELECT b.id, b.role, b.principal, b.tsg, t.path, COALESCE(r.pages, '') "
        "FROM role_bindings b JOIN tsgs t ON t.id = b.tsg LEFT JOIN roles r ON r.id = b.role "
        "LEFT JOIN teams m ON m.id = b.principal "
        "WHERE b.principal IN (SELECT ? UNION ALL SELECT team FROM team_members WHERE member = ?) "
        "AND (r.id IS NULL OR EXISTS (SELECT 1 FROM tsg_closure c "
        "WHERE c.ancestor = r.tsg AND c.descendant = b.tsg)) "
        "AND (m.id IS NULL OR EXISTS (SELECT 1 FROM tsg_closure c "
        "WHERE c.ancestor = m.tsg AND c.descendant = b.tsg)) ORDER BY b.id";
const char SQL_USER_HOME[] = "SELECT tsg, path, state, 0 FROM users WHERE id = ?";
const char SQL_ACCOUNT_HOME[] = "SELECT tsg, path, state, expires FROM accounts WHERE id = ?";
const char SQL_TEAM_HOME[] = "SELECT tsg, path, 'enabled', 0 FROM teams WHERE id = ?";
const char SQL_FORGET_ROLES[] = "DELETE FROM role_bindings WHERE principal = ?";
const char SQL_FORGET_TEAMS[] = "DELETE FROM team_members WHERE member = ?";
const char SQL_FORGET_PROJECTS[] = "DELETE FROM project_signers WHERE principal = ?";
/* Of the principal; of a team: of the member that has the most. */
const char SQL_TEAMS_COUNT[] = "SELECT COUNT(*) FROM team_members WHERE member = ?";
const char SQL_PROJECTS_COUNT[] =
        "SELECT COALESCE(MAX(n), 0) FROM (SELECT COUNT(DISTINCT s.project) AS n FROM "
        "(SELECT ? AS who UNION SELECT member FROM team_members WHERE team = ?) p "
        "JOIN project_signers s ON s.principal = p.who OR s.principal IN "
        "(SELECT team FROM team_members WHERE member = p.who) GROUP BY p.who) counts";
/* As authorized signer, itself or by a team of its. */
#define PROJECTS_OF                                                                                \
        "SELECT s.project FROM project_signers s WHERE s.principal IN "                            \
        "(SELECT ? UNION ALL SELECT team FROM team_members WHERE member = ?)"
const char SQL_PROJECTS_OF[] = "SELECT DISTINCT x.project FROM (" PROJECTS_OF ") x "
                               "ORDER BY x.project";
const char SQL_OWNS_ACCOUNTS[] =
        "SELECT 1 FROM accounts WHERE owner_team IN (SELECT team FROM team_members WHERE member = "
        "?) LIMIT 1";
const char SQL_TEAMS_OF[] = "SELECT team FROM team_members WHERE member = ? ORDER BY team";

#define ROLE_COLUMNS "r.id, r.tsg, r.name, r.path, r.pages, r.created, r.revision"

const char SQL_ROLE_INSERT[] =
        "INSERT INTO roles (id, tsg, name, path, pages, created) VALUES (?, ?, ?, ?, ?, ?)";
const char SQL_ROLE_BY_ID[] = "SELECT " ROLE_COLUMNS " FROM roles r WHERE r.id = ?";
const char SQL_ROLE_LIST[] =
        "SELECT " ROLE_COLUMNS
        " FROM roles r WHERE " IN_ROOT("r.tsg", "r.path") " ORDER BY r.path LIMIT ?";
const char SQL_ROLE_TOUCH[] =
        "UPDATE roles SET revision = revision + 1 WHERE id = ? AND ? IN (0, revision)";
const char SQL_ROLE_UPDATE[] = "UPDATE roles SET pages = ? WHERE id = ?";
const char SQL_ROLE_IS_BOUND[] = "SELECT 1 FROM role_bindings WHERE role = ? LIMIT 1";
const char SQL_ROLE_DELETE[] = "DELETE FROM roles WHERE id = ?";

#define BINDING_COLUMNS "b.id, b.role, b.principal, b.tsg, t.path, b.created, b.revision"
#define BINDING_TSG     " FROM role_bindings b JOIN tsgs t ON t.id = b.tsg WHERE "

const char SQL_BINDING_INSERT[] =
        "INSERT INTO role_bindings (id, role, principal, tsg, created) VALUES (?, ?, ?, ?, ?)";
const char SQL_BINDING_BY_ID[] = "SELECT " BINDING_COLUMNS BINDING_TSG "b.id = ?";
/* Two columns make the place where the page before ended. */
const char SQL_BINDING_LIST[] =
        "SELECT " BINDING_COLUMNS " FROM tsgs t CROSS JOIN role_bindings b WHERE b.tsg = t.id "
        "AND t.path >= ? AND t.path < ? AND (t.path = ? OR t.path > ?) "
        "AND EXISTS (SELECT 1 FROM tsg_closure c WHERE c.descendant = t.id AND c.ancestor = ?) "
        "AND (t.path <> ? OR b.id > ?) ORDER BY t.path, b.id LIMIT ?";
const char SQL_BINDING_LIST_OF[] =
        "SELECT " BINDING_COLUMNS BINDING_TSG "b.principal = ? ORDER BY b.id";
const char SQL_BINDING_TOUCH[] =
        "UPDATE role_bindings SET revision = revision + 1 WHERE id = ? AND ? IN (0, revision)";
const char SQL_BINDING_DELETE[] = "DELETE FROM role_bindings WHERE id = ?";
/* What the principal has; and of a team's members what the one with the most has. */
const char SQL_BINDINGS_COUNT[] =
        "SELECT COALESCE(MAX(n), 0) FROM (SELECT COUNT(*) AS n FROM "
        "(SELECT ? AS who UNION SELECT member FROM team_members WHERE team = ?) p "
        "JOIN role_bindings b ON b.principal = p.who OR b.principal IN "
        "(SELECT team FROM team_members WHERE member = p.who) GROUP BY p.who) counts";
/* An owner of the top who can come in: enabled, of the top itself, with an API key for all. */
const char SQL_OWNER_EXISTS[] =
        "SELECT 1 FROM users u JOIN tsgs t ON t.id = u.tsg "
        "WHERE t.parent IS NULL AND u.state = 'enabled' "
        "AND EXISTS (SELECT 1 FROM role_bindings b WHERE b.role = ? AND b.tsg = t.id "
        "AND (b.principal = u.id OR b.principal IN "
        "(SELECT team FROM team_members WHERE member = u.id))) "
        "AND EXISTS (SELECT 1 FROM api_keys a WHERE a.user_id = u.id AND a.purpose <> 'sign' "
        "AND a.tsg IS NULL AND (a.expires = 0 OR a.expires > ?)) LIMIT 1";

/* Whose scope covers a TSG. */
const char SQL_PRINCIPALS_ABOVE[] =
        "SELECT id FROM (SELECT a.id FROM tsg_closure c JOIN accounts a ON a.tsg = c.ancestor "
        "WHERE c.descendant = ? UNION ALL SELECT u.id FROM tsg_closure c "
        "JOIN users u ON u.tsg = c.ancestor WHERE c.descendant = ?) p "
        "WHERE id > ? ORDER BY id LIMIT ?";

/* ---- teams and projects ---- */

#define GROUP_COLUMNS "g.id, g.tsg, g.name, g.path, g.description, g.created, g.revision"

/* Two tables of the same form, and of their members. */
#define GROUP_STATEMENTS(NAME, table, members, group, member)                                      \
        const char SQL_##NAME##_INSERT[] =                                                         \
                "INSERT INTO " table " (id, tsg, name, path, description, created) "               \
                "VALUES (?, ?, ?, ?, ?, ?)";                                                       \
        const char SQL_##NAME##_BY_ID[] =                                                          \
                "SELECT " GROUP_COLUMNS " FROM " table " g WHERE g.id = ?";                        \
        const char SQL_##NAME##_LIST[] =                                                           \
                "SELECT " GROUP_COLUMNS " FROM " table                                             \
                " g WHERE " IN_ROOT("g.tsg", "g.path") " ORDER BY g.path LIMIT ?";                 \
        const char SQL_##NAME##_TOUCH[] =                                                          \
                "UPDATE " table " SET revision = revision + 1 WHERE id = ? AND ? IN (0, "          \
                "revision)";                                                                       \
        const char SQL_##NAME##_DESCRIBE[] = "UPDATE " table " SET description = ? WHERE id = ?";  \
        const char SQL_##NAME##_DELETE[] = "DELETE FROM " table " WHERE id = ?";                   \
        const char SQL_##NAME##_MEMBER_INSERT[] =                                                  \
                "INSERT INTO " members " (" group ", " member ") VALUES (?, ?)";                   \
        const char SQL_##NAME##_MEMBER_DELETE[] =                                                  \
                "DELETE FROM " members " WHERE " group " = ? AND " member " = ?";                  \
        const char SQL_##NAME##_MEMBER_LIST[] =                                                    \
                "SELECT m." member ", COALESCE(u.path, a.path, t.path, '') FROM " members " m "    \
                "LEFT JOIN users u ON u.id = m." member " "                                        \
                "LEFT JOIN accounts a ON a.id = m." member " "                                     \
                "LEFT JOIN teams t ON t.id = m." member " "                                        \
                "WHERE m." group " = ? AND m." member " > ? ORDER BY m." member " LIMIT ?";        \
        const char SQL_##NAME##_MEMBERS_DROP[] = "DELETE FROM " members " WHERE " group " = ?"

GROUP_STATEMENTS(TEAM, "teams", "team_members", "team", "member");
GROUP_STATEMENTS(PROJECT, "projects", "project_signers", "project", "principal");

const char SQL_TEAM_IN_USE[] =
        "SELECT 1 FROM teams t WHERE t.id = ? AND "
        "(EXISTS (SELECT 1 FROM role_bindings b WHERE b.principal = t.id) OR "
        "EXISTS (SELECT 1 FROM accounts a WHERE a.owner_team = t.id) OR "
        "EXISTS (SELECT 1 FROM project_signers s WHERE s.principal = t.id))";
const char SQL_PROJECT_IN_USE[] =
        "SELECT 1 FROM keys WHERE project = ? AND state <> 'destroyed' LIMIT 1";

/* ---- accounts ---- */

#define ACCOUNT_COLUMNS                                                                            \
        "a.id, a.tsg, a.name, a.path, a.state, a.created, a.expires, a.revision, "                 \
        "a.networks, a.last_used"
#define ACCOUNT_IN_SCOPE                                                                           \
        " FROM accounts a JOIN tsg_closure c ON c.descendant = a.tsg WHERE c.ancestor = ?"

const char SQL_ACCOUNT_INSERT[] =
        "INSERT INTO accounts (id, tsg, name, path, created, expires, networks) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)";
const char SQL_ACCOUNT_BY_ID[] = "SELECT " ACCOUNT_COLUMNS ACCOUNT_IN_SCOPE " AND a.id = ?";
const char SQL_ACCOUNT_LIST[] =
        "SELECT " ACCOUNT_COLUMNS
        " FROM accounts a WHERE " IN_ROOT("a.tsg", "a.path") " ORDER BY a.path LIMIT ?";
const char SQL_ACCOUNT_TOUCH[] =
        "UPDATE accounts SET revision = revision + 1 WHERE id = ? AND ? IN (0, revision)";
const char SQL_ACCOUNT_OWNER[] = "SELECT owner_team FROM accounts WHERE id = ?";
const char SQL_ACCOUNT_SET_OWNER[] = "UPDATE accounts SET owner_team = ? WHERE id = ?";
const char SQL_TEAM_ACCOUNTS[] = "SELECT id, path, state, tsg FROM accounts "
                                 "WHERE owner_team = ? AND path > ? ORDER BY path";
const char SQL_ACCOUNT_CHANGE[] =
        "UPDATE accounts SET state = COALESCE(?, state), expires = COALESCE(?, expires), "
        "networks = COALESCE(?, networks) WHERE id = ?";
const char SQL_ACCOUNT_USED[] = "UPDATE accounts SET last_used = ? WHERE id = ?";
const char SQL_ACCOUNT_DELETE[] = "DELETE FROM accounts WHERE id = ?";
const char SQL_ACCOUNT_KEY_INSERT[] =
        "INSERT INTO account_keys (id, account, thumbprint, spki, algorithm, created, expires) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)";
const char SQL_ACCOUNT_KEYS[] =
        "SELECT id, thumbprint, algorithm, created, expires, last_used FROM account_keys "
        "WHERE account = ? ORDER BY created, id";
const char SQL_ACCOUNT_KEYS_COUNT[] = "SELECT COUNT(*) FROM account_keys WHERE account = ?";
const char SQL_ACCOUNT_KEYS_EXPIRE[] =
        "DELETE FROM account_keys WHERE account = ? AND expires <= ?";
const char SQL_ACCOUNT_KEYS_DROP[] = "DELETE FROM account_keys WHERE account = ?";
const char SQL_ACCOUNT_KEY_DELETE[] = "DELETE FROM account_keys WHERE account = ? AND id = ?";
const char SQL_ACCOUNT_KEY_END[] =
        "UPDATE account_keys SET expires = ? WHERE account = ? AND id = ? AND expires > ?";
const char SQL_ACCOUNT_KEY_USED[] = "UPDATE account_keys SET last_used = ? WHERE thumbprint = ?";
const char SQL_ACCOUNT_LOGIN[] =
        "SELECT k.spki, a.state, a.expires, a.path, a.tsg, a.networks, k.expires "
        "FROM account_keys k "
        "JOIN accounts a ON a.id = k.account WHERE k.account = ? AND k.thumbprint = ?";

/* What is granted to an account ends with it. */

/* ---- enrollments ---- */

const char SQL_ENROLLMENT_INSERT[] =
        "INSERT INTO enrollments (id, account, hash, created, expires, key_days, attempts) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)";
const char SQL_ENROLLMENT_LIST[] = "SELECT id, created, expires FROM enrollments "
                                   "WHERE account = ? AND expires > ? ORDER BY created, id LIMIT ?";
const char SQL_ENROLLMENT_FIND[] =
        "SELECT e.hash, e.key_days, a.id, a.path, a.tsg, a.networks, a.state, a.expires "
        "FROM enrollments e JOIN accounts a ON a.id = e.account "
        "WHERE e.id = ? AND e.expires > ? AND e.attempts > 0";
const char SQL_ENROLLMENT_GUESSED[] =
        "UPDATE enrollments SET attempts = attempts - 1 WHERE id = ? AND attempts > 0";
const char SQL_ENROLLMENT_USE[] =
        "DELETE FROM enrollments WHERE id = ? AND expires > ? AND attempts > 0";
const char SQL_ENROLLMENT_DELETE[] = "DELETE FROM enrollments WHERE account = ? AND id = ?";
const char SQL_ENROLLMENT_DROP[] = "DELETE FROM enrollments WHERE account = ?";
const char SQL_ENROLLMENT_EXPIRE[] = "DELETE FROM enrollments WHERE expires <= ?";
const char SQL_ENROLLMENT_COUNT[] = "SELECT COUNT(*) FROM enrollments WHERE account = ?";

/* ---- tokens ---- */

const char SQL_TOKEN_INSERT[] =
        "INSERT INTO tokens (hash, account, thumbprint, issued, expires) VALUES (?, ?, ?, ?, ?)";
const char SQL_TOKEN_BY_HASH[] =
        "SELECT a.id, a.path, a.tsg, k.thumbprint, k.expires, a.state, a.expires, ak.expires, "
        "a.networks FROM tokens k JOIN accounts a ON a.id = k.account "
        "JOIN account_keys ak ON ak.account = k.account AND ak.thumbprint = k.thumbprint "
        "WHERE k.hash = ?";
const char SQL_TOKEN_EXPIRE[] = "DELETE FROM tokens WHERE expires < ?";
const char SQL_TOKEN_DROP[] = "DELETE FROM tokens WHERE account = ?";
const char SQL_TOKEN_DROP_KEY[] =
        "DELETE FROM tokens WHERE account = ? AND thumbprint = "
        "(SELECT thumbprint FROM account_keys WHERE account = ? AND id = ?)";
const char SQL_ASSERTION_INSERT[] =
        "INSERT INTO assertions (account, jti, expires) VALUES (?, ?, ?)";
const char SQL_ASSERTION_DROP[] = "DELETE FROM assertions WHERE account = ?";
const char SQL_ASSERTION_EXPIRE[] = "DELETE FROM assertions WHERE expires < ?";

/* ---- keys ---- */

#define KEY_COLUMNS                                                                                \
        "k.id, k.tsg, k.name, k.path, k.algorithm, k.state, k.primary_version, k.description, "    \
        "k.created, v.version, v.spki, v.sealed, v.state, v.created, k.revision, k.not_before, "   \
        "k.not_after, k.made_schemes, k.schemes, k.hashes, k.per_hour, k.per_day, k.destroy_at, "  \
        "k.destroyed, k.allow_expired_certificate, k.allow_revoked_certificate, k.project"
#define KEY_AT_VERSION                                                                             \
        " FROM keys k JOIN key_versions v ON v.key_id = k.id "                                     \
        "AND v.version = COALESCE(NULLIF(?, 0), k.primary_version) WHERE "

#define KEY_PRIMARY                                                                                \
        " FROM keys k JOIN key_versions v ON v.key_id = k.id AND v.version = k.primary_version "
/* Of who signs, the keys that a project does not keep from it; '': of who may see more, and then
 * policy.h decides on each. */
#define KEY_IN_PROJECT " AND (? = '' OR k.project IS NULL OR k.project IN (" PROJECTS_OF ")) "
/* A key without an end of its validity never passes it. */
#define KEY_ENDS                                                                                   \
        "AND CASE WHEN k.not_after = 0 THEN 9223372036854775807 ELSE k.not_after END "             \
        "BETWEEN ? AND ? "

const char SQL_KEY_INSERT[] =
        "INSERT INTO keys (id, tsg, name, path, algorithm, description, created, primary_version, "
        "not_before, not_after, made_schemes, schemes, hashes, per_hour, per_day, "
        "allow_expired_certificate, allow_revoked_certificate) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const char SQL_KEY_VERSION_INSERT[] =
        "INSERT INTO key_versions (key_id, version, spki, sealed, created) VALUES (?, ?, ?, ?, ?)";
const char SQL_KEY_BY_ID[] = "SELECT " KEY_COLUMNS KEY_AT_VERSION "k.id = ?";
const char SQL_KEY_BY_PATH[] = "SELECT " KEY_COLUMNS KEY_AT_VERSION "k.path = ?";
const char SQL_KEY_LIST[] = "SELECT " KEY_COLUMNS KEY_PRIMARY "WHERE " IN_ROOT("k.tsg", "k.path")
        KEY_IN_PROJECT "AND k.state <> 'destroyed' ORDER BY k.path LIMIT ?";
const char SQL_KEY_LIST_BY_STATE[] =
        "SELECT " KEY_COLUMNS KEY_PRIMARY "WHERE " IN_ROOT("k.tsg", "k.path") KEY_IN_PROJECT
        "AND k.state = ? " KEY_ENDS "ORDER BY k.path LIMIT ?";
const char SQL_KEY_LIST_BY_LABEL[] =
        "SELECT " KEY_COLUMNS KEY_PRIMARY "JOIN key_labels l ON l.path = k.path "
        "WHERE " IN_ROOT("k.tsg", "l.path") KEY_IN_PROJECT
        "AND l.name = ? AND l.value = ? AND k.state <> "
        "'destroyed' ORDER BY l.path LIMIT ?";
const char SQL_KEY_VERSIONS[] = "SELECT " KEY_COLUMNS " FROM keys k "
                                "JOIN key_versions v ON v.key_id = k.id "
                                "WHERE k.id = ? AND v.version < ? ORDER BY v.version DESC LIMIT ?";
const char SQL_KEY_TOUCH[] =
        "UPDATE keys SET revision = revision + 1 WHERE id = ? AND ? IN (0, revision)";
const char SQL_KEY_UPDATE[] =
        "UPDATE keys SET state = ?, description = ?, not_before = ?, not_after = ?, schemes = ?, "
        "hashes = ?, per_hour = ?, per_day = ?, allow_expired_certificate = ?, "
        "allow_revoked_certificate = ? "
        "WHERE id = ? AND state IN ('enabled', 'disabled')";
const char SQL_KEY_MOVE[] = "UPDATE keys SET tsg = ?, name = ?, path = (SELECT path FROM tsgs "
                            "WHERE id = ?) || '/' || ? "
                            "WHERE id = ?";
const char SQL_KEY_JOIN[] = "UPDATE keys SET project = ? WHERE id = ?";
const char SQL_KEY_LEAVE[] =
        "UPDATE keys SET project = NULL WHERE project = ? AND state = 'destroyed'";
const char SQL_KEY_SET_PRIMARY[] =
        "UPDATE keys SET primary_version = ? WHERE id = ? AND primary_version = ? "
        "AND state IN ('enabled', 'disabled')";
const char SQL_KEY_VERSION_SET_STATE[] =
        "UPDATE key_versions SET state = ? WHERE key_id = ? AND version = ?";
const char SQL_KEY_LABELS[] = "SELECT name, value FROM key_labels WHERE path = ? ORDER BY name";
const char SQL_KEY_LABEL_SET[] = "INSERT INTO key_labels (path, name, value) VALUES (?, ?, ?) "
                                 "ON CONFLICT (path, name) DO UPDATE SET value = excluded.value";
const char SQL_KEY_LABEL_DROP[] = "DELETE FROM key_labels WHERE path = ? AND name = ?";
const char SQL_KEY_DESTROY_AT[] = "UPDATE keys SET state = 'pending-destruction', destroy_at = ? "
                                  "WHERE id = ? AND state IN ('enabled', 'disabled')";
const char SQL_KEY_KEEP[] = "UPDATE keys SET state = 'disabled', destroy_at = 0 "
                            "WHERE id = ? AND state = 'pending-destruction'";
const char SQL_KEY_DUE[] =
        "SELECT id, path FROM keys WHERE destroy_at > 0 AND destroy_at <= ? LIMIT 1";
const char SQL_KEY_DESTROY[] = "UPDATE keys SET state = 'destroyed', destroy_at = 0, destroyed = ? "
                               "WHERE id = ? AND state = 'pending-destruction' AND destroy_at <= ?";
const char SQL_KEY_ERASE[] = "UPDATE key_versions SET sealed = ? WHERE key_id = ?";
const char SQL_PATH_TAKEN_BY_KEY[] = "SELECT 1 FROM keys WHERE path = ?";
const char SQL_PATH_TAKEN_BY_TSG[] = "SELECT 1 FROM tsgs WHERE path = ?";

/* ---- certificates ---- */

#define CERTIFICATE_COLUMNS                                                                        \
        "c.id, c.key_id, c.version, c.authority, c.serial, c.not_before, c.not_after, c.der, "     \
        "c.chain, c.is_current, c.created, c.revoked, c.revocation_reason, c.revision, k.path, "   \
        "k.tsg"
/* The closure table only decides: certificates are walked over in the order of their ends. */
#define CERTIFICATE_IN_SCOPE                                                                       \
        " FROM certificates c JOIN keys k ON k.id = c.key_id WHERE EXISTS "                        \
        "(SELECT 1 FROM tsg_closure t WHERE t.descendant = k.tsg AND t.ancestor = ?)"
/* Where few keys are in scope, they are walked over and their certificates sorted. */
#define CERTIFICATE_OF_FEW                                                                         \
        " FROM tsg_closure t CROSS JOIN keys k CROSS JOIN certificates c "                         \
        "WHERE t.ancestor = ? AND k.tsg = t.descendant AND c.key_id = k.id"
#define CERTIFICATE_EXPIRING " AND c.is_current = 1 AND c.revoked IS NULL AND c.not_after < ?"
#define CERTIFICATE_PAGE     " AND (c.not_after, c.id) > (?, ?) ORDER BY c.not_after, c.id LIMIT ?"

const char SQL_CERTIFICATE_INSERT[] =
        "INSERT INTO certificates (id, key_id, version, authority, serial, not_before, not_after, "
        "der, chain, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const char SQL_CERTIFICATE_SUPERSEDE[] =
        "UPDATE certificates SET is_current = 0, revision = revision + 1 "
        "WHERE key_id = ? AND version = ? AND is_current = 1";
const char SQL_CERTIFICATES[] =
        "SELECT c.der, COALESCE(c.chain, a.certificate), c.not_after, c.revoked, r.certificate "
        "FROM certificates c LEFT JOIN authorities a ON a.id = c.authority "
        "LEFT JOIN authorities r ON r.id = a.issuer "
        "WHERE c.key_id = ? AND c.version = ? AND c.is_current = 1";
const char SQL_CERTIFICATE_BY_ID[] =
        "SELECT " CERTIFICATE_COLUMNS CERTIFICATE_IN_SCOPE " AND c.id = ?";
const char SQL_CERTIFICATE_LIST[] =
        "SELECT " CERTIFICATE_COLUMNS CERTIFICATE_IN_SCOPE CERTIFICATE_PAGE;
const char SQL_CERTIFICATE_LIST_OF_FEW[] =
        "SELECT " CERTIFICATE_COLUMNS CERTIFICATE_OF_FEW CERTIFICATE_PAGE;
const char SQL_CERTIFICATE_LIST_BY_KEY[] =
        "SELECT " CERTIFICATE_COLUMNS CERTIFICATE_IN_SCOPE " AND c.key_id = ?" CERTIFICATE_PAGE;
const char SQL_CERTIFICATE_LIST_EXPIRING[] =
        "SELECT " CERTIFICATE_COLUMNS CERTIFICATE_IN_SCOPE CERTIFICATE_EXPIRING CERTIFICATE_PAGE;
const char SQL_CERTIFICATE_LIST_EXPIRING_OF_FEW[] =
        "SELECT " CERTIFICATE_COLUMNS CERTIFICATE_OF_FEW CERTIFICATE_EXPIRING CERTIFICATE_PAGE;
const char SQL_CERTIFICATE_COUNT_EXPIRING[] =
        "SELECT SUM(CASE WHEN not_after < ? THEN 1 ELSE 0 END), "
        "SUM(CASE WHEN not_after < ? THEN 1 ELSE 0 END), "
        "SUM(CASE WHEN not_after < ? THEN 1 ELSE 0 END), "
        "SUM(CASE WHEN not_after < ? THEN 1 ELSE 0 END) FROM certificates "
        "WHERE is_current = 1 AND revoked IS NULL AND not_after < ?";
const char SQL_CERTIFICATE_REVOKE[] = "UPDATE certificates SET revoked = ?, revocation_reason = ? "
                                      "WHERE id = ? AND revoked IS NULL";
const char SQL_CERTIFICATE_TOUCH[] =
        "UPDATE certificates SET revision = revision + 1 WHERE id = ? AND ? IN (0, revision)";
const char SQL_CERTIFICATE_REVOKED[] =
        "SELECT serial, revoked, revocation_reason FROM certificates "
        "WHERE authority = ? AND revoked IS NOT NULL ORDER BY revoked, serial";

/* ---- authorities ---- */

#define AUTHORITY_COLUMNS                                                                          \
        "id, tsg, kind, issuer, subject, created, organization, country, alternative_name, "       \
        "extended_key_usage, revision, spki, sealed, certificate"

const char SQL_AUTHORITY_INSERT[] =
        "INSERT INTO authorities (id, tsg, kind, issuer, subject, spki, sealed, certificate, "
        "created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const char SQL_AUTHORITY_BY_ID[] = "SELECT " AUTHORITY_COLUMNS " FROM authorities WHERE id = ?";
const char SQL_AUTHORITY_ISSUING[] =
        "SELECT " AUTHORITY_COLUMNS " FROM authorities WHERE tsg = ? AND kind = 'issuing' "
        "ORDER BY created DESC, id LIMIT 1";
const char SQL_AUTHORITY_LIST[] = "SELECT " AUTHORITY_COLUMNS " FROM authorities WHERE tsg = ? "
                                  "ORDER BY created DESC, kind DESC, id LIMIT ?";
const char SQL_AUTHORITY_SET_POLICY[] =
        "UPDATE authorities SET organization = ?, country = ?, alternative_name = ?, "
        "extended_key_usage = ? WHERE id = ?";
const char SQL_AUTHORITY_TOUCH[] =
        "UPDATE authorities SET revision = revision + 1 WHERE id = ? AND ? IN (0, revision)";
const char SQL_AUTHORITY_CRL[] = "SELECT crl, crl_number, crl_renew FROM authorities WHERE id = ?";
const char SQL_AUTHORITY_SET_CRL[] = "UPDATE authorities SET crl = ?, crl_number = crl_number + 1, "
                                     "crl_renew = ? WHERE id = ? AND crl_number = ?";
const char SQL_AUTHORITY_STALE_CRL[] =
        "UPDATE authorities SET crl_number = crl_number + 1, crl_renew = 0 WHERE id = ?";

/* ---- what is sealed ---- */

/* docs/keystore.md: behind four bytes the blob names its KEK, in eight.  What was destroyed is
 * empty. */
#define KEK_OF "substr(sealed, 5, 8)"

const char SQL_KEK_COUNT[] =
        "SELECT kek, COUNT(*) FROM (SELECT " KEK_OF " AS kek FROM key_versions UNION ALL "
        "SELECT " KEK_OF " FROM authorities) blobs WHERE length(kek) = 8 GROUP BY kek ORDER BY kek";
const char SQL_SEALED_KEY_LIST[] =
        "SELECT key_id, version, sealed FROM key_versions WHERE (key_id, version) > (?, ?) "
        "AND " KEK_OF " <> ? AND length(sealed) > 0 ORDER BY key_id, version LIMIT ?";
const char SQL_SEALED_KEY_RESEAL[] = "UPDATE key_versions SET sealed = ? "
                                     "WHERE key_id = ? AND version = ? AND sealed = ?";
const char SQL_SEALED_AUTHORITY_LIST[] =
        "SELECT id, 1, sealed FROM authorities WHERE (id, 1) > (?, ?) "
        "AND " KEK_OF " <> ? AND length(sealed) > 0 ORDER BY id LIMIT ?";
const char SQL_SEALED_AUTHORITY_RESEAL[] =
        "UPDATE authorities SET sealed = ? WHERE id = ? AND 1 = ? AND sealed = ?";

/* ---- audit ---- */

const char SQL_AUDIT_INSERT[] =
        "INSERT INTO audit (number, previous, hash, entry, key_id, request_id, principal, tsg, "
        "kind, result, time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const char SQL_AUDIT_HEAD[] = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1";
const char SQL_AUDIT_FROM[] = "SELECT number FROM audit WHERE time >= ? ORDER BY time LIMIT 1";
const char SQL_AUDIT_TO[] = "SELECT number FROM audit WHERE time < ? ORDER BY time DESC LIMIT 1";

/* The second column says whether the row passes; what does not is given all the same, to be
 * counted. */
#define AUDIT_LIST(lead)                                                                           \
        "SELECT a.number, CASE WHEN COALESCE(a.key_id, '') = COALESCE(?, a.key_id, '') "           \
        "AND a.principal = COALESCE(?, a.principal) AND a.kind = COALESCE(?, a.kind) "             \
        "AND a.result = COALESCE(?, a.result) AND a.result <> ? AND a.time >= ? AND a.time < ? "   \
        "AND (? = 'all' OR EXISTS (SELECT 1 FROM tsg_closure c "                                   \
        "WHERE c.ancestor = ? AND c.descendant = a.tsg)) THEN 1 ELSE 0 END, "                      \
        "a.previous, a.hash, a.entry FROM audit a "                                                \
        "WHERE " lead "a.number > ? AND a.number <= ? ORDER BY a.number LIMIT ?"
const char SQL_AUDIT_LIST[] = AUDIT_LIST("");
const char SQL_AUDIT_LIST_BY_KEY[] = AUDIT_LIST("a.key_id = ? AND ");
const char SQL_AUDIT_LIST_BY_PRINCIPAL[] = AUDIT_LIST("a.principal = ? AND ");
const char SQL_AUDIT_LIST_BY_REQUEST[] = AUDIT_LIST("a.request_id = ? AND ");

const char SQL_READY_SET[] = "INSERT INTO readiness (id, asked) VALUES (1, ?) "
                             "ON CONFLICT (id) DO UPDATE SET asked = excluded.asked";

/* ---- use of keys ---- */

const char SQL_USE_ADD[] =
        "INSERT INTO use_by_day (key_id, principal, day, signatures, refused) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT (key_id, principal, day) DO UPDATE SET "
        "signatures = use_by_day.signatures + excluded.signatures, "
        "refused = use_by_day.refused + excluded.refused";
#define USE_COLUMNS "u.key_id, k.path, u.principal, a.path, u.day, u.signatures, u.refused"
#define USE_PAGE                                                                                   \
        "AND (u.key_id, u.principal, u.day) > (?, ?, ?) AND u.key_id <= ? "                        \
        "AND u.principal = COALESCE(?, u.principal) AND u.day >= ? AND u.day <= ? "                \
        "ORDER BY u.key_id, u.principal, u.day LIMIT ?"
const char SQL_USE_LIST[] =
        "SELECT " USE_COLUMNS " FROM use_by_day u JOIN keys k ON k.id = u.key_id "
        "LEFT JOIN accounts a ON a.id = u.principal WHERE EXISTS "
        "(SELECT 1 FROM tsg_closure c WHERE c.descendant = k.tsg AND c.ancestor = ?) " USE_PAGE;
const char SQL_USE_LIST_OF_FEW[] =
        "SELECT " USE_COLUMNS " FROM tsg_closure c CROSS JOIN keys k CROSS JOIN use_by_day u "
        "LEFT JOIN accounts a ON a.id = u.principal "
        "WHERE c.ancestor = ? AND k.tsg = c.descendant AND u.key_id = k.id " USE_PAGE;

/* ---- signatures counted ---- */

/* A clock that was set back does not begin a new hour: what was counted stays counted. */
const char SQL_USAGE_TAKE[] =
        "INSERT INTO key_usage (key_id, hour, in_hour, day, in_day) VALUES (?, ?, 1, ?, 1) "
        "ON CONFLICT (key_id) DO UPDATE SET "
        "in_hour = CASE WHEN excluded.hour > key_usage.hour THEN 1 ELSE key_usage.in_hour + 1 END, "
        "hour = CASE WHEN excluded.hour > key_usage.hour THEN excluded.hour ELSE key_usage.hour "
        "END, "
        "in_day = CASE WHEN excluded.day > key_usage.day THEN 1 ELSE key_usage.in_day + 1 END, "
        "day = CASE WHEN excluded.day > key_usage.day THEN excluded.day ELSE key_usage.day END "
        "WHERE (excluded.hour > key_usage.hour OR key_usage.in_hour < ?) "
        "AND (excluded.day > key_usage.day OR key_usage.in_day < ?)";
const char SQL_USAGE[] = "SELECT hour, in_hour, day, in_day FROM key_usage WHERE key_id = ?";

/* ---- kept answers ---- */

const char SQL_IDEMPOTENCY_INSERT[] =
        "INSERT INTO idempotency (record, principal, key, request, status, answer, expires) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (principal, key) DO NOTHING";
const char SQL_IDEMPOTENCY_FIND[] =
        "SELECT i.request, i.record, i.status, i.answer, a.hash, a.request_id "
        "FROM idempotency i JOIN audit a ON a.number = i.record "
        "WHERE i.principal = ? AND i.key = ?";
const char SQL_IDEMPOTENCY_EXPIRE[] =
        "DELETE FROM idempotency WHERE record IN "
        "(SELECT record FROM idempotency ORDER BY record LIMIT ?) AND expires <= ?";
const char SQL_IDEMPOTENCY_OLDEST[] = "SELECT expires FROM idempotency ORDER BY record LIMIT 1";
const char SQL_IDEMPOTENCY_DROP[] = "DELETE FROM idempotency WHERE record = ?";
