/* SPDX-License-Identifier: MIT */
/*
 * lwipopts.h - how lwIP is built for lib/sys/stack (docs/adr/0113): one thread, the raw interface,
 * IPv4 and IPv6 with TCP, UDP and ICMP, and nothing that has to do with a link.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* --- the process --------------------------------------------------------------------------- */

#define NO_SYS                 1
#define SYS_LIGHTWEIGHT_PROT   0
#define LWIP_NETCONN           0
#define LWIP_SOCKET            0
#define LWIP_STATS             0
#define LWIP_NOASSERT_ON_ERROR 1

/* The process aborts, and the helper starts another one. */
void pv_stack_assertion_failed(const char *what, const char *file, int line);
#define LWIP_PLATFORM_ASSERT(x) pv_stack_assertion_failed(x, __FILE__, __LINE__)
/* No messages of lwIP to its developers. */
#define LWIP_PLATFORM_DIAG(x)

/* lwIP's own are calls. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define lwip_htons(x) __builtin_bswap16(x)
#define lwip_htonl(x) __builtin_bswap32(x)
#endif

/* Seeded by pv_stack_new(). */
#define LWIP_RAND() ((uint32_t)random())

/* --- memory -------------------------------------------------------------------------------- */

/* stack_memory.h */
void *pv_stack_malloc(size_t size);
void *pv_stack_calloc(size_t n, size_t size);
void pv_stack_release(void *ptr);
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT   8
#define mem_clib_malloc pv_stack_malloc
#define mem_clib_calloc pv_stack_calloc
#define mem_clib_free   pv_stack_release

/* --- the interface ------------------------------------------------------------------------- */

#define LWIP_IPV4                       1
#define LWIP_IPV6                       1
#define LWIP_IPV6_NUM_ADDRESSES         6
#define LWIP_IPV6_SCOPES                0 /* the guard compares addresses without a zone */
#define LWIP_ARP                        0
#define LWIP_ETHERNET                   0
#define LWIP_IGMP                       0
#define LWIP_IPV6_MLD                   0
#define LWIP_IPV6_AUTOCONFIG            0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT   0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS   0
#define LWIP_ND6_QUEUEING               0
#define LWIP_ND6_TCP_REACHABILITY_HINTS 0
#define IP_FORWARD                      0
#define LWIP_IPV6_FORWARD               0
#define LWIP_NETIF_TX_SINGLE_PBUF       1
#define PBUF_LINK_HLEN                  0
#define IPV6_FRAG_COPYHEADER            1 /* pointers have 64 bits */
#define IP_REASS_MAX_PBUFS              256

/* --- protocols ----------------------------------------------------------------------------- */

#define LWIP_RAW              0
#define LWIP_UDP              1
#define LWIP_UDPLITE          0
#define LWIP_TCP              1
#define LWIP_ICMP             1
#define LWIP_ICMP6            1
#define LWIP_DNS              0
#define LWIP_DHCP             0
#define LWIP_CHKSUM_ALGORITHM 3 /* the fastest */

#define TCP_MSS          1460
#define LWIP_WND_SCALE   1
#define TCP_RCV_SCALE    6
#define TCP_WND          (0xffffu << TCP_RCV_SCALE) /* bytes: 4 MiB */
#define TCP_SND_BUF      (0xffffu << TCP_RCV_SCALE)
#define TCP_SND_QUEUELEN 8192 /* segments */
/* A program that reads tells of an eighth of the window at once: telling is a packet. */
#define TCP_WND_UPDATE_THRESHOLD LWIP_MAX(4U * TCP_MSS, pcb->rcv_wnd / 8)
#define TCP_SNDLOWAT             32768
#define TCP_QUEUE_OOSEQ          1 /* stack_guard.c limits it */
#define LWIP_TCP_SACK_OUT        1
#define LWIP_TCP_TIMESTAMPS      1 /* a sender sees by them that a segment was late and not lost */
#define TCP_LISTEN_BACKLOG       1
#define LWIP_TCP_KEEPALIVE       1
#define SO_REUSE                 1
/* ms. A delayed acknowledgement waits so long, and a retransmission twice as long at least. */
#define TCP_TMR_INTERVAL 100

/* stack_guard.c and stack_sender.c keep one each for a connection. */
#define LWIP_TCP_PCB_NUM_EXT_ARGS 2
/* stack_sender.c */
struct tcp_pcb;
struct tcp_hdr;
int8_t pv_stack_sender_segment(struct tcp_pcb *pcb, const struct tcp_hdr *head, uint16_t len,
                               uint16_t here);
#define LWIP_HOOK_TCP_INPACKET_PCB(pcb, head, len, here, options, pbuf) \
    pv_stack_sender_segment(pcb, head, len, here)
