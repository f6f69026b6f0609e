// SPDX-License-Identifier: Apache-2.0
// sizes: package: the hooks of two codecs stand here, of net/http and of HTTP/2 by frames, until HTTP/1 is read by frames of its own too

// Package proxy is the data plane of the built-in mesh: one Proxy stands beside one workload.
//
// It knows what xDS tells it and nothing else. Outbound, the workload's requests come in as plain HTTP (or as CONNECT for
// bytes), are routed, and leave over mTLS. Inbound, mTLS from other proxies comes in, access is judged by the caller's
// certificate, and what is admitted goes to the local process. The layers, from the wire inwards:
//
//	ads       the stream to the control plane: names wanted, resources in, ACK and NACK out
//	state     what was said, warmed up and brought into force with one pointer swap
//	policy    compiled, immutable answers: where does it go, may it pass
//	upstream  endpoints, mTLS, connection pools
//	lane, h1  plain HTTP/1.1, quickly
//	message   the head of a message, as the quick codecs have it
//	wire      bytes from one connection to another
//	stats     counters by edge
//
// There are two codecs for HTTP/1.1. Plain requests take the quick lane; all that is in the least unusual, and HTTP/2, goes through
// net/http, and a connection that went there stays. Both ask policy, hold none themselves, and answer alike.
//
// HTTP/2 is relayed by frames (relay, h2, link): judge.go is the hook. The rest leans on net/http: exchange.go is the hook.
//
// Two rules hold throughout. What is not understood is refused, never ignored. And what policy judged is what is handed
// on, byte for byte: a path that could not be passed on as it was sent is answered with 400.
package proxy
