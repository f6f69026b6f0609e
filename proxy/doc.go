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
//	wire      bytes from one connection to another
//	stats     counters by edge
//
// The codecs of this package lean on net/http. They ask policy and hold none themselves, so another codec can take over
// a listener without a change to what is allowed.
//
// HTTP/2 is relayed by frames (relay, h2, link): judge.go is the hook. The rest leans on net/http: exchange.go is the hook.
//
// Two rules hold throughout. What is not understood is refused, never ignored. And what policy judged is what is handed
// on, byte for byte: a path that could not be passed on as it was sent is answered with 400.
package proxy
