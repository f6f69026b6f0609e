// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// subjectAltName is the extension that carries a certificate's names (RFC 5280, 4.2.1.6).
var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// checkRequest refuses a request that is badly signed, has a weak key, or asks for anything but id.
func checkRequest(csr *x509.CertificateRequest, id spiffeid.ID) error {
	if err := checkKey(csr.PublicKey); err != nil {
		return err
	}
	if err := csr.CheckSignature(); err != nil {
		return fmt.Errorf("the certificate request is not signed by its own key: %w", err)
	}
	// The extension is compared byte for byte: names of kinds that the parser passes over (other name, directory name)
	// would go unseen otherwise.
	only, err := nameExtension(id)
	if err != nil {
		return err
	}
	for _, x := range csr.Extensions {
		if !x.Id.Equal(subjectAltName) {
			return fmt.Errorf("the certificate request asks for extension %s: ask for nothing but the URI name %s", x.Id, id)
		}
		if !bytes.Equal(x.Value, only) {
			return fmt.Errorf("the certificate request names %v %v %v %v: ask for the URI name %s alone",
				csr.URIs, csr.DNSNames, csr.IPAddresses, csr.EmailAddresses, id)
		}
	}
	return nil
}

// nameExtension is the value of a subject alternative name extension that says id and nothing else.
func nameExtension(id spiffeid.ID) ([]byte, error) {
	const uriTag = 6
	return asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: uriTag, Bytes: []byte(id.String())}})
}

// checkKey admits the kinds of keys that every proxy can verify, and no size that would cost us or them dearly.
func checkKey(public any) error {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() {
			return nil
		}
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n >= 2048 && n <= 4096 {
			return nil
		}
	}
	return errors.New("the certificate request's key is neither ECDSA P-256 or P-384 nor RSA of 2048 to 4096 bits: make a P-256 key")
}
