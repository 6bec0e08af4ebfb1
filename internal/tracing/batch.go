package tracing

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// BatchOptions bound what waits to be sent. Zero values mean the defaults of the
// OpenTelemetry specification.
type BatchOptions struct {
	Queue   int           // ended spans that wait at most; further ones are dropped (2048)
	Batch   int           // spans sent at once (512)
	Delay   time.Duration // how long a span waits for company (5 s)
	Timeout time.Duration // of one export (30 s)
	Flush   time.Duration // how long what is left may take at the end (3 s)
}

// Stats counts spans by what became of them.
type Stats struct {
	Exported uint64 // taken by the collector
	Overflow uint64 // dropped, since the queue was full
	Failed   uint64 // dropped, since the collector did not take them
}

// batch is the span processor: OnEnd only puts into a channel, run sends. The SDK's
// own one would do, but does not tell how much it dropped.
type batch struct {
	o        BatchOptions
	exporter sdktrace.SpanExporter
	log      *slog.Logger
	queue    chan sdktrace.ReadOnlySpan
	warned   time.Time

	exported, overflow, failed atomic.Uint64
}

func newBatch(exporter sdktrace.SpanExporter, o BatchOptions, log *slog.Logger) *batch {
	o.Queue, o.Batch = orInt(o.Queue, 2048), orInt(o.Batch, 512)
	o.Batch = min(o.Batch, o.Queue)
	o.Delay, o.Timeout, o.Flush = orTime(o.Delay, 5*time.Second), orTime(o.Timeout, 30*time.Second), orTime(o.Flush, 3*time.Second)
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &batch{o: o, exporter: exporter, log: log, queue: make(chan sdktrace.ReadOnlySpan, o.Queue)}
}

func orInt(n, fallback int) int {
	if n <= 0 {
		return fallback
	}
	return n
}

func orTime(d, fallback time.Duration) time.Duration {
	if d <= 0 {
		return fallback
	}
	return d
}

// OnStart implements sdktrace.SpanProcessor.
func (b *batch) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd implements sdktrace.SpanProcessor. It never waits.
func (b *batch) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	select {
	case b.queue <- s:
	default:
		b.overflow.Add(1)
	}
}

// Shutdown implements sdktrace.SpanProcessor; run ends by its context.
func (b *batch) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdktrace.SpanProcessor; nobody waits for a collector.
func (b *batch) ForceFlush(context.Context) error { return nil }

func (b *batch) stats() Stats {
	return Stats{Exported: b.exported.Load(), Overflow: b.overflow.Load(), Failed: b.failed.Load()}
}

// run sends batches until ctx ends, and then for b.o.Flush what is left.
func (b *batch) run(ctx context.Context) {
	life, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(b.o.Flush, kill) })
	defer stop()
	spans := make([]sdktrace.ReadOnlySpan, 0, b.o.Batch)
	for ctx.Err() == nil {
		spans = b.collect(ctx, spans[:0])
		b.send(life, spans)
	}
	for {
		spans = b.rest(spans[:0])
		if len(spans) == 0 {
			break
		}
		b.send(life, spans)
	}
	_ = b.exporter.Shutdown(life) // there is nothing left to send
}

// collect waits for a span, and then until the batch is full or Delay has passed.
func (b *batch) collect(ctx context.Context, spans []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	select {
	case <-ctx.Done():
		return spans
	case s := <-b.queue:
		spans = append(spans, s)
	}
	timer := time.NewTimer(b.o.Delay)
	defer timer.Stop()
	for len(spans) < b.o.Batch {
		select {
		case <-ctx.Done():
			return spans
		case <-timer.C:
			return spans
		case s := <-b.queue:
			spans = append(spans, s)
		}
	}
	return spans
}

// rest takes what is there, without waiting.
func (b *batch) rest(spans []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	for len(spans) < b.o.Batch {
		select {
		case s := <-b.queue:
			spans = append(spans, s)
		default:
			return spans
		}
	}
	return spans
}

func (b *batch) send(ctx context.Context, spans []sdktrace.ReadOnlySpan) {
	if len(spans) == 0 {
		return
	}
	limited, cancel := context.WithTimeout(ctx, b.o.Timeout)
	defer cancel()
	err := limited.Err()
	if err == nil {
		err = b.exporter.ExportSpans(limited, spans)
	}
	if err == nil {
		b.exported.Add(uint64(len(spans)))
		return
	}
	b.failed.Add(uint64(len(spans)))
	// Once a minute: a collector that is gone is one message, not thousands.
	if now := time.Now(); now.Sub(b.warned) > time.Minute {
		b.warned = now
		b.log.WarnContext(ctx, "spans were not taken by the collector and are dropped", "spans", len(spans), "error", err)
	}
}
