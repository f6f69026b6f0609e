// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/object"
)

// asJSON is an object as an API server sends it.
func asJSON(t testing.TB, text string) string {
	t.Helper()
	objects, problems := object.Parse("", []byte(text))
	if len(objects) != 1 || len(problems) > 0 {
		t.Fatalf("%s: %+v", text, problems)
	}
	raw, err := objects[0].MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// wrote is the text of an object.
func wrote(apiVersion, kind, body string) string {
	return "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {name: x, namespace: shop, uid: u}\n" + body + "\n"
}

func handler(t testing.TB, o Options) *Handler {
	t.Helper()
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// post sends a review and reads the response in it.
func post(t testing.TB, h http.Handler, path, body string, into any) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)))
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	d := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	if err := d.Decode(into); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
}

// asked is the request of an AdmissionReview; old is empty where an object is created.
func asked(now, old string) string {
	operation := "CREATE"
	if old == "" {
		old = "null"
	} else {
		operation = "UPDATE"
	}
	return fmt.Sprintf(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":%q,"namespace":"shop","object":%s,"oldObject":%s}}`, operation, now, old)
}

// review asks about an object.
func review(t testing.TB, h http.Handler, now, old string) response {
	t.Helper()
	var a admissionAnswer
	post(t, h, ValidatePath, asked(now, old), &a)
	if a.Response.UID != "1" || a.Kind != "AdmissionReview" || a.APIVersion != "admission.k8s.io/v1" {
		t.Fatalf("got %+v", a)
	}
	return a.Response
}

// message is what a client reads of a refusal; empty where there is none.
func (r *response) message() string {
	if r.Status == nil {
		return ""
	}
	return r.Status.Message
}

// converted asks for objects in a version.
func converted(t testing.TB, h http.Handler, to string, objects ...string) (out []string, failure string) {
	t.Helper()
	var a struct {
		APIVersion string
		Kind       string
		Response   struct {
			UID              string
			ConvertedObjects []json.RawMessage
			Result           struct{ Status, Message string }
		}
	}
	body := fmt.Sprintf(`{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","request":{"uid":"a\"1","desiredAPIVersion":%q,"objects":[%s]}}`, to, strings.Join(objects, ","))
	post(t, h, ConvertPath, body, &a)
	if a.Response.UID != `a"1` || a.Kind != "ConversionReview" || a.APIVersion != "apiextensions.k8s.io/v1" {
		t.Fatalf("got %+v", a)
	}
	for _, o := range a.Response.ConvertedObjects {
		out = append(out, string(o))
	}
	if a.Response.Result.Status != "Success" {
		failure = a.Response.Result.Message
		if a.Response.Result.Status != "Failure" || failure == "" {
			t.Fatalf("got %+v", a)
		}
	}
	return out, failure
}
