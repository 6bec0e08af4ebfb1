package config

import (
	"net/url"
	"os"
	"strconv"
	"strings"
)

// Telemetry says whether traces are made and where they go, in OpenTelemetry's own
// variables. Numbers of milliseconds are as the specification has them.
type Telemetry struct {
	Disabled       bool   `env:"OTEL_SDK_DISABLED" default:"false" doc:"true: no traces, whatever the other variables say."`
	TracesExporter string `env:"OTEL_TRACES_EXPORTER" auto:"otlp when an OTLP endpoint is set, else none" oneof:"otlp|none" doc:"Where traces go; none makes none."`
	Endpoint       string `env:"OTEL_EXPORTER_OTLP_ENDPOINT" doc:"Address of a collector, OTLP over HTTP, such as http://127.0.0.1:4318; /v1/traces is added."`
	TracesEndpoint string `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" auto:"OTEL_EXPORTER_OTLP_ENDPOINT with /v1/traces" doc:"The whole address for traces."`
	Protocol       string `env:"OTEL_EXPORTER_OTLP_PROTOCOL" default:"http/protobuf" oneof:"http/protobuf" doc:"Protocol of the export; there is this one."`
	Headers        Secret `env:"OTEL_EXPORTER_OTLP_HEADERS" doc:"Headers of each export, name=value, comma separated, values percent-encoded; keys of a collector go here."`
	Timeout        int    `env:"OTEL_EXPORTER_OTLP_TIMEOUT" default:"10000" min:"1" max:"600000" doc:"Milliseconds that one request to the collector may take."`
	Compression    string `env:"OTEL_EXPORTER_OTLP_COMPRESSION" default:"none" oneof:"none|gzip" doc:"Compression of the export."`
	Certificate    string `env:"OTEL_EXPORTER_OTLP_CERTIFICATE" doc:"CA certificates that an https collector is checked against; the system's when empty."`
	ServiceName    string `env:"OTEL_SERVICE_NAME" default:"llmctl-studio" doc:"service.name of the spans."`
	Resource       string `env:"OTEL_RESOURCE_ATTRIBUTES" doc:"Further attributes of the resource, name=value, comma separated."`
	Sampler        string `env:"OTEL_TRACES_SAMPLER" default:"parentbased_always_on" oneof:"always_on|always_off|traceidratio|parentbased_always_on|parentbased_always_off|parentbased_traceidratio" doc:"Which traces are recorded. It is decided once, where a trace begins."`
	SamplerArg     string `env:"OTEL_TRACES_SAMPLER_ARG" default:"1.0" doc:"Of the traceidratio samplers: the part of the traces that is recorded, from 0 to 1."`
	QueueSize      int    `env:"OTEL_BSP_MAX_QUEUE_SIZE" default:"2048" min:"1" max:"1000000" doc:"Spans that wait to be sent at most; further ones are dropped and counted."`
	BatchSize      int    `env:"OTEL_BSP_MAX_EXPORT_BATCH_SIZE" default:"512" min:"1" max:"100000" doc:"Spans sent at once."`
	ScheduleDelay  int    `env:"OTEL_BSP_SCHEDULE_DELAY" default:"5000" min:"1" max:"600000" doc:"Milliseconds that a span waits for company."`
	ExportTimeout  int    `env:"OTEL_BSP_EXPORT_TIMEOUT" default:"30000" min:"1" max:"600000" doc:"Milliseconds that the export of a batch may take, with its repeats."`
	CaptureContent bool   `env:"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT" default:"false" doc:"Put what models are asked and answer into spans. It may be confidential."`
	TraceURL       string `env:"LLMCTL_STUDIO_TRACE_URL" doc:"Address at which a trace can be looked at, with {trace_id} in it; a run's page links there."`
}

// Traces tells whether spans are made.
func (t Telemetry) Traces() bool { return !t.Disabled && t.TracesExporter == "otlp" }

// deriveTelemetry completes what OpenTelemetry's variables leave open.
func (l *loading) deriveTelemetry() {
	t := &l.cfg.Telemetry
	l.setDerived("OTEL_TRACES_EXPORTER", func() {
		t.TracesExporter = "none"
		if t.Endpoint != "" || t.TracesEndpoint != "" {
			t.TracesExporter = "otlp"
		}
	})
	if t.TracesExporter == "none" && t.TracesEndpoint == "" {
		return
	}
	l.setDerived("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", func() {
		base := t.Endpoint
		if base == "" {
			base = "http://localhost:4318"
		}
		t.TracesEndpoint = strings.TrimRight(base, "/") + "/v1/traces"
	})
}

// Ratio is OTEL_TRACES_SAMPLER_ARG as a number.
func (t Telemetry) Ratio() float64 {
	ratio, err := strconv.ParseFloat(t.SamplerArg, 64)
	if err != nil {
		return 1 // the rules have refused it
	}
	return ratio
}

// traceIDPlace is what a template of LLMCTL_STUDIO_TRACE_URL names.
const traceIDPlace = "{trace_id}"

func (l *loading) ruleTelemetry() {
	t := &l.cfg.Telemetry
	for name, address := range map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": t.Endpoint, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": t.TracesEndpoint} {
		if address != "" && l.given(name) {
			l.ruleHTTP(name, address)
		}
	}
	if ratio, err := strconv.ParseFloat(t.SamplerArg, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
		l.problem("OTEL_TRACES_SAMPLER_ARG", "a number from 0 to 1")
	}
	for name, pairs := range map[string]string{"OTEL_RESOURCE_ATTRIBUTES": t.Resource, "OTEL_EXPORTER_OTLP_HEADERS": t.Headers.Reveal()} {
		if !validPairs(pairs) {
			l.problem(name, "name=value, comma separated, values percent-encoded")
		}
	}
	if t.Certificate != "" {
		if info, err := os.Stat(t.Certificate); err != nil || !info.Mode().IsRegular() {
			l.problem("OTEL_EXPORTER_OTLP_CERTIFICATE", "a file of PEM certificates")
		}
	}
	if t.TraceURL != "" {
		u, err := url.Parse(strings.ReplaceAll(t.TraceURL, traceIDPlace, "0"))
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || !strings.Contains(t.TraceURL, traceIDPlace) {
			l.problem("LLMCTL_STUDIO_TRACE_URL", "an http or https address with {trace_id} in it")
		}
	}
}

func validPairs(text string) bool {
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		name, value, ok := strings.Cut(item, "=")
		_, err := url.PathUnescape(value)
		if item != "" && (!ok || strings.TrimSpace(name) == "" || err != nil) {
			return false
		}
	}
	return true
}

// LinkTo is the address of a trace; "" when there is none or no template.
func (t Telemetry) LinkTo(traceID string) string {
	if t.TraceURL == "" || traceID == "" {
		return ""
	}
	return strings.ReplaceAll(t.TraceURL, traceIDPlace, traceID)
}
