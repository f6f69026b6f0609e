// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"log/slog"

	"k8s.io/klog/v2"
)

// LogTo has Kubernetes' client log where we do. It holds for the whole process: the client has one log.
func LogTo(l *slog.Logger) { klog.SetSlogLogger(l) }
