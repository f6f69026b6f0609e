// SPDX-License-Identifier: Apache-2.0

// Package xds tells proxies what to do: an aggregated discovery (ADS) server over one store of resources.
//
// What the mesh wants to say comes in through Server.Apply, a few changes at a time, and goes out to everybody who
// follows the names that changed. Work is of the size of the change: a resource is marshalled once, a store keeps its
// names in the order of their last change, and a stream remembers only how far in that order it has been told and which
// of the names it asked for have changed since. Neither a change nor an idle stream looks at all resources.
//
// The two ways to speak xDS, delta (our proxy, Envoy) and state of the world (gRPC), are encoders over the same store;
// the protocol loops themselves are those of go-control-plane. One stream carries all types. What a stream is to hear
// next is decided when it can be sent, never before: additions in the order cluster, endpoints, listener, route, then
// removals in the reverse, so that nothing said refers to something not yet said or already taken away. A slow client
// delays nobody and hears each resource once, in its latest form.
//
// Serve a server once the first Apply holds the whole mesh: a client that reconnects is told that what it knew and the
// store does not is gone.
package xds
