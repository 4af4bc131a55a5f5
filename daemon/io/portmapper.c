/* SPDX-License-Identifier: MIT */
/* Asks a router by NAT-PMP or UPnP, in a task of the helper; the other half, in the daemon, starts
 * the task and distrusts what it says. */
#include "daemon/io/portmapper.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/io/tasks.h"
#include "daemon/io/upnplib.h"
#include "proto/stun/natpmp.h"
#include "proto/stun/portmap.h"
#include "sys/net/sockaddr.h"
#include "sys/proc/clock.h"

enum {
    SEARCH_MS = 1500,          /* for UPnP devices */
    CONFLICT = 718,            /* UPnP error: that port is taken (WANIPConnection:1 s2.4.16) */
    ONLY_PERMANENT = 725,      /* it cannot end a mapping by itself */
    PERMANENT_LIFETIME = 3600, /* seconds: asked for again then all the same */
};
#define NATPMP_TIME  PV_S(3) /* requests at 0, 250, 750, 1750 ms (RFC 6886 s3.1) */
#define NATPMP_FIRST PV_MS(250)

static void refuse(struct pv_portmapjob_result *r, int status, const char *why)
{
    r->status = status;
    snprintf(r->error, sizeof(r->error), "%s", why);
}

/* --- NAT-PMP ------------------------------------------------------------------------------- */

/* One datagram. PV_ERR_AGAIN: none came in time, or another one. */
static int natpmp_read(int fd, uint8_t opcode, int ms, struct pv_natpmp_answer *ret_answer)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    uint8_t buf[PV_NATPMP_MAX + 1];
    if (poll(&p, 1, ms) <= 0)
        return PV_ERR_AGAIN;
    ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
    if (n < 0) /* ICMP says that nobody is there */
        return PV_ERR_TIMEOUT;
    /* The answer to an earlier request may come twice. */
    return pv_natpmp_decode(pv_view(buf, (size_t)n), ret_answer) == PV_OK &&
                   ret_answer->opcode == opcode
               ? PV_OK
               : PV_ERR_AGAIN;
}

/* Sends a request until it is answered. RFC 6886 s3.1 goes on for two minutes. */
static int natpmp_ask(int fd, struct pv_view request, pv_ns until,
                      struct pv_natpmp_answer *ret_answer)
{
    pv_ns now = pv_clock_now();
    for (pv_ns wait = NATPMP_FIRST; now < until; wait *= 2) {
        const pv_ns end = pv_min_ns(now + wait, until);
        if (send(fd, request.ptr, request.len, MSG_NOSIGNAL) < 0)
            return PV_ERR_TIMEOUT;
        for (; now < end; now = pv_clock_now()) {
            int r = natpmp_read(fd, request.ptr[1], pv_poll_ms(end, now), ret_answer);
            if (r != PV_ERR_AGAIN)
                return r;
        }
    }
    return PV_ERR_TIMEOUT;
}

static bool natpmp_is_granted(int status, const struct pv_natpmp_answer *a,
                              struct pv_portmapjob_result *r)
{
    if (status < 0)
        refuse(r, PV_ERR_TIMEOUT, "no answer");
    else if (a->code == PV_NATPMP_UNSUPP_VERSION || a->code == PV_NATPMP_UNSUPP_OPCODE)
        refuse(r, PV_ERR_UNSUPPORTED, pv_natpmp_code_text(a->code));
    else if (a->code != PV_NATPMP_SUCCESS)
        refuse(r, PV_ERR_REFUSED, pv_natpmp_code_text(a->code));
    return r->status == PV_OK;
}

/* The outer address is asked for first: a mapping is worth nothing without it. */
static void natpmp_map(int fd, const struct pv_portmapjob *job, struct pv_portmapjob_result *r)
{
    uint8_t address[PV_NATPMP_ADDRESS_LEN], map[PV_NATPMP_MAP_LEN];
    struct pv_natpmp_answer a;
    const pv_ns until = pv_clock_now() + NATPMP_TIME;
    pv_natpmp_write_address(address);
    int status = natpmp_ask(fd, pv_view(address, sizeof(address)), until, &a);
    if (!natpmp_is_granted(status, &a, r))
        return;
    /* 0.0.0.0 stands for a router that has no connection now. */
    if (!pv_addr_is_unspecified(&a.external))
        r->external = a.external;
    pv_natpmp_write_map(map, job->local.port, job->release ? 0 : job->external_port,
                        job->release ? 0 : job->lifetime);
    status = natpmp_ask(fd, pv_view(map, sizeof(map)), until, &a);
    if (!natpmp_is_granted(status, &a, r))
        return;
    if (a.internal_port != job->local.port) {
        refuse(r, PV_ERR_REFUSED, "its answer makes no sense");
        return;
    }
    r->external_port = a.external_port;
    r->lifetime = a.lifetime;
    r->epoch = a.epoch;
}

