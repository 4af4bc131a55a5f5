/* SPDX-License-Identifier: MIT */
/*
 * engine_chat.h - the part of engine_int.h about chat: stored copies, members' copies, rooms. Only
 * engine_int.h includes it, behind the purposes of jobs.
 */
#ifndef PV_ENGINE_CHAT_H
#define PV_ENGINE_CHAT_H

#include "daemon/core/chat/chatlink.h"
#include "daemon/core/chat/rooms.h"
#include "daemon/core/peer/peer.h"

struct pv_engine;

/* Stored copies (DESIGN 8): one message on its way to the coordinator, one from it, at a time, so
 * that order is kept. */
struct pv_keep {
    bool enabled;
    bool refused;           /* this coordinator does not store, until the next connection */
    uint8_t (*waiting)[32]; /* owned: peers that are away and may have messages waiting */
    size_t n_waiting, cap;
    bool sending; /* peer's messages are being stored */
    uint8_t peer[32];
    struct pv_chatjob_result *list; /* owned: those of peer; at is the one under way */
    size_t at;
    pv_ns send_at;    /* not before */
    bool collecting;  /* a request or a commit is under way */
    bool again;       /* news came meanwhile */
    pv_ns collect_at; /* try (again) then; PV_NEVER */
};

/* Members' copies (DESIGN 8). Sender: what waits for one receiver goes to one holder, message after
 * message, so that order is kept. */
struct pv_hold_put {
    bool used;
    uint8_t from[32], to[32], key[PV_CHAT_ID_LEN];
};
struct pv_hold {
    bool willing;   /* [chat] hold = on: copies are held for others */
    bool counted;   /* the store was asked for total */
    uint64_t total; /* copies held for others */
    uint64_t wall_s;

    /* sender */
    pv_ns look_at; /* for messages without copies; PV_NEVER while the coordinator is there */
    bool looking;
    struct {
        uint8_t to[32], holder[32];
    } tasks[32];
    size_t n_tasks;
    bool sending;                   /* the first task is under way: list, or its job */
    struct pv_chatjob_result *list; /* owned */
    size_t at;
    pv_ns answer_by;

    /* holder: copies on their way to the disk, and to their receivers */
    struct pv_hold_put puts[64];
    struct {
        bool used;
        uint32_t peer; /* its id */
        uint64_t n;    /* of the copy it has been given; 0: a job is out */
        pv_ns by;
    } gives[16];

    /* receiver: copies on their way to the disk */
    struct {
        uint64_t number; /* 0: free */
        uint8_t holder[32], from[32], key[PV_CHAT_ID_LEN];
    } takes[32];
    uint64_t last_number;

    uint64_t refused, forged, bad_frames;
};

/* --- engine_keep.c --------------------------------------------------------------------------- */

/* The coordinator is there, or gone. */
void pv_engine_keep_online(struct pv_engine *e, pv_ns now);
void pv_engine_keep_offline(struct pv_engine *e);
/* The peer is away and something may wait for it. */
void pv_engine_keep_away(struct pv_engine *e, const struct pv_peer *p);
void pv_engine_keep_run(struct pv_engine *e, pv_ns now);
pv_ns pv_engine_keep_timeout(const struct pv_engine *e);
/* Messages of a peer that are not stored yet. Takes the list out of result. */
void pv_engine_keep_listed(struct pv_engine *e, struct pv_job_result *result, pv_ns now);
/* The coordinator answered: keep, collect; and a push. */
void pv_engine_keep_answer(struct pv_engine *e, const struct pv_ctl_msg *msg, pv_ns now);
void pv_engine_keep_parcel(struct pv_engine *e, const struct pv_ctl_msg *msg, pv_ns now);
void pv_engine_keep_news(struct pv_engine *e, pv_ns now);
/* What became of a stored copy's message. */
void pv_engine_keep_committed(struct pv_engine *e, uint64_t number, int status, pv_ns now);
void pv_engine_keep_done(struct pv_engine *e);
/* Signs and seals m for its receiver to, into PV_PARCEL_BOX_MAX bytes. A status of parcel.h. */
PV_MUST_CHECK int pv_engine_seal_copy(struct pv_engine *e, const struct pv_peer *to,
                                      const struct pv_chat_record *m, uint8_t *ret_box,
                                      size_t *ret_len);
