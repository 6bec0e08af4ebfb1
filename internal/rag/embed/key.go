package embed

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
)

// Hash names a text, and with the embedder's key its vector.
func Hash(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// maxKeyAddress bounds the readable address in a key.
const maxKeyAddress = 200

// KeyOf names what makes vectors: those of one key can be compared, others cannot.
// Spellings of one address are one address; names and passwords in it do not count.
// dimensions is 0 for the model's own. documentPrefix is what stands before each document; that of questions makes no
// other documents' vectors, and is none of it.
func KeyOf(providerKind, baseURL, model string, dimensions int, documentPrefix string) string {
	address := addressOf(providerKind, baseURL)
	if len(address) > maxKeyAddress {
		sum := sha256.Sum256([]byte(address))
		address = "sha256:" + hex.EncodeToString(sum[:])
	}
	size := "own"
	if dimensions > 0 {
		size = strconv.Itoa(dimensions)
	}
	parts := []string{providerKind, address, model, size}
	if documentPrefix != "" {
		sum := sha256.Sum256([]byte(documentPrefix))
		parts = append(parts, "prefix:"+hex.EncodeToString(sum[:8]))
	}
	return strings.Join(parts, " ")
}

func addressOf(kind, base string) string {
	if base == "" {
		base = map[string]string{"openai": "https://api.openai.com/v1", "gemini": "https://generativelanguage.googleapis.com"}[kind]
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return base
	}
	scheme, host, port := strings.ToLower(u.Scheme), strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), u.Port()
	if port == map[string]string{"http": "80", "https": "443"}[scheme] {
		port = ""
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	out := scheme + "://" + host + strings.TrimRight(u.EscapedPath(), "/")
	if u.RawQuery != "" {
		out += "?" + u.RawQuery
	}
	return out
}
