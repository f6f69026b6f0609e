// SPDX-License-Identifier: Apache-2.0

package appmesh

import (
	"cmp"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// virtualGateway and gatewayRoute are read for one thing alone: which pods call which VirtualServices. SMI does not speak of the rest.
type virtualGateway struct {
	Spec struct {
		PodSelector *selector `json:"podSelector"`
	} `json:"spec"`
}

type gatewayRoute struct {
	Spec struct {
		Gateway    *reference     `json:"virtualGatewayRef"` // the controller's own
		HTTPRoute  *gatewayAction `json:"httpRoute"`
		HTTP2Route *gatewayAction `json:"http2Route"`
		GRPCRoute  *gatewayAction `json:"grpcRoute"`
	} `json:"spec"`
}

type gatewayAction struct {
	Action struct {
		Target struct {
			VirtualService struct {
				VirtualServiceRef *reference `json:"virtualServiceRef"`
			} `json:"virtualService"`
		} `json:"target"`
	} `json:"action"`
}

// gateway reads a gateway as a node that calls what its routes lead to.
func (r *reader) gateway(o *object.Object) {
	var v virtualGateway
	var lost faults
	for _, p := range o.DecodeLax(&v) {
		lost = append(lost, p)
	}
	if s := object.Field(object.Field(object.Field(o.Node(), "spec"), "podSelector"), "matchExpressions"); s != nil {
		lost = append(lost, object.Problem{Path: "spec.podSelector.matchExpressions"})
	}
	n := &node{o: o, spec: virtualNode{PodSelector: v.Spec.PodSelector}, faults: lost}
	n.pods = r.selected(n)
	r.gateways = append(r.gateways, n)
}

// enter gives each gateway what its routes lead to. A route that names no gateway is of the only one.
func (r *reader) enter() {
	for _, o := range r.routes {
		var v gatewayRoute
		o.DecodeLax(&v)
		for _, n := range r.gateways {
			ours := len(r.gateways) == 1
			if v.Spec.Gateway != nil {
				ours = v.Spec.Gateway.of(o) == named(n.o)
			}
			for _, a := range []*gatewayAction{v.Spec.HTTPRoute, v.Spec.HTTP2Route, v.Spec.GRPCRoute} {
				if a == nil || !ours {
					continue
				}
				if f := a.Action.Target.VirtualService.VirtualServiceRef; f != nil {
					var b backend
					b.VirtualService.VirtualServiceRef = &reference{Name: f.Name, Namespace: cmp.Or(f.Namespace, o.Namespace)}
					n.spec.Backends = append(n.spec.Backends, b)
				}
			}
		}
		if v.Spec.Gateway == nil && len(r.gateways) != 1 {
			r.in.Leave(o, model.Unsupported, model.CodeNativeAmbiguous, "spec.virtualGatewayRef", "of which VirtualGateway this route is is not known: no gateway is admitted to what it leads to", "Take the object from the cluster, where the controller has filled it in.")
		}
	}
}
