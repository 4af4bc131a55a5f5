/* SPDX-License-Identifier: MIT */
/*
 * chatpart.h - one part of chat: a machine with a life of its own, and what chat's engine calls it
 * for. Like a part of the daemon, but by what chat knows of the node (chat/node.h). A function that
 * is NULL: the part is not interested.
 */
#pragma once

#include <stddef.h>

#include "base/pv.h"
#include "base/text.h"
#include "chat/node.h"
#include "proto/local/ctlcmd.h"
#include "proto/local/remedy.h"

struct pv_chat;
struct pv_chatop_value;
struct pv_ctlapi_request;

/* The kinds of chat's streams (base/streams.h). */
enum pv_chat_stream {
    PV_CHAT_STREAM_TALK = 1, /* TCP PV_CHAT_PORT on the overlay, opened or accepted */
    PV_CHAT_STREAM_FILE,     /* TCP PV_FILE_PORT on the overlay, accepted */
};

/* One auto-accept line of the configuration. */
struct pv_auto_accept {
    char name[PV_NAME_BUF]; /* "" = everybody */
    uint64_t max;           /* bytes of a file */
};

/* [chat] of the configuration. */
struct pv_chat_given {
    uint64_t keep_s; /* how long messages are kept; 0: for ever */
    bool store;      /* messages wait at the coordinator for members that are away */
    bool plain_off;  /* plain text is refused */
    bool notify;     /* a program runs for each message */
};

/* Given to a part while it is made. */
struct pv_chatpart_config {
    const struct pv_auto_accept *auto_accept;
    size_t n_auto_accept;
    const struct pv_chatop_value *values; /* that parts had kept; of parts that wait for them */
    size_t n_values;
};
/* The kept value of that name; empty: there is none. Borrowed. */
struct pv_view pv_chatpart_value(const struct pv_chatpart_config *cfg, const char *name);

/* A command runs only where that is there; where it is not, the client is answered. */
enum pv_chat_needs {
    PV_CHAT_NEEDS_NOTHING, /* the command looks for itself */
    PV_CHAT_NEEDS_NETWORK, /* this node is a member of a network */
    PV_CHAT_NEEDS_NODE,    /* and req->peer names a member that has a p2pvpnd */
};

/* One command of the control socket. The part answers handle, at once or later; m is NULL unless
 * the command needs a member. */
struct pv_chat_command {
    enum pv_ctlapi_cmd cmd;
    enum pv_chat_needs needs;
    void (*run)(void *part, struct pv_ctlapi_request *req, const struct pv_overlay_member *m,
                uint64_t handle, pv_ns now);
};

/* Takes what a part has to say for `status`. */
struct pv_chat_page {
    void *page;
    /* A problem that keeps no packet back: the sentence "what" + "why". */
    void (*minor)(void *page, const char *what, const char *why);
    /* The same with a remedy. */
    void (*minor_todo)(void *page, const char *what, struct pv_remedy todo);
    /* A problem: "what" + "why", which may end with a remedy. */
    void (*problem)(void *page, const char *what, const char *why);
    void (*drop)(void *page, const char *reason, uint64_t count);
};

/* Of the struct of a part, whose first member is `struct pv_chat *chat`. */
#define PV_CHATPART_SIZE(type) (sizeof(type) + 0 * sizeof(char[offsetof(type, chat) == 0 ? 1 : -1]))

struct pv_chatpart {
    const char *name;
    size_t size; /* of its struct (PV_CHATPART_SIZE()), zeroed; 0: it is given the chat */
    bool waits;  /* it is made when the kept values are there, which cannot be at once */
    int (*start)(void *part, const struct pv_chatpart_config *cfg, pv_ns now);
    /* The kept values are there, of a part that does not wait. */
    void (*on_values)(void *part, const struct pv_chatpart_config *cfg, pv_ns now);
    void (*free)(void *part);

    /* Bits of enum pv_overlay_fact and enum pv_chat_fact. */
    void (*on_facts)(void *part, unsigned facts, pv_ns now);
    /* Bits of enum pv_overlay_news about a machine that this node can have to do with. */
    void (*on_member)(void *part, const struct pv_overlay_member *m, unsigned news, pv_ns now);
    void (*on_gone)(void *part, const uint8_t *key, pv_ns now);
    /* The daemon ends: what others must be told leaves now. */
    void (*on_stop)(void *part, pv_ns now);
    /* After every call into chat: acts on what the part's machines have to say. */
    void (*run)(void *part, pv_ns now);
    void (*handle_timeout)(void *part, pv_ns now);
    pv_ns (*next_timeout)(const void *part);

    /* Answers of the node (chat/node.h). */
    void (*on_notice)(void *part, const struct pv_overlay_member *from, struct pv_view body,
                      pv_ns now);
    void (*on_kept)(void *part, int status, enum pv_ctl_error error, pv_ns now);
    void (*on_collected)(void *part, const struct pv_overlay_copy *copy, pv_ns now);
    void (*on_copies)(void *part, pv_ns now);
    void (*on_notified)(void *part, uint64_t tag, int status, const char *why, pv_ns now);

    const struct pv_chat_command *commands;
    size_t n_commands;
    void (*status)(void *part, const struct pv_chat_page *page, pv_ns now);
};

struct pv_chatpart_slot {
    const struct pv_chatpart *part;
    void *self;
};
