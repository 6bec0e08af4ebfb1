package gate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

// maxReason bounds what a server's own words add to a line.
const maxReason = 300

// notMCPError is an answer that cannot be of an MCP server.
type notMCPError struct{ why string }

// Error says why.
func (e *notMCPError) Error() string { return e.why }

// reason puts the error of a try into words that name what to look at.
func reason(err error, try time.Duration) string {
	for _, explain := range []func(error) string{ofStatus, ofNetwork, ofTLS, ofHandshake} {
		if why := explain(err); why != "" {
			return why
		}
	}
	if timedOut(err) {
		return fmt.Sprintf("it took the connection but did not answer within %s", try)
	}
	return cut(lastError(err))
}

func ofStatus(err error) string {
	if e, ok := errors.AsType[*notMCPError](err); ok {
		return e.why
	}
	return ""
}

// rejectedCode is how the SDK marks an error of its own transport in the chain.
const rejectedCode = -32005

func ofHandshake(err error) string {
	if e, ok := errors.AsType[*jsonrpc.Error](err); ok && e.Code != rejectedCode {
		return cut(fmt.Sprintf("it refused the handshake: %s (code %d)", e.Message, e.Code))
	}
	if text := err.Error(); strings.Contains(text, "unsupported protocol version") {
		return cut("it speaks a protocol version that llmctl does not: " + lastError(err))
	}
	return ""
}

func ofNetwork(err error) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if e.IsNotFound {
			return fmt.Sprintf("the name %s does not resolve", e.Name)
		}
		if !e.IsTimeout {
			return fmt.Sprintf("looking up the name %s failed: %s", e.Name, e.Err)
		}
		return fmt.Sprintf("looking up the name %s took too long", e.Name)
	}
	at := ""
	op, isOp := errors.AsType[*net.OpError](err)
	if isOp && op.Addr != nil {
		at = " at " + op.Addr.String()
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens" + at
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to the host" + at
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was reset before an answer came"
	case isOp && op.Op == "dial" && timedOut(err):
		return "no connection" + at + " in time; a firewall or network policy may drop the packets"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before an answer came"
	}
	return ""
}

func ofTLS(err error) string {
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return cut("its TLS certificate is for another name: " + e.Error())
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return cut("its TLS certificate is signed by an authority that this machine does not know: " + e.Error())
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if e.Reason == x509.Expired {
			return cut("its TLS certificate is expired or not yet valid: " + e.Error())
		}
		return cut("its TLS certificate cannot be used: " + e.Error())
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "it does not speak TLS; use http:// instead of https://"
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return "it does not speak TLS; use http:// instead of https://"
	}
	if strings.Contains(err.Error(), "malformed HTTP response") {
		return "it does not speak HTTP there; with TLS use https:// instead of http://"
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return cut("its TLS certificate cannot be used: " + e.Err.Error())
	}
	if e, ok := errors.AsType[tls.AlertError](err); ok {
		return "it ended the TLS handshake: " + e.Error()
	}
	return ""
}

func timedOut(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// lastError is the innermost text of a request's error, without the address, which
// the line names already.
func lastError(err error) string {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// cut keeps a reason on one line of bounded length.
func cut(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > maxReason {
		return string(r[:maxReason]) + "…"
	}
	return text
}