/* Opens a box of the author from and gives it to chat under this number. PV_ERR_AGAIN: the author
 * is not known yet; PV_ERR_LIMIT, PV_ERR_NOMEM: not now; else it is worthless. */
PV_MUST_CHECK int pv_engine_open_copy(struct pv_engine *e, const uint8_t *from, struct pv_view box,
                                      uint64_t number, pv_ns now);

/* --- engine_hold.c --------------------------------------------------------------------------- */

void pv_engine_hold_run(struct pv_engine *e, pv_ns now);
pv_ns pv_engine_hold_timeout(const struct pv_engine *e);
void pv_engine_hold_done(struct pv_engine *e);
/* A line for which pv_copy_is_frame(); a connection is there. */
void pv_engine_hold_line(struct pv_engine *e, const struct pv_chatlink_event *ev, pv_ns now);
void pv_engine_hold_up(struct pv_engine *e, const uint8_t *pk, pv_ns now);
/* The peer can be reached: what is held for it goes there. */
void pv_engine_hold_give(struct pv_engine *e, const struct pv_peer *p, pv_ns now);
/* What became of a copy's message; false: the number is the coordinator's. */
bool pv_engine_hold_committed(struct pv_engine *e, uint64_t number, int status);
/* A result of one of its jobs. */
void pv_engine_hold_job(struct pv_engine *e, const struct pv_job_wait *wait,
                        struct pv_job_result *result, pv_ns now);

/* --- engine_chat.c --------------------------------------------------------------------------- */

void pv_engine_chat_pump(struct pv_engine *e, pv_ns now);
/* Presence or path of a peer changed. */
void pv_engine_chat_peer(struct pv_engine *e, struct pv_peer *p, pv_ns now);
void pv_engine_chat_send(struct pv_engine *e, struct pv_peer *p, const char *text, uint64_t handle,
                         pv_ns now);
void pv_engine_chat_list(struct pv_engine *e, const struct pv_ctlapi_request *req, uint64_t handle);
void pv_engine_chat_listed(struct pv_engine *e, enum pv_job_purpose purpose, uint64_t handle,
                           const struct pv_job_result *result, pv_ns now);
void pv_engine_tell_message(struct pv_engine *e, const struct pv_chat_record *rec, pv_ns now);
void pv_engine_tell_state(struct pv_engine *e, const struct pv_chat_record *rec);
/* Answers a send. */
void pv_engine_chat_sent(struct pv_engine *e, uint64_t handle, const struct pv_chat_record *rec,
                         bool online);
/* Has the store do chat, which is taken. False without memory. */
bool pv_engine_chat_job(struct pv_engine *e, struct pv_chatjob *chat, enum pv_job_purpose purpose,
                        uint64_t arg);
/* Outgoing messages got further. */
void pv_engine_tell_states(struct pv_engine *e, const struct pv_chatjob_result *result);
void pv_engine_tell_presence(struct pv_engine *e, const struct pv_peer *p);

/* --- engine_rooms.c -------------------------------------------------------------------------- */

/* UP, DOWN, LINE. */
void pv_engine_rooms_chat(struct pv_engine *e, const struct pv_chatlink_event *ev, pv_ns now);
void pv_engine_rooms_peer(struct pv_engine *e, const struct pv_peer *p, bool there, pv_ns now);
void pv_engine_rooms_pump(struct pv_engine *e, pv_ns now);
void pv_engine_room_request(struct pv_engine *e, const struct pv_ctlapi_request *req,
                            uint64_t handle, pv_ns now);
void pv_engine_room_send(struct pv_engine *e, const struct pv_ctlapi_request *req, uint64_t handle,
                         pv_ns now);
/* Our room of this name; answers the request itself when there is none. */
const uint8_t *pv_engine_need_room(struct pv_engine *e, const char *name, bool left,
                                   uint64_t handle);

#endif /* PV_ENGINE_CHAT_H */
