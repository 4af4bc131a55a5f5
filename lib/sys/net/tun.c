/* SPDX-License-Identifier: MIT */
/*
 * tun.c - the TUN device: opening its queues, offloads, packets in and out. The interface is
 * created here and configured by ipcmd. Whoever holds a queue's descriptor no longer needs rights.
 */
#include "sys/net/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/netplan.h"
#include "sys/net/inside.h"
#include "sys/proc/compat.h"

/* Opens a queue of the interface: its first one (EXCL), or another. */
static int open_queue(const char *name, int flags, int *ret_fd)
{
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENODEV || errno == ENXIO ? PV_ERR_NOT_FOUND : -errno;
    struct ifreq ifr = {.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | flags)};
    memcpy(ifr.ifr_name, name, strlen(name));
    if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
        int r = errno == EBUSY || errno == EEXIST ? PV_ERR_EXISTS : -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return PV_OK;
}

/* A descriptor that the kernel never gives packets to: what is written there says nothing about
 * where a flow is to be read. */
static int open_writer(const char *name, int *ret_fd)
{
    struct ifreq ifr = {.ifr_flags = (short)IFF_DETACH_QUEUE};
    int fd = -1, r = open_queue(name, IFF_MULTI_QUEUE, &fd);
    if (r >= 0 && ioctl(fd, TUNSETQUEUE, &ifr) < 0) {
        r = -errno;
        close(fd);
    }
    if (r >= 0)
        *ret_fd = fd;
    return r;
}

/* TUNSETOWNER comes before anything else can attach: without an owner a second queue could be
 * opened by any user. Closing the descriptors removes the interface, so an error leaves nothing
 * behind. */
int pv_tun_open(const char *name, unsigned n, struct pv_tun *ret_tun)
{
    int fds[2 * PV_TUN_QUEUES] = {-1};
    size_t have = 0, want = n == 1 ? 1 : 2 * (size_t)n;
    if (!pv_ifname_is_valid(name))
        return -EINVAL;
    if (n == 0 || n > PV_TUN_QUEUES)
        return PV_ERR_LIMIT;
    int multi = n > 1 ? IFF_MULTI_QUEUE : 0;
    int r = open_queue(name, IFF_TUN_EXCL | multi, &fds[0]);
    have = r >= 0 ? 1 : 0;
    /* Before anybody else can: without an owner a second queue is everybody's. In a user namespace
     * of one user (EINVAL: it has no root) everybody is that user. */
    if (r >= 0 && ioctl(fds[0], TUNSETOWNER, 0ul) < 0 && errno != EINVAL)
        r = -errno;
    if (r >= 0)
        (void)pv_tun_set_offloads(fds[0]); /* before it goes up */
    while (r >= 0 && have < want) {
        r = have < n ? open_queue(name, multi, &fds[have]) : open_writer(name, &fds[have]);
        have += r >= 0 ? 1 : 0;
    }
    if (r >= 0)
        r = pv_tun_of_fds(fds, have, ret_tun);
    while (r < 0 && have > 0)
        close(fds[--have]);
    return r;
}

void pv_tun_close(struct pv_tun *tun)
{
    int fds[2 * PV_TUN_QUEUES];
    size_t n = pv_tun_fds(tun, fds);
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
    tun->n = 0;
}

size_t pv_tun_fds(const struct pv_tun *tun, int ret_fds[static 2 * PV_TUN_QUEUES])
{
    memcpy(ret_fds, tun->read, tun->n * sizeof(int));
    if (tun->n < 2)
        return tun->n;
    memcpy(ret_fds + tun->n, tun->write, tun->n * sizeof(int));
    return 2 * (size_t)tun->n;
}

/* Descriptors come over a socket as a list: the first half reads, the second half writes. */
int pv_tun_of_fds(const int *fds, size_t n_fds, struct pv_tun *ret_tun)
{
    struct pv_tun tun = {.n = n_fds == 1 ? 1 : (unsigned)(n_fds / 2)};
    if (n_fds == 0 || n_fds > 2 * (size_t)PV_TUN_QUEUES || (n_fds > 1 && n_fds % 2 != 0))
        return PV_ERR_MALFORMED;
    memcpy(tun.read, fds, tun.n * sizeof(int));
    memcpy(tun.write, fds + (n_fds - tun.n), tun.n * sizeof(int));
    *ret_tun = tun;
    return PV_OK;
}

/* Kernels refuse unknown bits as a whole, so less is asked step by step. */
struct pv_tun_offloads pv_tun_set_offloads(int fd)
{
    struct pv_tun_offloads o = {.header = false};
    struct ifreq ifr = {.ifr_flags = 0};
    if (ioctl(fd, TUNGETIFF, &ifr) < 0 || (ifr.ifr_flags & IFF_VNET_HDR) == 0)
        return o;
    o.header = true;
    const unsigned long csum = TUN_F_CSUM, tso = csum | TUN_F_TSO4 | TUN_F_TSO6,
                        uso = tso | PV_TUN_F_USO4 | PV_TUN_F_USO6;
    o.uso = ioctl(fd, TUNSETOFFLOAD, uso) == 0;
    o.tso = o.uso || ioctl(fd, TUNSETOFFLOAD, tso) == 0;
    o.csum = o.tso || ioctl(fd, TUNSETOFFLOAD, csum) == 0;
    return o;
}

int pv_tun_read(int fd, void *buf, size_t cap, size_t *ret_n)
{
    ssize_t n = read(fd, buf, cap);
    if (n < 0)
        return errno == EBADFD || errno == ECONNRESET ? PV_ERR_CLOSED : PV_ERR_AGAIN;
    if (n == 0) /* lwIP's process has ended */
        return PV_ERR_CLOSED;
    *ret_n = (size_t)n;
    return PV_OK;
}

/* A full queue drops the packet, as a network card would: what is above has its own
 * retransmission. */
int pv_tun_write_parts(int fd, const struct pv_view *parts, size_t n)
{
    struct iovec iov[PV_TUN_PARTS];
    if (n > PV_TUN_PARTS)
        return PV_ERR_LIMIT;
    for (size_t i = 0; i < n; i++) {
        /* writev() does not write through iov_base; the type is not const for readv's sake. */
        union {
            const uint8_t *in;
            void *out;
        } base = {.in = parts[i].ptr};
        iov[i] = (struct iovec){.iov_base = base.out, .iov_len = parts[i].len};
    }
    if (writev(fd, iov, (int)n) >= 0)
        return PV_OK;
    if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM)
        return PV_ERR_AGAIN;
    return errno == EBADFD || errno == EPIPE || errno == ECONNRESET ? PV_ERR_CLOSED : -errno;
}

int pv_tun_look(const char *name, bool *ret_up, unsigned *ret_mtu)
{
    struct ifreq flags = {.ifr_flags = 0}, mtu;
    int fd = pv_inside_socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    memcpy(flags.ifr_name, name, strnlen(name, sizeof(flags.ifr_name) - 1));
    mtu = flags;
    int r = ioctl(fd, SIOCGIFFLAGS, &flags) < 0 || ioctl(fd, SIOCGIFMTU, &mtu) < 0 ? -errno : PV_OK;
    close(fd);
    if (r < 0)
        return r == -ENODEV ? PV_ERR_NOT_FOUND : r;
    *ret_up = (flags.ifr_flags & IFF_UP) != 0;
    *ret_mtu = (unsigned)mtu.ifr_mtu;
    return PV_OK;
}
