/* SPDX-License-Identifier: MIT */
/*
 * faults.h - kernels and links that lack what this one has: the test program's own sendmmsg(),
 * setsockopt(), ioctl() and writev() stand before the C library's, and refuse what they are told
 * to. For one test program's only source file.
 */
#pragma once

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static struct {
    _Atomic int segment;     /* errno of a message with UDP_SEGMENT; 0 = it is taken */
    _Atomic int single;      /* errno of every other message */
    _Atomic unsigned asked;  /* messages with UDP_SEGMENT so far */
    int gro;                 /* errno of setsockopt(UDP_GRO) */
    bool tun;                /* any descriptor is a TUN with a header */
    unsigned long tun_takes; /* ...that takes these offloads */
    _Atomic int joined;      /* errno of a write of a super-packet */
} faults;

/* -1 and errno, or what the kernel said. */
static inline long fault(int err)
{
    errno = err;
    return -1;
}

static bool has_segment(struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c))
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_SEGMENT)
            return true;
    return false;
}

int sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
    unsigned good = 0;
    int err = 0;
    while (good < n && err == 0) {
        bool segment = has_segment(&msgs[good].msg_hdr);
        faults.asked += segment;
        err = segment ? faults.segment : faults.single;
        good += err == 0;
    }
    if (good == 0 && n > 0)
        return (int)fault(err);
    return (int)syscall(SYS_sendmmsg, fd, msgs, good, flags);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    if (level == SOL_UDP && name == UDP_GRO && faults.gro != 0)
        return (int)fault(faults.gro);
    return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
    if (faults.tun && request == TUNGETIFF) {
        struct ifreq ifr = {.ifr_flags = (short)IFF_VNET_HDR};
        memcpy(arg, &ifr, sizeof(ifr));
        return 0;
    }
    if (faults.tun && request == TUNSETOFFLOAD)
        return ((unsigned long)arg & ~faults.tun_takes) == 0 ? 0 : (int)fault(EINVAL);
    return (int)syscall(SYS_ioctl, fd, request, arg);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    /* The second byte of the virtio header says what kind of super-packet it is. */
    if (faults.joined != 0 && n > 2 && iov[0].iov_len == 10 &&
        ((const uint8_t *)iov[0].iov_base)[1] != 0)
        return fault(faults.joined);
    return syscall(SYS_writev, fd, iov, n);
}
