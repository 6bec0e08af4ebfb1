package app

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/tracing"
)

// newTracer makes what the configuration asks for; nil: no traces.
func newTracer(ctx context.Context, cfg *config.Config, role string, log *slog.Logger) (*tracing.Tracer, error) {
	c := cfg.Telemetry
	if !c.Traces() {
		return nil, nil //nolint:nilnil // a nil tracer is one that is off
	}
	sampler, _ := tracing.ParseSampler(c.Sampler, c.Ratio()) // the configuration has refused others
	resource, err := tracing.ParseResource(c.Resource)
	if err != nil {
		return nil, err
	}
	exporter, err := tracing.NewOTLP(ctx, tracing.OTLPOptions{
		Endpoint: c.TracesEndpoint, Headers: c.Headers.Reveal(), Timeout: milliseconds(c.Timeout),
		Gzip: c.Compression == "gzip", Certificate: c.Certificate,
	})
	if err != nil {
		return nil, err
	}
	tracing.LogErrorsOf(log)
	host, _ := os.Hostname()
	resource = append(resource,
		tracing.ServiceName.String(c.ServiceName), tracing.ServiceVersion.String(buildVersion()), tracing.ServiceInstanceID.String(uuid.NewString()),
		tracing.HostName.String(host), tracing.ProcessPID.Int(os.Getpid()), tracing.Role.String(role))
	return tracing.New(tracing.Options{
		Exporter: exporter, Sampler: sampler, Resource: lastOf(resource), Logger: log,
		Batch: tracing.BatchOptions{
			Queue: c.QueueSize, Batch: c.BatchSize, Delay: milliseconds(c.ScheduleDelay), Timeout: milliseconds(c.ExportTimeout),
		},
	}), nil
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// lastOf keeps the last attribute of each name.
func lastOf(attrs []attribute.KeyValue) []attribute.KeyValue {
	set := attribute.NewSet(attrs...)
	return set.ToSlice()
}

// role is what this process calls itself in spans.
func (s sides) role() string {
	switch {
	case s.web && s.work:
		return config.RoleUp
	case s.work:
		return config.RoleWorker
	case s.beat:
		return config.RoleBeat
	case s.mcp:
		return config.RoleMCP
	default:
		return config.RoleServe
	}
}
