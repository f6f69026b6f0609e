// SPDX-License-Identifier: Apache-2.0

package tap

import "strings"

// hidden stands where something was taken out.
const hidden = "…"

// Redact takes out of a path what could be a secret: every value of its query, and each part that is long enough for a key and looks random.
func Redact(path string) string {
	path, query, asked := strings.Cut(path, "?")
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if random(p) {
			parts[i] = hidden
		}
	}
	out := strings.Join(parts, "/")
	if !asked {
		return out
	}
	words := strings.Split(query, "&")
	for i, w := range words {
		if name, _, ok := strings.Cut(w, "="); ok && !random(name) {
			words[i] = name + "=" + hidden
		} else if w != "" {
			words[i] = hidden // a value without a name may be anything
		}
	}
	return out + "?" + strings.Join(words, "&")
}

// keyLength is the shortest text that is taken for a key: sixteen bytes in hexadecimal digits are 32, in base64 22.
const keyLength = 20

// random says whether a part of a path could be a key: long, without the breaks of words that people write, or a signed token.
func random(s string) bool {
	if strings.HasPrefix(s, "eyJ") || strings.Contains(s, "%") && len(s) >= keyLength {
		return true
	}
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r == '-' || r == '.' || r == '_' || r == '~' || r == ':' || r == '=' }) {
		if len(word) >= keyLength && mixed(word) {
			return true
		}
	}
	return len(s) == len("123e4567-e89b-12d3-a456-426614174000") && strings.Count(s, "-") == 4 // an id that may be a capability
}

// mixed says whether letters and digits stand together, or small and capital letters without being a word in camel case.
func mixed(s string) bool {
	digits, changes := false, 0
	for i, r := range s {
		digits = digits || r >= '0' && r <= '9'
		if i > 0 && upper(r) != upper(rune(s[i-1])) {
			changes++
		}
	}
	return digits || changes > len(s)/3
}

func upper(r rune) bool { return r >= 'A' && r <= 'Z' }
