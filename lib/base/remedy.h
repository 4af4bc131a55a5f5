/* SPDX-License-Identifier: MIT */
/*
 * remedy.h - what `status`, `why`, `doctor` and errors of the coordinator tell their users to do:
 * one row for each remedy.
 *
 * A row has an identifier, which programs read in the JSON, and the text; each %s in it stands for
 * one argument of PV_DO() (remedy.h). A text that says "wait" says until when. A
 * test carries each row out: it makes the fault, does what the text says and sees the fault gone
 * (`remedy: NAME` in that test; scripts/check-remedies).
 */
#pragma once

#include "base/pv.h"

#define PV_REMEDIES(X)                                                                             \
    X(ask_if_removed,                                                                              \
      "ask an admin; if that is so `sudo p2pvpnctl leave --forget`, then join with a new token")   \
    X(join_anew, "`sudo p2pvpnctl leave --forget`, then join with a new token")                    \
    X(up, "`sudo p2pvpnctl up`")                                                                   \
    X(down_there, "`sudo p2pvpnctl down` while this machine is there, or move to a network with "  \
                  "another range (create --cidr)")                                                 \
    X(other_range, "remove that address, or move to a network with another range (create --cidr)") \
    X(check_link, "check cable, Wi-Fi and `ip addr`")                                              \
    X(phone_file,                                                                                  \
      "switch the tunnel on in its app; if it is on, the app has another file, or the endpoint "   \
      "in it does not lead here: `sudo p2pvpnctl remove %s`, and export it anew")                  \
    X(correct_endpoint, "correct it in [peer], or see whether names are resolved here at all")     \
    X(correct_public_key, "correct public-key in its [peer], or that machine's private key")       \
    X(give_endpoint, "give it `endpoint =` here, or our address there")                            \
    X(same_preshared_key, "give both sides the same preshared-key-file")                           \
    X(look_at_static_peer, "see that it runs, that its public-key is right here and ours there, "  \
                           "and that UDP gets through")                                            \
    X(send_something, "send it something")                                                         \
    X(ask_the_gateway, "`p2pvpnctl why %s`")                                                       \
    X(start_the_gateway, "start %s, or see `p2pvpnctl why %s`")                                    \
    X(switch_phone_on, "switch the tunnel on in its app, then `p2pvpnctl peers` on %s")            \
    X(export_again,                                                                                \
      "an admin's `sudo p2pvpnctl remove %s`, then `sudo p2pvpnctl export %s` on another node")    \
    X(start_peer, "start it, or see there whether it reaches the coordinator")                     \
    X(ping, "`p2pvpnctl ping %s`")                                                                 \
    X(make_room, "make room: `p2pvpnctl status` says where; else it passes within two minutes")    \
    X(wake_peer, "wake it, or look at it; the coordinator notices within half a minute when its "  \
                 "connection is dead")                                                             \
    X(report_pq, "see what `why` says at the other side; `p2pvpnctl bugreport` at both, then "     \
                 "restart p2pvpnd at one of them")                                                 \
    X(move_for_pq, "see whether `why` at the other side says the same; move to a coordinator "     \
                   "that is trusted; `[security] pq = off` at both sides goes without")            \
    X(pq_here, "a p2pvpnd with OpenSSL 3.5 (Debian 13), or `[security] pq = on` here")             \
    X(pq_there, "`[security] pq = on` there and a p2pvpnd that does it (Debian 13), or "           \
                "`[security] pq = on` here")                                                       \
    X(pq_wait,                                                                                     \
      "wait until the keys are exchanged, %s s at most; then `p2pvpnctl why %s` says more")        \
    X(pass_udp, "let UDP through there whatever it carries")                                       \
    X(larger_mtu, "nothing must be done: larger packets are answered with ICMP, and up to 1280 "   \
                  "bytes go in parts; a larger MTU on the narrow link makes it faster, and is "    \
                  "found within ten minutes of use")                                               \
    X(radio, "look at the radio link or the queue of the slowest line")                            \
    X(slow_line, "look for a full queue on the slowest line, or a detour")                         \
    X(open_udp_at_coordinator, "have the coordinator's operator let UDP, as TCP, in at %s")        \
    X(open_udp,                                                                                    \
      "let UDP out and the answers in, in the firewall here, or UDP in at the coordinator, %s")    \
    X(open_udp_there, "let UDP out and the answers in, in the firewall there")                     \
    X(other_family, "give one of the two an address of the other kind; the relay joins them")      \
    X(see_address_there, "there: PCP or UPnP in the router, `stun = HOST` in [traversal], or "     \
                         "IPv6; or let UDP out and the answers in, in a firewall")                 \
    X(see_address, "PCP or UPnP in the router, `stun = HOST` in [traversal] with a STUN server "   \
                   "of the internet, or IPv6")                                                     \
    X(join_clients, "allow clients to talk to each other (no guest network, no client isolation)") \
    X(hairpin, "switch on NAT loopback (hairpin) in the router that they share, or use IPv6 on "   \
               "both sides: each would make it direct")                                            \
    X(open_one_way, "look at the firewalls: outgoing UDP here, incoming UDP there")                \
    X(map_one_side, "switch on PCP or UPnP in one of the routers, forward a port to a node's UDP " \
                    "port, or use IPv6 on both sides")                                             \
    X(predict, "`predict = on` and `birthday = on` in [traversal]")                                \
    X(look_at_firewalls, "look at the firewalls of both sides; `why` on the other side tells the " \
                         "direction: it says so when our checks arrive there")                     \
    X(join_again, "`sudo p2pvpnctl join TOKEN` brings it back, with a new token that an admin "    \
                  "makes by `sudo p2pvpnctl invite`")                                              \
    X(mend_interface, "mend that; p2pvpnd tries again every few seconds")                          \
    X(see_status,                                                                                  \
      "see `p2pvpnctl status`; nodes that were reached before are looked for without it")          \
    X(map_here, "switch on PCP or UPnP in our router, forward a port, or use IPv6 on both sides")  \
    X(predict_or_map_there, "`predict = on` and `birthday = on` in [traversal]; or PCP, UPnP or "  \
                            "a forwarded port in its router, or IPv6 on both sides")               \
    X(map_there, "switch on PCP or UPnP in its router, forward a port, or use IPv6 on both sides") \
    X(wait_for_checks, "wait %s s, then ask again: by then a way is found, or the cause")          \
    X(prefer_another, "an admin's `sudo p2pvpnctl network coordinators add URL`, with the URL of " \
                      "the one that is in use, prefers that")                                      \
    X(take_the_token_over,                                                                         \
      "those that are on use another one: type `p2pvpnctl network coordinators token` here, go "   \
      "to one of them, and there `sudo p2pvpnctl join TOKEN`")                                     \
    X(take_rules_back, "take some back: `p2pvpnctl rules`")                                        \
    X(free_memory, "free some; it is tried again every second")                                    \
    X(hybrid_again,                                                                                \
      "it was before; ask the coordinator's operator for its OpenSSL (3.5 or newer)")              \
    X(set_clock, "one of the two is wrong: see timedatectl on both")                               \
    X(deny_routes, "an admin can deny some: `p2pvpnctl route list`")                               \
    X(export_by_root, "remove them, and export them by a member whose p2pvpnd root starts")        \
    X(export_elsewhere, "remove some, and export them by another member")                          \
    X(be_a_gateway_of_phones,                                                                      \
      "it does with `[phones] gateway = on` in p2pvpnd.conf (`sudo p2pvpnctl "                     \
      "reload`); else `sudo p2pvpnctl remove` ends them")                                          \
    X(end_groups, "packets to the others do not arrive; end some of them")                         \
    X(leave_rooms, "it is in as many as it may be, `p2pvpnctl room leave '#ROOM'` makes place")    \
    X(other_allowed_ips,                                                                           \
      "take it out there and give that machine another one; then `sudo p2pvpnctl reload`")         \
    X(rename_static_peer, "give it another one there, then `sudo p2pvpnctl reload`")               \
    X(former_key, "put the former one back, or `sudo p2pvpnctl leave --forget` and join again")    \
    X(wait_to_be_told, "wait until another member tells it, %s s at most")                         \
    X(renew, "it could not be renewed for long: let this machine, or a member that it talks to, "  \
             "reach the coordinator")                                                              \
    X(switch_them_on, "nobody has heard of these machines for long; switch them on to keep them")  \
    X(check_address, "no interface has an address: check the link")                                \
    X(end_listener, " (ss -ltnp shows which; it is tried again until that program has ended)")     \
    X(keys_twice, "on the copy, not on the original: `sudo p2pvpnctl leave --copy`, then join "    \
                  "there with a new token")                                                        \
    X(former_identity,                                                                             \
      "put that back and restart p2pvpnd, or `sudo p2pvpnctl leave`, then join with a new token; " \
      "an admin's `sudo p2pvpnctl node replace` gives it its former name and address")             \
    X(grant_yourself, "`sudo p2pvpnctl admin grant %s`, as its root key is here")                  \
    X(import_root,                                                                                 \
      "`sudo p2pvpnctl root import` of its root key, on any member, makes that one an admin")      \
    X(use_root,                                                                                    \
      "use the machine that ran `create`, or `sudo p2pvpnctl root import` it here first")          \
    X(other_stun, "does not answer: name another, or none")                                        \
    X(correct_stun, "is not found: correct the name, or leave it out")                             \
    X(admit_here, "on an admin's machine: `sudo p2pvpnctl admit %s`")                              \
    X(reach_to_renew,                                                                              \
      "it is renewed as soon as the coordinator is reached, and nothing else is needed")           \
    X(see_below, "see the problem below")                                                          \
    X(port_by_flag, "give it with --port")                                                         \
    X(other_port, "stop the program that uses it, or choose another one (port in [interface] of "  \
                  "p2pvpnd.conf, or --port)")                                                      \
    X(name_range, "give the network's range in [interface] range, then restart p2pvpnd")           \
    X(load_tun_there, "load the module (modprobe tun), or pass /dev/net/tun into this container; " \
                      "where systemd runs p2pvpnd restart it then")                                \
    X(other_name, "stop the program that has it, or choose another one (name in [interface] of "   \
                  "p2pvpnd.conf, or --tun)")                                                       \
    X(start_with_rights,                                                                           \
      "start it by its unit, or as root with a state directory that user p2pvpn can reach")        \
    X(set_sysctl, "set it yourself: `sudo sysctl -w net/%s=%s`")                                   \
    X(load_nf_tables, "`modprobe nf_tables`, of a container on its host")                          \
    X(stop_vpn, "stop that VPN")                                                                   \
    X(exit_off_first,                                                                              \
      "there `sudo p2pvpnctl exit off`, and where its p2pvpnd has ended start that first")         \
    X(public_resolver, "give members that use this exit a public name server")                     \
    X(give_resolver, "give it one, or them one of the other family or a public one")               \
    X(offer_prefixes, "have fewer, or offer prefixes")                                             \
    X(leave_that_network, "leave that network")                                                    \
    X(add_to_firewalld,                                                                            \
      "firewall-cmd --permanent --zone=trusted --add-interface=%s && firewall-cmd --reload")       \
    X(accept_in_docker,                                                                            \
      "iptables -I DOCKER-USER -i %s -j ACCEPT; iptables -I DOCKER-USER -o %s -j ACCEPT")          \
    X(accept_in_table, "let its chain of hook forward accept iifname %s and oifname %s")           \
    X(look_at_marks, "write `fib saddr . mark . iif oif` in it")                                   \
    X(remove_ip_rule,                                                                              \
      "remove that rule or route: `ip %srule` and `ip %sroute show table %s` show them")           \
    X(add_ip_rule, "`sudo ip %srule add to %s lookup %s priority %s`")                             \
    X(keep_that_admin_online, "keep the machine of that admin online until they are here")         \
    X(admin_online, "bring an admin online once, or join again with a new token")                  \
    X(admin_online_later, "bring an admin online once if that lasts for more than a minute")       \
    X(tell_operator, "tell its operator")                                                          \
    X(set_phone_ports, "have its operator set [relay] phone-ports")                                \
    X(other_network, "use a member in another network")                                            \
    X(way_in, "switch PCP, NAT-PMP or UPnP on in the router, or forward this node's UDP port by "  \
              "hand and name it: --endpoint ADDRESS:PORT, or have the coordinator's operator set " \
              "[relay] phone-ports")                                                               \
    X(agree_there, "say so there, and there `sudo p2pvpnctl reload`")                              \
    X(gateway_of_root, "name a member whose p2pvpnd root starts")                                  \
    X(other_gateway, "name another member")                                                        \
    X(forward_port_there, "forward its UDP port by hand and name that: --endpoint ADDRESS:PORT, "  \
                          "or have the coordinator's operator set [relay] phone-ports")            \
    X(name_endpoint, "name that: --endpoint ADDRESS:PORT")                                         \
    X(known_coordinator, "one that was set up anew needs the coordinator.key of before from its "  \
                         "backup, or an admin's `sudo p2pvpnctl network coordinators add URL`")    \
    X(hybrid_or_off, "ask its operator, or set [security] pq = on")                                \
    X(make_token, "make a token with `sudo p2pvpnctl invite`")                                     \
    X(give_to_root, "give it to root, or see notify in p2pvpnd(8)")                                \
    X(keep_to_owner, "chmod go-w it")                                                              \
    X(allow_in_apparmor, "as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a "   \
                         "profile with `userns,`")                                                 \
    X(sysctl_as_root, "as root: sysctl %s")                                                        \
    X(allow_namespaces, "start that with --security-opt seccomp=unconfined, or p2pvpnd as root")   \
    X(load_tun, "modprobe tun, or pass /dev/net/tun into this container")                          \
    X(install_library, "install the package of that library; nothing else waits for it")           \
    X(install_ip, "install iproute2")                                                              \
    X(install_ip_and_nft, "install iproute2 and nftables")                                         \
    X(install_nft, "install nftables")                                                             \
    X(mount_for_writing, "mount it for writing, or give p2pvpnd another --state")                  \
    X(delete_small_files, "delete small files that nobody needs")                                  \
    X(free_space, "free some space: no messages and files of others are taken")                    \
    X(leave_hosts, "take that name out of /etc/hosts, or use %s")                                  \
    X(install_names, "`sudo p2pvpn-nss`")                                                          \
    X(make_group, "%s")                                                                            \
    X(restart_p2pvpnd, "restart p2pvpnd")                                                          \
    X(join_group, "sudo usermod -aG p2pvpn \"$USER\", then log in again")                          \
    X(log_in_again, "log in again, or type `newgrp p2pvpn` in this terminal")                      \
    X(doctor_there, "`p2pvpnctl -n %s doctor`")                                                    \
    X(mend_and_up, "mend that, then `sudo p2pvpnctl up`")                                          \
    X(start_own, "%s")                                                                             \
    X(join_first, "%s")                                                                            \
    X(doctor_as_root, "`sudo p2pvpnctl doctor`")                                                   \
    X(restart, "`sudo systemctl restart p2pvpnd%s%s`")                                             \
    X(mend_and_reload, "mend that, then `sudo p2pvpnctl reload`")                                  \
    X(mend_and_restart, "mend that, then restart p2pvpnd")                                         \
    X(end_and_start, "end p2pvpnd, and start it again")                                            \
    X(look_at_kernel,                                                                              \
      "look at `ip rule`, at `ip route`, at rp_filter (`sysctl -ar rp_filter`) and "               \
      "at filters of tc and eBPF: one of them drops the packets")                                  \
    X(open_firewall, "%s")                                                                         \
    X(reopen, "start its p2pvpnd and say there `sudo p2pvpnctl exit off`; where that is gone for " \
              "good, `sudo /usr/lib/p2pvpn/setup reopen` lets everything out")                     \
    X(exit_off_there, "there `sudo p2pvpnctl exit off`")                                           \
    X(see_coordinator, "see that it runs, and that this machine's network reaches it; members "    \
                       "that are known are reached without it")                                    \
    X(give_rights,                                                                                 \
      "start it by its unit, or give it the rights in guide/rights.md, \"Rights of p2pvpnd\"")     \
    X(serve_again, "`sudo p2pvpnctl network coordinators add URL` gives it back, with the URL of " \
                   "this coordinator (`sudo p2pvpn-coordinator url` there)")                       \
    X(ask_to_serve_again, "the machine with the root key gives it back: there `sudo p2pvpnctl "    \
                          "network coordinators add URL`, with the URL of this coordinator")       \
    X(admit_or_deny, "`sudo p2pvpnctl admit %s`, or `sudo p2pvpnctl deny %s`")                     \
    X(admit_or_deny_each, "`sudo p2pvpnctl admit %s`, or `sudo p2pvpnctl deny %s`, and so on")     \
    X(allow_route, "if you trust it, `sudo p2pvpnctl route allow %s %s`")                          \
    X(ask_to_allow_route, "ask for an admin's `sudo p2pvpnctl route allow %s %s`")                 \
    X(allow_internet,                                                                              \
      "an admin's `sudo p2pvpnctl allow any 0.0.0.0/0 all`, and the same of ::/0, let it out")     \
    X(remove_rule,                                                                                 \
      "an admin's `sudo p2pvpnctl rules remove %s` lets it out, or an allow with --before %s")     \
    X(exit_off, "`sudo p2pvpnctl exit off` goes without it")                                       \
    X(offer_again, "look at its cable and address; if a router leads there now, say `sudo "        \
                   "p2pvpnctl route offer %s` again")                                              \
    X(give_new_key, "give them the new one: `p2pvpnctl ip --wg-key`")                              \
    X(ask_why, "`p2pvpnctl why` says what is known of it")                                         \
    X(accept_one_by_hand, "`p2pvpnctl files accept ID` of a file from there makes it hold")        \
    X(name_members, "give a name of `p2pvpnctl peers`, and `sudo p2pvpnctl reload`")               \
    X(mean_another, "if that is meant, take the lines of [lan] out, `sudo p2pvpnctl reload`, and " \
                    "put them in again")                                                           \
    X(change_endpoint, "change the endpoint in them to %s")                                        \
    X(pass_addresses, "the coordinator's operator lets it have the host's network, or forwards "   \
                      "to it without masquerading")                                                \
    X(pass_addresses_or_stun,                                                                      \
      "the coordinator's operator lets it have the host's network, or forwards to it without "     \
      "masquerading; or `stun = HOST` in [traversal] with another STUN server")                    \
    X(start_chat,                                                                                  \
      "p2pvpnd, or the service p2pvpn-chatd, starts it again; the log says why it ended")          \
    X(restart_chat, "end the process p2pvpn-chatd: p2pvpnd, or the service, starts it again")      \
    X(move_chat_away,                                                                              \
      "restore it from a backup, or move chat.db* away to begin chat anew; then restart p2pvpnd")  \
    X(move_network_away,                                                                           \
      "restore it from a backup, or move it away and join again (keys and messages are kept)")     \
    X(move_store_away, "restore it from a backup (members repair what it lacks), or move it away") \
    X(move_file_away, "move it away")                                                              \
    X(upgrade, "upgrade %s")                                                                       \
    X(free_disk, "free some space")                                                                \
    X(end_lock, "end that program")                                                                \
    X(check_directory, "check owner, mode and mount of its directory")                             \
    X(other_state, "choose another --state")                                                       \
    X(read_or_clear, "read them (`p2pvpnctl inbox`), or `p2pvpnctl history clear %s`")             \
    X(install_postgres, "`sudo apt install p2pvpn-coordinator-postgres`")                          \
    X(proxy_login, "set proxy-user and proxy-password-file in [coordinator] of p2pvpnd.conf, "     \
                   "then `sudo p2pvpnctl reload`")                                                 \
    X(proxy_login_again, "correct proxy-user and the file of proxy-password-file in "              \
                         "[coordinator] of p2pvpnd.conf, then `sudo p2pvpnctl reload`")            \
    X(proxy_basic, "ask its operator to take Basic, or to let everybody connect to %s")            \
    X(proxy_allow, "ask its operator to allow CONNECT to %s, or the coordinator's operator to "    \
                   "let it listen on port 443 too (`tls-listen`)")                                 \
    X(proxy_reach, "see that the coordinator runs, and that the proxy may reach %s")               \
    X(proxy_start, "see that a proxy runs at %s and takes connections of this machine; "           \
                   "p2pvpnd tries again by itself")                                                \
    X(proxy_correct, "correct proxy in [coordinator] of p2pvpnd.conf, then "                       \
                     "`sudo p2pvpnctl reload`")                                                    \
    X(as_owner,                                                                                    \
      "run it as root or as the owner of the state directory, or name another with --state")       \
    X(ask_as_owner, "ask as root or as the coordinator's user")                                    \
    X(restore_key,                                                                                 \
      "restore it from a backup; with a new one, nodes would not know this coordinator")           \
    X(restore_url, "restore it from a backup, or delete it and the URL becomes another one")       \
    X(restore_or_delete, "restore it from a backup, or delete it and a new one is made")           \
    X(make_directory, "make it, or name another place")                                            \
    X(other_file, "choose another name")                                                           \
    X(name_database, "name another directory with --state; one in PostgreSQL is backed up by "     \
                     "pg_dump, beside the keys")                                                   \
    X(name_backup, "name a file of `p2pvpn-coordinator backup`")                                   \
    X(name_same_version, "name a backup of this version")                                          \
    X(older_backup, "take an older one")                                                           \
    X(start_coordinator, "start it, or name another with --state")                                 \
    X(shorter_state, "use a shorter --state")                                                      \
    X(restart_hung, "restart it; its log may say why it hangs")

