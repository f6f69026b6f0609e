// SPDX-License-Identifier: Apache-2.0

package ads

import (
	"errors"
	"fmt"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

// receive hands a response over and queues the answer. One refused resource does not hold up the others; the NACK names
// it, and its last good version stays on record.
func (c *Client) receive(r *discoveryv3.DeltaDiscoveryResponse) {
	t := Type(r.TypeUrl)
	var refused []error
	if _, known := c.names[t]; !known {
		refused = append(refused, fmt.Errorf("type %q was not asked for", t))
	} else {
		for _, res := range r.Resources {
			if err := c.update(t, res); err != nil {
				c.log.Warn("refused a resource; its last good version stays", "type", t, "name", res.Name, "err", err)
				refused = append(refused, fmt.Errorf("%s: %w", res.Name, err))
			}
		}
		for _, s := range r.RemovedResources {
			if c.accept(t, s, "") {
				c.handler.Remove(t, s)
			}
		}
	}
	answer := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce}
	if len(refused) > 0 {
		answer.ErrorDetail = &statuspb.Status{Code: int32(codes.InvalidArgument), Message: errors.Join(refused...).Error()}
	}
	c.mu.Lock()
	c.answers = append(c.answers, answer)
	c.mu.Unlock()
	c.kick()
}

func (c *Client) update(t Type, res *discoveryv3.Resource) error {
	if res.Resource == nil {
		return nil // a sign of life for a resource with a time to live
	}
	if got := Type(res.Resource.TypeUrl); got != t {
		return fmt.Errorf("is of type %q in a response of type %q", got, t)
	}
	if !c.wants(t, res.Name) {
		return nil // dropped while it was on its way
	}
	if err := c.handler.Update(t, res.Name, res.Resource); err != nil {
		return err
	}
	c.accept(t, res.Name, res.Version)
	return nil
}

func (c *Client) wants(t Type, s string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.names[t][s]
	return n != nil && n.wanted
}

// accept records a version; false: nobody wants the name any more.
func (c *Client) accept(t Type, s, version string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.names[t][s]
	if n == nil || !n.wanted {
		return false
	}
	n.version = version
	return true
}
