// SPDX-License-Identifier: Apache-2.0

package query

import (
	"regexp"

	"github.com/anymesh/anymesh/metrics"
)

// A pod that died in the window is in no informer any more, and its requests are still its workload's: its name tells the maker. Controllers
// make names of letters that form no words: k8s.io/apimachinery/pkg/util/rand.
const (
	letters = "[bcdfghjklmnpqrstvwxz2456789]"
	random  = letters + "{5}"
)

// endings are how the names of a workload's pods go on after its own.
var endings = map[string]string{
	"CronJob":               "-[0-9]+-" + random,
	"DaemonSet":             "-" + random,
	"Deployment":            "-" + letters + "{1,10}-" + random,
	"Job":                   "-" + random,
	"ReplicaSet":            "-" + random,
	"ReplicationController": "-" + random,
	"StatefulSet":           "-[0-9]+",
}

var ending = func() map[string]*regexp.Regexp {
	out := map[string]*regexp.Regexp{}
	for k, e := range endings {
		out[k] = regexp.MustCompile("^(.+)" + e + "$")
	}
	return out
}()

// PodPattern is an expression for the names of a workload's pods; empty: it is no workload.
func PodPattern(r metrics.Ref) string {
	if e := endings[r.Kind]; e != "" {
		return regexp.QuoteMeta(r.Name) + e
	}
	return ""
}

// MadeBy says whether a pod is called as those of a workload are.
func MadeBy(r metrics.Ref, pod string) bool {
	e := ending[r.Kind]
	if e == nil {
		return false
	}
	m := e.FindStringSubmatch(pod)
	return m != nil && m[1] == r.Name
}

// Maker is the workload of a kind that a pod may be of by its name.
func Maker(pod metrics.Ref, kind metrics.Kind) (metrics.Ref, bool) {
	e := ending[kind.Name]
	if e == nil {
		return metrics.Ref{}, false
	}
	m := e.FindStringSubmatch(pod.Name)
	if m == nil {
		return metrics.Ref{}, false
	}
	return metrics.Ref{Kind: kind.Name, Namespace: pod.Namespace, Name: m[1]}, true
}
