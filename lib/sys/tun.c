/* SPDX-License-Identifier: MIT */
#include "sys/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sys/compat.h"

bool pv_tun_name_is_valid(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len >= PV_TUN_NAME || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        /* '%' would make the kernel number the interface. */
        if (name[i] <= ' ' || name[i] > '~' || strchr("/%:", name[i]) != NULL)
            return false;
    }
    return true;
}

int pv_tun_open(const char *name, int *ret_fd)
{
    if (!pv_tun_name_is_valid(name))
        return -EINVAL;
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENODEV || errno == ENXIO ? PV_ERR_NOT_FOUND : -errno;
    struct ifreq ifr = {.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL | IFF_VNET_HDR)};
    memcpy(ifr.ifr_name, name, strlen(name));
    int r = PV_OK;
    if (ioctl(fd, TUNSETIFF, &ifr) < 0)
        r = errno == EBUSY || errno == EEXIST ? PV_ERR_EXISTS : -errno;
    if (r >= 0 && ioctl(fd, TUNSETOWNER, 0ul) < 0)
        r = -errno;
    if (r < 0) {
        close(fd);
        return r;
    }
    (void)pv_tun_set_offloads(fd); /* before it goes up */
    *ret_fd = fd;
    return PV_OK;
}

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
        return errno == EBADFD ? PV_ERR_CLOSED : PV_ERR_AGAIN;
    *ret_n = (size_t)n;
    return PV_OK;
}

static int after_write(ssize_t n)
{
    if (n >= 0)
        return PV_OK;
    if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM)
        return PV_ERR_AGAIN;
    return errno == EBADFD ? PV_ERR_CLOSED : -errno;
}

int pv_tun_write(int fd, struct pv_view packet)
{
    return after_write(write(fd, packet.ptr, packet.len));
}

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
    return after_write(writev(fd, iov, (int)n));
}
