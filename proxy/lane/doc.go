// SPDX-License-Identifier: Apache-2.0

// Package lane is the quick way through the proxy: connections of plain HTTP/1.1, a goroutine each, on the codec of package h1.
//
// It holds no policy: a handler judges each request and says where it goes, or answers it. The first request on a connection that h1
// finds odd hands the connection to net/http, with its bytes unread, and there it stays.
package lane
