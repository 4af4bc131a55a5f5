/* SPDX-License-Identifier: MIT */
/* Asks a router by NAT-PMP or UPnP, in a task of the helper; the other half, in the daemon, starts
 * the task and distrusts what it says. */
#include "daemon/io/portmapper.h"

#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <natpmp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/io/tasks.h"
#include "sys/proc/clock.h"

enum {
    SEARCH_MS = 1500,          /* for UPnP devices */
    CONFLICT = 718,            /* UPnP error: that port is taken (WANIPConnection:1 s2.4.16) */
    ONLY_PERMANENT = 725,      /* it cannot end a mapping by itself */
    PERMANENT_LIFETIME = 3600, /* seconds: asked for again then all the same */
};
#define NATPMP_TIME PV_S(3) /* requests at 0, 250, 750, 1750 ms (RFC 6886 s3.1) */

static void refuse(struct pv_portmapjob_result *r, int status, const char *why)
{
    r->status = status;
    snprintf(r->error, sizeof(r->error), "%s", why);
}

/* --- NAT-PMP ------------------------------------------------------------------------------- */

static in_addr_t in_addr_of(const struct pv_addr *a)
{
    in_addr_t ip;
    memcpy(&ip, a->ip, sizeof(ip));
    return ip;
}

static int natpmp_status(int e, struct pv_portmapjob_result *r)
{
    switch (e) {
    case NATPMP_ERR_NOGATEWAYSUPPORT: /* ICMP said so, or nobody answered */
        refuse(r, PV_ERR_TIMEOUT, "no answer");
        break;
    case NATPMP_ERR_NOTAUTHORIZED:
        refuse(r, PV_ERR_REFUSED, "it does not allow it");
        break;
    case NATPMP_ERR_NETWORKFAILURE:
        refuse(r, PV_ERR_REFUSED, "it has no outer address now");
        break;
    case NATPMP_ERR_OUTOFRESOURCES:
        refuse(r, PV_ERR_REFUSED, "it has no room now");
        break;
    case NATPMP_ERR_UNSUPPORTEDVERSION:
    case NATPMP_ERR_UNSUPPORTEDOPCODE:
        refuse(r, PV_ERR_UNSUPPORTED, "not spoken there");
        break;
    default:
        refuse(r, PV_ERR_REFUSED, "the request could not be made");
        break;
    }
    return r->status;
}

/* Waits for the answer to what was sent. */
static int natpmp_wait(natpmp_t *n, natpmpresp_t *answer, pv_ns until,
                       struct pv_portmapjob_result *r)
{
    for (;;) {
        struct timeval tv;
        struct pollfd p = {.fd = n->s, .events = POLLIN};
        int e = getnatpmprequesttimeout(n, &tv);
        if (e < 0)
            return natpmp_status(e, r);
        /* "+ 1" rounds up: a wait of 0 ms before the timeout would spin. */
        int ms = (int)(tv.tv_sec * 1000 + tv.tv_usec / 1000 + 1);
        (void)!poll(&p, 1, ms < 0 ? 0 : ms);
        e = readnatpmpresponseorretry(n, answer);
        if (e == 0)
            return PV_OK;
        if (e != NATPMP_TRYAGAIN)
            return natpmp_status(e, r);
        /* The library itself would go on for two minutes (RFC 6886, section 3.1). */
        if (pv_clock_now() >= until)
            return natpmp_status(NATPMP_ERR_NOGATEWAYSUPPORT, r);
    }
}

/* The outer address is asked for first: a mapping is worth nothing without it. */
static int natpmp_map(natpmp_t *n, const struct pv_portmapjob *job, struct pv_portmapjob_result *r)
{
    natpmpresp_t answer;
    pv_ns until = pv_clock_now() + NATPMP_TIME;
    uint32_t lifetime = job->release ? 0 : job->lifetime;
    if (sendpublicaddressrequest(n) < 0)
        return natpmp_status(NATPMP_ERR_SENDERR, r);
    int e = natpmp_wait(n, &answer, until, r);
    if (e < 0)
        return e;
    /* 0.0.0.0 stands for a router that has no connection now. */
    if (answer.pnu.publicaddress.addr.s_addr != 0)
        r->external = pv_addr4_u32(ntohl(answer.pnu.publicaddress.addr.s_addr), 0);
    /* A port that is given back is named 0 outside (RFC 6886 s3.4). */
    if (sendnewportmappingrequest(n, NATPMP_PROTOCOL_UDP, job->local.port,
                                  job->release ? 0 : job->external_port, lifetime) < 0)
        return natpmp_status(NATPMP_ERR_SENDERR, r);
    do { /* the answer to the first request may come twice */
        e = natpmp_wait(n, &answer, until, r);
    } while (e == PV_OK && answer.type != NATPMP_RESPTYPE_UDPPORTMAPPING);
    if (e < 0)
        return e;
    r->external_port = answer.pnu.newportmapping.mappedpublicport;
    r->lifetime = answer.pnu.newportmapping.lifetime;
    r->epoch = answer.epoch;
    return PV_OK;
}

