/* SPDX-License-Identifier: Apache-2.0 */

/* THE error table: one row a failure that somebody can act on.  Every boundary is made from it:
 * D-Bus names, HTTP problem documents, exit statuses, OpenSSL reason strings and docs/errors.md.
 *
 * X(NAME, wire name, HTTP status, exit status, meaning (the title of a problem), what to do)
 *
 * The wire name is the last part of org.csign.Sidecar1.Error.* and of urn:csign:error:*.
 * Exit status: 1 trouble inside, 2 the request is wrong, 3 something is unreachable, 4 no such
 * thing, 5 not allowed, 6 the thing's state forbids it, 7 not authenticated, 8 later, 9 the answer
 * was wrong. */

/* clang-format off */
#define CSIGN_ERROR_LIST(X)                                                                                          \
        X(INTERNAL,             "Internal",            500, 1, "internal error",                                     \
          "look for the request id in the daemon's log")                                                             \
        X(BAD_REQUEST,          "BadRequest",          400, 2, "the request is malformed",                           \
          "correct the request")                                                                                     \
        X(BAD_DIGEST,           "BadDigest",           400, 2, "the digest does not fit the hash",                   \
          "hash the input with the algorithm that the request names")                                                \
        X(BAD_CONFIG,           "BadConfig",           500, 2, "a configuration file is wrong",                      \
          "mend the line that is named")                                                                             \
        X(UNSUPPORTED_SCHEME,   "UnsupportedScheme",   400, 2, "the key cannot sign that way",                       \
          "use a scheme and hash that the key's algorithm and policy allow")                                         \
        X(TOO_LARGE,            "TooLarge",            413, 2, "the request is too large",                           \
          "send less at once")                                                                                       \
        X(UNAUTHENTICATED,      "Unauthenticated",     401, 7, "the caller is not authenticated",                    \
          "log in again: csign login")                                                                               \
        X(BAD_CREDENTIAL,       "BadCredential",       401, 7, "the credential cannot be used",                      \
          "check the credential's file, owner and mode: csign doctor")                                               \
        X(NO_CREDENTIAL,        "NoCredential",        401, 7, "the sidecar has no credential",                      \
          "log the sidecar in: csign login")                                                                         \
        X(OUT_OF_SCOPE,         "OutOfScope",          403, 5, "outside the caller's scope",                         \
          "ask an owner of the key's TSG for an account in it or above it")                                          \
        X(NOT_PERMITTED,        "NotPermitted",        403, 5, "the caller's role does not permit this",             \
          "ask an owner of the TSG for the role that is named")                                                      \
        X(LOCAL_POLICY,         "LocalPolicy",         403, 5, "this machine's policy says no",                      \
          "ask this machine's administrator to change the sidecar's policy.conf")                                    \
        X(KEY_NOT_FOUND,        "KeyNotFound",         404, 4, "no such key",                                        \
          "list the keys that you may use: csign keys")                                                              \
        X(NOT_FOUND,            "NotFound",            404, 4, "no such thing",                                      \
          "check the name or id")                                                                                    \
        X(ALREADY_EXISTS,       "AlreadyExists",       409, 6, "the name is taken",                                  \
          "choose another name")                                                                                     \
        X(KEY_DISABLED,         "KeyDisabled",         403, 6, "the key is disabled",                                \
          "ask a key manager of its TSG to enable it: csign key enable")                                             \
        X(KEY_EXPIRED,          "KeyExpired",          403, 6, "the key is not valid now",                           \
          "ask a key manager of its TSG to change its validity: csign key change")                                   \
        X(KEY_DESTROYED,        "KeyDestroyed",        403, 6, "the key is destroyed, or is to be",                  \
          "use another key; csign key cancel-destruction keeps one that is not destroyed yet")                       \
        X(KEY_CHANGED,          "KeyChanged",          409, 6, "the key is not the one that was loaded",             \
          "load the key again, or write its reference anew: csign ref")                                              \
        X(APPROVAL_PENDING,     "ApprovalPending",     409, 8, "somebody must approve it first",                     \
          "try again when it is approved: the request id says which")                                               \
        X(RATE_LIMITED,         "RateLimited",         429, 8, "too many requests",                                  \
          "wait as long as Retry-After says")                                                                        \
        X(SERVICE_UNAVAILABLE,  "ServiceUnavailable",  503, 3, "the signing service is not reachable",               \
          "check the service's address and health: csign doctor")                                                    \
        X(KEYSTORE_UNAVAILABLE, "KeystoreUnavailable", 503, 3, "the key store is not reachable",                     \
          "ask the service's operators whether csign-keystore runs")                                                 \
        X(SIDECAR_UNAVAILABLE,  "SidecarUnavailable",  503, 3, "the sidecar is not reachable",                       \
          "start csign-sidecar, or set CSIGN_BUS to its address: csign doctor")                                      \
        X(TIMEOUT,              "Timeout",             504, 3, "no answer in time",                                  \
          "try again; if it lasts: csign doctor")                                                                    \
        X(AUDIT_UNAVAILABLE,    "AuditUnavailable",    503, 3, "the audit record cannot be written",                 \
          "ask the service's operators: nothing is signed until the log can be written")                             \
        X(KEY_CORRUPT,          "KeyCorrupt",          500, 9, "the stored key does not open",                       \
          "ask the service's operators to restore the key and its KEK")                                              \
        X(BAD_SIGNATURE,        "BadSignature",        502, 9, "the signature does not verify",                      \
          "report it to the service's operators: nothing was handed out")                                            \
        X(BAD_ANSWER,           "BadAnswer",           502, 9, "the answer cannot be understood",                    \
          "check that the address is csign's, and the versions of both ends")                                        \
        X(AUDIT_BROKEN,         "AuditBroken",         500, 9, "the audit log does not verify",                      \
          "keep a copy of what there is, and tell those who watch over the service")                                 \
        X(IDEMPOTENCY_MISMATCH, "IdempotencyMismatch", 422, 2, "the idempotency key was given for another request",  \
          "give each request a key of its own")                                                                      \
        X(PRECONDITION_FAILED,  "PreconditionFailed",  412, 6, "the thing was changed meanwhile",                    \
          "read it again, and decide anew: its ETag is the new If-Match")                                            \
        X(IN_USE,               "InUse",               409, 6, "something still needs it",                           \
          "remove or change what needs it first")                                                                    \
        X(CERTIFICATE_EXPIRED,  "CertificateExpired",  403, 6, "the key's certificate has expired",                  \
          "ask those who administer its certificates to renew it: csign cert renew")                                 \
        X(CERTIFICATE_REVOKED,  "CertificateRevoked",  403, 6, "the key's certificate was revoked",                  \
          "ask those who administer its certificates for another key or certificate: csign key rotate")
/* clang-format on */
