// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Lease is the name of the lease that the leader holds.
const Lease = "anymesh"

// The times of the lease: how long it holds without being renewed, how long the leader tries to renew it before it stops to write, and how
// often it is tried.
const leaseTime, renewTime, retryTime = 15 * time.Second, 10 * time.Second, 2 * time.Second

// lead waits until this replica may write, says so, and keeps the lease until the context ends. It returns an error when the lease is lost.
func (c *Controller) lead(ctx context.Context) error {
	if !c.o.Elect {
		close(c.leading)
		<-ctx.Done()
		return nil
	}
	lock := &resourcelock.LeaseLock{LeaseMeta: metav1.ObjectMeta{Namespace: c.o.Namespace, Name: Lease}, Client: c.c.Core.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: c.o.Name}}
	e, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: leaseTime, RenewDeadline: renewTime, RetryPeriod: retryTime, ReleaseOnCancel: true, Name: Lease,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) {
				c.log.Info("this replica writes now", "name", c.o.Name)
				close(c.leading)
			},
			OnStoppedLeading: func() {},
			OnNewLeader: func(name string) {
				if name != c.o.Name {
					c.log.Info("another replica writes", "name", name)
				}
			},
		},
	})
	if err != nil {
		return fmt.Errorf("lease %s/%s: %w", c.o.Namespace, Lease, err)
	}
	e.Run(ctx)
	if ctx.Err() == nil {
		return errors.New("the lease was lost: another replica may write now, this one stops")
	}
	return nil
}
