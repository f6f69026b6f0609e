// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/netip"
	"testing"
)

func TestIsNear(t *testing.T) {
	own := netip.MustParseAddr("10.0.0.1")
	for from, want := range map[string]bool{"10.0.0.1": true, "127.0.0.1": true, "::1": true, "::ffff:10.0.0.1": true, "10.0.0.2": false, "fd00::1": false} {
		if got := isNear(netip.MustParseAddr(from), own); got != want {
			t.Errorf("%s: %v", from, got)
		}
	}
}