#define PV_REMEDY_ENUMERATOR(name, text) PV_REMEDY_##name,
enum pv_remedy_id {
    PV_REMEDY_NONE,
    PV_REMEDIES(PV_REMEDY_ENUMERATOR) PV_REMEDY_COUNT,
};
#undef PV_REMEDY_ENUMERATOR

enum {
    PV_REMEDY_ARGS = 4,
    PV_REASON_BUF = 960,
    PV_REMEDY_BUF = 640, /* bytes with the NUL: one that an error says is the longest */
};

/* args: what stands for each %s of the text, borrowed. */
struct pv_remedy {
    enum pv_remedy_id id;
    const char *args[PV_REMEDY_ARGS];
    const char *said; /* the text as an error says it, borrowed; NULL: it is made of args */
};
#define PV_DO_ARGS(name, a, b, c, d, ...) \
    ((struct pv_remedy){PV_REMEDY_##name, {(a), (b), (c), (d)}, NULL})
/* PV_DO(ping, "bob"): the row, and an argument for each %s. */
#define PV_DO(...) PV_DO_ARGS(__VA_ARGS__, NULL, NULL, NULL, NULL, NULL)
/* The text alone; it lives as long as the block that it stands in. */
#define PV_DO_STR(...) pv_remedy_write(&PV_DO(__VA_ARGS__), (char[PV_REMEDY_BUF]){0}, PV_REMEDY_BUF)
#define PV_DO_NOTHING  ((struct pv_remedy){PV_REMEDY_NONE, {NULL, NULL, NULL, NULL}, NULL})

/* What is wrong, and what to do about it; todo is NONE if nothing is. */
struct pv_reason {
    const char *text; /* without the remedy; static */
    struct pv_remedy todo;
};
/* "text: remedy", or the text alone; it lives as long as the block that it stands in. */
#define PV_REASON_STR(reason) pv_reason_write((reason), (char[PV_REASON_BUF]){0}, PV_REASON_BUF)

/* The identifier, for programs: "open_udp"; NULL for NONE and what is no identifier. */
const char *pv_remedy_id(enum pv_remedy_id id);
/* The text of a row without %s. */
const char *pv_remedy_text(enum pv_remedy_id id);
/* Writes "text: remedy", as much of it as fits, with the NUL. Returns dst. */
const char *pv_reason_write(struct pv_reason reason, char *dst, size_t cap);
/* The row that an error ends with ("what failed: why: ROW", or ROW alone), as it stands there.
 * Errors are text on their way through the helper, the store and control sockets, and made of rows
 * by PV_DO_STR(). NONE if there is no row at the end. A row that begins with %s is not found. */
struct pv_remedy pv_remedy_said(const char *error);
/* Writes the text, as much of it as fits, with the NUL; "" for NONE. Returns dst. */
const char *pv_remedy_write(const struct pv_remedy *r, char *dst, size_t cap);
