// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// startEtcd runs an etcd of one member. It listens on ports of loopback that nobody is told of and asks nobody who they are: what is in it is
// as secret as the machine.
func startEtcd(ctx context.Context, o *Options) (*embed.Etcd, error) {
	c := embed.NewConfig()
	c.Dir = filepath.Join(o.Dir, "etcd")
	c.LogLevel, c.LogOutputs = "error", []string{o.Log}
	c.UnsafeNoFsync = true // a machine that loses power loses the cluster; a process that is killed does not
	anyPort := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	c.ListenClientUrls, c.AdvertiseClientUrls = anyPort, anyPort
	c.ListenPeerUrls, c.AdvertisePeerUrls = anyPort, anyPort
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	e, err := embed.StartEtcd(c)
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	select {
	case <-e.Server.ReadyNotify():
		return e, nil
	case err = <-e.Err():
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(patience):
		err = errors.New("it is not ready")
	}
	e.Close()
	return nil, fmt.Errorf("etcd: %w", err)
}
