// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/component-base/version"
)

// Node is the name of the only node: this machine. A Pod must be on a node that exists to be among a Service's endpoints.
const Node = "local"

// register makes the node, where a start before has not.
func register(ctx context.Context, client kubernetes.Interface) error {
	nodes := client.CoreV1().Nodes()
	node, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: Node, Labels: map[string]string{
		corev1.LabelHostname: Node, corev1.LabelOSStable: "linux"}}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		node, err = nodes.Get(ctx, Node, metav1.GetOptions{})
	}
	if err != nil {
		return fmt.Errorf("the node: %w", err)
	}
	if len(node.Spec.Taints) > 0 { // a new node has one, until a kubelet has come
		node.Spec.Taints = nil
		if node, err = nodes.Update(ctx, node, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("the node: %w", err)
		}
	}
	room := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("256Gi"), corev1.ResourcePods: resource.MustParse("1000")}
	now := metav1.Now()
	node.Status = corev1.NodeStatus{
		Capacity: room, Allocatable: room, // nobody counts
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}, {Type: corev1.NodeHostName, Address: Node}},
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "ThisMachine",
			Message: "processes of this machine stand for containers", LastHeartbeatTime: now, LastTransitionTime: now}},
		DaemonEndpoints: node.Status.DaemonEndpoints, // a runner of pods may have outlived the API server
		NodeInfo:        corev1.NodeSystemInfo{KubeletVersion: version.Get().GitVersion, OperatingSystem: "linux"},
	}
	if _, err := nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("the node: %w", err)
	}
	return nil
}
