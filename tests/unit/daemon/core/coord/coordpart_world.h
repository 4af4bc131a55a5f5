/* SPDX-License-Identifier: MIT */
/*
 * coordpart_world.h - the coordinator's part on a node of its own, for its tests: records of one or
 * two coordinators, and what the part looks up and opens.
 */
#pragma once

#include "daemon/core/coord/coordclient.h"
#include "daemon/core/coord/coordinator.h"
#include "tests/unit/daemon/core/fake_node.h"

static struct fake_node node;
static uint8_t list[512];
static size_t list_len;
static const char *also; /* a host of the same record; NULL: there is none */

/* The coordinators record of this host, and of `also`, with and without TLS. */
static inline void at(const char *host)
{
    struct pv_hostport hp[3] = {{.port = 3478}, {.port = 3478}, {.port = 443, .tls = true}};
    struct pv_writer w = pv_writer(list, sizeof(list));
    snprintf(hp[0].host, sizeof(hp[0].host), "%s", host);
    for (int i = 1; i < 3 && also != NULL; i++)
        snprintf(hp[i].host, sizeof(hp[i].host), "%s", also);
    pv_coordlist_put(&w, node.world.coordinator.pk, hp, also == NULL ? 1 : 3);
    list_len = w.len;
}

static inline int coordpart_start(void **state)
{
    also = NULL;
    fake_node_init(&node, &pv_part_coordinator);
    fake_node_enter(&node);
    return 0;
}

static inline int coordpart_stop(void **state)
{
    fake_node_done(&node);
    return 0;
}

static inline void connect_as(enum pv_ctl_role role)
{
    pv_coord_connect(&node.node, pv_view(list, list_len), role, node.world.created.network_id,
                     node.now);
    fake_node_settle(&node);
}

/* The next address that is tried; false: none is. */
static inline bool next_open(struct pv_stream_op *ret_op)
{
    fake_node_wait(&node, PV_MS(1));
    if (pv_streams_next_op(&node.node.streams, ret_op) != PV_OK)
        return false;
    assert_int_equal(ret_op->kind, PV_STREAM_COORD);
    return ret_op->type == PV_STREAM_OPEN;
}

static inline struct pv_job *expect_resolve(const char *host)
{
    struct pv_job *job = fake_node_job(&node);
    assert_non_null(job);
    assert_int_equal(job->kind, PV_JOB_RESOLVE);
    assert_string_equal(job->u.resolve.host, host);
    return job;
}

/* The preferred one and a second one. */
static inline void at_two(const char *first, const char *second, const uint8_t *second_pk)
{
    struct pv_hostport hp = {.port = 3478};
    at(first);
    struct pv_writer w = pv_writer(list + list_len, sizeof(list) - list_len);
    snprintf(hp.host, sizeof(hp.host), "%s", second);
    pv_coordlist_put(&w, second_pk, &hp, 1);
    list_len += w.len;
}

/* The next address that is tried within the longest pause; streams that are closed are passed over.
 */
static inline void wait_open(struct pv_stream_op *ret_op)
{
    bool open = false;
    for (int i = 0; i < 620 && !open; i++) {
        fake_node_wait(&node, PV_MS(50));
        while (!open && pv_streams_next_op(&node.node.streams, ret_op) == PV_OK)
            open = ret_op->type == PV_STREAM_OPEN;
    }
    assert_true(open);
}
