/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The interface org.csign.Sidecar1 (docs/dbus.md), offered on connections of two kinds. */

#include <systemd/sd-bus.h>

#include "sidecar/peer.h"

#define BUS_INTERFACE "org.csign.Sidecar1"
#define BUS_NAME      "org.csign.Sidecar1"
#define BUS_OBJECT    "/org/csign/Sidecar1"

/* What a connection has beneath its object. */
struct Link {
        Peer *(*peer_of)(Link *l, sd_bus_message *m); /* who sent it: borrowed; NULL: no memory */
        void (*replied)(Link *l);                     /* optional: something was sent to a peer */
        void (*identified)(Link *l); /* optional: now it is known who the peer is */
};

int bus_add_object(sd_bus *bus, Link *l);

/* Calls f(m, arg) when the connection has ended, whatever the reason. */
int bus_watch_end(sd_bus *bus, sd_bus_message_handler_t f, void *arg);

/* The methods, one file per resource. */
int method_sign(sd_bus_message *m, Peer *p);
int method_sign_message(sd_bus_message *m, Peer *p);
int method_get_key(sd_bus_message *m, Peer *p);
int method_list_keys(sd_bus_message *m, Peer *p);
int method_status(sd_bus_message *m, Peer *p);
int method_reload(sd_bus_message *m, Peer *p);
int method_test_policy(sd_bus_message *m, Peer *p);
int method_history(sd_bus_message *m, Peer *p);

/* ---- a plain socket: every connection is a peer ---- */

int bus_socket_new(BusSocket **ret, Manager *m, const char *path, Error *e);
/* Takes the one that systemd listens on for us (csign-sidecar.socket).  1, or 0: there is none. */
int bus_socket_inherit(BusSocket **ret, Manager *m, Error *e);
void bus_socket_free(BusSocket *s); /* and removes it, if it was made here */
const char *bus_socket_path(const BusSocket *s);

/* ---- a name on a bus ---- */

/* address: "user", "system" or a D-Bus address.  If the connection is lost it is made again. */
int bus_name_new(BusName **ret, Manager *m, const char *address, Error *e);
void bus_name_free(BusName *n);
