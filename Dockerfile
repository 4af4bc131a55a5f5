# A coordinator and a node in containers, built from this checkout. The node needs no rights (dist/container/p2pvpn-node
# says what it takes, and beside it are examples for compose and Kubernetes):
#     docker build --target node -t p2pvpn-node .
#     docker run -d -e P2PVPN_TOKEN=p2pvpn-... -e P2PVPN_SERVE=8080:app:80 -v node:/var/lib/p2pvpn p2pvpn-node
#     docker exec CONTAINER p2pvpn-node status
# With --cap-add NET_ADMIN --device /dev/net/tun it has an interface; --security-opt seccomp=unconfined --device
# /dev/net/tun gives it the kernel's network without that right.
#
# The coordinator:
#     docker build -t p2pvpn-coordinator .
#     docker run -d --network host -v coordinator:/var/lib/p2pvpn-coordinator p2pvpn-coordinator \
#         --public 198.51.100.7
#     docker exec CONTAINER p2pvpn-coordinator url --public 198.51.100.7
# The network is the host's: a relay and a measurer of NATs must see addresses and ports as they are.
FROM debian:trixie-slim AS node-build
COPY . /src
WORKDIR /src
RUN scripts/package

FROM debian:trixie-slim AS node
COPY --from=node-build /src/build/packages/trixie-*/node/p2pvpn_*.deb /tmp/
RUN apt-get update \
    && apt-get install -y --no-install-recommends /tmp/p2pvpn_*.deb nftables \
    && rm -rf /tmp/p2pvpn_*.deb /var/lib/apt/lists/* \
    && install -d -m 755 -o root -g root /var/lib/p2pvpn
COPY dist/container/p2pvpn-node /usr/bin/p2pvpn-node
VOLUME /var/lib/p2pvpn
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["/usr/bin/p2pvpn-node", "health"]
ENTRYPOINT ["/usr/bin/p2pvpn-node"]

FROM debian:trixie-slim AS build
COPY . /src
WORKDIR /src
RUN scripts/deps package \
    && cmake -S . -B /build -G Ninja -DPV_STATIC=ON \
    && ninja -C /build p2pvpn-coordinator

FROM debian:trixie-slim
COPY --from=build /build/bin/p2pvpn-coordinator /usr/sbin/p2pvpn-coordinator
RUN useradd --system --user-group --home-dir /var/lib/p2pvpn-coordinator --create-home p2pvpn-coordinator
USER p2pvpn-coordinator
VOLUME /var/lib/p2pvpn-coordinator
EXPOSE 3478/udp 3478/tcp 3479/udp
ENTRYPOINT ["/usr/sbin/p2pvpn-coordinator"]
