package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTracesAreOffUntilACollectorIsNamed(t *testing.T) {
	t.Parallel()
	for environ, want := range map[string]string{
		"": "",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318":              "http://c:4318/v1/traces",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318/base/":        "http://c:4318/base/v1/traces",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://c/otlp/here": "https://c/otlp/here",
		"OTEL_TRACES_EXPORTER=otlp":                              "http://localhost:4318/v1/traces",
	} {
		c := load(t, LoadOptions{Role: RoleUp, Environ: []string{environ}})
		require.Equal(t, want != "", c.Telemetry.Traces(), environ)
		require.Equal(t, want, c.Telemetry.TracesEndpoint, environ)
	}
	for _, off := range []string{"OTEL_TRACES_EXPORTER=none", "OTEL_SDK_DISABLED=true"} {
		require.False(t, load(t, LoadOptions{Role: RoleUp, Environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", off}}).Telemetry.Traces(), off)
	}
}

func TestTelemetryFaultsAreNamed(t *testing.T) {
	t.Parallel()
	for name, values := range map[string][]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT":        {"c:4318", "ftp://c"},
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": {"c"},
		"OTEL_EXPORTER_OTLP_PROTOCOL":        {"grpc"},
		"OTEL_TRACES_EXPORTER":               {"zipkin"},
		"OTEL_TRACES_SAMPLER":                {"sometimes"},
		"OTEL_TRACES_SAMPLER_ARG":            {"2", "-1", "NaN", "half"},
		"OTEL_EXPORTER_OTLP_HEADERS":         {"nonsense", "=x", "a=%zz"},
		"OTEL_RESOURCE_ATTRIBUTES":           {"nonsense"},
		"OTEL_EXPORTER_OTLP_CERTIFICATE":     {"/not/there"},
		"LLMCTL_STUDIO_TRACE_URL":            {"https://c/", "c/{trace_id}", "javascript:{trace_id}"},
		"OTEL_BSP_MAX_QUEUE_SIZE":            {"0", "many"},
	} {
		for _, value := range values {
			found := problems(t, RoleUp, name+"="+value)
			require.Contains(t, found, name, value)
			require.NotEmpty(t, found[name].Want)
		}
	}
}

func TestATraceIsLinkedTo(t *testing.T) {
	t.Parallel()
	tel := Telemetry{TraceURL: "https://c/{trace_id}?q={trace_id}"}
	require.Equal(t, "https://c/ab?q=ab", tel.LinkTo("ab"))
	require.Empty(t, tel.LinkTo(""))
	require.Empty(t, Telemetry{}.LinkTo("ab"))
}
