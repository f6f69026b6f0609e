// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/path"
	"k8s.io/apiserver/pkg/authorization/union"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/kubernetes"

	"github.com/anymesh/anymesh/metrics/traffic"
)

// The ConfigMap by which an API server tells its extensions who it is.
const authNamespace, authConfigMap = "kube-system", "extension-apiserver-authentication"

// decisions are kept for so long. Short: who has lost a permission should lose it.
const decisions = 10 * time.Second

// runner is a part that follows the cluster.
type runner interface {
	Run(ctx context.Context, workers int)
}

// authentication finds out who asks: the API server in the name of a user, by its front-proxy certificate; a user by a client certificate or a
// token. Its runners follow the certificates as they are renewed.
func authentication(ctx context.Context, client kubernetes.Interface) (authenticator.Request, []runner, error) {
	front, err := dynamiccertificates.NewDynamicCAFromConfigMapController("front-proxy", authNamespace, authConfigMap, "requestheader-client-ca-file", client)
	if err != nil {
		return nil, nil, err
	}
	users, err := dynamiccertificates.NewDynamicCAFromConfigMapController("client-ca", authNamespace, authConfigMap, "client-ca-file", client)
	if err != nil {
		return nil, nil, err
	}
	headers := headerrequest.NewRequestHeaderAuthRequestController(authConfigMap, authNamespace, client, "requestheader-username-headers",
		"requestheader-uid-headers", "requestheader-group-headers", "requestheader-extra-headers-prefix", "requestheader-allowed-names")
	for _, once := range []func(context.Context) error{front.RunOnce, headers.RunOnce, users.RunOnce} {
		if err := once(ctx); err != nil {
			return nil, nil, fmt.Errorf("read the ConfigMap %s/%s, by which the API server says who it is: %w", authNamespace, authConfigMap, err)
		}
	}
	slice := func(f func() []string) headerrequest.StringSliceProvider {
		return headerrequest.StringSliceProviderFunc(f)
	}
	auth, _, err := authenticatorfactory.DelegatingAuthenticatorConfig{
		TokenAccessReviewClient:            client.AuthenticationV1(),
		TokenAccessReviewTimeout:           10 * time.Second,
		WebhookRetryBackoff:                options.DefaultAuthWebhookRetryBackoff(),
		CacheTTL:                           decisions,
		ClientCertificateCAContentProvider: users,
		RequestHeaderConfig: &authenticatorfactory.RequestHeaderConfig{
			CAContentProvider: front, UsernameHeaders: slice(headers.UsernameHeaders), UIDHeaders: slice(headers.UIDHeaders), GroupHeaders: slice(headers.GroupHeaders),
			ExtraHeaderPrefixes: slice(headers.ExtraHeaderPrefixes), AllowedClientNames: slice(headers.AllowedClientNames),
		},
	}.New()
	return auth, []runner{front, users, headers}, err
}

// authorization asks the cluster who may read what, resource by resource. Health and discovery are for everybody who got this far.
func authorization(client kubernetes.Interface) (authorizer.Authorizer, error) {
	open, err := path.NewAuthorizer([]string{"/healthz", "/readyz", "/livez"})
	if err != nil {
		return nil, err
	}
	backoff := wait.Backoff(*options.DefaultAuthWebhookRetryBackoff())
	cluster, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: client.AuthorizationV1(),
		AllowCacheTTL:             decisions, DenyCacheTTL: decisions,
		WebhookRetryBackoff: &backoff,
	}.New()
	if err != nil {
		return nil, err
	}
	return union.New(union.NamedAuthorizer{AuthorizerName: "open", Authorizer: open}, union.NamedAuthorizer{AuthorizerName: "admins",
		Authorizer: authorizerfactory.NewPrivilegedGroups("system:masters")}, union.NamedAuthorizer{AuthorizerName: "cluster", Authorizer: asRead{cluster}})
}

// asRead asks for the edges of a namespace as a cluster's API server reads their URL: /namespaces/shop/edges is to it a list of edges in a
// namespace, whereas it is answered here as the edges of the namespace. One permission is enough for both.
type asRead struct{ authorizer.Authorizer }

// Authorize implements authorizer.Authorizer.
func (a asRead) Authorize(ctx context.Context, at authorizer.Attributes) (authorizer.Decision, string, error) {
	if at.GetAPIGroup() == traffic.Group && at.GetResource() == "namespaces" && at.GetSubresource() != "" {
		at = listed{at}
	}
	return a.Authorizer.Authorize(ctx, at)
}

type listed struct{ authorizer.Attributes }

// GetVerb, GetResource, GetSubresource and GetName say what the cluster's API server asked for before.
func (l listed) GetVerb() string        { return "list" }
func (l listed) GetResource() string    { return l.Attributes.GetSubresource() }
func (l listed) GetSubresource() string { return "" }
func (l listed) GetName() string        { return "" }
