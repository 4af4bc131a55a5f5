/* SPDX-License-Identifier: MIT */
/* full_request.h - a request of a command with every field that the command may have. */
#pragma once

#include "proto/local/ctlapi_request.h"
#include "tests/unit/test_util.h"

#define TEXT(member, text) snprintf(req->member, sizeof(req->member), "%s", text)

static inline void fill_chat(struct pv_ctlapi_request *req)
{
    switch (req->cmd) {
    case PV_CTLAPI_SEND:
        TEXT(u.say.id, "DAAAAAAAAAAAAAAAAAAAAA");
        TEXT(u.say.name, "bob");
        TEXT(u.say.room, "#crew");
        TEXT(u.say.unless, "carol");
        break;
    case PV_CTLAPI_INBOX:
    case PV_CTLAPI_READ:
    case PV_CTLAPI_HISTORY:
        TEXT(u.list.before, "AAAAAAAAAAAAAAAAAAAAAA");
        TEXT(u.list.after, "BAAAAAAAAAAAAAAAAAAAAA");
        TEXT(u.list.through, "CAAAAAAAAAAAAAAAAAAAAA");
        req->u.list.peek = true;
        req->u.list.upto = 8;
        req->u.list.limit = 5;
        break;
    case PV_CTLAPI_WATCH:
        TEXT(u.watch.what, "chat");
        req->u.watch.seen = true;
        req->u.watch.figures = 7;
        req->u.watch.seq = 8;
        req->u.watch.since_s = 9;
        break;
    case PV_CTLAPI_PROBE:
        TEXT(u.probe.what, "in-tcp4");
        req->u.probe.port = 5000;
        TEXT(u.probe.to, "198.41.0.4");
        break;
    case PV_CTLAPI_LOG:
        TEXT(u.log.level, "info");
        break;
    case PV_CTLAPI_FILE_SEND:
    case PV_CTLAPI_FILE_ACCEPT:
    case PV_CTLAPI_FILE_STOP:
    case PV_CTLAPI_FILE_GET:
    case PV_CTLAPI_FILE_SAVED:
        req->u.file.number = 9;
        TEXT(u.file.transfer, "EAAAAAAAAAAAAAAAAAAAAA");
        TEXT(u.file.room, "#crew");
        break;
    case PV_CTLAPI_ROOM_CREATE:
    case PV_CTLAPI_ROOM_INVITE:
    case PV_CTLAPI_ROOM_ACCEPT:
    case PV_CTLAPI_ROOM_LEAVE:
    case PV_CTLAPI_ROOM_MEMBERS:
        TEXT(u.room.name, "#crew");
        break;
    default:
        break;
    }
}

static inline void fill_rest(struct pv_ctlapi_request *req)
{
    switch (req->cmd) {
    case PV_CTLAPI_EXPORT:
        TEXT(u.phone.name, "phone");
        TEXT(u.phone.endpoint, "192.0.2.1:3478");
        req->u.phone.everything = true;
        break;
    case PV_CTLAPI_ROUTE_OFFER:
    case PV_CTLAPI_ROUTE_WITHDRAW:
    case PV_CTLAPI_ROUTE_ALLOW:
    case PV_CTLAPI_ROUTE_DENY:
    case PV_CTLAPI_ROUTE_USE:
    case PV_CTLAPI_EXIT_USE:
        TEXT(u.route.prefix, "10.1.0.0/16");
        req->u.route.no_snat = req->u.route.automatic = req->u.route.off = true;
        req->u.route.lan = req->u.route.block = true;
        break;
    case PV_CTLAPI_COORDINATOR_REMOVE:
    case PV_CTLAPI_COORDINATOR_ADDRESS:
        TEXT(u.coordinator.which, "192.0.2.1:3478");
        break;
    case PV_CTLAPI_KEY_ROTATE:
        req->u.rotate.statics = true;
        break;
    default:
        fill_chat(req);
        break;
    }
}

/* Fills req->peer and the member of req->u. The texts, which the request owns, stay as they are. */
static inline void fill_request(struct pv_ctlapi_request *req)
{
    TEXT(peer, "bob.home.p2p");
    switch (req->cmd) {
    case PV_CTLAPI_CREATE:
    case PV_CTLAPI_JOIN:
        TEXT(u.enter.network, "home");
        TEXT(u.enter.name, "lap");
        TEXT(u.enter.cidr, "10.7.0.0/16");
        req->u.enter.timeout_ms = 5000;
        req->u.enter.insist = true;
        break;
    case PV_CTLAPI_INVITE:
        req->u.terms.uses = 3;
        req->u.terms.expires_s = 9;
        req->u.terms.lifetime_s = 7776000;
        req->u.terms.admin = req->u.terms.approve = req->u.terms.ephemeral = true;
        TEXT(u.terms.tag, "guest");
        break;
    case PV_CTLAPI_INVITE_REVOKE:
        TEXT(u.invite.id, "AQIDBAUGBwgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        break;
    case PV_CTLAPI_LEAVE:
        req->u.leave.forget = req->u.leave.copy = req->u.leave.last = true;
        req->u.leave.delete_root = true;
        break;
    case PV_CTLAPI_PING:
        req->u.ping.count = 2;
        req->u.ping.interval_ms = 20;
        req->u.ping.size = 0;
        break;
    case PV_CTLAPI_WAIT:
        req->u.wait.direct = req->u.wait.online = true;
        break;
    case PV_CTLAPI_REMOVE:
    case PV_CTLAPI_ADMIT:
    case PV_CTLAPI_ADMIN_REVOKE:
    case PV_CTLAPI_RENAME:
    case PV_CTLAPI_ADDRESS_SET:
    case PV_CTLAPI_REPLACE:
    case PV_CTLAPI_TAG:
    case PV_CTLAPI_UNTAG:
        TEXT(u.member.name, "lap");
        TEXT(u.member.address, "10.66.0.9");
        req->u.member.keep_invite = req->u.member.force = true;
        break;
    case PV_CTLAPI_RULE_ADD:
    case PV_CTLAPI_RULE_REMOVE:
    case PV_CTLAPI_RULES_DEFAULT:
    case PV_CTLAPI_CAN:
        TEXT(u.rule.verdict, "allow");
        TEXT(u.rule.from, "tag:guest");
        TEXT(u.rule.to, "any");
        TEXT(u.rule.id, "AQIDBAUGBwgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        req->u.rule.number = 9;
        req->u.rule.keep_invite = true;
        break;
    default: /* another function's, or none */
        fill_rest(req);
        break;
    }
}

#undef TEXT
