/* SPDX-License-Identifier: MIT */
/*
 * io_socks.h - UDP sockets beside the main ones, by id: those with which two hard NATs are crossed.
 */
#pragma once

#include "daemon/io/io_turn.h"

/* Opens, adopts or closes a socket. */
void pv_io_sock_op(struct pv_io *io, const struct pv_hardnat_op *op, pv_ns now);
/* Tells the engine about ICMP errors that wait on the socket of an attempt. */
void pv_io_sock_errors(struct pv_io *io, uint16_t id);
int pv_io_sock_fd(const struct pv_io *io, uint16_t id); /* -1: there is none */
/* All of them, after the datapath has ended. */
void pv_io_socks_free(struct pv_io *io);
