// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"io"
	"sync"
)

// kept is a request body that survives a transport's Close until a connection was had, so that a second endpoint can be
// tried when the first could not be dialled and nothing was read.
type kept struct {
	io.ReadCloser
	mu            sync.Mutex
	through, shut bool
}

// Close closes the body once it may be closed.
func (k *kept) Close() error {
	k.mu.Lock()
	k.shut = true
	through := k.through
	k.mu.Unlock()
	if !through {
		return nil
	}
	return k.ReadCloser.Close()
}

// release lets Close through, the earlier one too: a server that answers before it has read everything makes the
// transport close the body, and waits for that.
func (k *kept) release() {
	k.mu.Lock()
	k.through = true
	shut := k.shut
	k.mu.Unlock()
	if shut {
		k.ReadCloser.Close()
	}
}
