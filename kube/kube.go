// SPDX-License-Identifier: Apache-2.0

// Package kube is one Kubernetes API as anymesh sees it: how it is reached, and which kinds it serves.
//
// What is known comes from package source, what is to be goes through package apply, what became of it is written by package status, and
// package controller puts them together around an engine.
package kube

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Manager is the field manager by which our writes are known.
const Manager = "anymesh"

// Cluster is one Kubernetes API.
type Cluster struct {
	Config  *rest.Config
	Core    kubernetes.Interface // Kubernetes' own kinds
	Dynamic dynamic.Interface    // all others
}

// Access says how a cluster is reached, in kubectl's words. The zero value is what kubectl would take, or the cluster that the process runs in.
type Access struct {
	Kubeconfig string
	Context    string
}

// Load reads the configuration, and the namespace that it names.
func (a Access) Load() (cfg *rest.Config, namespace string, err error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = a.Kubeconfig
	c := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: a.Context})
	if cfg, err = c.ClientConfig(); err != nil {
		return nil, "", fmt.Errorf("no Kubernetes API: %w", err)
	}
	namespace, _, err = c.Namespace()
	return cfg, namespace, err
}

// Connect makes the clients of an API. They do not limit themselves, since the API server is fair by itself: who writes much, such as a
// sink, limits its own rate. Nothing is sent yet.
func Connect(cfg *rest.Config) (*Cluster, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.UserAgent = "anymesh"
	cfg.QPS = -1
	typed := rest.CopyConfig(cfg)
	typed.ContentType = runtime.ContentTypeProtobuf
	typed.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	core, err := kubernetes.NewForConfig(typed)
	if err != nil {
		return nil, err
	}
	dyn, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	return &Cluster{cfg, core, dyn}, nil
}
