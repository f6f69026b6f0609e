// SPDX-License-Identifier: Apache-2.0

// Package certs gives the webhook its certificate, and the API server what proves it.
//
// [Managed] needs nothing else: an authority and a serving certificate in one Secret that all replicas share, and the authority's
// certificate written wherever the API server looks for it. Any replica renews what is due; the Secret's resourceVersion decides between
// two that do so at once. A new authority is first made known, and signs only when it has been known everywhere for a while; the old one
// stays known for as long after. So at no moment does the API server meet a certificate that it cannot prove.
//
// [Files] is for those who have certificates from elsewhere, such as cert-manager: it reads them again when they change.
package certs
