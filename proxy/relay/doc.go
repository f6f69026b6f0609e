// SPDX-License-Identifier: Apache-2.0

// Package relay passes HTTP/2 requests from one connection to another, frame by frame. Who may pass and where to is said by a [Judge]; the
// two sides of a proxy differ in nothing else.
//
// An [Exchange] joins the client's stream with one to the server. Ids and windows are each connection's own: the client is given room again
// when what it sent has gone out on the other side. Most requests pass in the reader of the client's connection, without a goroutine; only
// who has to wait, for a name or for a connection, gets one.
package relay
