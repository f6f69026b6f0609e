// SPDX-License-Identifier: Apache-2.0

// Package h2 is HTTP/2 by frames, both sides of a connection (RFC 9113). It knows streams and no requests' meaning: a [Handler] for each
// stream is told what arrives, and says by [Stream] what goes out.
//
// # How it works
//
// A [Conn] has two goroutines. The reader takes frames off the socket, checks them, and calls the handlers; they must not block. All that
// goes out is appended to one buffer under the connection's lock, by whoever has something to say, and the writer writes whatever has
// gathered since its last write: no timer, and many streams share one write. What a reader writes to other connections is flushed once,
// when it has nothing more to read; that is a [Turn].
//
// # What a peer can make us hold or do
//
//   - DATA: a stream's window is renewed only for what its handler has taken ([Stream.Grant]), the connection's at once while less than
//     heldLimit waits. So a slow reader stalls its own stream, and a connection holds at most heldLimit + connWindow of what it received.
//   - Output: DATA waits in its stream while the buffer is above highWater; at hardLimit the peer reads nothing and is cut off.
//   - Heads: MaxHead bytes of headers (431 beyond), blockLimit bytes of HPACK in at most blockFrames frames (the connection ends beyond).
//   - Streams: MaxStreams at a time. Resets, and frames that say nothing (PING, SETTINGS, WINDOW_UPDATE, empty DATA, unknown ones …), draw
//     on budgets that refill with time and with useful work; who empties one is told ENHANCE_YOUR_CALM and cut off.
//
// # What is refused
//
// All that RFC 9113 8.1 to 8.3 calls malformed: pseudo headers that are unknown, double, missing or late; names that are no lower-case
// token; values with control characters or blanks around them; headers of the connection (connection, keep-alive, proxy-connection,
// transfer-encoding, upgrade; te other than trailers); a Host that is not the authority; a content-length that is no number, or that the
// body does not keep to; trailers that do not end the stream. Push and extended CONNECT are not spoken.
package h2
