/* SPDX-License-Identifier: MIT */
/*
 * io_socks.h - UDP sockets beside the main ones, by id: those with which two hard NATs are crossed.
 */
#pragma once

#include "daemon/io/io_turn.h"
#include "daemon/packets/datapath.h"
#include "sys/net/udp.h"

struct pv_io_socks; /* opaque */

PV_MUST_CHECK int pv_io_socks_new(struct pv_io_socks **ret_socks, struct pv_io *io);
/* Opens, adopts or closes a socket. */
void pv_io_sock_op(struct pv_io_socks *socks, const struct pv_hardnat_op *op, pv_ns now);
/* Tells the engine about ICMP errors that wait on the socket of an attempt. */
void pv_io_sock_errors(struct pv_io_socks *socks, uint16_t id);
int pv_io_sock_fd(const struct pv_io_socks *socks, uint16_t id); /* -1: there is none */
/* After the datapath has ended. NULL is fine; returns NULL. */
struct pv_io_socks *pv_io_socks_free(struct pv_io_socks *socks);
