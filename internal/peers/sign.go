package peers

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Headers of a request between replicas.
const (
	headerDate  = "X-Llmctl-Relay-Date" // Unix seconds
	headerHop   = "X-Llmctl-Relay-Hop"
	headerMAC   = "X-Llmctl-Relay-Mac"
	headerOwner = "X-Llmctl-Relay-Owner" // in the answer: the worker that it is from
	headerGone  = "X-Llmctl-Relay-Gone"  // in the answer: the worker that the replica does not have
	firstHop    = "1"
)

// ReplayWindow is how far a request's date may be from our clock.
const ReplayWindow = 30 * time.Second

const macVersion = "llmctl-relay-v1"

// Signer proves that a request comes from another replica of this installation.
type Signer struct {
	key []byte
	now func() time.Time
}

// NewSigner derives the key from the installation's secret, so that neither can be
// found from the other's use.
func NewSigner(secret []byte, now func() time.Time) (*Signer, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "llmctl studio: requests between replicas, v1", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive key for requests between replicas: %w", err)
	}
	return &Signer{key: key, now: now}, nil
}

func (s *Signer) mac(r *http.Request, date, hop string) string {
	m := hmac.New(sha256.New, s.key)
	_, _ = m.Write([]byte(strings.Join([]string{ // a hash takes everything
		macVersion, r.Method, r.URL.EscapedPath(), r.URL.RawQuery, date, hop,
	}, "\n")))
	return hex.EncodeToString(m.Sum(nil))
}

// sign adds the proof; nothing that it covers may change afterwards.
func (s *Signer) sign(r *http.Request) {
	date := strconv.FormatInt(s.now().Unix(), 10)
	r.Header.Set(headerDate, date)
	r.Header.Set(headerHop, firstHop)
	r.Header.Set(headerMAC, s.mac(r, date, firstHop))
}

// refusal is why a request is not taken.
type refusal struct {
	status int
	why    string
}

// check gives nil for a request that is to be taken, and takes the proof off it.
func (s *Signer) check(r *http.Request) *refusal {
	date, hop, given := r.Header.Get(headerDate), r.Header.Get(headerHop), r.Header.Get(headerMAC)
	for _, name := range []string{headerDate, headerHop, headerMAC} {
		r.Header.Del(name)
	}
	if given == "" || !hmac.Equal([]byte(given), []byte(s.mac(r, date, hop))) {
		return &refusal{http.StatusUnauthorized, "the request does not come from a replica with the same LLMCTL_STUDIO_SECRET_KEY"}
	}
	seconds, err := strconv.ParseInt(date, 10, 64)
	if away := s.now().Sub(time.Unix(seconds, 0)).Abs(); err != nil || away > ReplayWindow {
		return &refusal{http.StatusUnauthorized, "the request's date is " + away.Round(time.Second).String() +
			" away from this clock; " + ReplayWindow.String() + " are allowed"}
	}
	if hop != firstHop {
		return &refusal{http.StatusLoopDetected, "the request was passed on before"}
	}
	return nil
}

// signing signs what it sends.
type signing struct {
	signer *Signer
	next   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t signing) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	t.signer.sign(out)
	return t.next.RoundTrip(out)
}
