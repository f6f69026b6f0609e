// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/deploy/manifest"
	"github.com/anymesh/anymesh/kube/adopt"
)

// soon is when a certificate should have been renewed long ago.
const soon = 7 * 24 * time.Hour

// webhook looks at the certificate, at who knows it, and at whether somebody answers.
func (c *Checker) webhook(ctx context.Context) {
	ns := c.Installation.Values.Namespace
	leaf := c.certificate(ctx, ns)
	c.endpoints(ctx, ns)
	v, err := c.cluster.Core.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, manifest.Configuration, metav1.GetOptions{})
	const check = "objects are checked when they are written"
	switch {
	case apierrors.IsNotFound(err):
		c.say(check, Error, "there is no ValidatingWebhookConfiguration "+manifest.Configuration, "Run anymesh install.")
	case err != nil:
		c.failed(check, err)
	case leaf != nil:
		for _, w := range v.Webhooks {
			if err := proves(w.ClientConfig.CABundle, leaf, ns); err != nil {
				c.say(check, Error, fmt.Sprintf("the bundle of %s does not prove the webhook: %v", w.Name, err), "The controller writes it: look at its log.")
				return
			}
		}
		c.ok(check, "its CA bundle matches")
	}
	if leaf == nil {
		return
	}
	var wrong []string
	for name, d := range c.live {
		if adopt.Converts(d) && proves(d.Spec.Conversion.Webhook.ClientConfig.CABundle, leaf, ns) != nil {
			wrong = append(wrong, name)
		}
	}
	if len(wrong) > 0 {
		c.say("definitions know the webhook", Error, "the CA bundle does not prove it in "+all(wrong), "The controller writes it: look at its log.")
	} else if len(c.live) > 0 {
		c.ok("definitions know the webhook", "their CA bundles match")
	}
}

// certificate looks at the Secret; nil where there is no certificate.
func (c *Checker) certificate(ctx context.Context, ns string) *x509.Certificate {
	const check = "its certificate is valid"
	s, err := c.cluster.Core.CoreV1().Secrets(ns).Get(ctx, manifest.CertName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		c.say(check, Error, "there is no Secret "+ns+"/"+manifest.CertName, "The controller makes it: look at its log.")
		return nil
	case err != nil:
		c.failed(check, err)
		return nil
	}
	block, _ := pem.Decode(s.Data[corev1.TLSCertKey])
	if block == nil {
		c.say(check, Error, "the Secret holds no certificate", "Delete it: the controller makes a new one.")
		return nil
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		c.say(check, Error, err.Error(), "Delete the Secret: the controller makes a new one.")
		return nil
	}
	until := "until " + leaf.NotAfter.UTC().Format(time.DateOnly)
	switch left := time.Until(leaf.NotAfter); {
	case left <= 0:
		c.say(check, Error, until, "The controller renews it: look at its log.")
	case left < soon:
		c.say(check, Warning, until, "It should have been renewed: look at the controller's log.")
	default:
		c.ok(check, until)
	}
	return leaf
}

// proves says why a bundle does not prove the webhook's certificate for its name.
func proves(bundle []byte, leaf *x509.Certificate, ns string) error {
	if len(bundle) == 0 {
		return errors.New("it is empty")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return errors.New("it holds no certificate")
	}
	at := time.Now() // validity is a line of its own
	if at.After(leaf.NotAfter) {
		at = leaf.NotAfter
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: manifest.WebhookName + "." + ns + ".svc", CurrentTime: at})
	return err
}

func (c *Checker) endpoints(ctx context.Context, ns string) {
	const check = "somebody answers"
	list, err := c.cluster.Core.DiscoveryV1().EndpointSlices(ns).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + manifest.WebhookName})
	if err != nil {
		c.failed(check, err)
		return
	}
	ready := 0
	for _, s := range list.Items {
		for _, e := range s.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				ready++
			}
		}
	}
	if ready == 0 {
		c.say(check, Error, "the Service "+ns+"/"+manifest.WebhookName+" has no ready endpoint", "Look at the group controller below.")
		return
	}
	c.ok(check, fmt.Sprintf("%d ready endpoints", ready))
}
