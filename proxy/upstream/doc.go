// SPDX-License-Identifier: Apache-2.0

// Package upstream reaches the endpoints of a cluster: it picks one, dials it over mTLS, checks who answered, and pools
// HTTP connections. A Backend is one cluster; what it knows is replaced whole when the control plane says something new,
// and requests under way finish on what they began with.
package upstream
