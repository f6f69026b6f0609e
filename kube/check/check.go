// SPDX-License-Identifier: Apache-2.0

// Package check looks whether a cluster is sound for anymesh, and anymesh in it: line by line, each with what to do where it is not. It changes
// nothing; a dry run of a creation is all that it asks of the webhook.
package check

import (
	"context"
	"errors"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/anymesh/anymesh/kube/adopt"
	"github.com/anymesh/anymesh/kube/connect"
	"github.com/anymesh/anymesh/kube/install"
)

// Result is what came of one check.
type Result string

// The results. What could not be looked at is skipped, and never counts as sound.
const (
	OK      Result = "ok"
	Warning Result = "warning"
	Error   Result = "error"
	Skipped Result = "skipped"
)

// Line is one check.
type Line struct {
	Group   string `json:"group"`
	Check   string `json:"check"`
	Result  Result `json:"result"`
	Message string `json:"message,omitempty"`
	Hint    string `json:"hint,omitempty"` // what to do
}

// Checker looks at one cluster.
type Checker struct {
	Installation *install.Installation
	Version      string // of this program; "dev" is compared with nothing
	Pre          bool   // before an installation: whether one would succeed

	lines   []Line
	group   string
	cluster *connect.Cluster
	live    map[string]*adopt.CRD // definitions that are there, by name
}

// The groups, in their order.
const (
	ofCluster     = "kubernetes-api"
	ofDefinitions = "smi-crds"
	ofWebhook     = "webhook"
	ofController  = "controller"
	ofMeshes      = "meshes"
	ofObjects     = "objects"
	ofTraffic     = "traffic-metrics"
)

// step is a part of a run.
type step struct {
	group string
	look  func(context.Context)
}

// Run makes every check. A cluster that cannot be reached is a line, not an error.
func (c *Checker) Run(ctx context.Context) []Line {
	c.lines, c.cluster, c.live = nil, c.Installation.Cluster, map[string]*adopt.CRD{}
	steps := []step{{ofCluster, c.api}, {ofDefinitions, c.definitions}, {ofWebhook, c.webhook}, {ofController, c.controller}, {ofMeshes, c.meshes},
		{ofTraffic, c.extension}, {ofObjects, c.objects}}
	if c.Pre {
		steps = []step{{ofCluster, c.api}, {ofCluster, c.rights}, {ofDefinitions, c.adoptable}, {ofController, c.free}, {ofMeshes, c.detected}}
	}
	for n, s := range steps {
		c.group = s.group
		s.look(ctx)
		if n == 0 && Worst(c.lines) == Error { // nobody answers
			break
		}
	}
	return c.lines
}

// Worst is the worst result of all.
func Worst(lines []Line) Result {
	worst := OK
	for _, l := range lines {
		if l.Result == Error || l.Result == Warning && worst == OK {
			worst = l.Result
		}
	}
	return worst
}

func (c *Checker) say(check string, r Result, message, hint string) {
	c.lines = append(c.lines, Line{c.group, check, r, message, hint})
}

func (c *Checker) ok(check, message string) { c.say(check, OK, message, "") }

// failed says that something could not be looked at: what may not be read is skipped, all else is wrong.
func (c *Checker) failed(check string, err error) {
	if apierrors.IsForbidden(err) {
		c.say(check, Skipped, "it may not be read: "+err.Error(), "Ask with an account that may.")
		return
	}
	c.say(check, Error, err.Error(), "")
}

// all joins texts for one line.
func all(list []string) string {
	slices.Sort(list)
	const most = 8
	if len(list) > most {
		return strings.Join(list[:most], ", ") + ", …"
	}
	return strings.Join(list, ", ")
}

// plain is an error without the layers around it.
func plain(err error) string {
	var s apierrors.APIStatus
	if errors.As(err, &s) {
		return s.Status().Message
	}
	return err.Error()
}
