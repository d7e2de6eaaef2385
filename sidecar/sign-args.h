/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What Sign() and SignMessage() have in common: their arguments, and who may. */

#include "sidecar/bus-call.h"

/* The job of a new call: whose it is, and until when. */
void sign_args_prepare(BusCall *call, SignJob *job);

/* The key's id (job->req.version is set), the scheme and a hash that goes with it. */
int sign_args_names(SignJob *job, const char *key_id, const char *scheme, const char *hash,
                    Error *e);

/* a{sv}; an unknown option is an error. */
int sign_args_options(sd_bus_message *m, SignJob *job, Error *e);

/* When job->key is known: local policy, the public key that the caller believes in, and whether the
 * key can do it. */
int sign_args_admit(const BusCall *call, const SignJob *job, Error *e);

/* The signature and its receipt. */
int sign_args_reply(BusCall *call, const SignJob *job, sd_bus_message *reply);