/* Connected: the kernel passes on what comes from the router's port alone. */
static void run_natpmp(const struct pv_portmapjob *job, struct pv_portmapjob_result *r)
{
    struct sockaddr_storage ss;
    struct pv_addr router = job->router;
    router.port = PV_PORTMAP_PORT;
    const socklen_t len = pv_sockaddr_from(&router, &ss);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&ss, len) == 0)
        natpmp_map(fd, job, r);
    else
        refuse(r, PV_ERR_REFUSED, "the request could not be made");
    if (fd >= 0)
        close(fd);
}

/* --- UPnP ---------------------------------------------------------------------------------- */

bool pv_portmapper_may_ask(const struct pv_portmapjob *job, const char *url)
{
    static const char scheme[] = "http://";
    char ip[PV_ADDR_TEXT];
    struct pv_addr a;
    if (url == NULL || strncmp(url, scheme, sizeof(scheme) - 1) != 0)
        return false;
    url += sizeof(scheme) - 1;
    size_t len = strcspn(url, ":/");
    if (len >= sizeof(ip))
        return false;
    memcpy(ip, url, len);
    ip[len] = '\0';
    /* Anybody in the local network can send such a URL. It must not aim a request at this
     * machine or at the internet. */
    if (pv_addr_parse_ip(ip, &a) < 0 || a.family != PV_AF_INET || pv_addr_equal_ip(&a, &job->local))
        return false;
    return pv_addr_equal_ip(&a, &job->router) || pv_addr_is_private(&a);
}

/* The device at that URL, if it is a gateway. */
static bool read_device(const struct pv_upnplib *lib, const struct pv_portmapjob *job,
                        const char *url, struct UPNPUrls *urls, struct IGDdatas *data)
{
    char lan[PV_ADDR_TEXT] = "";
    if (!pv_portmapper_may_ask(job, url) ||
        lib->UPNP_GetIGDFromUrl(url, urls, data, lan, sizeof(lan)) != 1)
        return false;
    /* The description was the device's own word, so its control URL is judged again. */
    if (data->first.servicetype[0] != '\0' && pv_portmapper_may_ask(job, urls->controlURL))
        return true;
    lib->FreeUPNPUrls(urls);
    return false;
}

/* The gateway: where it was, or the first that answers. */
/* The URL that answered last is asked first: a search by multicast takes SEARCH_MS, and its answers
 * may be anybody's. */
static bool find_device(const struct pv_upnplib *lib, const struct pv_portmapjob *job,
                        struct UPNPUrls *urls, struct IGDdatas *data,
                        struct pv_portmapjob_result *r)
{
    int error = 0;
    bool found = false;
    if (job->url[0] != '\0' && read_device(lib, job, job->url, urls, data)) {
        memcpy(r->url, job->url, sizeof(r->url));
        return true;
    }
    struct UPNPDev *list =
        lib->upnpDiscoverDevice("urn:schemas-upnp-org:device:InternetGatewayDevice:1", SEARCH_MS,
                                PV_IP_STR(&job->local), NULL, UPNP_LOCAL_PORT_ANY, 0, 2, &error);
    for (const struct UPNPDev *d = list; d != NULL && !found; d = d->pNext) {
        found = read_device(lib, job, d->descURL, urls, data);
        /* A URL that is too long is used but not kept. */
        if (found && strlen(d->descURL) < sizeof(r->url))
            memcpy(r->url, d->descURL, strlen(d->descURL) + 1);
    }
    if (!found && list == NULL)
        refuse(r, PV_ERR_TIMEOUT, "no answer");
    else if (!found)
        refuse(r, PV_ERR_REFUSED, "no gateway among the devices that answer");
    lib->freeUPNPDevlist(list);
    return found;
}

static void upnp_failed(int e, struct pv_portmapjob_result *r)
{
    /* A taken port has a status of its own, for another one may be free. */
    if (e == CONFLICT) {
        refuse(r, PV_ERR_EXISTS, "that port is taken");
    } else if (e > 0) {
        r->status = PV_ERR_REFUSED;
        snprintf(r->error, sizeof(r->error), "it refuses (error %d)", e);
    } else {
        refuse(r, PV_ERR_REFUSED, "its answer makes no sense");
    }
}

/* The name of a mapping in the router's list; some refuse one without. It goes over the LAN in
 * clear and the next user of the router reads it, so it names no program. */
#define LABEL "UDP"

/* Routers that know only permanent mappings get one, and it is renewed as if it ended: the daemon
 * may be gone tomorrow, and then its release is the only end. */
