// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// own is the cluster of the process that a proxy stands before.
const own = "inbound"

// ownUDP names the same where datagrams come framed in a stream. There is no such cluster on purpose: who does not know the framing, as
// Envoy does not, must not hand it to the process as bytes.
const ownUDP = "inbound-udp"

// settings says what belongs to no unit: how a proxy hands over to its own process.
func settings(_ *model.Settings, o *mesh.Output) {
	say(o, clusterKind, "", own, &clusterv3.Cluster{
		Name:                          own,
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST},
		LbPolicy:                      clusterv3.Cluster_CLUSTER_PROVIDED,
		TypedExtensionProtocolOptions: fixed().sameProtocol,
	})
}
