// SPDX-License-Identifier: Apache-2.0

// Package udp carries flows of datagrams between two proxies.
//
// A flow is what one local address sends to one service, and what comes back. Between the proxies all flows to one port of one workload
// ride on a link: a mutual TLS connection on which each datagram stands behind a frame of eight bytes. So the caller's identity is
// proved as for every other connection, and a flow costs a frame and not a handshake. A link drops what it cannot take at once,
// as a network does; it never holds up a sender.
//
//	Door    where the process sends its datagrams: one local port for one service
//	Link    the caller's end of a link
//	Pool    the links of a proxy
//	Server  the other end: judges each datagram, and has a socket towards the process for each flow
package udp