static void upnp_map(const struct pv_upnplib *lib, const struct pv_portmapjob *job,
                     const struct UPNPUrls *urls, const struct IGDdatas *data,
                     struct pv_portmapjob_result *r)
{
    char outer[8], inner[8], ip[64] = "";
    const char *url = urls->controlURL, *service = data->first.servicetype;
    snprintf(outer, sizeof(outer), "%u", job->external_port);
    snprintf(inner, sizeof(inner), "%u", job->local.port);
    const char *lease = PV_STR("%u", job->lifetime);
    const char *local = PV_IP_STR(&job->local);
    if (job->release) {
        int e = lib->UPNP_DeletePortMapping(url, service, outer, "UDP", NULL);
        if (e != UPNPCOMMAND_SUCCESS)
            upnp_failed(e, r);
        return;
    }
    int e = lib->UPNP_AddPortMapping(url, service, outer, inner, local, LABEL, "UDP", NULL, lease);
    r->lifetime = job->lifetime;
    if (e == ONLY_PERMANENT) {
        /* Lease "0" means for ever. */
        e = lib->UPNP_AddPortMapping(url, service, outer, inner, local, LABEL, "UDP", NULL, "0");
        r->lifetime = PERMANENT_LIFETIME;
    }
    if (e != UPNPCOMMAND_SUCCESS) {
        upnp_failed(e, r);
        return;
    }
    r->external_port = job->external_port;
    /* Its text has room for 15 characters and the NUL in every version of the library. */
    if (lib->UPNP_GetExternalIPAddress(url, service, ip) != UPNPCOMMAND_SUCCESS ||
        pv_addr_parse_ip(ip, &r->external) < 0)
        r->external.family = PV_AF_NONE;
}

static void run_upnp(const struct pv_portmapjob *job, struct pv_portmapjob_result *r)
{
    struct UPNPUrls urls;
    struct IGDdatas data;
    const struct pv_upnplib *lib = pv_upnplib_load();
    if (lib == NULL) {
        refuse(r, PV_ERR_NOT_FOUND, PV_UPNPLIB_FILE " is not installed");
        return;
    }
    memset(&urls, 0, sizeof(urls));
    memset(&data, 0, sizeof(data));
    if (!find_device(lib, job, &urls, &data, r))
        return;
    upnp_map(lib, job, &urls, &data, r);
    lib->FreeUPNPUrls(&urls);
}

/* --- the task and its caller --------------------------------------------------------------- */

void pv_portmapper_run(struct pv_view args, int out)
{
    struct pv_portmapjob job;
    struct pv_portmapjob_result r;
    memset(&r, 0, sizeof(r)); /* padding travels too */
    /* The size is all that both halves check: they are one program. */
    if (args.len != sizeof(job))
        return;
    /* The string is the caller's: it is ended here whatever came. */
    memcpy(&job, args.ptr, sizeof(job));
    job.url[sizeof(job.url) - 1] = '\0';
    if (job.router.family != PV_AF_INET || job.local.family != PV_AF_INET)
        refuse(&r, PV_ERR_UNSUPPORTED, "only for IPv4");
    else if (job.protocol == PV_PORTMAPJOB_NATPMP)
        run_natpmp(&job, &r);
    else
        run_upnp(&job, &r);
    (void)!write(out, &r, sizeof(r)); /* less than PIPE_BUF: whole or not at all */
}

void pv_portmapper_ask(struct pv_helper *helper, const struct pv_portmapjob *job,
                       const _Atomic pv_ns *until, struct pv_portmapjob_result *ret_result)
{
    struct pv_portmapjob_result *r = ret_result;
    char error[PV_HELPER_ERROR_MAX] = "";
    _Static_assert(sizeof(*job) <= PV_HELPER_TASK_ARGS, "a job fits");
    memset(r, 0, sizeof(*r));
    int status = pv_task_ask(helper, pv_view(job, sizeof(*job)), until, r, sizeof(*r), error);
    if (status < 0)
        memset(r, 0, sizeof(*r)); /* part of an answer */
    if (status < 0 && status != PV_ERR_TIMEOUT && status != PV_ERR_CLOSED) {
        r->status = status;
        snprintf(r->error, sizeof(r->error), "%.*s", (int)sizeof(r->error) - 1, error);
        return;
    }
    if (status == PV_ERR_TIMEOUT)
        refuse(r, PV_ERR_REFUSED, "it takes too long to answer");
    else if (status < 0)
        refuse(r, PV_ERR_REFUSED, "its answers used up the time or memory they may");
    /* The result was made by a process that speaks with strangers: its strings are ended here. */
    r->error[sizeof(r->error) - 1] = '\0';
    r->url[sizeof(r->url) - 1] = '\0';
}
