// SPDX-License-Identifier: Apache-2.0

package issue

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/anymesh/anymesh/identity"
)

// User is the process at the other end of a Unix socket, as the kernel saw it when the connection was made.
type User struct{ UID, GID uint32 }

func (u *User) String() string { return fmt.Sprintf("uid %d", u.UID) }

// UnixCredentials are a server's for a Unix socket: they say who is at the other end. The socket's file decides who may connect at all.
func UnixCredentials() credentials.TransportCredentials { return unixCredentials{} }

type unixCredentials struct{}

// unixInfo is what is known of a connection over a Unix socket.
type unixInfo struct {
	credentials.CommonAuthInfo
	user User
}

func (unixInfo) AuthType() string { return "unix" }

func (unixCredentials) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, nil, fmt.Errorf("%T is no Unix socket", c)
	}
	who, err := peerOf(u)
	if err != nil {
		return nil, nil, fmt.Errorf("who is at the other end of %s: %w", c.LocalAddr(), err)
	}
	return c, unixInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, who}, nil
}

func (unixCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are a server's")
}

func (unixCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix"}
}
func (c unixCredentials) Clone() credentials.TransportCredentials { return c }
func (unixCredentials) OverrideServerName(string) error           { return nil }

// userOf is who is at the other end of a call's Unix socket, or nil.
func userOf(ctx context.Context) *User {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(unixInfo)
	if !ok {
		return nil
	}
	return &info.user
}

// Users is an attestor by a file that says which user is which identity: lines of a user, by number or name, and NAMESPACE/ACCOUNT. It is read
// for each request, so that an edit counts at once, and trusted only where nobody but its owner may write it.
type Users struct {
	File   string
	Domain spiffeid.TrustDomain
}

// Attest implements Attestor.
func (a Users) Attest(_ context.Context, e Evidence) (spiffeid.ID, error) {
	if e.User == nil {
		return spiffeid.ID{}, errors.New("the attestor unix is for who comes by the Unix socket of the control plane")
	}
	st, err := os.Stat(a.File)
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("%w: %v", ErrAway, err)
	}
	if st.Mode().Perm()&0o022 != 0 {
		return spiffeid.ID{}, fmt.Errorf("%w: %s may be written by others (mode %04o): run chmod go-w on it", ErrAway, a.File, st.Mode().Perm())
	}
	text, err := os.ReadFile(a.File)
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("%w: %v", ErrAway, err)
	}
	return a.find(text, e.User)
}

func (a Users) find(text []byte, u *User) (spiffeid.ID, error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		namespace, account, ok := strings.Cut(f[len(f)-1], "/")
		if len(f) != 2 || !ok {
			return spiffeid.ID{}, fmt.Errorf("%w: %s:%d: a line is USER NAMESPACE/ACCOUNT", ErrAway, a.File, n)
		}
		uid, err := number(f[0])
		if err != nil {
			return spiffeid.ID{}, fmt.Errorf("%w: %s:%d: %v", ErrAway, a.File, n, err)
		}
		if uid == u.UID {
			return identity.ID(a.Domain.Name(), namespace, account)
		}
	}
	return spiffeid.ID{}, fmt.Errorf("%s has no identity in %s", u, a.File)
}

// number is the number of a user.
func number(name string) (uint32, error) {
	if _, err := strconv.ParseUint(name, 10, 32); err != nil {
		u, err := user.Lookup(name)
		if err != nil {
			return 0, err
		}
		name = u.Uid
	}
	n, err := strconv.ParseUint(name, 10, 32)
	return uint32(n), err
}
