// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"context"
	"strconv"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// deltaTurn is a stream's turn to speak delta. Its content is decided when go-control-plane first asks for its type.
type deltaTurn struct {
	stream   *stream
	request  *discovery.DeltaDiscoveryRequest
	response *discovery.DeltaDiscoveryResponse
}

var _ cache.DeltaResponse = (*deltaTurn)(nil)

func (t *deltaTurn) compose() {
	if t.response != nil {
		return
	}
	w, m, version := t.stream.compose()
	t.request = &discovery.DeltaDiscoveryRequest{TypeUrl: w.shelf.url}
	t.response = &discovery.DeltaDiscoveryResponse{
		TypeUrl:           w.shelf.url,
		Resources:         m.resources,
		RemovedResources:  m.removed,
		SystemVersionInfo: strconv.FormatUint(version, 10),
	}
}

func (t *deltaTurn) GetDeltaRequest() *discovery.DeltaDiscoveryRequest {
	t.compose()
	return t.request
}

func (t *deltaTurn) GetDeltaDiscoveryResponse() (*discovery.DeltaDiscoveryResponse, error) {
	t.compose()
	return t.response, nil
}

func (t *deltaTurn) GetResponseVersion() string {
	t.compose()
	return t.response.GetSystemVersionInfo()
}

func (t *deltaTurn) GetSystemVersion() (string, error) { return t.GetResponseVersion(), nil }
func (t *deltaTurn) GetContext() context.Context       { return context.Background() }

// GetReturnedResources says nothing: the watch knows what was told. The loop writes into the map, so it must not be nil.
func (t *deltaTurn) GetReturnedResources() map[string]string { return map[string]string{} }
func (t *deltaTurn) GetNextVersionMap() map[string]string    { return t.GetReturnedResources() }

// wholeTurn is a stream's turn to speak state of the world.
type wholeTurn struct {
	stream   *stream
	request  *discovery.DiscoveryRequest
	response *discovery.DiscoveryResponse
}

var _ cache.Response = (*wholeTurn)(nil)

func (t *wholeTurn) compose() {
	if t.response != nil {
		return
	}
	w, m, version := t.stream.compose()
	t.request = &discovery.DiscoveryRequest{TypeUrl: w.shelf.url}
	t.response = &discovery.DiscoveryResponse{
		TypeUrl:     w.shelf.url,
		Resources:   make([]*anypb.Any, len(m.resources)),
		VersionInfo: strconv.FormatUint(version, 10),
	}
	for i, r := range m.resources {
		t.response.Resources[i] = r.GetResource()
	}
}

func (t *wholeTurn) GetRequest() *discovery.DiscoveryRequest {
	t.compose()
	return t.request
}

func (t *wholeTurn) GetDiscoveryResponse() (*discovery.DiscoveryResponse, error) {
	t.compose()
	return t.response, nil
}

func (t *wholeTurn) GetResponseVersion() string {
	t.compose()
	return t.response.GetVersionInfo()
}

func (t *wholeTurn) GetVersion() (string, error)             { return t.GetResponseVersion(), nil }
func (t *wholeTurn) GetContext() context.Context             { return context.Background() }
func (t *wholeTurn) GetReturnedResources() map[string]string { return map[string]string{} }
