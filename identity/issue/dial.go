// SPDX-License-Identifier: Apache-2.0

package issue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// reconnect are the pauses between two tries to reach a control plane.
var reconnect = backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second}

// anyOne has one of several control planes used, not the same by all proxies, and another where it is lost.
const anyOne = `{"loadBalancingConfig":[{"pick_first":{"shuffleAddressList":true}}]}`

// Dial is a connection to a control plane: HOST:PORT, which may stand for several, or a list of them separated by commas. Nothing is sent yet.
// control is called for each connection, as net.Dialer does, and may be nil. A control plane that vanishes without a word is noticed within a minute.
func Dial(address string, creds credentials.TransportCredentials, control func(network, address string, c syscall.RawConn) error) (*grpc.ClientConn, error) {
	options := []grpc.DialOption{grpc.WithTransportCredentials(creds), grpc.WithDefaultServiceConfig(anyOne),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		// Soon again: what a proxy was not told it does not do.
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: 5 * time.Second})}
	if control != nil {
		d := &net.Dialer{Control: control}
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, at string) (net.Conn, error) { return d.DialContext(ctx, "tcp", at) }))
	}
	if address == "" {
		return nil, errors.New("no control plane is named")
	}
	var all []resolver.Address
	for a := range strings.SplitSeq(address, ",") {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return nil, fmt.Errorf("control plane: %w: write HOST:PORT", err)
		}
		all = append(all, resolver.Address{Addr: a})
	}
	if len(all) == 1 {
		return grpc.NewClient("dns:///"+address, options...)
	}
	r := manual.NewBuilderWithScheme("list")
	r.InitialState(resolver.State{Addresses: all})
	return grpc.NewClient("list:///", append(options, grpc.WithResolvers(r))...)
}