static void run_natpmp(const struct pv_portmapjob *job, struct pv_portmapjob_result *r)
{
    natpmp_t n;
    /* The router is given: the library would otherwise look for it in the routing table. */
    int e = initnatpmp(&n, 1, in_addr_of(&job->router));
    if (e < 0) {
        natpmp_status(e, r);
        return;
    }
    r->status = natpmp_map(&n, job, r);
    closenatpmp(&n);
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
static bool read_device(const struct pv_portmapjob *job, const char *url, struct UPNPUrls *urls,
                        struct IGDdatas *data)
{
    char lan[PV_ADDR_TEXT] = "";
    if (!pv_portmapper_may_ask(job, url) ||
        UPNP_GetIGDFromUrl(url, urls, data, lan, sizeof(lan)) != 1)
        return false;
    /* The description was the device's own word, so its control URL is judged again. */
    if (data->first.servicetype[0] != '\0' && pv_portmapper_may_ask(job, urls->controlURL))
        return true;
    FreeUPNPUrls(urls);
    return false;
}

/* The gateway: where it was, or the first that answers. */
/* The URL that answered last is asked first: a search by multicast takes SEARCH_MS, and its answers
 * may be anybody's. */
static bool find_device(const struct pv_portmapjob *job, struct UPNPUrls *urls,
                        struct IGDdatas *data, struct pv_portmapjob_result *r)
{
    int error = 0;
    bool found = false;
    if (job->url[0] != '\0' && read_device(job, job->url, urls, data)) {
        memcpy(r->url, job->url, sizeof(r->url));
        return true;
    }
    struct UPNPDev *list =
        upnpDiscoverDevice("urn:schemas-upnp-org:device:InternetGatewayDevice:1", SEARCH_MS,
                           PV_IP_STR(&job->local), NULL, UPNP_LOCAL_PORT_ANY, 0, 2, &error);
    for (const struct UPNPDev *d = list; d != NULL && !found; d = d->pNext) {
        found = read_device(job, d->descURL, urls, data);
        /* A URL that is too long is used but not kept. */
        if (found && strlen(d->descURL) < sizeof(r->url))
            memcpy(r->url, d->descURL, strlen(d->descURL) + 1);
    }
    if (!found && list == NULL)
        refuse(r, PV_ERR_TIMEOUT, "no answer");
    else if (!found)
        refuse(r, PV_ERR_REFUSED, "no gateway among the devices that answer");
    freeUPNPDevlist(list);
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
static void upnp_map(const struct pv_portmapjob *job, const struct UPNPUrls *urls,
                     const struct IGDdatas *data, struct pv_portmapjob_result *r)
{
    char outer[8], inner[8], ip[64] = "";
    const char *url = urls->controlURL, *service = data->first.servicetype;
    snprintf(outer, sizeof(outer), "%u", job->external_port);
    snprintf(inner, sizeof(inner), "%u", job->local.port);
    const char *lease = PV_STR("%u", job->lifetime);
    const char *local = PV_IP_STR(&job->local);
    if (job->release) {
        int e = UPNP_DeletePortMapping(url, service, outer, "UDP", NULL);
        if (e != UPNPCOMMAND_SUCCESS)
            upnp_failed(e, r);
        return;
    }
    int e = UPNP_AddPortMapping(url, service, outer, inner, local, LABEL, "UDP", NULL, lease);
    r->lifetime = job->lifetime;
    if (e == ONLY_PERMANENT) {
        /* Lease "0" means for ever. */
        e = UPNP_AddPortMapping(url, service, outer, inner, local, LABEL, "UDP", NULL, "0");
        r->lifetime = PERMANENT_LIFETIME;
    }
    if (e != UPNPCOMMAND_SUCCESS) {
        upnp_failed(e, r);
        return;
    }
    r->external_port = job->external_port;
    /* Its text has room for 15 characters and the NUL in every version of the library. */
    if (UPNP_GetExternalIPAddress(url, service, ip) != UPNPCOMMAND_SUCCESS ||
        pv_addr_parse_ip(ip, &r->external) < 0)
        r->external.family = PV_AF_NONE;
}

static void run_upnp(const struct pv_portmapjob *job, struct pv_portmapjob_result *r)
{
    struct UPNPUrls urls;
    struct IGDdatas data;
    memset(&urls, 0, sizeof(urls));
    memset(&data, 0, sizeof(data));
    if (!find_device(job, &urls, &data, r))
        return;
    upnp_map(job, &urls, &data, r);
    FreeUPNPUrls(&urls);
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
