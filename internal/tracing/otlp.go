package tracing

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/llmctl/studio/internal/errs"
)

// OTLPOptions are where spans are sent, as protobuf over HTTP.
type OTLPOptions struct {
	Endpoint    string // the whole address, /v1/traces included
	Headers     string // name=value,…; values may be percent-encoded
	Timeout     time.Duration
	Gzip        bool
	Certificate string // file of the CA certificates that an https endpoint is checked against; "": the system's
}

// NewOTLP makes the exporter. Nothing is connected yet.
func NewOTLP(ctx context.Context, o OTLPOptions) (sdktrace.SpanExporter, error) {
	headers, err := ParsePairs(o.Headers)
	if err != nil {
		return nil, errs.E(errs.Invalid, "tracing.headers", "OTEL_EXPORTER_OTLP_HEADERS is not name=value,name=value.")
	}
	opts := []otlptracehttp.Option{
		otlptracehttp.WithEndpointURL(o.Endpoint), otlptracehttp.WithHeaders(headers), otlptracehttp.WithTimeout(o.Timeout),
		// What fails for longer is dropped: fresh spans are worth more.
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: time.Second, MaxInterval: 5 * time.Second, MaxElapsedTime: 15 * time.Second}),
	}
	if o.Gzip {
		opts = append(opts, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	}
	if o.Certificate != "" {
		pem, err := os.ReadFile(o.Certificate)
		if err != nil {
			return nil, errs.Ef(errs.Invalid, "tracing.certificate", "OTEL_EXPORTER_OTLP_CERTIFICATE: %v.", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, errs.Ef(errs.Invalid, "tracing.certificate", "OTEL_EXPORTER_OTLP_CERTIFICATE: %s holds no PEM certificate.", o.Certificate)
		}
		opts = append(opts, otlptracehttp.WithTLSClientConfig(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	}
	exporter, err := otlptracehttp.New(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("trace exporter: %w", err)
	}
	return exporter, nil
}

// LogErrorsOf makes what the OpenTelemetry library complains about lines of log; it
// would write them to stderr otherwise. The setting is the library's own, for the
// whole process.
func LogErrorsOf(log *slog.Logger) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("OpenTelemetry", "error", err) }))
}

// ParsePairs reads name=value,name=value with percent-encoded values.
func ParsePairs(text string) (map[string]string, error) {
	out := map[string]string{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		name, value, ok := strings.Cut(item, "=")
		decoded, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !ok || name == "" || err != nil {
			return nil, fmt.Errorf("%q is not name=value", item)
		}
		out[name] = decoded
	}
	return out, nil
}

// ParseSampler makes the sampler that the OpenTelemetry specification calls name; ""
// is parentbased_always_on. ratio is the part of the traces that the traceidratio
// ones keep.
func ParseSampler(name string, ratio float64) (sdktrace.Sampler, bool) {
	base, parent := strings.CutPrefix(name, "parentbased_")
	var s sdktrace.Sampler
	switch base {
	case "", "always_on":
		s = sdktrace.AlwaysSample()
	case "always_off":
		s = sdktrace.NeverSample()
	case "traceidratio":
		s = sdktrace.TraceIDRatioBased(ratio)
	default:
		return nil, false
	}
	if parent || name == "" {
		s = sdktrace.ParentBased(s)
	}
	return s, true
}

// ParseResource reads OTEL_RESOURCE_ATTRIBUTES.
func ParseResource(text string) ([]attribute.KeyValue, error) {
	pairs, err := ParsePairs(text)
	if err != nil {
		return nil, err
	}
	out := make([]attribute.KeyValue, 0, len(pairs))
	for name, value := range pairs {
		out = append(out, attribute.String(name, value))
	}
	return out, nil
}
