// SPDX-License-Identifier: Apache-2.0

// Package h1 reads and writes HTTP/1.1 for the proxy's hot path.
//
// What it takes is a part of what net/http takes, with the same meaning: fuzzing holds that. All else is ErrOdd, and goes to net/http
// with every byte still unread. So the strictness of one well-kept parser guards the door, and this one only has to be quick:
//
//	taken       GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS; an origin-form target, or http:// with the Host header's authority;
//	            one Content-Length, or chunked alone; Connection: close or keep-alive
//	odd         HTTP/1.0, folded lines, bare CR or LF, blanks around a name, lengths that differ or come twice, transfer codings,
//	            Upgrade, Expect, TE, Trailer, CONNECT, other methods, "//" paths, bytes outside of ASCII in a target, gRPC,
//	            heads above MaxHead
//
// A Conn holds no buffer of its own worth speaking of while it is idle. The strings of a head point into the buffer and hold until
// [Conn.Release]; reading the body does not move them.
package h1
